"""Lists and their stages."""

from __future__ import annotations

from datetime import datetime

from typing_extensions import TypedDict  # pydantic requires it before Python 3.12

from tasktape_client.models.base import Answered
from tasktape_client.models.words import Category, Role


class Stage(TypedDict):
    """A column of a list, and the status category of the tasks in it."""

    name: str
    category: Category


class TaskList(Answered):
    """A list after `version` events. `members` maps users to roles. `stages` are in order."""

    id: str
    name: str
    inbox: bool
    members: dict[str, Role]
    stages: tuple[Stage, ...] = ()
    version: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    deleted_at: datetime | None = None

"""Lists, stages and events of the tests of decisions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.lists.events import Stage
from app.tasks.decision_context import Change
from app.tasks.events import TaskCreated, TaskEvent
from app.tasks.state import Task
from tests.spec import HOME, LIST_ID, task_after

PARENT_ID = "0f0e0d0c-0b0a-4908-8706-0504030201ff"
COMMENT_ID = "018f0000-0000-7000-8000-0000000000cc"
STAGES: tuple[Stage, ...] = (
    {"name": "Backlog", "category": "open"},
    {"name": "Doing", "category": "active"},
    {"name": "Done", "category": "done"},
)
STAGED = replace(HOME, stages=STAGES)
SHARED = replace(HOME, members={"alice": "owner", "bob": "editor", "carol": "viewer", "Zoë B": "editor"})
CREATED = TaskCreated(list_id=LIST_ID, title="T")
IN_BACKLOG = TaskCreated(list_id=LIST_ID, title="T", stage="Backlog")
IN_DOING = TaskCreated(list_id=LIST_ID, title="T", stage="Doing")


def change(*past: TaskEvent, version: int, actor: str = "alice") -> Change:
    """Return the change of event `version` of a history."""
    before = task_after(*past[: version - 1]) if version > 1 else None
    return Change(actor, before, task_after(*past[:version]))


def line(depth: int, **of_parent: Any) -> tuple[Task, ...]:
    """Return a task's ancestors, from the parent on."""
    parent = replace(task_after(CREATED), id=PARENT_ID, **of_parent)
    return (parent, *(replace(parent, id=f"{PARENT_ID[:-1]}{level}") for level in range(depth - 1)))

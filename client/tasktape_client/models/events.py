"""Events, live updates, and the outcomes of commands."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from tasktape_client.models.base import Answered
from tasktape_client.models.lists import TaskList
from tasktape_client.models.tasks import Task
from tasktape_client.models.words import OutcomeName


class Event(Answered):
    """An event of the log. In a history, `changes` maps each changed field to its values before and after.

    `id`, `type`, `stream`, `version`, `time` and `actor` may be None for a record that cannot be parsed.
    """

    id: str | None
    type: str | None
    stream: str | None
    version: int | None
    position: str
    outcome: OutcomeName
    reason: str | None = None
    time: datetime | None
    recorded_at: datetime
    actor: str | None
    source: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    data: Any = None
    changes: dict[str, tuple[Any, Any]] = Field(default_factory=dict)


class Update(Answered):
    """A change: the event, the changed fields, and the task or list after it; None if it was deleted.

    `notifications` maps users to the kind of notification that they get for it. `at` is the time of an update
    of a replay.
    """

    type: Literal["update"] = "update"
    channel: str
    position: str
    event: Event
    changes: dict[str, tuple[Any, Any]] = Field(default_factory=dict)
    task: Task | None = None
    list: TaskList | None = None
    notifications: dict[str, str] = Field(default_factory=dict)
    at: datetime | None = None


class ReplayState(Answered):
    """The state of a replay, or a part of its snapshot: the list and some of its tasks at the time `at`.

    Parts count from 0, until there are no `more`. `list` is None before its creation.
    """

    type: Literal["replay"] = "replay"
    channel: str
    state: Literal["snapshot", "playing", "paused", "ended"]
    at: datetime
    speed: float | None = None
    reason: str | None = None
    part: int | None = None
    more: bool | None = None
    list: TaskList | None = None
    tasks: tuple[Task, ...] | None = None


class Resync(Answered):
    """Too many missed updates on a channel: read the data again. New updates are still delivered."""

    type: Literal["resync"] = "resync"
    channel: str
    reason: str = ""


class Unsubscribed(Answered):
    """The loss of a channel: the user may no longer see its list or task. It delivers no more updates."""

    type: Literal["unsubscribed"] = "unsubscribed"
    channel: str


class Outcome(Answered):
    """The outcome of a written event, with the state after it unless it is pending."""

    position: str
    outcome: OutcomeName
    waits_for: str | None = None
    event: Event | None = None
    task: Task | None = None
    list: TaskList | None = None


class Problem(Answered):
    """The reason why a command of a bulk request was refused (RFC 9457)."""

    status: int
    code: str
    title: str = ""
    detail: str = ""
    errors: tuple[dict[str, Any], ...] | None = None
    base: dict[str, Any] | None = None
    theirs: dict[str, Any] | None = None
    yours: dict[str, Any] | None = None


class BulkOutcome(Answered):
    """The outcome of one command of a bulk request, with its task, list or problem.

    `status` is the HTTP status that the command would have had on its own. 202 means that its outcome is not
    known yet. `position` is that of its event.
    """

    status: int
    position: str | None = None
    location: str | None = None
    task: Task | None = None
    list: TaskList | None = None
    problem: Problem | None = None

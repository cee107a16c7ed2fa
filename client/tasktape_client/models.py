"""What the API answers with. What a newer server adds is kept in `model_extra`, and no reason to fail."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

Priority = Literal["none", "low", "medium", "high", "urgent"]
Status = Literal["open", "done"]
Role = Literal["owner", "editor", "viewer"]
Category = Literal["open", "active", "done"]
OutcomeName = Literal["pending", "accepted", "superseded", "parked", "skipped"]


class Answered(BaseModel):
    """What all of them have."""

    # Built when it is used: the command line starts with all of them, and uses one or two.
    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)

    def as_sent(self) -> dict[str, Any]:
        """The JSON that the server sent, no more and no less."""
        return self.model_dump(mode="json", exclude_unset=True)


# --- tasks -----------------------------------------------------------------------------------------------


class Reminder(TypedDict, total=False):
    """When to remind: `at` a date-time with offset, or `before` the due date by an ISO 8601 duration."""

    at: str
    before: str


class Series(Answered):
    """The place of a task in its series; `occurrence` counts from 1."""

    id: str
    occurrence: int
    scheduled: str | None = None
    values: dict[str, Any] = {}


class Match(Answered):
    """Where a task has the words that were searched for: HTML of nothing but text and `<mark>`."""

    field: str
    snippet: str


class SideEffect(Answered):
    """What a command has done beside what was asked for: a task above was reopened, or a field adapted."""

    task_id: str
    type: str
    detail: str
    field: str | None = None


class QuickPart(Answered):
    """A part of a quick text: which field it was read as, or, without one, the `reason` why it was not."""

    at: int
    length: int
    text: str
    field: str | None = None
    value: str | None = None
    reason: str | None = None


class Quick(Answered):
    """What was read of a quick text, and what looks like a field and stays in the title."""

    parts: tuple[QuickPart, ...] = ()
    unread: tuple[QuickPart, ...] = ()


class Task(Answered):
    """A task after `version` events. `due` is a date or a date-time with offset; other times are UTC."""

    id: str
    list_id: str
    title: str
    notes: str = ""
    status: Status
    stage: str | None = None
    priority: Priority = "none"
    due: str | None = None
    time_zone: str | None = None
    tags: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()
    parent_id: str | None = None
    recurrence: str | None = None
    recurrence_from: str = "due"
    series: Series | None = None
    reminders: tuple[Reminder, ...] = ()
    reminded: tuple[datetime, ...] = ()
    comment_count: int = 0
    rank: str
    version: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    completed_at: datetime | None = None
    deleted_at: datetime | None = None
    match: Match | None = None
    """Of a search for words."""
    effects: tuple[SideEffect, ...] = ()
    """What else the command has done that this is the answer to."""
    quick: Quick | None = None
    """Of a task that was just created by `quick_add`."""


class Comment(Answered):
    """What somebody said about a task."""

    id: str
    task_id: str
    author: str
    text: str
    mentions: tuple[str, ...] = ()
    created_at: datetime
    edited_at: datetime | None = None


# --- lists -----------------------------------------------------------------------------------------------


class Stage(TypedDict):
    """A column of a list, and what being there says of a task."""

    name: str
    category: Category


class TaskList(Answered):
    """A list after `version` events; `members` maps user to role, `stages` are in their order."""

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


# --- events ----------------------------------------------------------------------------------------------


class Event(Answered):
    """An event of the log; in a history, with what it changed: field → value before and after.

    What is None of `id`, `type`, `stream`, `version`, `time`, `actor` is so of a record that can't be read.
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
    changes: dict[str, tuple[Any, Any]] = {}


class Update(Answered):
    """Something happened: the event, what it changed, and the task or list as it is now; None if it is gone.

    `notifications` maps users to the kind of notification that this is to them.
    """

    type: Literal["update"] = "update"
    channel: str
    position: str
    event: Event
    changes: dict[str, tuple[Any, Any]] = {}
    task: Task | None = None
    list: TaskList | None = None
    notifications: dict[str, str] = {}


class Resync(Answered):
    """More was missed on a channel than is told: read what you need anew. What is new comes all the same."""

    type: Literal["resync"] = "resync"
    channel: str
    reason: str = ""


class Unsubscribed(Answered):
    """A channel was taken away: its list or task may not be seen any longer. Nothing more comes of it."""

    type: Literal["unsubscribed"] = "unsubscribed"
    channel: str


class Outcome(Answered):
    """What became of a written event, with the state after it unless it is pending."""

    position: str
    outcome: OutcomeName
    waits_for: str | None = None
    event: Event | None = None
    task: Task | None = None
    list: TaskList | None = None


class Problem(Answered):
    """Why a command of several was refused (RFC 9457)."""

    status: int
    code: str
    title: str = ""
    detail: str = ""
    errors: tuple[dict[str, Any], ...] | None = None
    base: dict[str, Any] | None = None
    theirs: dict[str, Any] | None = None
    yours: dict[str, Any] | None = None


class BulkOutcome(Answered):
    """What became of one of several commands: its status had it come alone, and its task, list or problem.

    `position` is where its event lies; with status 202 its outcome is not known yet.
    """

    status: int
    position: str | None = None
    location: str | None = None
    task: Task | None = None
    list: TaskList | None = None
    problem: Problem | None = None


# --- people ----------------------------------------------------------------------------------------------


class Me(Answered):
    """The caller; `unread` notifications wait."""

    user: str
    admin: bool
    inbox_id: str
    expires_at: datetime
    unread: int = 0


class Notification(Answered):
    """An event that concerns the caller; `kind` is assigned, mentioned, reminded, shared or commented."""

    id: str
    kind: str
    read: bool
    time: datetime
    actor: str | None = None
    task_id: str | None = None
    list_id: str | None = None
    comment_id: str | None = None
    title: str = ""
    excerpt: str | None = None


class Unread(Answered):
    """How many notifications are unread."""

    unread: int


class ActivityEvent(Answered):
    """An event of a feed; what is long in its data and changes is cut."""

    id: str
    type: str
    stream: str
    version: int
    position: str
    task_id: str | None = None
    title: str | None = None
    time: datetime
    recorded_at: datetime
    actor: str
    data: Any = None
    changes: dict[str, Any] = {}


class ActivityGroup(Answered):
    """Events of one kind by one person, close together: "alice completed 5 tasks". The newest comes first."""

    summary: str
    actor: str
    type: str
    list_id: str | None = None
    count: int
    task_count: int = 0
    task_ids: tuple[str, ...] = ()
    first_at: datetime
    last_at: datetime
    events: tuple[ActivityEvent, ...] = ()


# --- operation -------------------------------------------------------------------------------------------


class DeadLetter(Answered):
    """A record that could not be folded, or that waits behind one."""

    position: str
    stream: str | None
    holds: bool
    reason: str
    attempts: int
    parked_at: datetime
    attempted_at: datetime
    age_s: float
    key: str | None = None


class LettersWritten(Answered):
    """What was appended to the log to settle a parked record."""

    appended: int
    positions: dict[str, int]


class Imported(Answered):
    """What became of an import."""

    list_id: str
    tasks: int
    events: int
    added: int
    present: int
    diverged: tuple[str, ...]
    positions: dict[str, int]
    stages: dict[str, str] = {}
    settled: int = 0
    added_stages: tuple[str, ...] = ()


class TaskName(Answered):
    """A task by its id and its title."""

    id: str
    title: str


class TaskNames(Answered):
    """Tasks whose ids begin or end alike; with `more`, there may be others."""

    items: tuple[TaskName, ...]
    more: bool


class Readiness(Answered):
    """Whether everything behind the API works, and how far the read models are behind the log."""

    ready: bool
    lag: int | None
    positions: dict[str, int]
    log: dict[str, int]
    problems: tuple[str, ...]


class PresentUser(Answered):
    """A user on a channel, with so many sockets."""

    user: str
    connections: int
    viewing: bool
    typing: bool


class Present(Answered):
    """Who is on a channel, on any node; `total` counts those beyond the first 1,000 too."""

    channel: str
    present: tuple[PresentUser, ...]
    total: int


class ConnectedUser(Answered):
    """A user with sockets, on so many nodes."""

    user: str
    connections: int
    nodes: int

"""The shapes of requests and answers, beyond those that the domain defines: what OpenAPI describes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SkipValidation,
    ValidationInfo,
    field_validator,
)

from app.lists import TaskList
from app.names import normal_user
from app.snippets import Match
from app.task_commands import CreateTask
from app.tasks import Task
from app.values import (
    Command,
    CommentText,
    Due,
    ListId,
    Priority,
    Role,
    Scope,
    Status,
    TaskId,
    TimeZone,
    instant,
)
from projections.comment_queries import Comment
from projections.notification_queries import MAX_UNREAD, Notification

MAX_BULK = 1_000
"""Commands in one request."""
WishName = Literal[
    "create",
    "edit",
    "complete",
    "reopen",
    "move",
    "delete",
    "restore",
    "skip",
    "undo",
    "comment",
    "restore_list",
]
PAGE_LIMIT = 200
PAGE_DEFAULT = 50
_NUMBER = re.compile(r"^(0|[1-9][0-9]{0,15})\Z")
_TRUTHS = {"true": True, "false": False, "1": True, "0": False}
_UNREAD = f"Notifications that are unread; {MAX_UNREAD} stands for so many or more"


def _offset_as_sent(value: str) -> str:
    """In a query string `+` means a space, which is where the offset of an unescaped time ends up."""
    return value.replace(" ", "+")


def _instant(value: str) -> datetime:
    return instant(_offset_as_sent(value)).astimezone(UTC)


def whole_number(text: str) -> int:
    """Read a number as a query string has it: digits, and nothing else. Raises `ValueError`."""
    if not _NUMBER.match(text):
        raise ValueError("should be a whole number, in digits")
    return int(text)


def truth(text: str) -> bool:
    """Read a truth value as a query string has it. Raises `ValueError`."""
    if text not in _TRUTHS:
        raise ValueError(f"should be one of {', '.join(_TRUTHS)}")
    return _TRUTHS[text]


Instant = Annotated[datetime, BeforeValidator(_instant)]
UserFilter = Annotated[str, AfterValidator(normal_user)]
DueBound = Annotated[Due, BeforeValidator(_offset_as_sent)]


class Query(BaseModel):
    """A query string; unknown parameters are refused, and values have one spelling each."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @field_validator("*", mode="before")
    @classmethod
    def _from_text(cls, value: Any, info: ValidationInfo) -> Any:
        """Read a number or a truth value as it is written; all else is text already."""
        annotation = cls.model_fields[info.field_name or ""].annotation
        kinds = get_args(annotation) or (annotation,)
        if not isinstance(value, str):
            return value
        if int in kinds:
            return whole_number(value)
        return truth(value) if bool in kinds else value


class PageQuery(Query):
    """Which page of a collection."""

    limit: int = Field(PAGE_DEFAULT, ge=1, le=PAGE_LIMIT, description="How many items a page has at most")
    cursor: str | None = Field(None, description="`next_cursor` of the page before")


class ListPageQuery(PageQuery):
    """Which lists."""

    deleted: bool = Field(
        False,
        description="Instead of yours: those that were deleted and that you may restore, the last one first",
    )


class TaskPageQuery(PageQuery):
    """Which tasks, in which order."""

    list_id: ListId | None = Field(None, description="Tasks of this list")
    status: Status | None = Field(None, description="Open tasks, or done ones")
    stage: str | None = Field(None, description="Tasks in the stage of this name")
    tag: tuple[str, ...] = Field((), description="May be repeated: all of them", max_length=20)
    assignee: str | None = Field(None, description="Tasks assigned to this user")
    priority: Priority | None = Field(None, description="Tasks of this priority")
    due_before: DueBound | None = Field(None, description="A date, or a date-time with an offset")
    due_after: DueBound | None = Field(None, description="A date, or a date-time with an offset")
    parent_id: TaskId | None = Field(None, description="The sub-tasks of a task")
    q: str = Field("", description="What to look for, in the language of the search box")
    time_zone: TimeZone = Field("UTC", description="Of the days that `q`, `due_before` and `due_after` name")
    as_of: Instant | None = Field(None, description="As the tasks were at this time, RFC 3339")
    sort: Literal[
        "rank",
        "-rank",
        "created_at",
        "-created_at",
        "updated_at",
        "-updated_at",
        "due",
        "-due",
        "priority",
        "-priority",
        "title",
        "-title",
        "relevance",
    ] = Field(
        "rank",
        description="A leading minus is for descending; tasks without a value come last. `relevance`: those"
        " with the words of `q` in their titles first, and what changed last before older ones",
    )


class IdPartQuery(Query):
    """Which tasks, by a part of their ids."""

    part: str = Field(
        description="What an id begins or ends with, four characters of it at least",
        pattern=r"^[0-9a-f-]{4,36}$",
        examples=["3f9a2c1"],
    )


class TaskQuery(Query):
    """A task as it is, or as it was: give one of the two."""

    version: int | None = Field(None, ge=1, le=2**53, description="After that many of its events")
    as_of: Instant | None = Field(None, description="By its events up to this time, RFC 3339")


class HistoryQuery(PageQuery):
    """Which events of a history."""

    outcome: Literal["accepted", "all"] = Field(
        "accepted", description="`all` also gives events that lost a race, and changed nothing"
    )


class ActivityQuery(PageQuery):
    """Whose activity, where."""

    list_id: ListId | None = Field(None, description="What happened in this list")
    actor: UserFilter | None = Field(None, description="What one user did, in the lists that you see")


class NotificationQuery(PageQuery):
    """Which notifications, the newest first."""

    unread: bool = Field(False, description="Only those that are unread")


class StreamQuery(Query):
    """What an event stream brings, and from where on."""

    channel: tuple[Annotated[str, Field(min_length=1, max_length=256)], ...] = Field(
        (),
        description="May be repeated: `task:…`, besides the channels that come by themselves",
        max_length=100,
    )
    since: str | None = Field(
        None, description="The positions to resume from, such as 0:121,3:44; `Last-Event-ID` comes first"
    )
    access_token: str | None = Field(None, description="The token, where no header can be set")


class PresenceQuery(Query):
    """Of which channel."""

    channel: str = Field(
        description="`task:` or `list:`, and an id",
        max_length=256,
        examples=["task:0190f3c0-0000-7000-8000-000000000000"],
    )


class ConnectionsQuery(PageQuery):
    """Whose connections."""

    user: UserFilter | None = Field(None, description="Only this user's", max_length=128)


class NewTask(CreateTask):
    """A task to create; without `list_id` it goes to the caller's inbox."""

    list_id: ListId | None = None  # type: ignore[assignment]


class Nothing(Command):
    """An object without members; it may be left out."""


class NewComment(Command):
    """What to say about a task; `@name` mentions a member of its list."""

    text: CommentText


class BulkCommand(Command):
    """One of many commands. `task_id` says on which task, unless one is to be created.

    Of `restore_list`, `list_id` says which list.
    """

    command: WishName
    task_id: TaskId | None = None
    list_id: ListId | None = Field(None, description="With `restore_list` only")
    body: dict[str, Any] = Field(
        default_factory=dict, description="What the body would be if the command came alone"
    )
    if_match: int | None = Field(None, ge=0, le=2**53, description="The version that it is meant for")
    cascade: bool = Field(False, description="Sub-tasks too")
    scope: Scope | None = None
    key: str | None = Field(
        None, description="Its own Idempotency-Key: it is done once, in whichever requests it comes"
    )


class Bulk(Command):
    """Many commands. Those on tasks that have to do with each other are carried out in their order."""

    # Each is looked at by itself: a bad one spoils no other.
    commands: list[SkipValidation[BulkCommand]] = Field(max_length=MAX_BULK)


class BulkOutcome(BaseModel):
    """What became of one command: what it would have been answered with if it had come alone."""

    status: int = Field(examples=[200])
    position: str | None = Field(None, description="Where its event lies, if one was written")
    location: str | None = Field(None, description="Of what was created, or where to ask for the outcome")
    task: Task | None = Field(None, description="The task after it; not of a deleted one")
    list: TaskList | None = Field(None, description="The list after it, of a command on a list")
    problem: Problem | None = None


class BulkOut(BaseModel):
    """What became of each command, in their order."""

    outcomes: list[BulkOutcome]


class CommentPageOut(BaseModel):
    """Some comments, the oldest first, and the positions they were read at."""

    items: list[Comment]
    next_cursor: str | None
    positions: dict[str, int]


class CascadeQuery(Query):
    """Whether sub-tasks are meant too."""

    cascade: bool = Field(False, description="Sub-tasks too")


class EditQuery(CascadeQuery):
    """For which occurrences of a recurring task an edit is."""

    cascade: bool = Field(False, description="Complete open sub-tasks too, should the stage mean that")
    scope: Scope | None = Field(
        None,
        description="`this` occurrence only or all that are `following` too; unless given, a due date is for"
        " this one only and everything else for all",
    )


class MemberRole(Command):
    """What a member of a list is to be."""

    role: Role


class MemberOut(BaseModel):
    """A member of a list."""

    user: str
    role: Role


class MembersOut(BaseModel):
    """The members of a list by name; there is one page only."""

    items: list[MemberOut]
    next_cursor: str | None = None


class Event(BaseModel):
    """An event of the log, with what it changed."""

    id: str | None
    type: str | None
    stream: str | None
    version: int | None
    position: str = Field(examples=["0:121"])
    outcome: Literal["accepted", "superseded", "parked"]
    reason: str | None = Field(description="Why it is not accepted")
    time: datetime | None = Field(description="When it happened")
    recorded_at: datetime = Field(description="When the log took it")
    actor: str | None
    source: str | None
    correlation_id: str | None
    causation_id: str | None
    data: Any
    changes: dict[str, tuple[Any, Any]] = Field(description="Field → value before and after")


@dataclass(frozen=True, slots=True)
class FoundTask(Task):
    """A task, and, if `q` has words, where the task has them."""

    match: Match | None = None


class TaskPageOut(BaseModel):
    """Some tasks, and the positions they were read at."""

    items: list[FoundTask]
    next_cursor: str | None
    positions: dict[str, int]


class ListPageOut(BaseModel):
    """Some lists, and the positions they were read at."""

    items: list[TaskList]
    next_cursor: str | None
    positions: dict[str, int]


class EventPageOut(BaseModel):
    """Some events, in order."""

    items: list[Event]
    next_cursor: str | None


class ActivityEvent(BaseModel):
    """An event as the feed shows it; long values are cut."""

    id: str
    type: str
    stream: str
    version: int
    position: str = Field(examples=["0:121"])
    task_id: str | None
    title: str = Field(description="Of the task or list, after the event")
    time: datetime = Field(description="When it happened")
    recorded_at: datetime = Field(description="When the log took it")
    actor: str
    data: dict[str, Any]
    changes: dict[str, tuple[Any, Any]] = Field(description="Field → value before and after")


class ActivityGroup(BaseModel):
    """What one user did in one list in one hour, of one type."""

    summary: str = Field(examples=["alice completed 5 tasks"])
    actor: str
    type: str = Field(description="An event type, or one of the feed's own", examples=["task.completed"])
    list_id: str
    count: int = Field(description="How many events")
    task_count: int = Field(description="Of how many tasks")
    task_ids: list[str] = Field(description="The tasks, 50 at most")
    first_at: datetime
    last_at: datetime
    events: list[ActivityEvent] = Field(description="The newest events, 5 at most, the newest first")


class ActivityOut(BaseModel):
    """Some groups, the newest first, and the positions they were read at; fewer than asked for may come."""

    items: list[ActivityGroup]
    next_cursor: str | None
    positions: dict[str, int]


class OutcomeOut(BaseModel):
    """What became of a written event; `event` and the state after it are there unless it is pending.

    `position` is another than was asked for if the event was parked there, and folded later.
    """

    position: str
    outcome: Literal["pending", "accepted", "superseded", "parked", "skipped"]
    waits_for: str | None = None
    event: Event | None = None
    task: Task | None = None
    list: TaskList | None = None


@dataclass(frozen=True, slots=True)
class SideEffect:
    """What a command has done beside what was asked for: a task above was reopened, or a field adapted."""

    task_id: str
    type: Literal["reopened", "adapted"]
    detail: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class CommandedTask(Task):
    """A task after a command, and what else the command has done; left out where that is nothing."""

    effects: tuple[SideEffect, ...] = ()


class WrittenOut(BaseModel):
    """The event is written, and not yet visible; `Location` tells where to ask."""

    position: str
    outcome: Literal["pending"] = "pending"


class DeadLetter(BaseModel):
    """A record that could not be folded, or that waits behind one."""

    position: str
    stream: str | None
    holds: bool = Field(description="Whether its stream waits for it")
    reason: str
    attempts: int
    parked_at: datetime
    attempted_at: datetime
    age_s: float
    key: str | None


class DeadLetterPageOut(BaseModel):
    """Some parked records, in the log's order."""

    items: list[DeadLetter]
    next_cursor: str | None


class LettersWritten(BaseModel):
    """What was appended to the log to settle parked records."""

    appended: int
    positions: dict[str, int]


class Me(BaseModel):
    """The caller."""

    user: str
    admin: bool
    inbox_id: str
    expires_at: datetime
    unread: int = Field(description=_UNREAD)


class Unread(BaseModel):
    """How many notifications are unread."""

    unread: int = Field(description=_UNREAD)


class NotificationPageOut(Unread):
    """Some notifications, the newest first, and the positions they were read at."""

    items: list[Notification]
    next_cursor: str | None
    positions: dict[str, int]


class PresentOut(BaseModel):
    """A user on a channel."""

    user: str
    connections: int = Field(description="The user's sockets that have the channel")
    viewing: bool = Field(description="Whether one of them said so")
    typing: bool = Field(description="Whether one of them said so in the last 4 s")


class PresenceOut(BaseModel):
    """Who is on a channel, on any node."""

    channel: str
    present: list[PresentOut] = Field(description="At most 1,000, in the order in which they came")
    total: int = Field(description="How many users there are")


class ConnectedUser(BaseModel):
    """A user who is connected."""

    user: str
    connections: int = Field(description="Sockets on all nodes")
    nodes: int = Field(description="On so many nodes")


class ConnectionsOut(BaseModel):
    """Some of those who are connected, by name, and how many that are in all."""

    items: list[ConnectedUser]
    next_cursor: str | None
    total_users: int
    total_connections: int


class Health(BaseModel):
    """The process runs."""

    status: Literal["ok"] = "ok"


class ReadinessQuery(Query):
    """What is asked of readiness."""

    lag: Literal["any"] | None = Field(
        None, description="`any`: whether this process can serve, however far workers are behind or away"
    )


class Readiness(BaseModel):
    """Whether everything behind the API works, and how far the read models are behind the log."""

    ready: bool
    lag: int | None = Field(description="Records that are not yet folded; null if it can't be told")
    positions: dict[str, int]
    log: dict[str, int] = Field(description="Partition → offset of the next record")
    parked: int | None = Field(description="Dead letters: records that are parked; null if it can't be told")
    held: int | None = Field(description="Streams that wait for a parked record; null if it can't be told")
    problems: list[str]
    node: str = Field(description="The process that answers, by the name that its metrics have too")


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str
    message: str
    at: int | None = Field(None, description="The character of a text where it is wrong, from 0")
    length: int | None = Field(None, description="For so many characters")


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    correlation_id: str | None = None
    errors: list[FieldProblem] | None = None
    base: dict[str, Any] | None = None
    theirs: dict[str, Any] | None = None
    yours: dict[str, Any] | None = None

"""The shapes of requests and answers, beyond those that the domain defines: what OpenAPI describes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.lists import TaskList
from app.task_commands import CreateTask
from app.tasks import Task
from app.values import ListId, Priority, Status

PAGE_LIMIT = 200
PAGE_DEFAULT = 50


def _offset_as_sent(value: object) -> object:
    """In a query string `+` means a space, which is where the offset of an unescaped time ends up."""
    return value.replace(" ", "+") if isinstance(value, str) else value


Instant = Annotated[datetime, BeforeValidator(_offset_as_sent)]


class Query(BaseModel):
    """A query string; unknown parameters are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PageQuery(Query):
    """Which page of a collection."""

    limit: int = Field(PAGE_DEFAULT, ge=1, le=PAGE_LIMIT)
    cursor: str | None = Field(None, description="`next_cursor` of the page before")


class TaskPageQuery(PageQuery):
    """Which tasks, in which order."""

    list_id: ListId | None = None
    status: Status | None = None
    stage: str | None = None
    tag: tuple[str, ...] = Field((), description="May be repeated: all of them", max_length=20)
    assignee: str | None = None
    priority: Priority | None = None
    due_before: str | None = Field(None, description="A date, or a date-time with an offset")
    due_after: str | None = Field(None, description="A date, or a date-time with an offset")
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
    ] = Field("rank", description="A leading minus is for descending; tasks without a value come last")


class TaskQuery(Query):
    """A task as it is, or as it was: give one of the two."""

    version: int | None = Field(None, ge=1, le=2**53, description="After that many of its events")
    as_of: Instant | None = Field(None, description="By its events up to this time, RFC 3339")


class HistoryQuery(PageQuery):
    """Which events of a history."""

    outcome: Literal["accepted", "all"] = Field(
        "accepted", description="`all` also gives events that lost a race, and changed nothing"
    )


class NewTask(CreateTask):
    """A task to create; without `list_id` it goes to the caller's inbox."""

    list_id: ListId | None = None  # type: ignore[assignment]


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


class TaskPageOut(BaseModel):
    """Some tasks, and the positions they were read at."""

    items: list[Task]
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


class OutcomeOut(BaseModel):
    """What became of a written event; `event` and the state after it are there unless it is pending."""

    position: str
    outcome: Literal["pending", "accepted", "superseded", "parked"]
    event: Event | None = None
    task: Task | None = None
    list: TaskList | None = None


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


class Health(BaseModel):
    """The process runs."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether everything behind the API works, and how far the read models are behind the log."""

    ready: bool
    lag: int | None = Field(description="Records that are not yet folded; null if it can't be told")
    positions: dict[str, int]
    log: dict[str, int] = Field(description="Partition → offset of the next record")
    problems: list[str]


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str
    message: str


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

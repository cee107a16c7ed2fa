"""Imported histories: what other programs recorded, as events of tasks that keep their own time and actor.

All ids are derived: of a task from its list and its key in the source, of an event from its task, its place
and all that it says. So importing again makes the same events, what is missing can be told from what is
there, and a task that went another way since is recognised. The source of each event names the user who
imported it: nobody can pass for another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Annotated, Literal, NotRequired
from urllib.parse import unquote

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    with_config,
)
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from app.dates import format_time
from app.ids import derived_id
from app.imported_stages import ImportStages
from app.log.fold import State, evolve
from app.log.records import Record, event_data_json, source_of
from app.tasks.events import TaskCompleted, TaskCreated, TaskEdited, TaskEvent, TaskFields, TaskReopened
from app.tasks.state import Task
from app.values import (
    Due,
    Label,
    Labels,
    Notes,
    Priority,
    TimeZone,
    Title,
    UserId,
    UserIds,
    instant,
    storable,
)

MAX_TASK_EVENTS = 100_000
_strict = with_config(ConfigDict(extra="forbid", strict=True))


def _utc(text: object) -> object:
    return instant(text).astimezone(UTC) if isinstance(text, str) else text


Time = Annotated[AwareDatetime, BeforeValidator(_utc)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=1_000), AfterValidator(storable)]

# --- what a request brings -------------------------------------------------------------------------------


@_strict
class CreatedData(TypedDict):
    """What is known of a task when it comes to be; its list is the import's."""

    title: Title
    notes: NotRequired[Notes]
    priority: NotRequired[Priority]
    due: NotRequired[Due | None]
    time_zone: NotRequired[TimeZone | None]
    tags: NotRequired[Labels]
    assignees: NotRequired[UserIds]
    stage: NotRequired[Label | None]


@_strict
class EditedData(TypedDict, total=False):
    """The fields that were set."""

    title: Title
    notes: Notes
    priority: Priority
    due: Due | None
    time_zone: TimeZone | None
    tags: Labels
    assignees: UserIds
    stage: Label | None


@_strict
class PlacedData(TypedDict, total=False):
    """The stage and the owners that came with completing or reopening."""

    stage: Label
    assignees: UserIds


@_strict
class ImportedCreation(TypedDict):
    """The task came to be."""

    type: Literal["task.created"]
    time: Time
    actor: UserId
    data: CreatedData


@_strict
class ImportedEdit(TypedDict):
    """Some fields were set."""

    type: Literal["task.edited"]
    time: Time
    actor: UserId
    data: EditedData


@_strict
class ImportedCompletion(TypedDict):
    """The work was done."""

    type: Literal["task.completed"]
    time: Time
    actor: UserId
    data: NotRequired[PlacedData]


@_strict
class ImportedReopening(TypedDict):
    """Work went on after all."""

    type: Literal["task.reopened"]
    time: Time
    actor: UserId
    data: NotRequired[PlacedData]


ImportedEvent = Annotated[
    ImportedCreation | ImportedEdit | ImportedCompletion | ImportedReopening,
    Field(discriminator="type", title="ImportedEvent", description="An event of a task's history"),
]


@_strict
class ImportedTask(TypedDict):
    """A task with its whole history; `nth` tells tasks of one key apart."""

    key: Key
    nth: NotRequired[Annotated[int, Field(ge=0, lt=2**53)]]
    events: Annotated[list[ImportedEvent], Field(min_length=1, max_length=MAX_TASK_EVENTS)]


# --- what becomes of it ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Import:
    """One import: the list it goes to, the user who imports, and the id that all its events carry."""

    list_id: str
    user: str
    correlation_id: str | None


def import_list_id(user: str, name: str, nth: int) -> str:
    """The id of the list that an import of this name goes to; `nth` counts those that were deleted since."""
    return derived_id("import-list", user, name, str(nth))


def task_id(list_id: str, task: ImportedTask) -> str:
    """The id of an imported task."""
    return derived_id("import", list_id, task["key"], str(task.get("nth", 0)))


def importer(source: str) -> str | None:
    """Return who imported an event, from its `ce_source`; None if it was not imported."""
    prefix = source_of("import", "")
    return unquote(source.removeprefix(prefix)) if source.startswith(prefix) else None


def records_of(run: Import, task: ImportedTask, stages: ImportStages | None = None) -> list[Record]:
    """Return the records of a task's whole history, from version 1. Raises `Undecodable` if they do not fold.

    `stages` fits them into the list. Their ids are of what the source says, whatever the list makes of it.
    """
    identifier = task_id(run.list_id, task)
    stream, source = f"task:{identifier}", source_of("import", run.user)
    records: list[Record] = []
    state: State | None = None
    for version, event in enumerate(task["events"], start=1):
        data, time, actor = _event_of(event, run.list_id), event["time"], event["actor"]
        content = (data.type, format_time(time), actor, event_data_json(data).decode())
        record = Record(
            id=derived_id("import-event", identifier, str(version), *content),
            stream=stream,
            version=version,
            time=time,
            actor=actor,
            source=source,
            data=data,
            correlation_id=run.correlation_id,
        )
        if stages is not None:
            record = replace(record, data=stages.fitted(data, state if isinstance(state, Task) else None))
        state = evolve(state, record)
        records.append(record)
    return records


def _event_of(event: ImportedEvent, list_id: str) -> TaskEvent:
    match event["type"]:
        case "task.created":
            return TaskCreated(list_id=list_id, **event["data"])
        case "task.edited":
            return TaskEdited(TaskFields(**event["data"]))  # type: ignore[typeddict-item]
        case "task.completed":
            return TaskCompleted(**event.get("data", {}))
        case "task.reopened":
            return TaskReopened(**event.get("data", {}))


def missing(history: Sequence[Record], there: Sequence[str]) -> Sequence[Record] | None:
    """The records of a history that are not there yet; `there` are the ids of the task's events so far.

    None if the task went another way: it was changed after a part of its history had been imported, or the
    source tells another history now. What was changed after the whole history came in lacks nothing.
    """
    ids = [record.id for record in history]
    if list(there[: len(ids)]) != ids[: len(there)]:
        return None
    return history[len(there) :]

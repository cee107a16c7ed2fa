"""Imported histories: events recorded by other programs, as events of tasks with original time and actor.

All ids are derived: the id of a task from its list and its key in the source, the id of an event from its
task, its place and its content. Importing again therefore makes the same events. Missing events can be
derived from the existing ones, and a task that was changed since is recognised. The source of each event
names the user who imported it, so nobody can impersonate another user.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, TypeAlias
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
from app.stream_ids import task_stream
from app.tasks.events import TaskCompleted, TaskCreated, TaskEdited, TaskEvent, TaskReopened
from app.tasks.fields import FIELDS
from app.tasks.state import Task
from app.values import Label, UserId, UserIds, instant, storable

MAX_TASK_EVENTS = 100_000
_strict = with_config(ConfigDict(extra="forbid", strict=True))


def _utc(text: object) -> object:
    return instant(text).astimezone(UTC) if isinstance(text, str) else text


Time = Annotated[AwareDatetime, BeforeValidator(_utc)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=1_000), AfterValidator(storable)]

# --- the request ----------------------------------------------------------------------------------------


_IMPORTED = {name: field for name, field in FIELDS.items() if field.rules.imported}
_TYPES = {name: field.initial for name, field in _IMPORTED.items()}

if TYPE_CHECKING:
    CreatedData: TypeAlias = dict[str, Any]
    EditedData: TypeAlias = dict[str, Any]
else:
    CreatedData = _strict(
        TypedDict(
            "CreatedData",
            {
                name: type_ if _IMPORTED[name].required else NotRequired[type_]
                for name, type_ in _TYPES.items()
            },
        )
    )
    CreatedData.__doc__ = "The initial fields of an imported task; its list is the import's."
    EditedData = _strict(TypedDict("EditedData", _TYPES, total=False))
    EditedData.__doc__ = "The fields that an edit sets."


@_strict
class PlacedData(TypedDict, total=False):
    """The stage and the assignees set along with completing or reopening."""

    stage: Label
    assignees: UserIds


@_strict
class ImportedCreation(TypedDict):
    """The creation of an imported task."""

    type: Literal["task.created"]
    time: Time
    actor: UserId
    data: CreatedData


@_strict
class ImportedEdit(TypedDict):
    """An edit of some fields."""

    type: Literal["task.edited"]
    time: Time
    actor: UserId
    data: EditedData


@_strict
class ImportedCompletion(TypedDict):
    """The completion of an imported task."""

    type: Literal["task.completed"]
    time: Time
    actor: UserId
    data: NotRequired[PlacedData]


@_strict
class ImportedReopening(TypedDict):
    """The reopening of an imported task."""

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
    """A task with its whole history; `nth` distinguishes tasks with the same key."""

    key: Key
    nth: NotRequired[Annotated[int, Field(ge=0, lt=2**53)]]
    events: Annotated[list[ImportedEvent], Field(min_length=1, max_length=MAX_TASK_EVENTS)]


# --- the records -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Import:
    """One import: the target list, the importing user, and the id that all its events carry."""

    list_id: str
    user: str
    correlation_id: str | None


def import_list_id(user: str, name: str, nth: int) -> str:
    """Return the id of the target list of an import; `nth` counts deleted lists of that name."""
    return derived_id("import-list", user, name, str(nth))


def task_id(list_id: str, task: ImportedTask) -> str:
    """Return the id of an imported task."""
    return derived_id("import", list_id, task["key"], str(task.get("nth", 0)))


def importer(source: str) -> str | None:
    """Return the user who imported an event, by its `ce_source`, or None if it was not imported."""
    prefix = source_of("import", "")
    return unquote(source.removeprefix(prefix)) if source.startswith(prefix) else None


def records_of(run: Import, task: ImportedTask, stages: ImportStages | None = None) -> list[Record]:
    """Return the records of a task's history, from version 1. Raise `Undecodable` if they do not fold.

    `stages` adapts the events to the list. The ids derive from the source's data only, whatever stages the
    list has.
    """
    identifier = task_id(run.list_id, task)
    stream, source = task_stream(identifier), source_of("import", run.user)
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
            record = replace(record, data=stages.adapted(data, state if isinstance(state, Task) else None))
        state = evolve(state, record)
        records.append(record)
    return records


def _event_of(event: ImportedEvent, list_id: str) -> TaskEvent:
    match event["type"]:
        case "task.created":
            return TaskCreated(list_id=list_id, **event["data"])
        case "task.edited":
            return TaskEdited(event["data"])
        case "task.completed":
            return TaskCompleted(**event.get("data", {}))
        case "task.reopened":
            return TaskReopened(**event.get("data", {}))


def missing(history: Sequence[Record], there: Sequence[str]) -> Sequence[Record] | None:
    """Return the records of a history that are missing; `there` are the ids of the task's existing events.

    Return None if the task has diverged: it was changed after a part of its history was imported, or the
    source has another history now. If it was changed after its whole history was imported, nothing is
    missing.
    """
    ids = [record.id for record in history]
    if list(there[: len(ids)]) != ids[: len(there)]:
        return None
    return history[len(there) :]

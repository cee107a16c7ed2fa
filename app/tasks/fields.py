"""The fields that a new task is given and that edits set, each declared once.

Events, commands, states, series, merges, imports, columns, search, sort orders, API descriptions and options
of the command line follow from the declarations in `InitialFields`, which they read as `FIELDS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, make_dataclass
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import Field
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from app import bounds, values
from app.bounds import MAX_INTEGER, Few, Id, Label, Moment, Rule, Text, UserName
from app.tasks.sorting import BY_DUE_DATE, BY_PRIORITY, BY_TITLE, SortOrder, attribute_order
from app.values import Priority, RecurrenceFrom

Kind = Literal["text", "texts", "choice", "number", "objects"]
"""The kind of a field's values: a text, texts, one of a few words, a number, or JSON objects."""


class Reminder(TypedDict, total=False):
    """A reminder: `at` a date-time with offset, or `before` the due date by an ISO 8601 duration."""

    at: Moment
    before: Moment


@dataclass(frozen=True, slots=True)
class FieldRules:
    """The rules of a field beyond the bounds and the default of its values in events.

    `accepts` is the type of its values in commands. An edit does not set a `fixed` field. Each occurrence of
    a series has the values of the fields that are `in_series`. `example` is in the documents of the API.
    """

    accepts: Any
    description: str
    kind: Kind = "text"
    example: Any = None
    fixed: bool = False
    in_series: bool = False
    imported: bool = False
    merge: Literal["whole", "text", "set"] = "whole"
    """The merge of concurrent changes: none, of texts, or of sets."""
    merged: Any = None
    """The type of merged values, which may come from other programs; `accepts` by default."""
    sort: SortOrder | None = None
    facet: str | None = None
    """The search key of exact values."""
    has: bool | str = False
    """`has:` finds tasks with a value, by the field's name or by this word."""


@dataclass(frozen=True)
class InitialFields:
    """The fields of a new task. The order is that of the JSON of events."""

    __slots__ = ()  # The slots are in the classes that inherit the fields.

    list_id: Annotated[Id, FieldRules(values.ListId, "Id of the list", fixed=True, facet="list")]
    title: Annotated[
        bounds.Title,
        FieldRules(
            values.Title,
            "The title, 1 to 500 characters",
            example="Buy milk",
            in_series=True,
            imported=True,
            sort=BY_TITLE,
        ),
    ]
    notes: Annotated[
        Text,
        FieldRules(
            values.Notes,
            "Free text, at most 20,000 characters",
            in_series=True,
            imported=True,
            merge="text",
            has=True,
        ),
    ] = ""
    priority: Annotated[
        Priority,
        FieldRules(
            Priority, "The priority", "choice", in_series=True, imported=True, sort=BY_PRIORITY, facet="p"
        ),
    ] = "none"
    due: Annotated[
        Moment | None,
        FieldRules(
            values.Due,
            "A date (2026-12-01), or a date-time with an offset (2026-12-01T09:00:00+01:00)",
            example="2026-12-01",
            imported=True,
            sort=BY_DUE_DATE,
            has=True,
        ),
    ] = None
    time_zone: Annotated[
        Moment | None,
        FieldRules(
            values.TimeZone,
            "IANA time zone of dates and series, such as Europe/Madrid",
            example="Europe/Madrid",
            in_series=True,
            imported=True,
        ),
    ] = None
    tags: Annotated[
        Few[Label],
        FieldRules(
            values.Labels,
            "Labels, at most 50",
            "texts",
            example=["shop"],
            in_series=True,
            imported=True,
            merge="set",
            merged=values.StoredLabels,
            facet="tag",
            has=True,
        ),
    ] = ()
    assignees: Annotated[
        Few[UserName],
        FieldRules(
            values.UserIds,
            "Users who are assigned to the task",
            "texts",
            example=["bob"],
            in_series=True,
            imported=True,
            merge="set",
            merged=values.StoredUserIds,
            facet="assignee",
            has=True,
        ),
    ] = ()
    stage: Annotated[
        Label | None,
        FieldRules(values.Label, "One of the list's stages", example="Doing", imported=True, facet="stage"),
    ] = None
    parent_id: Annotated[
        Id | None,
        FieldRules(
            values.TaskId,
            "Id of the parent task; null for a top-level task",
            in_series=True,
            facet="parent",
            has="parent",
        ),
    ] = None
    recurrence: Annotated[
        Rule | None,
        FieldRules(
            values.Rule,
            "An RFC 5545 recurrence rule, without `RRULE:`",
            example="FREQ=WEEKLY;BYDAY=MO",
            has=True,
        ),
    ] = None
    recurrence_from: Annotated[
        RecurrenceFrom,
        FieldRules(RecurrenceFrom, "Base of the next date: the due date or the completion", "choice"),
    ] = "due"
    reminders: Annotated[
        Few[Reminder],
        FieldRules(values.Reminders, "Reminders, at most 20", "objects", in_series=True, has=True),
    ] = ()
    estimate: Annotated[
        Annotated[int, Field(ge=0, le=MAX_INTEGER)] | None,
        FieldRules(
            Annotated[int, Field(ge=0, le=100_000)],
            "Minutes that the task will take, as estimated",
            "number",
            example=45,
            in_series=True,
            imported=True,
            sort=attribute_order("estimate", "integer", nullable=True, largest=MAX_INTEGER),
            has=True,
        ),
    ] = None


if TYPE_CHECKING:
    StateFields = InitialFields
else:
    StateFields = make_dataclass(
        "StateFields",
        get_type_hints(InitialFields).items(),
        frozen=True,
        namespace={
            "__slots__": (),
            "__doc__": "The same fields in a state, which always has them, without bounds.",
        },
    )


@dataclass(frozen=True, slots=True)
class TaskField:
    """A field: its name, the type of its values in events, its default, and its rules."""

    name: str
    stored: Any
    default: Any
    rules: FieldRules

    @property
    def required(self) -> bool:
        """Return whether each task has a value of its own."""
        return self.default is MISSING

    @property
    def nullable(self) -> bool:
        """Return whether a task may have no value."""
        return self.default is None

    @property
    def has(self) -> str | None:
        """The word of `has:` for tasks that have a value."""
        return (self.rules.has if isinstance(self.rules.has, str) else self.name) if self.rules.has else None

    @property
    def initial(self) -> Any:
        """The type of a value in the command that creates a task."""
        return self.rules.accepts | None if self.nullable else self.rules.accepts

    @property
    def patch(self) -> Any:
        """The type of a value in an edit; None clears a field that is not required."""
        return self.rules.accepts if self.required else self.rules.accepts | None


def _declared() -> dict[str, TaskField]:
    hints = get_type_hints(InitialFields, include_extras=True)
    found = {}
    for field in fields(InitialFields):
        stored, rules = get_args(hints[field.name])[0], hints[field.name].__metadata__[-1]
        metadata = hints[field.name].__metadata__[:-1]
        found[field.name] = TaskField(
            field.name, Annotated[stored, *metadata] if metadata else stored, field.default, rules
        )
    return found


FIELDS: Mapping[str, TaskField] = _declared()
EDITED_FIELDS: Mapping[str, TaskField] = {
    name: field for name, field in FIELDS.items() if not field.rules.fixed
}
"""The fields that an edit sets."""
SERIES_FIELDS = frozenset(name for name, field in FIELDS.items() if field.rules.in_series)
"""The fields that each occurrence of a series inherits, unless they were edited for one occurrence only."""


def in_json_form(field: TaskField) -> Any:
    """Return the type of a field's values in events, with lists for tuples."""
    if get_origin(field.stored) is not Annotated or get_origin(get_args(field.stored)[0]) is not tuple:
        return field.stored
    inner, *bounds_of_all = get_args(field.stored)
    return Annotated[GenericAlias(list, get_args(inner)[:1]), *bounds_of_all]

"""Questions to the audit: their filters and their order, from the texts of parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from app.audit.filters import FILTERS, MOST_VALUES, Filter, nearest, types_like
from app.errors import FieldError, Invalid, Malformed
from app.positions import Position
from app.search.parser import parse
from app.stream_ids import StreamId
from app.text.tokens import Needle, forms_of

Clock = Literal["time", "recorded_at", "position"]
Sort = Literal["time", "-time", "recorded_at", "-recorded_at", "position", "-position"]
SORTS: tuple[Sort, ...] = get_args(Sort)
"""The orders: by the time of the event, by the time when the log recorded it, by position.

A minus means descending.
"""
DEFAULT_SORT: Sort = "-time"


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """A question: an event must pass each filter that has values. Times and positions are `[from, to)`.

    An event that cannot be decoded has no time of its own. It counts as of the time when the log recorded it.
    """

    streams: tuple[StreamId, ...] = ()
    list_ids: tuple[str, ...] = ()
    actors: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    from_values: tuple[str, ...] = ()
    to_values: tuple[str, ...] = ()
    correlation_ids: tuple[str, ...] = ()
    causation_ids: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    positions: tuple[Position, ...] = ()
    position_from: Position | None = None
    position_to: Position | None = None
    time_from: datetime | None = None
    time_to: datetime | None = None
    recorded_from: datetime | None = None
    recorded_to: datetime | None = None
    q: str = ""

    @property
    def event_types(self) -> tuple[str, ...]:
        """The event types that the patterns match."""
        return tuple(dict.fromkeys(name for pattern in self.types for name in types_like(pattern)))

    @property
    def needles(self) -> tuple[Needle, ...]:
        """The words to find, and those that are excluded."""
        terms = parse(self.q, me="").terms
        return tuple(
            Needle(tuple(forms_of(term.text)), term.kind == "prefix", term.negated) for term in terms
        )

    def parameters(self) -> list[tuple[str, str]]:
        """Return the parameters that `read_query` reads as this question, in the order of the filters."""
        return [
            (name, each.write(value)) for name, each in FILTERS.items() for value in _values_in(self, each)
        ]


EVERYTHING = AuditQuery()


def read_query(parameters: Iterable[tuple[str, str]]) -> AuditQuery:
    """Return the question in parameters.

    Raise `Malformed` for unknown or repeated ones, and `Invalid` for wrong values.
    """
    given: dict[str, list[str]] = {}
    for name, text in parameters:
        if name not in FILTERS:
            raise Malformed(f"unknown filter {name[:50]!r}: {nearest(name, FILTERS)}")
        given.setdefault(name, []).append(text)
    read: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name, texts in given.items():
        declared = FILTERS[name]
        try:
            values = tuple(dict.fromkeys(declared.read(_storable(text)) for text in texts))
        except ValueError as error:
            errors.append(FieldError(name, str(error)))
            continue
        if len(texts) > 1 and not declared.repeatable:
            raise Malformed(f"the filter {name!r} is given twice")
        if len(values) > MOST_VALUES:
            errors.append(FieldError(name, f"has more than {MOST_VALUES} values"))
        read[declared.attribute] = values if declared.repeatable else values[0]
    query = AuditQuery(**read)
    errors += _misused(query)
    if errors:
        raise Invalid(errors)
    return query


def read_sort(text: str) -> Sort:
    """Return an order. Raise `Invalid`."""
    for sort in SORTS:
        if sort == text:
            return sort
    raise Invalid([FieldError("sort", f"{text[:50]!r} is no order; {nearest(text, SORTS)}")])


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain the character U+0000")
    return text


def _misused(query: AuditQuery) -> Iterator[FieldError]:
    for name, values in (("from", query.from_values), ("to", query.to_values)):
        if values and len(query.fields) != 1:
            yield FieldError(name, "is a value of a field: give one field with it, such as field=stage")


def _values_in(query: AuditQuery, declared: Filter) -> tuple[Any, ...]:
    value = getattr(query, declared.attribute)
    if declared.repeatable:
        return tuple(value)
    return () if value in (None, "") else (value,)

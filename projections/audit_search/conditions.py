"""The filters of the audit as SQL: what an index answers, and what each row is checked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.audit.keys import field_key, from_key, key_of, to_key
from app.audit.query import AuditQuery
from app.positions import Position
from projections.audit_search.orders import Column
from projections.postgres.sql_parameters import Parameters
from projections.read_models.audit_search import (
    KEYS,
    OUTCOME_NUMBERS,
    fields_mask,
    microseconds,
    place_number,
    type_number,
)
from projections.task_search.filters import tsquery_of

FEW_KEYS = 64
"""The most keys of which the index finds rows with any one: it compares all of them for each row."""

FEW_TYPES = 10
"""The most event types that the index finds."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on a row of `audit_search`.

    `checked` returns it as SQL. If there are `keys`, a row meets it if and only if it has one of them. A
    range is on the `column`. `indexed` returns it as an index of words answers it.
    """

    checked: Callable[[Parameters], str]
    keys: tuple[int, ...] = ()
    column: Column | None = None
    indexed: Callable[[Parameters], str] | None = None


def _keyed(column: str, values: Sequence[str]) -> Condition:
    keys = tuple(key_of(column, value) for value in values)
    return Condition(lambda parameters: _is_one_of(column, keys, "bigint", parameters), keys)


def _is_one_of(column: str, values: Sequence[int], kind: str, parameters: Parameters) -> str:
    if len(values) == 1:
        return f"{column} = {parameters.add(values[0], kind)}"
    return f"{column} = ANY({parameters.add(list(values), kind + '[]')})"


def _lists(list_ids: Sequence[str]) -> Condition:
    keys = tuple(key_of("list_id", each) for each in list_ids)

    def checked(parameters: Parameters) -> str:
        left = _is_one_of("left_list_id", keys, "bigint", parameters)
        # Nearly always null, and then the whole condition would be null instead of false.
        return f"({_is_one_of('list_id', keys, 'bigint', parameters)} OR left_list_id IS NOT NULL AND {left})"

    return Condition(checked, keys)


def _types(types: Sequence[str]) -> Condition:
    numbers = tuple(map(type_number, types))
    # Most events are of one of many types, and an index would compare all keys for each of them.
    keys = numbers if len(numbers) <= FEW_TYPES else ()
    return Condition(lambda parameters: _is_one_of("type", numbers, "smallint", parameters), keys)


def _outcomes(outcomes: Sequence[str]) -> Condition:
    numbers = [OUTCOME_NUMBERS[each] for each in outcomes]
    keys = () if 0 in numbers else tuple(-number for number in numbers)
    return Condition(lambda parameters: _is_one_of("outcome", numbers, "smallint", parameters), keys)


def _fields(fields: Sequence[str]) -> Condition:
    mask = fields_mask(fields)
    return Condition(
        lambda parameters: f"fields & {parameters.add(mask, 'bigint')} <> 0", tuple(map(field_key, fields))
    )


def _values(keys: Iterable[int]) -> Condition:
    found = tuple(keys)
    return Condition(lambda parameters: f"changes && {parameters.add(list(found), 'bigint[]')}", found)


def _range(column: Column, operator: str, value: int) -> Condition:
    return Condition(
        lambda parameters: f"{column} {operator} {parameters.add(value, 'bigint')}", column=column
    )


def _at(positions: Sequence[Position]) -> Condition:
    places = [place_number(*each) for each in positions]
    return Condition(lambda parameters: f"place = ANY({parameters.add(places, 'bigint[]')})", column="place")


def _from_place(position: Position) -> Condition:
    return _range("place", ">=", place_number(*position))


def _to_place(position: Position) -> Condition:
    return _range("place", "<", place_number(*position))


def _from_time(column: Column) -> Callable[[datetime], Condition]:
    return lambda time: _range(column, ">=", microseconds(time))


def _to_time(column: Column) -> Callable[[datetime], Condition]:
    return lambda time: _range(column, "<", microseconds(time))


def _words(query: AuditQuery) -> Condition:
    needles = query.needles

    def found(parameters: Parameters) -> str:
        return f"document @@ {parameters.add(tsquery_of(needles, 'all'), 'tsquery')}"

    if all(needle.negated for needle in needles):  # An index would be read whole.
        return Condition(lambda parameters: f"({found(parameters)}) IS NOT FALSE")
    return Condition(lambda parameters: f"({found(parameters)}) IS TRUE", indexed=found)


_Maker = Callable[[AuditQuery], Condition]


def _of(attribute: str, condition: Callable[[Any], Condition]) -> _Maker:
    return lambda query: condition(getattr(query, attribute))


CONDITIONS: Mapping[str, _Maker] = {
    "stream": _of("streams", lambda values: _keyed("stream", values)),
    "list_id": _of("list_ids", _lists),
    "actor": _of("actors", lambda values: _keyed("actor", values)),
    "type": _of("event_types", _types),
    "outcome": _of("outcomes", _outcomes),
    "field": _of("fields", _fields),
    "from": lambda query: _values(from_key(query.fields[0], each) for each in query.from_values),
    "to": lambda query: _values(to_key(query.fields[0], each) for each in query.to_values),
    "correlation_id": _of("correlation_ids", lambda values: _keyed("correlation_id", values)),
    "causation_id": _of("causation_ids", lambda values: _keyed("causation_id", values)),
    "source": _of("sources", lambda values: _keyed("source", values)),
    "position": _of("positions", _at),
    "position_from": _of("position_from", _from_place),
    "position_to": _of("position_to", _to_place),
    "time_from": _of("time_from", _from_time("time")),
    "time_to": _of("time_to", _to_time("time")),
    "recorded_from": _of("recorded_from", _from_time("recorded_at")),
    "recorded_to": _of("recorded_to", _to_time("recorded_at")),
    "q": _words,
}
"""The condition of each filter that has values."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The events that a reader sees: those of these lists, and of these streams."""

    list_ids: Sequence[str]
    streams: Sequence[str]

    def condition(self) -> Condition:
        """Return the condition that an event is seen."""
        streams = tuple(key_of("stream", each) for each in self.streams)
        lists = _lists(self.list_ids)

        def checked(parameters: Parameters) -> str:
            return f"({_is_one_of('stream', streams, 'bigint', parameters)} OR {lists.checked(parameters)})"

        return Condition(checked, (*streams, *lists.keys))


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """A question and what its reader sees, as conditions on a row of `audit_search`."""

    query: AuditQuery
    conditions: Sequence[Condition]

    @classmethod
    def of(cls, query: AuditQuery, scope: Scope | None) -> AuditFilter:
        """Return the filter of a question; without a scope everything is seen."""
        given = dict.fromkeys(name for name, _ in query.parameters())
        conditions = [CONDITIONS[name](query) for name in given]
        return cls(query, conditions if scope is None else [*conditions, scope.condition()])

    def bounds(self, column: Column, parameters: Parameters) -> list[str]:
        """Return the ranges of a column, between which its index is read."""
        return [each.checked(parameters) for each in self.conditions if each.column == column]

    def checked(self, column: Column, parameters: Parameters) -> list[str]:
        """Return the conditions except those that `bounds` of the column returns."""
        return [each.checked(parameters) for each in self.conditions if each.column != column]

    def checked_all(self, parameters: Parameters) -> list[str]:
        """Return all conditions, as they are checked for each row."""
        return [each.checked(parameters) for each in self.conditions]

    def sought(self, parameters: Parameters) -> list[str]:
        """Return all conditions, those on keys and words as the index answers them."""
        by_keys = self._by_keys
        others = [each.indexed or each.checked for each in self.conditions if each not in by_keys]
        return [
            *_grouped([each.keys for each in by_keys], parameters),
            *(condition(parameters) for condition in others),
        ]

    def can_be_looked_up(self, column: Column) -> bool:
        """Return whether an index finds the rows, other than that of this column."""
        return any(each.keys or each.indexed or each.column not in (None, column) for each in self.conditions)

    @property
    def _by_keys(self) -> list[Condition]:
        """The conditions that are sought by keys: those with few, or else the one with the fewest."""
        keyed = sorted((each for each in self.conditions if each.keys), key=lambda each: len(each.keys))
        return [each for each in keyed if len(each.keys) <= FEW_KEYS] or keyed[:1]


def _grouped(groups: Sequence[Sequence[int]], parameters: Parameters) -> list[str]:
    conditions = []
    if all_of := [group[0] for group in groups if len(group) == 1]:
        conditions.append(f"{KEYS} @> {parameters.add(all_of, 'bigint[]')}")
    return conditions + [
        f"{KEYS} && {parameters.add(list(group), 'bigint[]')}" for group in groups if len(group) > 1
    ]

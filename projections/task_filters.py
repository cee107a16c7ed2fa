"""Criteria as SQL: what of a search an index answers, and what is checked of each task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from app.criteria import Criteria, DueSpan
from app.facets import facet
from app.orders import PRIORITY_ORDER, SortKey
from app.words import Needle
from projections.tasks import SHELVES

_ZONES = timedelta(hours=36)
"""More than a day in one time zone is before or after the same day in another."""


@dataclass(slots=True)
class Parameters:
    """The values of a statement's numbered parameters."""

    values: list[Any] = field(default_factory=list)

    def add(self, value: Any, kind: str) -> str:
        """The SQL that stands for one more value."""
        self.values.append(value)
        return f"${len(self.values)}::{kind}"


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Criteria and the lists that they come down to, as conditions on a row `t` of tasks."""

    criteria: Criteria
    lists: Sequence[str]

    @property
    def shelves(self) -> list[int]:
        """The shelves to look at."""
        return [SHELVES[status] for status in sorted(self.criteria.statuses)]

    @property
    def is_plain(self) -> bool:
        """Whether every task on the shelves is meant."""
        wanted = self.criteria
        return not (wanted.any_of or wanted.none_of or wanted.due or wanted.needles)

    def checked(self, parameters: Parameters) -> str:
        """The condition to check task by task; it takes nothing but the row itself and its words."""
        conditions = self._facets(parameters, self.criteria.any_of)
        conditions += [_due(span, parameters) for span in self.criteria.due]
        if self.criteria.needles:
            conditions.append(_words(self.criteria.needles, parameters))
        return " AND ".join(conditions) or "true"

    def sought(self, parameters: Parameters) -> str:
        """The same as a FROM clause that any index may answer."""
        one_list = [(facet("list", list_id),) for list_id in self.lists] if len(self.lists) == 1 else []
        one_status = [(facet("is", status),) for status in self.criteria.statuses]
        groups = [*one_list, *(one_status if len(one_status) == 1 else []), *self.criteria.any_of]
        conditions = [
            f"t.list_id = ANY({parameters.add(list(self.lists), 'text[]')})",
            f"t.shelf = ANY({parameters.add(self.shelves, 'smallint[]')})",
            *self._facets(parameters, groups),
        ]
        for span in self.criteria.due:
            conditions += [_due(span, parameters), *due_bounds([span], parameters)]
        needles, source = self.criteria.needles, "tasks t"
        if any(not needle.negated for needle in needles):
            source += " JOIN task_search d ON d.task_id = t.id"
            conditions.append(f"d.document @@ {parameters.add(tsquery_of(needles), 'tsquery')}")
        elif needles:
            conditions.append(_words(needles, parameters))
        return f"{source} WHERE {' AND '.join(conditions)}"

    def bounds(self, key: SortKey, parameters: Parameters) -> list[str]:
        """What the criteria say of the sort value of rows `t`: between which ends an index has to be read."""
        if key == "due":
            return due_bounds(self.criteria.due, parameters)
        if key != "priority":
            return []
        orders = {facet("p", name): order for name, order in PRIORITY_ORDER.items()}
        groups = [
            [orders[each] for each in group] for group in self.criteria.any_of if set(group) <= set(orders)
        ]
        ends = [
            (parameters.add(min(group), "smallint"), parameters.add(max(group), "smallint"))
            for group in groups
            if group
        ]
        return [f"t.priority_order BETWEEN {low} AND {high}" for low, high in ends]

    def _facets(self, parameters: Parameters, groups: Sequence[Sequence[str]]) -> list[str]:
        conditions = []
        if all_of := [group[0] for group in groups if len(group) == 1]:
            conditions.append(f"t.facets @> {parameters.add(all_of, 'text[]')}")
        conditions += [
            f"t.facets && {parameters.add(list(group), 'text[]')}" for group in groups if len(group) != 1
        ]
        if self.criteria.none_of:
            conditions.append(f"NOT t.facets && {parameters.add(list(self.criteria.none_of), 'text[]')}")
        return conditions


def due_bounds(spans: Sequence[DueSpan], parameters: Parameters) -> list[str]:
    """What follows for the instant at which tasks are due: less than the spans say, but an index has it."""
    bounds = []
    for span in spans:
        if not span.negated and span.start is not None:
            bounds.append(f"t.due_at >= {parameters.add(span.start - _ZONES, 'timestamptz')}")
        if not span.negated and span.end is not None:
            bounds.append(f"t.due_at < {parameters.add(span.end + _ZONES, 'timestamptz')}")
    return bounds


def tsquery_of(needles: Sequence[Needle]) -> str:
    """What to look for, as Postgres writes it. The forms have nothing in them that has a meaning there."""
    return " & ".join(("!" if needle.negated else "") + _phrase(needle) for needle in needles)


def _phrase(needle: Needle) -> str:
    *firsts, last = (f"'{form}'" for form in needle.forms)
    return f"({' <-> '.join([*firsts, f'{last}:*' if needle.prefix else last])})"


def _words(needles: Sequence[Needle], parameters: Parameters) -> str:
    query = parameters.add(tsquery_of(needles), "tsquery")
    return f"(SELECT d.document @@ {query} FROM task_search d WHERE d.task_id = t.id)"  # noqa: S608


def _due(span: DueSpan, parameters: Parameters) -> str:
    instants = _within("t.due_at", "timestamptz", (span.start, span.end), parameters)
    holds = instants
    if span.days is not None:
        first, end = span.days
        days = (first and first.isoformat(), end and end.isoformat())
        dates = _within('t.due COLLATE "C"', "text", days, parameters)
        holds = f"CASE WHEN length(t.due) = 10 THEN {dates} ELSE {instants} END"
    if span.open_only:
        holds = f"t.shelf = {SHELVES['open']} AND {holds}"
    return f"{'NOT ' if span.negated else ''}(t.due_at IS NOT NULL AND {holds})"


def _within(column: str, kind: str, ends: tuple[Any, Any], parameters: Parameters) -> str:
    start, end = ends
    conditions = [f"{column} >= {parameters.add(start, kind)}"] if start is not None else []
    conditions += [f"{column} < {parameters.add(end, kind)}"] if end is not None else []
    return f"({' AND '.join(conditions)})"

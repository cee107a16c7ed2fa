"""Criteria as SQL: the conditions that an index answers, and those that are checked for each task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise
from typing import Any, Literal

from app.search.criteria import Criteria, DueSpan, NumberRange
from app.search.facets import facet
from app.search.sorting import SortKey
from app.tasks.sorting import PRIORITY_ORDER
from app.text.tokens import Needle
from projections.postgres.sql_parameters import Parameters
from projections.read_models.search_index import IN_TITLE, are_pair, pair_of
from projections.read_models.tasks import STATUS_BUCKETS
from projections.task_search.sources import PRESENT, Source

Tier = Literal["all", "title", "rest"]
"""Of the tasks with the wanted words: all, those with all of the words in the title, the others."""

FEW_LISTS = 64
"""Up to so many lists are looked up in the index of facets; for more, all lists are read."""

_ZONES = timedelta(hours=36)
"""The most by which a day in one time zone can be before or after the same day in another."""
_FIRST = datetime.min.replace(tzinfo=UTC) + _ZONES
_LAST = datetime.max.replace(tzinfo=UTC) - _ZONES
"""The calendar's end, before which every bound has a day."""


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Criteria and their resolved lists, as conditions on a row `t` of tasks."""

    criteria: Criteria
    lists: Sequence[str]
    tier: Tier = "all"
    source: Source = PRESENT

    @property
    def buckets(self) -> list[int]:
        """The status buckets to examine."""
        return [STATUS_BUCKETS[status] for status in sorted(self.criteria.statuses)]

    @property
    def can_be_looked_up(self) -> bool:
        """Return whether an index can find the tasks."""
        dates = any(not span.negated for span in self.criteria.due)
        return bool(self.criteria.any_of) or dates or self.has_words or bool(self.source.blocks)

    @property
    def has_words(self) -> bool:
        """Return whether there are words to find."""
        return bool(self._wanted)

    def checked(self, parameters: Parameters) -> str:
        """Return the condition on a row `t` for a single task, without its list and bucket."""
        conditions = [*self.source.checked(parameters), *self.facts(parameters), self.words(parameters)]
        return " AND ".join(conditions)

    def sought(self, parameters: Parameters) -> str:
        """Return the condition on a row `t` of the source's table for lookups."""
        conditions = [
            self._placed(parameters),
            *self.indexed(parameters),
            *self._values(parameters),
            *self.source.valid(parameters),
        ]
        if self.source.is_past and self.criteria.needles:
            conditions.append(self.words(parameters))
        return " AND ".join(conditions)

    def indexed(self, parameters: Parameters) -> list[str]:
        """Return the conditions on a row `t` of that table that an index of facets, words or dates has."""
        return [
            *self._facets(parameters, self._shelved()),
            *self.source.found_by(parameters),
            *due_bounds(self.criteria.due, parameters),
            *self._named(parameters),
        ]

    def shelved(self, parameters: Parameters) -> list[str]:
        """Return only the conditions on the list, the bucket and the time."""
        return [*_grouped(self._shelved(), parameters), *self.source.found_by(parameters)]

    def _shelved(self) -> list[tuple[str, ...]]:
        """Return the facets of the lists and of the bucket, if few enough for an index to be useful."""
        lists = tuple(facet("list", list_id) for list_id in self.lists)
        overdue = any(span.open_only and not span.negated for span in self.criteria.due)
        statuses = ["open"] if overdue else sorted(self.criteria.statuses)
        groups = [lists] if 0 < len(lists) <= FEW_LISTS else []
        return [*groups, (facet("is", statuses[0]),)] if len(statuses) == 1 else groups

    def _placed(self, parameters: Parameters) -> str:
        # The index of due dates starts with lists. It is not scanned whole for all of them.
        column = "t.list_id" if due_bounds(self.criteria.due, Parameters()) else 't.list_id COLLATE "C"'
        return (
            f"{column} = ANY({parameters.add(list(self.lists), 'text[]')})"
            f" AND t.status_bucket = ANY({parameters.add(self.buckets, 'smallint[]')})"
        )

    def words(self, parameters: Parameters) -> str:
        """Return the condition on the words of a task whose id is `t.id`, looked up for it alone."""
        if not self.criteria.needles:
            return "true"
        if self.source.is_past:
            return " AND ".join(self._had_words(parameters))
        return f"(SELECT {self._has_words(parameters)} FROM task_search WHERE task_id = t.id)"  # noqa: S608

    def _named(self, parameters: Parameters) -> list[str]:
        """Return the condition on the words of a row of the table for lookups, if there is one."""
        if not self.criteria.needles:
            return []
        if self.source.is_past:
            in_title = self.tier == "title"
            found = (_with_word(needle, parameters, in_title=in_title) for needle in self._wanted)
            return [f"t.id IN ({each})" for each in found]
        condition = self._has_words(parameters)
        # An index would be scanned whole for excluded words.
        return [condition if self.has_words else f"({condition}) IS NOT FALSE"]

    @property
    def _wanted(self) -> list[Needle]:
        return [needle for needle in self.criteria.needles if not needle.negated]

    def _had_words(self, parameters: Parameters) -> list[str]:
        """Return the conditions on the words of a past version, as `tsquery_of` has them for the present."""
        titled = (_had_word(needle, parameters, in_title=True) for needle in self._wanted)
        in_title = "" if self.tier == "all" else " AND ".join(titled)
        excluded = [needle for needle in self.criteria.needles if needle.negated]
        conditions = [f"NOT {_had_word(needle, parameters)}" for needle in excluded]
        if self.tier == "title":
            return [*conditions, in_title]
        conditions += [_had_word(needle, parameters) for needle in self._wanted]
        return [*conditions, f"NOT ({in_title})"] if self.tier == "rest" else conditions

    def _has_words(self, parameters: Parameters) -> str:
        return f"document @@ {parameters.add(tsquery_of(self.criteria.needles, self.tier), 'tsquery')}"

    def bounds(self, key: SortKey, parameters: Parameters) -> list[str]:
        """Return the bounds on the sort value of rows `t`, between which an index must be read."""
        if key == "due":
            return due_bounds(self.criteria.due, parameters)
        if key != "priority":
            return [_within_range(each, parameters) for each in self._ranges if each.name == key]
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

    @property
    def _ranges(self) -> list[NumberRange]:
        return [each for each in self.criteria.numbers if not each.negated]

    def facts(self, parameters: Parameters) -> list[str]:
        """Return the conditions on a row `t`, without its list, its bucket and its words."""
        return [*self._facets(parameters), *self._values(parameters)]

    def _facets(self, parameters: Parameters, known: Sequence[Sequence[str]] = ()) -> list[str]:
        conditions = _grouped([*known, *self.criteria.any_of], parameters)
        if self.criteria.none_of:
            conditions.append(f"NOT t.facets && {parameters.add(list(self.criteria.none_of), 'text[]')}")
        return conditions

    def _values(self, parameters: Parameters) -> list[str]:
        return [
            *(_due(span, parameters) for span in self.criteria.due),
            *(_number(each, parameters) for each in self.criteria.numbers),
        ]


def _grouped(groups: Sequence[Sequence[str]], parameters: Parameters) -> list[str]:
    """Return the conditions on a row `t` that it has a facet of each group."""
    conditions = []
    if all_of := [group[0] for group in groups if len(group) == 1]:
        conditions.append(f"t.facets @> {parameters.add(all_of, 'text[]')}")
    return conditions + [
        f"t.facets && {parameters.add(list(group), 'text[]')}" for group in groups if len(group) != 1
    ]


def _with_word(needle: Needle, parameters: Parameters, *, in_title: bool = False) -> str:
    """Return the query for the tasks that ever had a word, anywhere or in their titles."""
    wanted = replace(needle, negated=False)
    query = parameters.add(tsquery_of([wanted], "all"), "tsquery")
    place = " AND x.place = 'title'" if in_title else ""
    return f"SELECT task_id FROM task_texts x WHERE x.document @@ {query}{place}"  # noqa: S608


def _had_word(needle: Needle, parameters: Parameters, *, in_title: bool = False) -> str:
    """Return the condition on a row `t` of task_versions that it had a word."""
    then = "t.version >= x.first_version AND (x.end_version IS NULL OR t.version < x.end_version)"
    found = _with_word(needle, parameters, in_title=in_title)
    return f"EXISTS ({found} AND x.task_id = t.id AND {then})"


def due_bounds(spans: Sequence[DueSpan], parameters: Parameters) -> list[str]:
    """Return bounds on the due instant: weaker than the spans, but an index can answer them."""
    bounds = []
    for span in spans:
        if not span.negated and span.start is not None and span.start > _FIRST:
            bounds.append(f"t.due_at >= {parameters.add(span.start - _ZONES, 'timestamptz')}")
        if not span.negated and span.end is not None and span.end < _LAST:
            bounds.append(f"t.due_at < {parameters.add(span.end + _ZONES, 'timestamptz')}")
    return bounds


def tsquery_of(needles: Iterable[Needle], tier: Tier) -> str:
    """Return the query in Postgres' syntax. The forms contain no character that is special there."""
    needles = dict.fromkeys(needles)  # Postgres would expect few tasks to contain the same word twice.
    wanted = [needle for needle in needles if not needle.negated]
    in_title = " & ".join(_phrase(needle, IN_TITLE) for needle in wanted)
    parts = [f"!{_phrase(needle, '')}" for needle in needles if needle.negated]
    parts += [in_title] if tier == "title" else [_phrase(needle, "") for needle in wanted]
    parts += [f"!({in_title})"] if tier == "rest" else []
    return " & ".join(parts)


def _phrase(needle: Needle, mark: str) -> str:
    lexemes = _lexemes(needle.forms)
    operands = [f"'{mark}{lexeme}'" for _, lexeme in lexemes]
    operands[-1] += ":*" if needle.prefix else ""
    apart = [f" <{second - first}> " for (first, _), (second, _) in pairwise(lexemes)]
    return f"({''.join(chain.from_iterable(zip(operands, [*apart, ''], strict=True)))})"


def _lexemes(forms: Sequence[str]) -> list[tuple[int, str]]:
    """Return the fewest lexemes that locate all of the words, each with its place."""
    lexemes: list[tuple[int, str]] = []
    at = 0
    while at < len(forms):
        form, following = forms[at], forms[at + 1] if at + 1 < len(forms) else None
        if following is not None and are_pair(form, following):
            lexemes.append((at, pair_of(form, following)))
            at += 2
            continue
        before = forms[at - 1] if at > 0 else ""
        in_pair = bool(before) and are_pair(before, form)
        lexemes.append((at - 1, pair_of(before, form)) if in_pair else (at, form))
        at += 1
    return lexemes


def _due(span: DueSpan, parameters: Parameters) -> str:
    instants = _within("t.due_at", "timestamptz", (span.start, span.end), parameters)
    holds = instants
    if span.days is not None:
        first, end = span.days
        days = (first and first.isoformat(), end and end.isoformat())
        dates = _within('t.due COLLATE "C"', "text", days, parameters)
        holds = f"CASE WHEN length(t.due) = 10 THEN {dates} ELSE {instants} END"
    if span.open_only:
        holds = f"t.status_bucket = {STATUS_BUCKETS['open']} AND {holds}"
    return f"{'NOT ' if span.negated else ''}(t.due_at IS NOT NULL AND {holds})"


def _number(range_: NumberRange, parameters: Parameters) -> str:
    holds = _within_range(range_, parameters)
    return f"({holds}) IS NOT TRUE" if range_.negated else holds


def _within_range(range_: NumberRange, parameters: Parameters) -> str:
    least, most = (parameters.add(end, "bigint") for end in (range_.least, range_.most))
    return f"t.{range_.name} BETWEEN {least} AND {most}"


def _within(column: str, kind: str, ends: tuple[Any, Any], parameters: Parameters) -> str:
    start, end = ends
    conditions = [f"{column} >= {parameters.add(start, kind)}"] if start is not None else []
    conditions += [f"{column} < {parameters.add(end, kind)}"] if end is not None else []
    return f"({' AND '.join(conditions)})"

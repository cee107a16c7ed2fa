"""Orders as SQL: the index of each, and what comes after a place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from app.orders import SortKey

_COLUMNS: dict[SortKey, tuple[str, str]] = {
    "rank": ("rank", "text"),
    "created_at": ("created_at", "timestamptz"),
    "updated_at": ("updated_at", "timestamptz"),
    "due": ("due_at", "timestamptz"),
    "priority": ("priority_order", "smallint"),
    "title": ("title_order", "text"),
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task lies in an order: its sort value, None for those without one, and its id."""

    value: Any
    id: str


@dataclass(frozen=True, slots=True)
class Order:
    """An order of tasks. Those without a value come last in either direction, then ids decide."""

    key: SortKey
    descending: bool = False

    @property
    def column(self) -> str:
        """The column of the sort value."""
        return _COLUMNS[self.key][0]

    @property
    def kind(self) -> str:
        """Its type."""
        return _COLUMNS[self.key][1]

    @property
    def direction(self) -> str:
        """ASC or DESC."""
        return "DESC" if self.descending else "ASC"

    def bands(self, after: Place | None) -> list[bool]:
        """What is still to come: tasks with a value (True), then those without."""
        if self.key != "due":
            return [True]
        return [True, False] if after is None or after.value is not None else [False]

    def beyond(self, value: str, identifier: str, *, with_value: bool) -> str:
        """The condition on rows `t` of a band that come after a place."""
        sign = "<" if self.descending else ">"
        if with_value:
            return f"(t.{self.column}, t.id) {sign} ({value}, {identifier})"
        return f"t.id {sign} {identifier}"

    def after(self, value: str, identifier: str, *, with_value: bool) -> str:
        """The condition on rows `t` of any band that come after a place."""
        beyond = self.beyond(value, identifier, with_value=with_value)
        if self.key != "due":
            return beyond
        return f"(t.due_at IS NULL {'OR' if with_value else 'AND'} {beyond})"

    def precedes(self, one: Place, other: Place) -> bool:
        """Whether a place comes before another of the same band."""
        return _key(one) > _key(other) if self.descending else _key(one) < _key(other)

    def sorted(self, places: Iterable[Place]) -> list[Place]:
        """Places of one band, in this order."""
        return sorted(places, key=_key, reverse=self.descending)


def _key(place: Place) -> tuple[Any, ...]:
    return (place.id,) if place.value is None else (place.value, place.id)

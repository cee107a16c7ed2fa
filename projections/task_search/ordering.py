"""Orders as SQL: the column of each, and the condition of what follows a place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from app.search.sorting import SORT_ORDERS, SortKey
from projections.postgres.sql_parameters import Parameters


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a task in an order: its sort value, None for tasks without one, and its id."""

    value: Any
    id: str


@dataclass(frozen=True, slots=True)
class Portion:
    """A part of an ordered result: the first `size` tasks after a place."""

    after: Place | None
    size: int


@dataclass(frozen=True, slots=True)
class Order:
    """An order of tasks, in two bands: those with a value; after them, in either direction, the others."""

    key: SortKey
    descending: bool = False

    @property
    def column(self) -> str:
        """The column of the sort value."""
        return SORT_ORDERS[self.key].column

    @property
    def nullable(self) -> bool:
        """Return whether there are tasks without a value."""
        return SORT_ORDERS[self.key].nullable

    @property
    def kind(self) -> str:
        """The SQL type of the sort value."""
        return SORT_ORDERS[self.key].kind

    @property
    def by(self) -> str:
        """The ORDER BY terms for rows `t` of a band; ids break ties."""
        direction = "DESC" if self.descending else "ASC"
        return f"t.{self.column} {direction}, t.id {direction}"

    @property
    def by_bands(self) -> str:
        """The ORDER BY terms for rows `t` of both bands."""
        return f"t.{self.column} IS NULL, {self.by}" if self.nullable else self.by

    def bands(self, after: Place | None) -> list[bool]:
        """Return the bands that are still to come: with a value (True), without."""
        if not self.nullable:
            return [True]
        return [True, False] if after is None or after.value is not None else [False]

    def band(self, *, with_value: bool) -> list[str]:
        """Return the conditions on rows `t` of a band."""
        return [f"t.{self.column} IS {'NOT ' if with_value else ''}NULL"] if self.nullable else []

    def beyond(self, value: str, identifier: str, *, with_value: bool) -> str:
        """Return the condition on rows `t` of a band that they follow a place."""
        return self._compared("<" if self.descending else ">", value, identifier, with_value=with_value)

    def up_to(self, place: Place, parameters: Parameters) -> str:
        """Return the condition on rows `t` of a place's band that they do not follow it."""
        return self._compared_with(">=" if self.descending else "<=", place, parameters)

    def after(self, place: Place, parameters: Parameters) -> str:
        """Return the condition on rows `t` of either band that they follow a place."""
        beyond = self._compared_with("<" if self.descending else ">", place, parameters)
        if not self.nullable:
            return beyond
        return f"(t.{self.column} IS NULL {'AND' if place.value is None else 'OR'} {beyond})"

    def _compared_with(self, sign: str, place: Place, parameters: Parameters) -> str:
        identifier = parameters.add(place.id, "text")
        if place.value is None:
            return self._compared(sign, "", identifier, with_value=False)
        return self._compared(sign, parameters.add(place.value, self.kind), identifier, with_value=True)

    def _compared(self, sign: str, value: str, identifier: str, *, with_value: bool) -> str:
        if with_value:
            return f"(t.{self.column}, t.id) {sign} ({value}, {identifier})"
        return f"t.id {sign} {identifier}"

    def just_before(self, place: Place) -> Place:
        """Return a place directly before another: no task is between them."""
        return Place(place.value, f"{place.id}0" if self.descending else place.id[:-1])

    def precedes(self, one: Place, other: Place) -> bool:
        """Return whether a place precedes another of the same band."""
        return _key(one) > _key(other) if self.descending else _key(one) < _key(other)

    def is_after(self, one: Place, other: Place) -> bool:
        """Return whether `other` follows `one`, in either band."""
        if (one.value is None) != (other.value is None):
            return other.value is None
        return self.precedes(one, other)

    def sorted(self, places: Iterable[Place]) -> list[Place]:
        """Return the places in this order."""
        bands: tuple[list[Place], list[Place]] = [], []
        for place in places:
            bands[place.value is None].append(place)
        return [place for band in bands for place in sorted(band, key=_key, reverse=self.descending)]


def _key(place: Place) -> tuple[Any, ...]:
    return (place.id,) if place.value is None else (place.value, place.id)

"""The orders of the audit, and places in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from app.audit.query import Sort
from projections.postgres.sql_parameters import Parameters

Column = Literal["time", "recorded_at", "place"]
LAST_PLACE = 2**63 - 1


class Place(NamedTuple):
    """The place of an event in an order: its value, and its place in the log."""

    value: int
    place: int


@dataclass(frozen=True, slots=True)
class Order:
    """An order by a column, in which rows with the same value are in the order of the log."""

    column: Column
    descending: bool

    @classmethod
    def of(cls, sort: Sort) -> Order:
        """Return the order of this name."""
        name = sort.removeprefix("-")
        column: Column = "time" if name == "time" else "recorded_at" if name == "recorded_at" else "place"
        return cls(column, descending=sort.startswith("-"))

    @property
    def by(self) -> str:
        """The terms of `ORDER BY`."""
        return f"place{self._direction}" if self.column == "place" else self._by(self.column)

    @property
    def by_value(self) -> str:
        """The same if the column is named `value`."""
        return self._by("value")

    def _by(self, column: str) -> str:
        return f"{column}{self._direction}, place{self._direction}"

    @property
    def _direction(self) -> str:
        return " DESC" if self.descending else ""

    def after(self, place: Place, parameters: Parameters) -> str:
        """Return the condition that a row follows a place."""
        sign = "<" if self.descending else ">"
        if self.column == "place":
            return f"place {sign} {parameters.add(place.place, 'bigint')}"
        value, at = (parameters.add(each, "bigint") for each in place)
        # The first part is for the planner, which does not estimate the second one.
        return f"{self.column} {sign}= {value} AND ({self.column}, place) {sign} ({value}, {at})"

    def up_to(self, value: int, parameters: Parameters) -> str:
        """Return the condition that a row has this value, or precedes rows that have it."""
        return f"{self.column} {'>=' if self.descending else '<='} {parameters.add(value, 'bigint')}"

    def end_of(self, value: int) -> Place:
        """Return the place after all rows that `up_to` this value includes."""
        if self.column == "place":
            return Place(value, value)
        return Place(value, -1 if self.descending else LAST_PLACE)

    def precedes(self, one: int, other: int) -> bool:
        """Return whether a row with one value precedes a row with the other."""
        return one > other if self.descending else one < other

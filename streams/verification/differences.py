"""Differences that a verification finds, each with its first record and its place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

Place = Literal["log", "audit", "trees", "tree heads"]


class Difference(NamedTuple):
    """The first record of a partition that is not as it should be in one place."""

    partition: int
    offset: int
    place: Place
    reason: str

    @property
    def position(self) -> str:
        """The position of the record."""
        return f"{self.partition}:{self.offset}"

    def __str__(self) -> str:
        return f"{self.position} in the {self.place}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Verified:
    """The outcome of a partition: its records, how many a tree head contains, and the differences."""

    partition: int
    records: int
    signed: int
    heads: int
    differences: tuple[Difference, ...]

    def with_difference(self, more: Difference) -> Verified:
        """Return it with one more difference."""
        return replace(self, differences=(*self.differences, more))

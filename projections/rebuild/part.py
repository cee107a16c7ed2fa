"""Parts of the read models that are rebuilt while the others are copied."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from app.errors import Malformed
from app.positions import Position, Positions
from projections.generations.contents import LoadedFrom, from_positions, from_the_start
from projections.read_models.registry import BY_RECORD


@dataclass(frozen=True, slots=True)
class Part:
    """The read models to rebuild, from the first record on, or from these positions on.

    Raise `Malformed` for positions with read models whose rows do not each belong to one record.
    """

    names: Collection[str]
    positions: Positions | None = None

    def __post_init__(self) -> None:
        possible = " and ".join(BY_RECORD)
        if self.positions is None:
            return
        if not self.names:
            raise Malformed(f"a position goes with named read models; possible is {possible}")
        if others := sorted(set(self.names) - set(BY_RECORD)):
            raise Malformed(
                f"{others[0]} cannot be rebuilt from a position: its rows depend on all records before; "
                f"possible is {possible}, whose rows each belong to one record"
            )

    def loaded(self, partitions: int) -> LoadedFrom:
        """Return it as the contents of a generation. Raise `Malformed` for a missing partition."""
        if self.positions is None:
            return from_the_start(self.names, partitions)
        if beyond := [partition for partition in self.positions if partition >= partitions]:
            raise Malformed(f"there is no partition {beyond[0]}; the log has {partitions}")
        return from_positions(self.names, self.positions, partitions)

    def check_within(self, ends: Mapping[int, int]) -> None:
        """Check that a log with these ends has records at the positions. Raise `Malformed`."""
        for partition, offset in sorted((self.positions or {}).items()):
            end = ends.get(partition, 0)
            if offset >= end:
                place = f"there is no record at {Position(partition, offset)}"
                raise Malformed(f"{place}: partition {partition} ends before offset {end}")

"""Positions: places in the `task-events` log, and sets of them with one per partition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Self

from app.errors import Malformed

Positions = Mapping[int, int]
"""Partition → the last included offset; an absent partition includes nothing."""

MAX_PARTITIONS = 1024


class Position(NamedTuple):
    """The place of one record: its partition and its offset there. Written `partition:offset`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `"0:121"`. Raise `Malformed`."""
        partition, colon, offset = text.partition(":")
        if not (colon and _is_count(partition) and _is_count(offset)):
            raise Malformed(f"{text[:40]!r} is not a position; one looks like 0:121")
        return cls(int(partition), int(offset))


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def format_positions(positions: Positions) -> str:
    """Format positions as in the `Tasktape-Position` header: `0:121,3:44`."""
    return ",".join(f"{partition}:{offset}" for partition, offset in sorted(positions.items()))


def parse_positions(text: str) -> dict[int, int]:
    """Parse the result of `format_positions`; the later of two for a partition wins. Raise `Malformed`."""
    parts = (part.strip() for part in text.split(",", MAX_PARTITIONS))
    return latest(Position.parse(part) for part in parts if part)


def positions_to_json(positions: Positions) -> dict[str, int]:
    """Return the JSON form, `{"0": 121}`."""
    return {str(partition): offset for partition, offset in sorted(positions.items())}


def positions_from_json(value: Mapping[str, int]) -> dict[int, int]:
    """Parse the JSON form. Raise `Malformed`; an offset of -1 means "from the very beginning"."""
    positions: dict[int, int] = {}
    for partition, offset in value.items():
        if not _is_count(partition) or isinstance(offset, bool) or not -1 <= offset < 2**62:
            raise Malformed(f"{partition[:40]!r} is not a partition with an offset")
        positions[int(partition)] = offset
    return positions


def covers(reached: Positions, wanted: Positions) -> bool:
    """Return whether `reached` includes everything in `wanted`."""
    return all(reached.get(partition, -1) >= offset for partition, offset in wanted.items())


def latest(positions: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Return the latest of these positions in each partition."""
    found: dict[int, int] = {}
    for partition, offset in positions:
        found[partition] = max(offset, found.get(partition, -1))
    return found

"""Positions: one offset for each partition of the log, as headers and JSON carry them."""

from __future__ import annotations

from collections.abc import Mapping

Positions = Mapping[int, int]
"""Partition → the last offset that is included. A partition that is absent has nothing."""


def format_positions(positions: Positions) -> str:
    """Write positions as the `Tasktape-Position` header does: `0:121,3:44`."""
    return ",".join(f"{partition}:{offset}" for partition, offset in sorted(positions.items()))


def parse_positions(text: str) -> dict[int, int]:
    """Read what `format_positions` wrote; the greatest offset of a partition counts. Raise `ValueError`."""
    positions: dict[int, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        partition, offset = map(int, part.split(":"))
        positions[partition] = max(offset, positions.get(partition, -1))
    return positions


def positions_to_json(positions: Positions) -> dict[str, int]:
    """Return the JSON form, `{"0": 121}`."""
    return {str(partition): offset for partition, offset in sorted(positions.items())}

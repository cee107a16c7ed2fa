"""Workers and their own reports: the partitions of each, and whether it is ready.

The table is outside of all generations. A worker that has not reported for a while counts as gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json

from projections.postgres.database import Database
from projections.postgres.tables import FRESH_S

FORGET_AFTER = "1 day"


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """A worker's own report of `age_s` seconds ago; `figures` are for metrics."""

    slot: str
    ready: bool
    partitions: Sequence[int]
    figures: Mapping[str, Any]
    age_s: float = 0.0

    @property
    def is_up(self) -> bool:
        """Return whether it reported recently."""
        return self.age_s <= FRESH_S


class Workers:
    """The reports, in the database's control schema, with the database's times: clocks may differ."""

    def __init__(self, database: Database) -> None:
        self._pool = database.pool
        table = f'"{database.control_schema}".workers'
        self._write = f"""
            INSERT INTO {table} (slot, seen_at, ready, partitions, figures)
            VALUES ($1, clock_timestamp(), $2, $3, $4)
            ON CONFLICT (slot) DO UPDATE SET seen_at = excluded.seen_at, ready = excluded.ready,
                partitions = excluded.partitions, figures = excluded.figures
        """  # noqa: S608
        self._forget = f"""
            DELETE FROM {table} WHERE slot = $1 OR seen_at < clock_timestamp() - interval '{FORGET_AFTER}'
        """  # noqa: S608
        self._read = f"""
            SELECT slot, ready, partitions, figures,
                extract(epoch FROM clock_timestamp() - seen_at)::float AS age_s
            FROM {table} ORDER BY slot
        """  # noqa: S608

    async def write(self, report: WorkerReport) -> None:
        """Write a report in place of the slot's last one."""
        figures = to_json(report.figures).decode()
        await self._pool.execute(self._write, report.slot, report.ready, list(report.partitions), figures)

    async def forget(self, slot: str) -> None:
        """Delete the report of a slot as its worker ends, and reports that are a day old."""
        await self._pool.execute(self._forget, slot)

    async def read(self) -> list[WorkerReport]:
        """Return the last report of each worker."""
        rows = await self._pool.fetch(self._read)
        return [
            WorkerReport(
                row["slot"],
                row["ready"],
                row["partitions"],
                from_json(row["figures"]),
                max(0.0, row["age_s"]),
            )
            for row in rows
        ]


def unserved(partitions: int, reports: Sequence[WorkerReport]) -> list[int]:
    """Return the partitions that no running and ready worker has."""
    served = {
        partition for report in reports if report.ready and report.is_up for partition in report.partitions
    }
    return [partition for partition in range(partitions) if partition not in served]

"""Workers, as they report of themselves: what each attends to, and whether it is ready.

The table lies beside all generations. A worker that says nothing for a while is taken for gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json

from projections.postgres.database import Database

FRESH_S = 5.0
"""A report is believed for so long; there is one every second."""
FORGET_AFTER = "1 day"


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What a worker says of itself, `age_s` seconds ago; `figures` are for metrics."""

    slot: str
    ready: bool
    partitions: Sequence[int]
    figures: Mapping[str, Any]
    age_s: float = 0.0

    @property
    def is_up(self) -> bool:
        """Whether it reported lately."""
        return self.age_s <= FRESH_S


class Workers:
    """The reports, in the database's control schema, at times of its own: clocks need not agree."""

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
        """Write down a report, in place of the slot's last one."""
        figures = to_json(report.figures).decode()
        await self._pool.execute(self._write, report.slot, report.ready, list(report.partitions), figures)

    async def forget(self, slot: str) -> None:
        """Take back what a slot reported, as its worker ends; and what is a day old."""
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
    """Return the partitions to which no worker that is up and ready attends."""
    served = {
        partition for report in reports if report.ready and report.is_up for partition in report.partitions
    }
    return [partition for partition in range(partitions) if partition not in served]

"""Dead letters of an instance, for `status` and `doctor`: their number, and the streams that they hold."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import asyncpg

from tasktape.local.findings import Finding

LIMIT_S = 2.0
NAMED = 5
"""So many held streams are named."""
MEND = "tasktape dead-letters list; then retry or skip them"
_LIVE = "SELECT number FROM \"{schema}\".generations WHERE status = 'live'"
_COUNTS = """
    SELECT count(*) AS records, count(*) FILTER (WHERE holds) AS streams,
        extract(epoch FROM clock_timestamp() - min(parked_at))::float AS oldest_age_s
    FROM "{schema}_g{number}".dead_letters
"""
_HELD = """
    SELECT stream, partition || ':' || "offset" AS position, reason FROM "{schema}_g{number}".dead_letters
    WHERE holds ORDER BY parked_at LIMIT {named}
"""


@dataclass(frozen=True, slots=True)
class HeldStream:
    """A stream that waits for a parked record, and the reason of the parking."""

    stream: str
    position: str
    reason: str


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The parked records; `held` has the first of the `streams` that wait for one."""

    records: int
    streams: int
    oldest_age_s: float | None
    held: tuple[HeldStream, ...]

    def to_json(self) -> dict[str, Any]:
        """Return them in the form of `status --json`."""
        return asdict(self)

    def in_words(self) -> str:
        """Return them as one line."""
        streams = f", {held_in_words(self.streams)}" if self.streams else ""
        counted = f"{self.records} parked{streams}, the oldest for {self.oldest_age_s or 0:.0f} s"
        names = [f"{each.stream} by {each.position} ({each.reason})" for each in self.held]
        if self.streams > len(names):
            names.append(f"and {self.streams - len(names)} more")
        return f"{counted}: {'; '.join(names)}" if names else counted


def held_in_words(streams: int) -> str:
    """Return the number of held streams in words."""
    return f"{streams} stream{'s' * (streams != 1)} held"


async def read_dead_letters(url: str, schema: str) -> DeadLetters | None:
    """Return the dead letters in a database; None if it does not respond."""
    try:
        connection = await asyncpg.connect(
            url.replace("postgresql+asyncpg://", "postgresql://", 1), timeout=LIMIT_S, command_timeout=LIMIT_S
        )
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return None
    try:
        number = await connection.fetchval(_LIVE.format(schema=schema))
        place = {"schema": schema, "number": number, "named": NAMED}
        counts = await connection.fetchrow(_COUNTS.format(**place))
        held = await connection.fetch(_HELD.format(**place))
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return None
    finally:
        await connection.close(timeout=LIMIT_S)
    assert counts is not None
    return DeadLetters(
        counts["records"],
        counts["streams"],
        counts["oldest_age_s"],
        tuple(HeldStream(row["stream"], row["position"], row["reason"]) for row in held),
    )


def dead_letters_finding(found: DeadLetters | None) -> list[Finding]:
    """Return `doctor`'s finding on dead letters; nothing if they are unknown."""
    if found is None:
        return []
    if not found.records:
        return [Finding("parked", "ok", "no dead letters")]
    return [Finding("parked", "warn", found.in_words(), MEND)]

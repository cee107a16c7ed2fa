"""The verification of one partition: its log, its rows of the audit, its tree and the tree heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.errors import WrongLog
from app.log.records import RawRecord
from app.merkle.hashes import HASH_BYTES
from app.merkle.tiles import WIDTH, root_in
from app.merkle.tree_heads import TreeHead
from projections.queries.verification import KeptRow, VerificationQueries
from projections.read_models.tree import record_hash
from streams.event_log import KafkaEventLog
from streams.verification.differences import Difference, Verified
from streams.verification.rows import Outcomes, differing
from streams.verification.trees import TreeComparison

NO_HASH = b""

Count = Callable[[int], None]
"""A listener to numbers of records that were compared."""


class PartitionVerification:
    """The verification of a partition, record by record."""

    def __init__(
        self,
        event_log: KafkaEventLog,
        queries: VerificationQueries,
        partition: int,
        heads: Sequence[TreeHead],
    ) -> None:
        self._event_log = event_log
        self._queries = queries
        self._partition = partition
        self._trees = TreeComparison(partition, heads)
        self._outcomes = Outcomes()
        self._in_rows: Difference | None = None
        self._nodes: list[bytes] = []

    async def run(self, end: int, log_end: int, count: Count) -> Verified:
        """Compare the records before `end`; the log ends at `log_end`. Raise `Unavailable`."""
        in_log: list[Difference] = []
        try:
            async for raws in self._event_log.read(self._partition, 0, min(end, log_end)):
                missing = _gap(raws, self._trees.size)
                await self._compare(raws if missing is None else raws[:missing])
                count(len(raws))
                if missing is not None:
                    in_log.append(self._difference(f"it is missing; {raws[missing].position} follows"))
                    break
        except WrongLog as error:
            in_log.append(self._difference(error.detail))
        if not in_log and log_end < end:
            in_log.append(
                self._difference(
                    f"it is missing: the log ends here, and the audit has {end - log_end:,} more"
                )
            )
        found = self._in_log(in_log) if in_log else list(self._trees.finish())
        if (in_audit := await self._in_audit()) is not None:
            found.append(in_audit)
        if not found and (above := await self._in_upper_levels()) is not None:
            found.append(above)
        trees = self._trees
        return Verified(self._partition, trees.size, trees.signed, trees.heads, tuple(found))

    def _in_log(self, ends: Sequence[Difference]) -> list[Difference]:
        """Return the first record of a log that ends early: one before its end may be another one."""
        first = self._trees.first
        if first is None:
            return list(ends)
        reason = f"it is not the record whose hash was stored; the log ends at {ends[0].position}"
        return [Difference(self._partition, first, "log", reason)]

    def _difference(self, reason: str) -> Difference:
        return Difference(self._partition, self._trees.size, "log", reason)

    async def _compare(self, raws: Sequence[RawRecord]) -> None:
        if not raws:
            return
        first, end = raws[0].position.offset, raws[-1].position.offset + 1
        rows = {row.offset: row for row in await self._queries.rows(self._partition, first, end)}
        tiles = await self._queries.tiles(self._partition, 0, first // WIDTH, (end - 1) // WIDTH + 1)
        for offset, raw in enumerate(raws, start=first):
            number, place = divmod(offset, WIDTH)
            tile = tiles.get(number, NO_HASH)
            stored = tile[place * HASH_BYTES : (place + 1) * HASH_BYTES]
            self._trees.add(record_hash(raw), stored)
            if place == WIDTH - 1 and len(tile) == WIDTH * HASH_BYTES:
                self._nodes.append(root_in(tile))
            if self._in_rows is None:
                self._compare_row(raw, rows.get(offset))

    def _compare_row(self, raw: RawRecord, row: KeptRow | None) -> None:
        if row is None:
            reason = "its row is missing"
        elif different := differing(raw, row):
            reason = f"its row has another {', '.join(different)} than the log"
        elif not self._outcomes.fits(row):
            reason = f"it cannot be {row.outcome} with version {row.version} after those before it"
        else:
            return
        self._in_rows = Difference(*raw.position, "audit", reason)

    async def _in_audit(self) -> Difference | None:
        """Return the first difference of the audit's rows."""
        duplicates = self._outcomes.duplicates
        accepted = (
            await self._queries.accepted([event_id for _, event_id in duplicates]) if duplicates else set()
        )
        wrong = [offset for event, offset in duplicates.items() if event not in accepted]
        if wrong and (self._in_rows is None or min(wrong) < self._in_rows.offset):
            reason = "it is no duplicate: no such event was accepted"
            return Difference(self._partition, min(wrong), "audit", reason)
        return self._in_rows

    async def _in_upper_levels(self) -> Difference | None:
        """Return the first record below a stored node that is not made of the nodes below it."""
        level, nodes = 1, self._nodes
        while nodes:
            width = WIDTH**level * WIDTH  # the records below a tile
            tiles = await self._queries.tiles(self._partition, level, 0, len(nodes) // WIDTH + 1)
            parts = [nodes[first : first + WIDTH] for first in range(0, len(nodes), WIDTH)]
            for number, part in enumerate(parts):
                if not tiles.get(number, NO_HASH).startswith(b"".join(part)):
                    reason = f"nodes of level {level} above it are wrong: run `tasktape rebuild tree`"
                    return Difference(self._partition, number * width, "trees", reason)
            nodes = [root_in(b"".join(part)) for part in parts if len(part) == WIDTH]
            level += 1
        return None


def _gap(raws: Sequence[RawRecord], expected: int) -> int | None:
    """Return the index of the first record that does not follow the one before it, if there is one."""
    if raws[0].position.offset == expected and raws[-1].position.offset == expected + len(raws) - 1:
        return None
    return next(index for index, raw in enumerate(raws) if raw.position.offset != expected + index)

"""The loop that signs tree heads: one process at a time, at most one head each second, while records arrive.

Before it signs, it reads the topic of tree heads to its end, and proves that the trees of the read model
continue those of the last head. If they do not, it signs nothing and gives the reason, for as long as that is
so: a log that was changed must not get a signature.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import structlog

from app.errors import Unavailable, WrongLog
from app.log.ports import Clock
from app.merkle.notes import Note, Unreadable
from app.merkle.proofs import WrongProof, check_consistency
from app.merkle.tree_heads import PartitionTree, TreeHead
from app.settings import BadSettings
from app.structure.locks import ClusterLocks
from projections.batches import Batch
from projections.queries.tree_heads import KnownKey, SignedHead, TreeHeadQueries
from projections.queries.trees import TreeQueries
from projections.read_models.projected import Projected
from streams.backoff import Backoff
from streams.projection_loop import WAIT_FOR
from streams.supervised_loop import SupervisedLoop
from streams.tree_heads.keys import KeyRing, verify
from streams.tree_heads.topic import TreeHeadTopic

log = structlog.get_logger()

SIGN_S = 1.0
"""The shortest time between two heads."""
POLL_S = 5.0
"""The interval of reading the topic while nothing is projected here: witnesses may have cosigned."""
LOCK = "tree heads"
LOCK_TIMEOUT_S = 0.5
RETRY_FIRST_S, RETRY_MOST_S = 1.0, 30.0


class Inconsistent(Exception):
    """Error if nothing may be signed: the trees do not continue those of the last tree head."""


class TreeHeadSigner:
    """The loop; it runs until it is cancelled. `problem` is the reason why nothing is signed, if so."""

    def __init__(
        self,
        trees: TreeQueries,
        heads: TreeHeadQueries,
        topic: TreeHeadTopic,
        read_keys: Callable[[], KeyRing],
        locks: ClusterLocks,
        *,
        clock: Clock,
    ) -> None:
        self._trees = trees
        self._heads = heads
        self._topic = topic
        self._read_keys = read_keys
        self._keys = KeyRing(())
        self._locks = locks
        self._clock = clock
        self._news = asyncio.Event()
        self._read_to: int | None = None
        self._has_foreign = False
        self.last: TreeHead | None = None
        self.problem: str | None = None

    @property
    def figures(self) -> Mapping[str, Any]:
        """The figures for metrics: the size and the time of the last head, and the problem."""
        last = self.last
        return {
            "size": 0 if last is None else last.size,
            "signed_at_s": None if last is None else last.time.timestamp(),
            "problem": self.problem,
        }

    def on_committed(self, _batch: Batch, _projected: Sequence[Projected]) -> None:
        """Record that something was projected (see `Projector`)."""
        self._news.set()

    async def run(self) -> None:
        """Sign, for ever. Wait while Postgres or Kafka is unavailable."""
        supervised = SupervisedLoop(
            Backoff(RETRY_FIRST_S, RETRY_MOST_S),
            WAIT_FOR,
            waiting="tree heads wait",
            failed="signing tree heads failed",
        )
        await supervised.run(self._step)

    async def _step(self) -> None:
        await self.round()
        await asyncio.sleep(SIGN_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_S):
                await self._news.wait()

    async def round(self) -> None:
        """Read the topic to its end, and sign if there are new records, unless another process does so.

        Raise the errors of an unavailable database or log.
        """
        try:
            held = await self._locks.acquire({LOCK: True}, LOCK_TIMEOUT_S)
        except Unavailable:
            return  # Another process signs, or the database is unavailable, which others report.
        self._news.clear()
        try:
            await self._follow_keys()
            await self._follow()
            await self._sign()
        except (Inconsistent, WrongLog, BadSettings) as error:
            self._alarm(str(error))
        else:
            self.problem = None
        finally:
            await held.release()

    def _alarm(self, problem: str) -> None:
        if problem != self.problem:
            log.error("no tree head is signed", reason=problem)
        self.problem = problem

    # --- reading -------------------------------------------------------------------------------------------

    async def _follow_keys(self) -> None:
        """Read the file of keys again, to which somebody may have added one. Raise `BadSettings`."""
        keys = self._read_keys()
        if keys.public != self._keys.public:
            await self._heads.write_keys([KnownKey(key.public, key.since) for key in keys.keys])
        self._keys = keys

    async def _follow(self) -> None:
        """Add what is new in the topic to the table. Raise `Inconsistent`."""
        known = await self._heads.next_offset()
        first = known if self._read_to is None else self._read_to
        end = await self._topic.end()
        if end < known:
            raise Inconsistent(
                f"the topic of tree heads has lost records: {known} were known, {end} are left"
            )
        async for offset, content in self._topic.read(first, end):
            await self._add(offset, content)
        self._read_to = end

    async def _add(self, offset: int, content: bytes) -> None:
        """Add a record of the topic to the table, if it is a head that one of our keys signed."""
        try:
            note = Note.parse(content.decode())
            head = TreeHead.parse(note.text)
            if not note.signed_by(self._keys.public, verify):
                raise Unreadable("none of the known keys signed it")
        except ValueError as error:
            log.warning("a record of the topic of tree heads is ignored", offset=offset, reason=str(error))
            self._has_foreign = True
            return
        former = await self._heads.of_size(head.size)
        if former is None:
            await self._heads.write(SignedHead(head, note), offset)
        elif former.note.text == note.text:
            await self._heads.write(SignedHead(head, former.note.with_signatures(note.signatures)), offset)
        elif former.head.root != head.root:
            raise Inconsistent(f"two tree heads with {head.size} records have different roots")

    # --- signing -------------------------------------------------------------------------------------------

    async def _sign(self) -> None:
        """Sign the present trees, if they have more records than the last head. Raise `Inconsistent`."""
        last = await self._heads.last()
        sizes = await self._trees.sizes()
        if last is not None:
            self.last = last.head
            _check_reached(last.head, sizes)
        trees = await self._trees.trees(sizes)
        if last is not None:
            await self._check_continues(last.head, trees)
        if sum(sizes.values()) > (0 if last is None else last.head.size):
            await self._append(trees, last)

    async def _append(self, trees: Sequence[PartitionTree], last: SignedHead | None) -> None:
        now = self._clock() if last is None else max(self._clock(), last.head.time)
        before = [] if last is None else last.note.signed_by(self._keys.public, verify)
        if not before and (last is not None or self._has_foreign):
            raise Inconsistent("the last tree head was signed by none of the keys of this worker")
        signers = self._keys.signers(now, before)
        if not signers:
            raise Inconsistent("the time of the first key has not come")
        head = TreeHead(signers[0].public.name, now, trees)
        note = Note(str(head), tuple(key.sign(str(head)) for key in signers))
        await self._topic.append(head.size, note)
        await self._follow()
        self.last = head

    async def _check_continues(self, head: TreeHead, trees: Sequence[PartitionTree]) -> None:
        """Prove that the present trees begin with those of a head. Raise `Inconsistent`."""
        proofs = await self._trees.consistency(
            {old.partition: (old.size, new.size) for old, new in zip(head.trees, trees, strict=True)}
        )
        for old, new in zip(head.trees, trees, strict=True):
            try:
                check_consistency(old.size, new.size, old.root, new.root, proofs[old.partition])
            except WrongProof as error:
                raise Inconsistent(
                    f"the records of partition {old.partition} below {old.size} are not those that were "
                    f"signed at {head.time:%Y-%m-%d %H:%M:%S} UTC ({error}); see `tasktape audit verify`"
                ) from None


def _check_reached(head: TreeHead, sizes: Mapping[int, int]) -> None:
    """Check that all partitions have at least the records of a head. Raise `Inconsistent`."""
    if list(sizes) != list(head.sizes):
        raise Inconsistent(f"the last tree head has {len(head.sizes)} partitions, not {len(sizes)}")
    for partition, size in head.sizes.items():
        if sizes[partition] < size:
            raise Inconsistent(
                f"the last tree head has {size} records of partition {partition}, "
                f"and the read models have only {sizes[partition]}"
            )

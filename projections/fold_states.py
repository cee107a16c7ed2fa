"""The input of a projector's fold: states of streams, accepted ids and holds, from the read models."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from app.errors import Undecodable
from app.log.fold import Began, Fold, Home, State
from app.log.records import RawRecord, Record
from app.stream_ids import StreamId
from projections.postgres.connections import Connection
from projections.queries.stream_states import load_streams
from projections.read_models import audit, dead_letters, tasks

STATES_KEPT = 20_000


class FoldStates:
    """The states of streams after one projector's commits: valid while nobody else moves the checkpoints.

    `home` is the fold's.
    """

    def __init__(self, home: Home | None) -> None:
        self._home = home
        self.forget()

    def forget(self) -> None:
        """Forget everything; the next batch loads it again."""
        self._generation: int | None = None
        self._next_offsets: dict[int, int] = {}
        self._states: dict[StreamId, State | None] = {}
        self._began: dict[StreamId, Began] = {}
        self._held: dict[str, str] = {}

    async def fold_for(
        self,
        connection: Connection,
        generation: int,
        firsts: Mapping[int, int],
        raws: Sequence[RawRecord],
        records: Sequence[Record | Undecodable],
    ) -> Fold:
        """Return a fold with the states, accepted ids and holds of the streams in a batch, of a generation.

        `firsts` are the batch's first offsets. `records` are the decoded `raws`.
        """
        if generation != self._generation or any(
            self._next_offsets.get(partition) != first for partition, first in firsts.items()
        ):
            # Assignments change; remembered states are valid only for partitions that we never gave up.
            self.forget()
            self._generation = generation
            self._held = await dead_letters.load_holds(connection)
        await self._load_missing(connection, _streams_of(raws, records))
        ids = [record.id for record in records if isinstance(record, Record)]
        accepted = await audit.accepted_ids(connection, ids) if ids else set()
        return Fold(self._states, accepted, self._held, self._home, self._began)

    async def _load_missing(self, connection: Connection, streams: Collection[StreamId]) -> None:
        missing = {stream for stream in streams if stream not in self._states}
        if missing:
            found = await load_streams(connection, missing)
            self._states.update({**dict.fromkeys(missing), **found})
            if known := {stream.key: stream for stream in found if stream.kind == "task"}:
                began = await tasks.load_began(connection, list(known))
                self._began.update({known[task_id]: each for task_id, each in began.items()})

    def committed(self, ends: Mapping[int, int]) -> None:
        """Keep the states that the last fold left, for the batches that begin at these offsets."""
        if len(self._states) > STATES_KEPT:
            self._states.clear()
            self._began.clear()
        self._next_offsets.update(ends)


def _streams_of(raws: Sequence[RawRecord], records: Sequence[Record | Undecodable]) -> set[StreamId]:
    streams = {
        record.stream if isinstance(record, Record) else raw.stream
        for raw, record in zip(raws, records, strict=True)
    }
    return {stream for stream in streams if stream is not None}

"""The updates that this node has published: the positions up to which, and the latest of them."""

from __future__ import annotations

from api.relay.replay_buffer import ReplayBuffer
from api.relay.subscribers import StreamCursor
from api.telemetry.counters import Counters
from app.log.updates import Update
from app.positions import Position, Positions


class PublishedUpdates:
    """The published part of the stream of updates, which has no gap in any partition."""

    def __init__(self, replay_buffer: ReplayBuffer, counters: Counters) -> None:
        self.replay_buffer = replay_buffer
        self.reached: dict[int, int] = {}
        """Partition → the last published offset: the dictionary itself, which changes."""
        self.partitions = 0
        """The number of partitions of the log; 0 until `start`."""
        self._counters = counters

    def start(self, positions: Positions, partitions: int) -> None:
        """Set the positions up to which updates are in the audit: the first live ones follow directly."""
        self.reached.clear()
        self.reached.update(positions)
        self.replay_buffer.start(positions)
        self.partitions = partitions

    @property
    def positions(self) -> dict[int, int]:
        """Return a copy of the positions."""
        return dict(self.reached)

    def cursor(self) -> StreamCursor:
        """Return a cursor at the present."""
        return StreamCursor(self.replay_buffer.end, dict(self.reached))

    def gap_before(self, update: Update) -> range | None:
        """Return the missing offsets between the published updates and this one, if there are any."""
        partition, offset = update.position
        following = self.reached.get(partition, -1) + 1
        if offset <= following:
            return None
        self._counters.gaps += 1
        return range(following, offset)

    def gap_up_to(self, position: Position) -> range | None:
        """Return the missing offsets between the published updates and a position, inclusive."""
        following = self.reached.get(position.partition, -1) + 1
        return range(following, position.offset + 1) if position.offset >= following else None

    def follows(self, update: Update) -> bool:
        """Return True if all updates that must be published before this one were published."""
        return self.reached.get(update.position.partition, -1) + 1 >= update.position.offset and all(
            position.offset <= self.reached.get(position.partition, -1) for position in update.after
        )

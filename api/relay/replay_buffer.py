"""The replay buffer: the newest updates of this node, in order of arrival, for reconnecting clients."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection, Iterator, Sequence

from api.protocol.frames import EncodedMessage, MessageBatch
from app.channels import Channel
from app.log.updates import Update, frame
from app.positions import Position, Positions

MAX_BATCHES = 64
MAX_BATCHED_BYTES = 8 * 1024 * 1024


class BufferOverrun(Exception):
    """The buffer no longer contains the requested updates."""


class ReplayBuffer:
    """A bounded buffer of updates, numbered from 0 in the order they were published here.

    For each partition it contains the updates after its floor, without a gap. It also caches their encoded
    messages.
    """

    def __init__(self, *, max_updates: int = 8_192, max_bytes: int = 16 * 1024 * 1024) -> None:
        self._slots: list[Update | None] = [None] * max_updates
        self._max_bytes = max_bytes
        self._size = 0
        self._first = 0
        self._floor: dict[int, int] = {}
        self._numbers: dict[int, deque[int]] = {}
        self._by_channel: dict[Channel, deque[int]] = {}
        self._messages: dict[tuple[Position, Channel], EncodedMessage] = {}
        # Bounded by count and by bytes at once, which no cache of cachetools is.
        self._batches: OrderedDict[tuple[int, ...], MessageBatch] = OrderedDict()
        self._batched_size = 0
        self.end = 0
        """The number of the next update."""

    def start(self, positions: Positions) -> None:
        """Set the positions before the first update."""
        self._floor = dict(positions)

    def append(self, update: Update) -> None:
        """Add an update, and evict the oldest ones beyond the bounds."""
        if self.end - self._first == len(self._slots):
            self._forget()
        self._slots[self.end % len(self._slots)] = update
        self._numbers.setdefault(update.position.partition, deque()).append(self.end)
        for channel in update.channels:
            numbers = self._by_channel.get(channel)
            if numbers is None:
                numbers = self._by_channel[channel] = deque()
            numbers.append(self.end)
        self.end += 1
        self._size += len(update.value)
        while self._size > self._max_bytes:
            self._forget()

    def _forget(self) -> None:
        index = self._first % len(self._slots)
        oldest = self._slots[index]
        assert oldest is not None
        self._slots[index] = None
        self._size -= len(oldest.value)
        self._first += 1
        position = oldest.position
        self._floor[position.partition] = position.offset
        self._numbers[position.partition].popleft()
        for channel in oldest.channels:
            self._messages.pop((position, channel), None)
            numbers = self._by_channel[channel]
            numbers.popleft()
            if not numbers:
                del self._by_channel[channel]

    def read(self, first: int, limit: int) -> Iterator[Update]:
        """Yield at most `limit` updates from number `first` on. Raise `BufferOverrun`."""
        if first < self._first:
            raise BufferOverrun
        for number in range(first, min(self.end, first + limit)):
            yield self._at(number)

    # --- what was missed ---------------------------------------------------------------------------------

    def missed(
        self, channels: Collection[Channel], since: Positions, upto: Positions, limit: int
    ) -> list[Update] | None:
        """Return the channels' updates in `(since, upto]`, in order of arrival; None if more than `limit`.

        Raise `BufferOverrun` if some were evicted, or have not arrived yet.
        """
        start = self._start(since, upto)
        numbers = self._numbers_of(channels, start)
        found = []
        for number in numbers:
            update = self._at(number)
            partition, offset = update.position
            if since.get(partition, -1) < offset <= upto.get(partition, -1):
                found.append(update)
        return None if len(found) > limit else found

    def _start(self, since: Positions, upto: Positions) -> int:
        """Return the number of the first update that may have been missed. Raise `BufferOverrun`."""
        start = self.end
        for partition, last in upto.items():
            after = since.get(partition, -1)
            if after >= last:
                continue
            floor, numbers = self._floor.get(partition, -1), self._numbers.get(partition, ())
            if after < floor or last > floor + len(numbers):
                raise BufferOverrun
            start = min(start, numbers[after - floor])
        return start

    def _numbers_of(self, channels: Collection[Channel], start: int) -> Sequence[int]:
        found: dict[int, None] = {}
        for channel in channels:
            for number in reversed(self._by_channel.get(channel, ())):
                if number < start:
                    break
                found[number] = None
        return sorted(found)

    def _at(self, number: int) -> Update:
        update = self._slots[number % len(self._slots)]
        assert update is not None
        return update

    # --- messages ----------------------------------------------------------------------------------------

    def message(self, update: Update, channel: Channel) -> EncodedMessage:
        """Return the message of an update under one of its channels; cached while the update is buffered."""
        if update.position.offset <= self._floor.get(update.position.partition, -1):
            return EncodedMessage(frame(channel, update.value))
        key = (update.position, channel)
        message = self._messages.get(key)
        if message is None:
            message = self._messages[key] = EncodedMessage(frame(channel, update.value))
        return message

    def batch(self, messages: Sequence[EncodedMessage]) -> MessageBatch:
        """Return messages as one batch; cached for all sockets that currently miss the same."""
        key = tuple(map(id, messages))
        batch = self._batches.get(key)
        if batch is None:
            batch = self._batches[key] = MessageBatch(messages)
            self._batched_size += batch.size
            while len(self._batches) > MAX_BATCHES or (
                self._batched_size > MAX_BATCHED_BYTES and len(self._batches) > 1
            ):
                _, oldest = self._batches.popitem(last=False)
                self._batched_size -= oldest.size
        return batch

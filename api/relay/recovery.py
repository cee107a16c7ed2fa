"""Recovery: finds the updates that a client missed in memory, or else in the audit."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from api.protocol.messages import MAX_MISSED
from api.read_consistency import retry_while_unavailable
from api.relay.context import Relay
from api.relay.replay_buffer import BufferOverrun
from api.relay.subscribers import own_channels
from app.log.updates import Update
from app.positions import Positions


async def missed_of(
    relay: Relay, channels: Collection[str], since: Positions, upto: Positions
) -> Sequence[Update] | None:
    """Return the channels' updates in `(since, upto]`, in order per partition; None if there are too many.

    Raise `Unavailable`.
    """
    if all(since.get(partition, -1) >= offset for partition, offset in upto.items()):
        return ()
    counters = relay.counters
    try:
        missed: Sequence[Update] | None = relay.hub.missed(channels, since, upto, MAX_MISSED)
        counters.recovered_memory += 1
    except BufferOverrun:
        counters.ring_misses += 1
        missed = await retry_while_unavailable(
            lambda: relay.history.missed(channels, since, upto, MAX_MISSED)
        )
        counters.recovered_audit += 1
    return missed


def furthest(one: Positions, other: Positions) -> Positions:
    """Return the positions that include both."""
    return {p: max(one.get(p, -1), other.get(p, -1)) for p in {*one, *other}}


def merged(some: Sequence[Update], others: Sequence[Update] | None) -> Sequence[Update] | None:
    """Merge both in one order, each update once; return None if there are too many."""
    if others is None:
        return None
    updates = {update.position: update for update in (*some, *others)}
    if len(updates) > MAX_MISSED:
        return None
    return [updates[position] for position in sorted(updates)]


def without(updates: Sequence[Update] | None, channels: Collection[str]) -> Sequence[Update] | None:
    """Return the updates that are in none of the channels; see `Subscriber.has_received` for tasks."""
    if updates is None:
        return None
    return [update for update in updates if not any(channel in channels for channel in own_channels(update))]


def nearest(one: Positions, other: Positions) -> Positions:
    """Return the positions that are included in both."""
    return {p: min(one[p], other[p]) for p in one.keys() & other.keys()}

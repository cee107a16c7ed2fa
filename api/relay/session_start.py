"""The start of a session: its automatic channels, and the updates that it missed there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.relay.hub import Hub
from api.relay.membership import joined_list
from api.relay.recovery import Recovery, furthest, merged, without
from api.relay.subscribers import Subscriber, Subscription
from app.channels import Channel, list_channel, user_channel
from app.log.updates import Update
from app.positions import Positions


@dataclass(frozen=True, slots=True)
class SessionStart:
    """The automatic channels; the positions to which the client has everything once `missed` are sent."""

    channels: Sequence[Channel]
    positions: Positions
    missed: Sequence[tuple[Channel, Update]]
    is_too_much: bool
    """True if more was missed than is sent."""
    has_whole_lists: bool


async def start_session(
    hub: Hub, recovery: Recovery, subscriber: Subscriber, reached: Positions, since: Positions | None
) -> SessionStart:
    """Subscribe a paused subscriber, which is at `reached`, to its automatic channels from `since` on.

    Raise `Unavailable`.
    """
    user = subscriber.user
    is_other_log = since is not None and await recovery.is_beyond(user, since)
    if since is None or is_other_log:
        start: Positions = reached
    else:
        start = recovery.resumed_from = since
    positions = furthest(reached, recovery.resumed_from)
    lists = await recovery.lists_at(user, positions)
    channels = [user_channel(user), *map(list_channel, sorted(lists))]
    missed = None if is_other_log else await recovery.missed(channels, start, reached)
    joined = {
        list_channel(list_id) for update in missed or () if (list_id := joined_list(update, user))
    }.intersection(channels)
    has_whole_lists = missed is not None and bool(joined)
    if missed is not None and joined:
        had = {channel for channel in channels if channel not in joined}
        missed = merged(missed, without(await recovery.missed(joined, {}, positions), had))
    subscriber.lists, subscriber.lists_at = lists, positions
    for channel in channels:
        begin = reached if missed is None else {} if channel in joined else start
        hub.subscribers.subscribe(subscriber, channel, Subscription(begin))
    sent = [(under, each) for each in missed or () if (under := subscriber.first_channel(each)) is not None]
    for channel in joined if missed is not None else ():
        hub.subscribers.subscribe(subscriber, channel, Subscription(recovery.ahead_of(reached)))
    return SessionStart(channels, positions, sent, missed is None, has_whole_lists)

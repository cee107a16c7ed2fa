"""Channels of updates: subscribing, refusals, and losses."""

from __future__ import annotations

import asyncio

import pytest

from tasktape_client import (
    TasktapeError,
    Update,
)
from tasktape_client.updates import Item, Updates
from tests.client.scripted_server import Peer, scripted_server, update_of
from tests.client.scripts import LIMIT_S, cut, positions_of, sending, then


async def _subscribed(peer: Peer, positions: dict[str, int], *missed: str) -> None:
    asked = await peer.receive("subscribe")
    reply = {"id": asked["id"], "type": "subscribed", "channel": asked["channel"]}
    await peer.send({**reply, "positions": positions, "missed": len(missed)})
    await peer.send(*(update_of(position, asked["channel"]) for position in missed))


async def test_further_channels_begin_at_the_same_positions() -> None:
    """There is no gap. A reconnect resumes each, and no position counts before all have arrived."""

    async def first(peer: Peer) -> None:
        await peer.welcome()
        await _subscribed(peer, {"0": 12}, "0:11")
        await _subscribed(peer, {"0": 12})
        await peer.send(update_of("0:13"))
        await cut(peer)

    async def second(peer: Peer) -> None:
        await peer.welcome(positions={"0": 20}, missed=1)
        await peer.send(update_of("0:15"))
        await peer.receive("subscribe")
        await cut(peer)

    async def third(peer: Peer) -> None:
        await peer.welcome(positions={"0": 20}, missed=1)
        await peer.send(update_of("0:15"))
        await _subscribed(peer, {"0": 20}, "0:14")
        await _subscribed(peer, {"0": 20})

    async with scripted_server(first, second, third) as server:
        updates = server.updates(channels=["task:A", "list:L", "task:B"])
        assert await positions_of(updates, 4) == ["0:11", "0:13", "0:15", "0:14"]
    asked = [(message["channel"], message["since"]) for message in server.received("subscribe")]
    assert asked[:2] == [("task:A", {"0": 10}), ("task:B", {"0": 10})]
    assert set(map(str, asked[2:])) <= {str(("task:A", {"0": 13})), str(("task:B", {"0": 13}))}
    assert server.received("authenticate")[2]["since"] == {"0": 13}


async def test_many_channels_are_subscribed_in_small_groups() -> None:
    """Without waiting for each reply."""
    channels = [f"task:{number}" for number in range(50)]

    async def script(peer: Peer) -> None:
        await peer.welcome()
        for _ in channels:
            await _subscribed(peer, {"0": 10})
        await peer.send(update_of("0:11"))

    async with scripted_server(script) as server, server.updates(channels=channels) as updates:
        await positions_of(updates, 1)
        assert {message["channel"] for message in server.received("subscribe")} == set(channels)
        assert len({message["id"] for message in server.received("subscribe")}) == 50


async def test_refused_channel_is_an_error() -> None:
    """It raises immediately."""

    async def script(peer: Peer) -> None:
        await peer.welcome()
        asked = await peer.receive("subscribe")
        await peer.send({"id": asked["id"], "type": "error", "code": "not_found", "message": "no such task"})

    async with scripted_server(script) as server:
        with pytest.raises(TasktapeError, match="no such task") as caught:
            await positions_of(server.updates(channels=["task:A"]), 1)
    assert caught.value.code == "not_found"


def described(found: Item) -> str:
    """Return the position of an update, or the channel of another item."""
    return found.position if isinstance(found, Update) else f"{found.type} {found.channel}"


async def all_of(updates: Updates, count: int) -> list[str]:
    """Return the names of the next items."""
    found: list[str] = []
    async with asyncio.timeout(LIMIT_S):
        async for each in updates:
            found.append(described(each))
            if len(found) == count:
                break
    return found


async def refusing(peer: Peer) -> None:
    """Return a script that refuses a subscription as not found."""
    asked = await peer.receive("subscribe")
    await peer.send({"id": asked["id"], "type": "error", "code": "not_found", "message": "no such task"})


async def test_lost_channel_is_reported_and_not_requested_again() -> None:
    """In order, whether it is lost on or between connections. Others continue."""

    async def first(peer: Peer) -> None:
        await peer.welcome()
        await _subscribed(peer, {"0": 10})
        await _subscribed(peer, {"0": 10})
        await peer.send({"type": "unsubscribed", "channel": "task:A"}, update_of("0:11"))
        await cut(peer)

    async def second(peer: Peer) -> None:
        await peer.welcome(positions={"0": 11})
        await refusing(peer)
        await peer.send(update_of("0:12"))
        await cut(peer)

    async with scripted_server(first, second, sending("0:13")) as server:
        updates = server.updates(channels=["task:A", "task:B"])
        assert await all_of(updates, 5) == [
            *("unsubscribed task:A", "0:11"),
            *("unsubscribed task:B", "0:12", "0:13"),
        ]
        assert updates.channels.isdisjoint({"task:A", "task:B"})
    asked = [message["channel"] for message in server.received("subscribe")]
    assert asked == ["task:A", "task:B", "task:B"]


@pytest.mark.parametrize("channels", [[], ["list:L"]])
async def test_lost_list_is_reported(channels: list[str]) -> None:
    """Each loss is reported once, also after a return, and if it happened between connections."""
    without = {"channels": ["user:alice"]}

    async def first(peer: Peer) -> None:
        await peer.welcome()
        await peer.send({"type": "unsubscribed", "channel": "list:L"}, update_of("0:11"))
        reply = {"type": "subscribed", "channel": "list:L", "positions": {"0": 12}, "missed": 1}
        await peer.send(reply, update_of("0:12"))
        await cut(peer)

    async def second(peer: Peer) -> None:
        await peer.welcome(positions={"0": 13}, missed=1, **without)
        await peer.send(update_of("0:13"))
        await cut(peer)

    async with scripted_server(first, second, sending("0:14", positions={"0": 13}, **without)) as server:
        updates = server.updates(channels=channels)
        assert await all_of(updates, 3) == ["unsubscribed list:L", "0:11", "0:12"]
        assert await all_of(updates, 3) == ["unsubscribed list:L", "0:13", "0:14"]


async def test_named_list_may_be_lost_between_connections() -> None:
    """An automatic channel that is refused later does not end the iteration."""
    second = then(sending(channels=["user:alice"]), refusing, lambda peer: peer.send(update_of("0:12")))
    async with scripted_server(then(sending("0:11"), cut), second) as server:
        updates = server.updates(channels=["list:L"])
        assert await all_of(updates, 3) == ["0:11", "unsubscribed list:L", "0:12"]

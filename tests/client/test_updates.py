"""Updates of a scripted server: reconnects, resumption, tokens, channels, and ends."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from websockets.typing import Subprotocol

from tasktape_client import (
    Client,
    Connected,
    Disconnected,
    Patience,
    Resync,
    TasktapeError,
    Unsubscribed,
    Update,
)
from tasktape_client import link as link_module
from tasktape_client import updates as updates_module
from tasktape_client.link import PACKED_SUBPROTOCOL, SUBPROTOCOL
from tasktape_client.updates import Updates
from tests.client.scripted_server import Peer, Script, ScriptedServer, hello_of, scripted_server, update_of
from tests.waiting import eventually

LIMIT_S = 10


async def positions_of(updates: Updates, count: int) -> list[str]:
    """Return the positions of the next updates."""
    found = []
    async with asyncio.timeout(LIMIT_S):
        async for update in updates:
            assert isinstance(update, Update)
            found.append(update.position)
            if len(found) == count:
                break
    return found


def telling(*positions: str, **hello: Any) -> Script:
    """Return a script that sends a welcome and these updates."""

    async def script(peer: Peer) -> None:
        await peer.welcome(**hello)
        await peer.send(*map(update_of, positions))

    return script


def closing(code: int, reason: str = "", retry_after_ms: list[int] | None = None) -> Script:
    """Return a script that receives the authentication and closes."""

    async def script(peer: Peer) -> None:
        await peer.receive("authenticate")
        await peer.close(code, reason, retry_after_ms)

    return script


def then(*scripts: Callable[[Peer], Awaitable[None]]) -> Script:
    """Return a script of several, one after another, on one connection."""

    async def script(peer: Peer) -> None:
        for each in scripts:
            await each(peer)

    return script


async def cut(peer: Peer) -> None:
    """Abort a connection, as a network failure does."""
    peer.socket.transport.abort()


# --- resuming --------------------------------------------------------------------------------------------


async def test_updates_are_typed() -> None:
    """With the event, the changes and the state after it."""
    async with scripted_server(telling("0:11")) as server, server.updates() as updates:
        async for update in updates:
            assert isinstance(update, Update)
            assert (update.event.actor, update.changes) == ("bob", {"title": ("a", "b")})
            assert update.as_sent() == update_of("0:11")
            break


async def test_broken_connection_is_resumed() -> None:
    """Missed updates after the last delivered one are delivered once."""
    second = telling("0:12", "0:13", "0:20", positions={"0": 13}, missed=2)
    async with scripted_server(then(telling("0:11"), cut), second) as server:
        updates = server.updates()
        assert await positions_of(updates, 4) == ["0:11", "0:12", "0:13", "0:20"]
        assert updates.positions == {"0": 20}
    assert [message.get("since") for message in server.received("authenticate")] == [None, {"0": 11}]


async def test_interrupted_recovery_is_resumed() -> None:
    """Missed updates are sent again, and delivered once."""
    first = telling("0:3", "0:5", positions={"0": 9}, missed=3)
    second = telling("0:3", "0:5", "0:9", "0:10", positions={"0": 9}, missed=3)
    async with scripted_server(then(first, cut), second) as server:
        assert await positions_of(server.updates(since={"0": 1}), 4) == ["0:3", "0:5", "0:9", "0:10"]
    assert [message["since"] for message in server.received("authenticate")] == [{"0": 1}, {"0": 1}]


async def test_new_loop_continues_after_a_previous_one() -> None:
    """Updates that were received but not yielded do not count."""
    second = telling("0:12", positions={"0": 12}, missed=1)
    async with scripted_server(telling("0:11", "0:12"), second) as server:
        updates = server.updates()
        assert await positions_of(updates, 1) == ["0:11"]
        assert updates.positions == {"0": 11}
        assert await positions_of(updates, 1) == ["0:12"]
    assert server.received("authenticate")[1]["since"] == {"0": 11}


async def test_resync_is_reported() -> None:
    """New updates are still delivered."""
    resync = {"type": "resync", "channel": "list:L", "reason": "too much was missed"}

    async def script(peer: Peer) -> None:
        await peer.welcome(positions={"0": 90})
        await peer.send(resync, {"type": "of a newer server"}, update_of("0:91"))

    async with scripted_server(script) as server:
        updates = server.updates(since={"0": 1})
        found = []
        async for each in updates:
            found.append(each)
            if len(found) == 2:
                break
        assert updates.positions == {"0": 91}
    assert found[0] == Resync(channel="list:L", reason="too much was missed")
    assert isinstance(found[1], Update)


async def test_new_log_is_followed_from_its_current_end() -> None:
    """A resync reports it. The old positions mean nothing in it."""
    resync = {"type": "resync", "channel": "list:L", "reason": "the log is another one"}

    async def script(peer: Peer) -> None:
        await peer.welcome(positions={"0": 3})
        await peer.send(resync, update_of("0:4"))

    async with scripted_server(then(script, cut), telling("0:5", positions={"0": 4})) as server:
        updates = server.updates(since={"0": 500})
        found = []
        async with asyncio.timeout(LIMIT_S):
            async for each in updates:
                found.append(type(each))
                if len(found) == 3:
                    break
        assert found == [Resync, Update, Update]
        assert updates.positions == {"0": 5}
    assert [message["since"] for message in server.received("authenticate")] == [{"0": 500}, {"0": 4}]


async def test_delay_of_a_goodbye_is_respected() -> None:
    """A restarting server names it."""
    told: list[Connected | Disconnected] = []
    first = then(telling(), lambda peer: peer.close(4001, "restarting", [300, 310]))
    async with scripted_server(first, telling("0:11")) as server:
        updates = server.updates(patience=Patience(), on_connection=told.append)
        assert await positions_of(updates, 1) == ["0:11"]
    connected = Connected("alice", frozenset({"user:alice", "list:L"}))
    [before, broken, after] = told
    assert before == after == connected
    assert isinstance(broken, Disconnected)
    assert broken.reason == "restarting"
    assert 0.3 <= broken.retry_in_s <= 0.31


async def test_unavailable_server_is_retried_up_to_the_limit() -> None:
    """It raises then. Without a limit it retries for ever."""
    async with scripted_server(telling()) as server:
        pass
    told: list[Connected | Disconnected] = []
    with pytest.raises(TasktapeError, match="cannot be reached") as caught:
        await positions_of(server.updates(attempts=3, on_connection=told.append), 1)
    assert (caught.value.code, len(told)) == ("unreachable", 3)


async def test_server_of_another_kind_is_an_error() -> None:
    """Before the first connection. Later, the cause may be a restarting proxy."""

    async def no_socket(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(no_socket, "127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        server = ScriptedServer()
        server.url = url
        with pytest.raises(TasktapeError, match="answers 404"):
            await positions_of(server.updates(), 1)


async def test_silent_connection_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server has to send pings. Without them, the connection is considered lost."""
    monkeypatch.setattr(link_module, "SILENT_PERIODS", 0.1)
    async with scripted_server(telling(ping_s=1), telling("0:11")) as server:
        assert await positions_of(server.updates(), 1) == ["0:11"]
    assert server.connections == 2


async def test_pings_are_answered_while_nobody_reads() -> None:
    """A reader that is busy with an update keeps the connection."""

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.send(update_of("0:11"), {"type": "ping"}, {"type": "ping", "id": 7})

    async with scripted_server(then(script, lambda peer: _pongs(peer, 2))) as server:
        async for _ in server.updates():
            await eventually(lambda: len(server.received("pong")) == 2)
            break
    assert [message.get("id") for message in server.received("pong")] == [None, 7]


async def _pongs(peer: Peer, count: int) -> None:
    for _ in range(count):
        await peer.receive("pong")


async def test_buffer_for_a_slow_reader_is_bounded() -> None:
    """The server has to wait, and treats the client as a slow one."""
    sent, padding = 0, random.Random(1).randbytes(50_000).hex()  # does not compress well

    async def flood(peer: Peer) -> None:
        nonlocal sent
        await peer.welcome()
        while True:
            await peer.send({**update_of(f"0:{11 + sent}"), "padding": padding})
            sent += 1

    async with scripted_server(flood) as server, server.updates() as updates:
        async for _ in updates:
            quiet = -1
            while quiet != sent:  # that nothing more comes cannot be awaited
                quiet = sent
                await asyncio.sleep(0.2)
            break
    assert sent < 2 * link_module.BUFFER_MESSAGES


# --- frames ----------------------------------------------------------------------------------------------


async def batched(peer: Peer) -> None:
    """Return a script that sends several messages in a frame, then one alone."""
    hello = await peer.receive("authenticate")
    missed = [update_of("0:11"), update_of("0:12")]
    await peer.send_together(
        {**hello_of(hello["id"]), "positions": {"0": 12}, "missed": 2}, missed[0], {"type": "ping", "id": 7}
    )
    await peer.send_together(missed[1], update_of("0:13"))
    await peer.receive("pong")
    await peer.send(update_of("0:14"))


async def test_messages_of_a_frame_are_delivered_one_by_one() -> None:
    """The authentication offers the feature. Maintenance messages may be among them."""
    async with scripted_server(batched) as server:
        updates = server.updates(since={"0": 10})
        assert await positions_of(updates, 4) == ["0:11", "0:12", "0:13", "0:14"]
        assert updates.positions == {"0": 14}
    assert server.received("authenticate")[0]["features"] == ["batch"]
    assert server.received("pong") == [{"type": "pong", "id": 7}]


@pytest.mark.parametrize(
    ("speaks", "spoken"),
    [
        ([PACKED_SUBPROTOCOL, SUBPROTOCOL], PACKED_SUBPROTOCOL),
        ([SUBPROTOCOL], SUBPROTOCOL),
        ([], None),
    ],
)
async def test_msgpack_is_used_if_the_server_supports_it(
    speaks: list[Subprotocol], spoken: Subprotocol | None
) -> None:
    """The alternative is JSON."""
    async with scripted_server(batched, speaks=speaks) as server:
        updates = server.updates(packed=True, since={"0": 10})
        assert await positions_of(updates, 4) == ["0:11", "0:12", "0:13", "0:14"]
    assert server.spoken == [spoken]


async def test_json_is_the_default() -> None:
    async with (
        scripted_server(telling("0:11"), speaks=[PACKED_SUBPROTOCOL, SUBPROTOCOL]) as server,
        Client(server.url, "t") as plain,
        Client(server.url, "t", packed=True) as packed,
    ):
        for client, spoken in ((plain, SUBPROTOCOL), (packed, PACKED_SUBPROTOCOL)):
            assert await positions_of(client.updates(), 1) == ["0:11"]
            assert server.spoken[-1] == spoken


@pytest.mark.parametrize("frame", ["[1]", "[[]]", "{}", b"\xc1", b"\x91\x01"], ids=repr)
async def test_frames_of_another_protocol_are_an_error(frame: str | bytes) -> None:
    """A reconnect would be useless."""

    async def script(peer: Peer) -> None:
        await peer.receive("authenticate")
        await peer.socket.send(frame)

    async with scripted_server(script) as server:
        with pytest.raises(TasktapeError, match="Tasktape"):
            await positions_of(server.updates(), 1)


# --- channels --------------------------------------------------------------------------------------------


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


def described(found: Update | Resync | Unsubscribed) -> str:
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

    async with scripted_server(first, second, telling("0:13")) as server:
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

    async with scripted_server(first, second, telling("0:14", positions={"0": 13}, **without)) as server:
        updates = server.updates(channels=channels)
        assert await all_of(updates, 3) == ["unsubscribed list:L", "0:11", "0:12"]
        assert await all_of(updates, 3) == ["unsubscribed list:L", "0:13", "0:14"]


async def test_named_list_may_be_lost_between_connections() -> None:
    """An automatic channel that is refused later does not end the iteration."""
    second = then(telling(channels=["user:alice"]), refusing, lambda peer: peer.send(update_of("0:12")))
    async with scripted_server(then(telling("0:11"), cut), second) as server:
        updates = server.updates(channels=["list:L"])
        assert await all_of(updates, 3) == ["0:11", "unsubscribed list:L", "0:12"]


# --- tokens ----------------------------------------------------------------------------------------------


async def test_token_is_renewed_before_it_expires() -> None:
    """On the open socket, repeatedly."""
    tokens = iter("abc")

    async def script(peer: Peer) -> None:
        assert (await peer.welcome(expires_in=0.2))["token"] == "a"
        for token in "bc":
            assert (await peer.receive("refresh"))["token"] == token
            await peer.send({"type": "refreshed", "expires_in": 0.2 if token == "b" else 60})
        await peer.send(update_of("0:11"))

    async with scripted_server(script) as server:
        assert await positions_of(server.updates(lambda: next(tokens)), 1) == ["0:11"]
    assert server.connections == 1


async def test_expired_token_is_replaced_on_the_next_connection() -> None:
    """The token function may fail temporarily. The next connection calls it again."""
    answers: Iterator[str | Exception] = iter(["a", httpx.ConnectError("away"), OSError("away"), "b"])
    asked = asyncio.Event()

    async def token() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            asked.set()
            raise answer
        return answer

    async def first(peer: Peer) -> None:
        await telling("0:11", expires_in=0.1)(peer)
        await asked.wait()
        await peer.close(4005, "the token has expired", [0, 10])

    async with scripted_server(first, telling("0:12")) as server:
        assert await positions_of(server.updates(token), 2) == ["0:11", "0:12"]
    assert [message["token"] for message in server.received("authenticate")] == ["a", "b"]


@pytest.mark.parametrize(("token", "tries"), [("t", 1), (lambda: "t", 2)])
async def test_refused_token_ends_the_iteration(token: Any, tries: int) -> None:
    """A fixed token fails immediately, another after its successor was rejected too."""
    refusing = closing(4500, "the token's signature is not ours")
    async with scripted_server(refusing) as server:
        with pytest.raises(TasktapeError, match="signature") as caught:
            await positions_of(server.updates(token), 1)
        assert (caught.value.code, server.connections) == ("unauthenticated", tries)


async def test_failing_token_function_is_reported() -> None:
    """It is not taken for an unavailable server, neither at first nor later."""

    def broken() -> str:
        raise LookupError("no such key")

    def once() -> str:
        return next(given, None) or broken()

    given = iter("a")
    async with scripted_server(telling(expires_in=0.1)) as server:
        for token in (broken, once):
            with pytest.raises(LookupError, match="no such key"):
                await positions_of(server.updates(token), 1)


# --- ends ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "name"), [(4507, "forbidden"), (4504, "closed"), (4501, "closed")])
async def test_final_close_ends_the_iteration(code: int, name: str) -> None:
    """The error has its reason."""
    async with scripted_server(then(telling("0:11"), lambda peer: peer.close(code, "a reason"))) as server:
        with pytest.raises(TasktapeError, match="a reason") as caught:
            await positions_of(server.updates(), 2)
        assert (caught.value.code, server.connections) == (name, 1)


async def test_invalid_message_ends_the_iteration() -> None:
    async def nonsense(peer: Peer) -> None:
        await peer.welcome()
        await peer.socket.send("nonsense")

    async def half(peer: Peer) -> None:
        await peer.welcome()
        await peer.send({"type": "update"})

    async def no_update(peer: Peer) -> None:
        await peer.welcome()
        await peer.send({"type": "update", "position": "0:11"})

    for script in (nonsense, half, no_update):
        async with scripted_server(script) as server:
            with pytest.raises(TasktapeError, match="does not answer as Tasktape does"):
                await positions_of(server.updates(), 1)


async def failing(updates: Updates) -> None:
    """Run a loop whose body raises."""
    async for _ in updates:
        raise ZeroDivisionError


async def test_leaving_a_loop_closes_the_socket() -> None:
    """By `break`, an exception, a cancellation, or the end of its block."""
    async with scripted_server(telling("0:11")) as server:
        async for _ in server.updates():
            break
        gc.collect()
        await eventually(lambda: server.open == 0)
        with pytest.raises(ZeroDivisionError):
            await failing(server.updates())
        gc.collect()
        await eventually(lambda: server.open == 0)
        listening = asyncio.create_task(positions_of(server.updates(), 2))
        await eventually(lambda: server.open == 1)
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening
        await eventually(lambda: server.open == 0)
        async with server.updates():
            await eventually(lambda: server.open == 1)
        await eventually(lambda: server.open == 0)


async def test_closing_ends_a_waiting_loop() -> None:
    """Another task can close it, also while it waits for an unavailable server."""
    async with scripted_server(telling()) as server:
        updates = server.updates()
        listening = asyncio.create_task(positions_of(updates, 1))
        await eventually(lambda: server.open == 1)
        await updates.aclose()
        assert await listening == []


async def test_second_loop_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two loops would share the updates."""
    monkeypatch.setattr(updates_module, "TURN_S", 0.05)
    async with scripted_server(telling("0:11")) as server:
        updates = server.updates()
        async for _ in updates:
            with pytest.raises(RuntimeError, match="another loop"):
                await positions_of(updates, 1)
            break

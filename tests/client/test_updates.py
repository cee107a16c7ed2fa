"""Updates of a scripted server: reconnects, resumption, and frames."""

from __future__ import annotations

import asyncio
import random

import pytest
from websockets.typing import Subprotocol

from tasktape_client import (
    Client,
    Connected,
    Disconnected,
    Patience,
    Resync,
    TasktapeError,
    Update,
)
from tasktape_client import link as link_module
from tasktape_client.link import PACKED_SUBPROTOCOL, SUBPROTOCOL
from tests.client.scripted_server import Peer, ScriptedServer, hello_of, scripted_server, update_of
from tests.client.scripts import LIMIT_S, cut, positions_of, sending, then
from tests.waiting import eventually


async def test_updates_are_typed() -> None:
    """With the event, the changes and the state after it."""
    async with scripted_server(sending("0:11")) as server, server.updates() as updates:
        async for update in updates:
            assert isinstance(update, Update)
            assert (update.event.actor, update.changes) == ("bob", {"title": ("a", "b")})
            assert update.as_sent() == update_of("0:11")
            break


async def test_broken_connection_is_resumed() -> None:
    """Missed updates after the last delivered one are delivered once."""
    second = sending("0:12", "0:13", "0:20", positions={"0": 13}, missed=2)
    async with scripted_server(then(sending("0:11"), cut), second) as server:
        updates = server.updates()
        assert await positions_of(updates, 4) == ["0:11", "0:12", "0:13", "0:20"]
        assert updates.positions == {"0": 20}
    assert [message.get("since") for message in server.received("authenticate")] == [None, {"0": 11}]


async def test_interrupted_recovery_is_resumed() -> None:
    """Missed updates are sent again, and delivered once."""
    first = sending("0:3", "0:5", positions={"0": 9}, missed=3)
    second = sending("0:3", "0:5", "0:9", "0:10", positions={"0": 9}, missed=3)
    async with scripted_server(then(first, cut), second) as server:
        assert await positions_of(server.updates(since={"0": 1}), 4) == ["0:3", "0:5", "0:9", "0:10"]
    assert [message["since"] for message in server.received("authenticate")] == [{"0": 1}, {"0": 1}]


async def test_new_loop_continues_after_a_previous_one() -> None:
    """Updates that were received but not yielded do not count."""
    second = sending("0:12", positions={"0": 12}, missed=1)
    async with scripted_server(sending("0:11", "0:12"), second) as server:
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

    async with scripted_server(then(script, cut), sending("0:5", positions={"0": 4})) as server:
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
    shown: list[Connected | Disconnected] = []
    first = then(sending(), lambda peer: peer.close(4001, "restarting", [300, 310]))
    async with scripted_server(first, sending("0:11")) as server:
        updates = server.updates(patience=Patience(), on_connection=shown.append)
        assert await positions_of(updates, 1) == ["0:11"]
    connected = Connected("alice", frozenset({"user:alice", "list:L"}))
    [before, broken, after] = shown
    assert before == after == connected
    assert isinstance(broken, Disconnected)
    assert broken.reason == "restarting"
    assert 0.3 <= broken.retry_in_s <= 0.31


async def test_unavailable_server_is_retried_up_to_the_limit() -> None:
    """It raises then. Without a limit it retries for ever."""
    async with scripted_server(sending()) as server:
        pass
    shown: list[Connected | Disconnected] = []
    with pytest.raises(TasktapeError, match="cannot be reached") as caught:
        await positions_of(server.updates(attempts=3, on_connection=shown.append), 1)
    assert (caught.value.code, len(shown)) == ("unreachable", 3)


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
    async with scripted_server(sending(ping_s=1), sending("0:11")) as server:
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
        scripted_server(sending("0:11"), speaks=[PACKED_SUBPROTOCOL, SUBPROTOCOL]) as server,
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

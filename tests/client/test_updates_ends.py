"""Tokens of updates, and the ends of their iteration."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tasktape_client import (
    TasktapeError,
)
from tasktape_client import updates as updates_module
from tasktape_client.updates import Updates
from tests.client.scripted_server import Peer, scripted_server, update_of
from tests.client.scripts import closing, positions_of, sending, then
from tests.waiting import eventually


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
        await sending("0:11", expires_in=0.1)(peer)
        await asked.wait()
        await peer.close(4005, "the token has expired", [0, 10])

    async with scripted_server(first, sending("0:12")) as server:
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
    async with scripted_server(sending(expires_in=0.1)) as server:
        for token in (broken, once):
            with pytest.raises(LookupError, match="no such key"):
                await positions_of(server.updates(token), 1)


@pytest.mark.parametrize(("code", "name"), [(4507, "forbidden"), (4504, "closed"), (4501, "closed")])
async def test_final_close_ends_the_iteration(code: int, name: str) -> None:
    """The error has its reason."""
    async with scripted_server(then(sending("0:11"), lambda peer: peer.close(code, "a reason"))) as server:
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
    async with scripted_server(sending("0:11")) as server:
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
    async with scripted_server(sending()) as server:
        updates = server.updates()
        listening = asyncio.create_task(positions_of(updates, 1))
        await eventually(lambda: server.open == 1)
        await updates.aclose()
        assert await listening == []


async def test_second_loop_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two loops would share the updates."""
    monkeypatch.setattr(updates_module, "TURN_S", 0.05)
    async with scripted_server(sending("0:11")) as server:
        updates = server.updates()
        async for _ in updates:
            with pytest.raises(RuntimeError, match="another loop"):
                await positions_of(updates, 1)
            break

"""Socket.IO without WebSockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.api.socket_io_client import QUERY, served, signed_in
from tests.waiting import eventually


async def test_polling_alone_works() -> None:
    """Updates wait for the next poll."""
    async with (
        served() as at,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{at.port}", trust_env=False) as client,
    ):
        session = json.loads((await client.get(f"{QUERY}polling")).text[1:])["sid"]
        url = f"{QUERY}polling&sid={session}"
        assert (await client.post(url, content="40" + json.dumps({"token": "ann"}))).text == "OK"
        messages = ""
        while "authenticated" not in messages:
            messages += (await client.get(url)).text
        at.commit(600)
        packets: list[str] = []
        while len(packets) < 600:
            packets += (await client.get(url)).text.split("\x1e")
        assert all(packet.startswith('42["task:update"') for packet in packets)
        positions = [json.loads(packet[2:])[1]["position"] for packet in packets]
        assert positions == [f"0:{offset}" for offset in range(600)]
        await client.post(url, content="1")
        await eventually(lambda: len(at.connection_registry) == 0)
        for answer in (await client.get(url), await client.post(url, content="2")):
            assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
            assert "connect again" in answer.json()["detail"]


async def test_request_at_the_end_of_a_session_is_answered() -> None:
    """As if the session had ended before."""
    async with (
        served() as at,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{at.port}", trust_env=False) as client,
    ):
        session = json.loads((await client.get(f"{QUERY}polling")).text[1:])["sid"]

        async def slowly() -> AsyncIterator[bytes]:
            await at.connection_registry.drain()
            yield b"40"

        url, size = f"{QUERY}polling&sid={session}", {"Content-Length": "2"}
        answer = await client.post(url, content=slowly(), headers=size)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


@pytest.mark.parametrize("garbage", ["0", "6", "x" * 70_000])
async def test_garbage_over_polling_leaves_nothing_behind(garbage: str) -> None:
    """It is answered, although nobody fetches that client's rest."""
    async with (
        served(ping_s=0.1) as at,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{at.port}", trust_env=False) as client,
    ):
        await client.get("/")
        before = len(asyncio.all_tasks())
        session = json.loads((await client.get(f"{QUERY}polling")).text[1:])["sid"]
        answer = await client.post(f"{QUERY}polling&sid={session}", content=garbage)
        assert answer.status_code == 400
        assert len(at.connection_registry) == 0
        await eventually(lambda: len(asyncio.all_tasks()) <= before + 2)  # those that look after all


async def test_polling_is_refused_where_processes_share_a_port() -> None:
    """Requests of one client would reach several processes; sockets are not affected."""
    async with served(shares_port=True) as at, signed_in(at):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{at.port}", trust_env=False) as client:
            answer = await client.get(f"{QUERY}polling")
            assert answer.status_code == 400
            assert 'transports: ["websocket"]' in answer.json()["detail"]
        assert len(at.connection_registry) == 1

"""Clients of a hub, and their messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.api.relay_world import Client, Node

L1, L2, L3 = (f"00000000-0000-7000-8000-00000000000{n}" for n in (1, 2, 3))
T1, T2 = (f"00000000-0000-7000-8000-00000000001{n}" for n in (1, 2))


async def signed_in(node: Node, user: str = "ann", since: dict[int, int] | None = None) -> Client:
    """Return a client that is connected and has recovered."""
    client = Client(user)
    client.positions = since
    client.connect(node)
    await client.settled()
    await client.receive()
    return client


async def replies_to(client: Client, *messages: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the replies to a client's message."""
    before = len(client.seen)
    for message in messages:
        client.send(message)
    await client.settled()
    await client.receive()
    return client.seen[before:]


def kinds(messages: Sequence[dict[str, Any]]) -> list[str]:
    """Return the types of messages."""
    return [message["type"] for message in messages]

"""Bounded waiting for a condition; the one place in the tests that polls."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

POLL_S = 0.02
LIMIT_S = 60.0
"""Longer than anything takes on a slow and busy machine: what takes longer hangs."""


async def eventually(
    condition: Callable[[], bool | Awaitable[bool]],
    limit_s: float = LIMIT_S,
    why: str = "it did not come true",
) -> None:
    """Return as soon as `condition` holds; fail after `limit_s` seconds."""
    deadline = time.monotonic() + limit_s
    while True:
        answer = condition()
        if await answer if inspect.isawaitable(answer) else answer:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"{why} in {limit_s} s")
        await asyncio.sleep(POLL_S)


def eventually_sync(
    condition: Callable[[], bool], limit_s: float = LIMIT_S, why: str = "it did not come true"
) -> None:
    """Return as soon as `condition` holds; fail after `limit_s` seconds."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{why} in {limit_s} s")
        time.sleep(POLL_S)

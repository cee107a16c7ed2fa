"""The time of a process by rooms: sampled stacks, counted by the room of the innermost frame."""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

RATE_HZ = 200
SHOWN = 14
_FILE = re.compile(r"\(([^:()]+):\d+\)$")
_OURS = frozenset({"app", "api", "projections", "streams", "tasktape"})


async def shares_by_room(pid: int, seconds: float) -> Sequence[tuple[str, float]]:
    """Return the rooms and libraries with the share of the samples in which they were innermost."""
    with tempfile.NamedTemporaryFile(suffix=".txt") as file:
        command = (
            Path(sys.executable).with_name("py-spy"),
            *("record", "--pid", str(pid), "--duration", f"{seconds:.0f}", "--rate", str(RATE_HZ)),
            *("--format", "raw", "--output", file.name),
        )
        process = await asyncio.create_subprocess_exec(
            *map(str, command), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        await process.wait()
        counts: Counter[str] = Counter()
        for line in file.read().decode().splitlines():
            stack, _, samples = line.rpartition(" ")
            counts[_room(stack.split(";")[-1])] += int(samples)
    whole = counts.total() or 1
    return [(room, samples / whole) for room, samples in counts.most_common(SHOWN)]


def _room(frame: str) -> str:
    """Return the room, or the library, that a frame like `fetch (asyncpg/connection.py:738)` is in."""
    found = _FILE.search(frame)
    parts = (found[1] if found else frame).rpartition("site-packages/")[2].split("/")
    return "/".join(parts[: 2 if parts[0] in _OURS else 1]).removesuffix(".py")

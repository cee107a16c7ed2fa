"""Commands in a pseudo-terminal."""

from __future__ import annotations

import asyncio
import os
import pty
from collections.abc import Mapping

from tests.fork_server import COMMAND_LINE, fork_server


async def shown_in_terminal(
    *arguments: str, environment: Mapping[str, str], columns: int = 70, lines: int = 20
) -> str:
    """Run a verb that must succeed, and return everything that the terminal got."""
    ours, theirs = pty.openpty()
    size = {"COLUMNS": str(columns), "LINES": str(lines), "TERM": "xterm-256color"}
    process = await asyncio.create_subprocess_exec(
        *(fork_server(COMMAND_LINE).program, *arguments),
        env={**environment, **size},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    output = await asyncio.to_thread(_read_all, ours)
    assert await process.wait() == 0, output[-2_000:]
    return output


def _read_all(descriptor: int) -> str:
    """Return the output of a terminal until its process ends."""
    parts: list[bytes] = []
    while True:
        try:
            part = os.read(descriptor, 65_536)
        except OSError:  # Linux reports the end in this way.
            part = b""
        if not part:
            os.close(descriptor)
            return b"".join(parts).decode(errors="replace")
        parts.append(part)

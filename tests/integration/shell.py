"""Command line as run by a user, against a running stack."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.fork_server import COMMAND_LINE, fork_server
from tests.integration.stack import Stack

LIMIT_S = 60


class Shell:
    """Runs `tasktape` as one user."""

    def __init__(self, stack: Stack, folder: Path, user: str | None = None, *, admin: bool = False) -> None:
        self.user = user or f"user-{uuid4().hex[:8]}"
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("TASKTAPE_")
        } | {
            "TASKTAPE_URL": stack.urls[0],
            "TASKTAPE_TOKEN": stack.token(self.user, admin=admin),
            "TASKTAPE_DATA": str(folder),
        }

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start a verb."""
        return await asyncio.create_subprocess_exec(
            *(fork_server(COMMAND_LINE).program, *arguments),
            env=self.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        """Run a verb and return its exit status, output and errors."""
        async with asyncio.timeout(LIMIT_S):
            return await fork_server(COMMAND_LINE).run(arguments, self.environment, stdin)

    async def works(self, *arguments: str, stdin: str = "") -> str:
        """Run a verb that must succeed, and return its output."""
        status, out, err = await self.run(*arguments, stdin=stdin)
        assert status == 0, err or out[-1000:]
        return out

    async def json(self, *arguments: str) -> Any:
        """Run a verb that must succeed, with `--json`, and return its output."""
        return json.loads(await self.works(*arguments, "--json"))

    async def fails(self, *arguments: str, status: int = 1, stdin: str = "") -> str:
        """Run a verb that must fail with one line of error."""
        found, out, err = await self.run(*arguments, stdin=stdin)
        assert found == status, (out, err)
        assert "Traceback" not in err
        if status == 1:
            assert len(err.strip().splitlines()) == 1, err
        return err

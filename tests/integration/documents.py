"""Commands shown in the documents, and a shell with an empty home to run them in."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from uuid import uuid4

from tests.fork_server import COMMAND_LINE, fork_server
from tests.integration.stack import SECRET, Stack
from tests.ports import free_port

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent
LIMIT_S = 600
"""More than a busy machine needs for the dozens of processes of a page."""


def search_path() -> str:
    """Return a path with a `tasktape` that a fork server runs, before our other programs."""
    ours = fork_server(COMMAND_LINE).programs
    return os.pathsep.join((str(ours), str(BIN), os.environ["PATH"]))


def blocks(document: str, heading: str | None = None, language: str = "sh") -> list[str]:
    """Return the blocks of a document, or of the section under one of its headings."""
    text = (ROOT / document).read_text()
    if heading is not None:
        begin = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
        assert begin is not None, f"{document} has no heading {heading!r}"
        text = re.split(r"^#+ ", text[begin.end() :], maxsplit=1, flags=re.MULTILINE)[0]
    # One that belongs to a point of a list is indented.
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", text, re.MULTILINE | re.DOTALL)
    return [dedent(block) for _, block in found]


class Home:
    """An empty home, in which shells run; `tasktape` is ours, and ports differ from the documents."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {port: str(free_port()) for port in ("8000", "8001", "8080")}
        kept = {"PATH", "LANG", "XDG_CACHE_HOME", "JDK_JAVA_OPTIONS"}
        # How pip is set up is the machine's business.
        inherited = {
            name: value for name, value in os.environ.items() if name in kept or name.startswith("PIP_")
        }
        self.environment = inherited | {
            "HOME": str(folder),
            "PATH": search_path(),
            "PORT": self.ports["8000"],
            # What is fetched once for a machine is not fetched for each test.
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"),
        }

    def run(self, script: str) -> str:
        """Run the commands of a document up to the first that fails, and return the output."""
        for shown, here in self.ports.items():
            script = re.sub(rf"\b{shown}\b", here, script)
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}"
        return done.stdout


STRICT = 'curl() { command curl -sS --fail-with-body "$@"; }\n'
"""A reader sees a refusal; here it ends the script."""


def as_said(line: str) -> str:
    """Return a line whose comment says that it is refused as a check of that."""
    said = re.search(r"\s+# (\d{3}): .*", line)
    if said is None:
        return line
    status = "command curl -s -o /dev/null -w '%{http_code}' " + line[: said.start()].removeprefix("curl ")
    return f'test "$({status})" = {said[1]}'


class Reader:
    """Follows pages as `alice` of the documents, the only user of that name, in an empty home."""

    def __init__(self, stack: Stack, folder: Path, *, admin: bool = False) -> None:
        self.folder = folder
        self.user = f"alice-{uuid4().hex[:8]}"
        self.environment = {
            "PATH": search_path(),
            "HOME": str(folder),
            "LOGNAME": self.user,
            "JWT_SECRET": SECRET,
            "TASKTAPE_URL": stack.urls[0],
            "TASKTAPE_TOKEN": stack.token(self.user, admin=admin),
        }
        self._address = stack.urls[0].removeprefix("http://")

    async def follow(self, *scripts: str) -> str:
        """Run blocks in one shell up to the first refusal, and return the output."""
        lines = "\n".join(scripts).splitlines()
        script = STRICT + "\n".join(map(as_said, lines))
        script = script.replace("127.0.0.1:8000", self._address).replace(
            "--user alice", f"--user {self.user}"
        )
        process = await asyncio.create_subprocess_exec(
            *("bash", "-e", "-u", "-o", "pipefail", "-x", "-c", script),
            cwd=self.folder,
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(LIMIT_S):
            printed, _ = await process.communicate()
        assert process.returncode == 0, printed.decode()[-3000:]
        return printed.decode()

"""Fork server for `tasktape`: imports are done once, and each run is a process forked from there.

`python -m tests.fork_server SOCKET MODULE…` imports the modules and serves runs at a Unix socket. A run has
the arguments, environment, standard input, exit status and output of a process of its own, without the half
second of its imports. Tests of imports, signals, terminals and closed streams start real processes.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from time import tzset
from typing import IO, NoReturn

from tasktape.cli import VERBS

OF_AN_INSTANCE = frozenset({f"tasktape.cli.{name}" for name in ("doctor", "local", "run", "worker")})
"""Modules of the command line that only verbs of an instance import."""


class ForkServer:
    """A process that runs `tasktape` with these modules imported."""

    def __init__(self, *modules: str) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="tasktape-fork-")
        self.address = f"{self.folder.name}/socket"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fork_server", self.address, *modules],
            stdin=subprocess.PIPE,  # its end is ours
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
        )
        atexit.register(self.stop)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    async def run(
        self, arguments: tuple[str, ...], environment: Mapping[str, str], stdin: str = ""
    ) -> tuple[int, str, str]:
        """Run `tasktape` and return its exit status, output and errors."""
        reader, writer = await asyncio.open_unix_connection(self.address)
        writer.write(json.dumps([arguments, dict(environment), stdin]).encode())
        writer.write_eof()
        status, out, err = json.loads(await reader.read())
        writer.close()
        return status, out, err

    def stop(self) -> None:
        """End the server. Runs end by themselves."""
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


@cache
def command_line() -> ForkServer:
    """Return the fork server of this process for the verbs of users."""
    modules = {module.partition(":")[0] for module, _ in VERBS.values()}
    return ForkServer("httpx", "tasktape_client.client", *modules - OF_AN_INSTANCE)


def main(address: str, *modules: str) -> None:
    """Serve runs until the standard input ends."""
    for module in modules:
        import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the handlers of runs
    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen(64)
    print("ready", flush=True)  # noqa: T201
    while True:
        connection, _ = server.accept()
        if os.fork() == 0:
            server.close()
            _handle(connection)
        connection.close()


def _handle(connection: socket.socket) -> None:
    """Run one request in a process of its own and send the result."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with connection.makefile("rb") as requests:
        arguments, environment, stdin = json.load(requests)
    source, sink = os.pipe()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            connection.close()
            os.close(sink)
            _execute(arguments, environment, source, out.fileno(), err.fileno())
        os.close(source)
        with suppress(BrokenPipeError), os.fdopen(sink, "wb") as pipe:
            pipe.write(stdin.encode())
        _, status = os.waitpid(pid, 0)
        connection.sendall(json.dumps([os.waitstatus_to_exitcode(status), _text(out), _text(err)]).encode())
    os._exit(0)


def _execute(arguments: list[str], environment: dict[str, str], *streams: int) -> NoReturn:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.environ.clear()
    os.environ.update(environment)
    tzset()
    sys.argv = ["tasktape", *arguments]
    runpy.run_module("tasktape", run_name="__main__", alter_sys=True)
    sys.exit()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


if __name__ == "__main__":
    main(*sys.argv[1:])

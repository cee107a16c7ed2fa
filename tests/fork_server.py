"""Fork servers for `tasktape`: imports are done once, and each run is a process forked from there.

`python -m tests.fork_server SOCKET MODULE…` imports the modules, calls the function of `module:function` for
its kept result, and serves runs at a Unix socket. A run has the arguments, environment, streams, exit status
and signals of a process of its own, without the second that its imports take. Shells run the `program`. Tests
of imports and closed streams start real processes.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import json
import os
import runpy
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from time import tzset
from typing import IO, NoReturn

from tasktape.local.accounts import die_with_parent

ASYNC = ("anyio._backends._asyncio", "anyio.streams.memory", "anyio.streams.tls")
"""Modules that anyio imports when they are used."""
COMMAND_LINE = (
    *("httpx", "httpcore", "tasktape_client.client", "tasktape.local.errors", *ASYNC),
    *(f"tasktape.cli.{name}" for name in ("activity", "bulk", "comments", "completion", "dead_letters")),
    *(f"tasktape.cli.{name}" for name in ("lists", "members", "moves", "notifications", "search", "tasks")),
    *(f"tasktape.cli.{name}" for name in ("doctor", "local", "statistics")),
    *("tasktape.importers.run", "tasktape_client.updates"),
)
# The documents of the API take longer to generate than anything else in its start.
API = ("tasktape.cli.run", "api.server", "websockets.server", "api.docs:docs_routes", *ASYNC)
# Of Faust, those that it imports when an application is made and started.
WORKER = (
    *("tasktape.cli.worker", "streams.worker", "streams.migrate"),
    *(f"faust.{name}" for name in ("agents.manager", "app", "assignor.partition_assignor", "stores.base")),
    *(f"faust.{name}" for name in ("tables.manager", "tables.sets", "topics", "web.cache.backends")),
    "faust.web.drivers",
)


PROGRAM = Path(__file__).with_name("forked_program.py")


class ForkServer:
    """A process that runs `tasktape` with these modules imported."""

    def __init__(self, modules: tuple[str, ...]) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="tasktape-fork-")
        self.address = f"{self.folder.name}/socket"
        self.programs = Path(self.folder.name) / "bin"
        """The folder of a program that is named like the real one, for shells and `subprocess`."""
        self.programs.mkdir()
        file = self.programs / "tasktape"
        command = shlex.join((sys.executable, "-IS", str(PROGRAM), self.address))
        file.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        file.chmod(0o755)
        self.program = str(file)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fork_server", self.address, *modules],
            stdin=subprocess.PIPE,  # it ends with this process, and then the server does
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
        reader, writer = await asyncio.open_unix_connection(self.address, limit=2**30)
        writer.write(_line(arguments, dict(environment), str(Path.cwd()), stdin, None, None))
        await reader.readline()
        status, out, err = json.loads(await reader.readline())
        writer.close()
        return status, out, err

    def start(self, arguments: tuple[str, ...], environment: Mapping[str, str], log: Path) -> ForkedProcess:
        """Start `tasktape` in a session of its own, with its output in a file."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self.address)
        connection.sendall(_line(arguments, dict(environment), str(Path.cwd()), "", str(log), None))
        return ForkedProcess(connection)

    def stop(self) -> None:
        """End the server, and what it runs."""
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


class ForkedProcess:
    """A process of a fork server, used like `subprocess.Popen`."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.pid = int(self._receive())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, or None while the process runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status. Raise `TimeoutExpired`."""
        if self.returncode is None:
            self._connection.settimeout(timeout)
            try:
                self.returncode = int(self._receive() or -signal.SIGKILL)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired("tasktape", timeout or 0) from None
            self._connection.close()
        return self.returncode

    def _receive(self) -> bytes:
        """Return a line, and nothing of the next one."""
        line = b""
        while byte := self._connection.recv(1):
            if byte == b"\n":
                break
            line += byte
        return line

    def send_signal(self, number: int) -> None:
        """Send a signal if the process runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


@cache
def fork_server(modules: tuple[str, ...]) -> ForkServer:
    """Return this process' fork server with these modules."""
    return ForkServer(modules)


def main(address: str, *modules: str) -> None:
    """Serve runs until the standard input ends."""
    for name in modules:
        module, _, function = name.partition(":")
        imported = import_module(module)
        if function:
            getattr(imported, function)()
    gc.freeze()  # else each run would look through all of these objects, several times at its end
    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen(64)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who handle runs
    while server in select.select([server, sys.stdin], [], [])[0]:
        connection, _ = server.accept()
        parent_pid = os.getpid()
        if os.fork() == 0:
            server.close()
            die_with_parent(signal.SIGKILL, parent_pid)
            _handle(connection)
        connection.close()


def _handle(connection: socket.socket) -> None:
    """Run one request in a process of its own, and send its pid and its result."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, given = _request(connection)
    arguments, environment, folder, stdin, log, umask = json.loads(request)
    source, sink = os.pipe()
    parent_pid = os.getpid()
    with _output(log) as out, _output(log) as err:
        pid = os.fork()
        if pid == 0:
            connection.close()
            os.close(sink)
            if log:
                os.setsid()
            die_with_parent(signal.SIGKILL, parent_pid)
            os.chdir(folder)
            if umask is not None:
                os.umask(umask)
            for number, stream in enumerate(given or (source, out.fileno(), err.fileno())):
                os.dup2(stream, number)
            for number in given:
                os.close(number)
            _execute(arguments, environment)
        for number in (source, *given):
            os.close(number)
        connection.sendall(_line(pid))
        with suppress(BrokenPipeError), os.fdopen(sink, "wb") as pipe:
            pipe.write(stdin.encode())
        _, status = os.waitpid(pid, 0)
        texts = [] if log or given else [_text(out), _text(err)]
        with suppress(BrokenPipeError):
            connection.sendall(_line(os.waitstatus_to_exitcode(status), *texts))
    os._exit(0)


def _request(connection: socket.socket) -> tuple[bytes, list[int]]:
    """Return a line, and the streams that came with its beginning."""
    line, given, _, _ = socket.recv_fds(connection, 2**16, 3)
    while not line.endswith(b"\n"):
        line += connection.recv(2**16)
    return line, given


@contextmanager
def _output(log: str | None) -> Iterator[IO[bytes]]:
    with Path(log).open("ab") if log else tempfile.TemporaryFile() as file:
        yield file


def _execute(arguments: list[str], environment: dict[str, str]) -> NoReturn:
    os.environ.clear()
    os.environ.update(environment)
    tzset()
    sys.argv = ["tasktape", *arguments]
    runpy.run_module("tasktape", run_name="__main__", alter_sys=True)
    sys.exit()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def _line(*values: object) -> bytes:
    return json.dumps(values[0] if len(values) == 1 else values).encode() + b"\n"


if __name__ == "__main__":
    main(*sys.argv[1:])

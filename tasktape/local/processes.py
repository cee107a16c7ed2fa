"""Child processes: started apart from the terminal, bound to this process, stopped within a bounded time."""

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil

from tasktape.local.accounts import Account, become, die_with_parent
from tasktape.local.errors import LocalError

POLL_S = 0.02
LOG_TAIL_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Launch:
    """The way to start one child process and to end it."""

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    cwd: Path | None = None
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 1.0
    """The least time that it has to end by itself; a supervisor may grant more."""
    private_memory_bytes: int | None = None
    """The most memory of each of its processes that it does not share (Linux)."""
    death_signal: signal.Signals = signal.SIGKILL
    """The signal that the kernel sends it when this process dies (Linux)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """An unambiguous process: another process may have the same pid later.

    The command line is no proof: PostgreSQL rewrites its own, and has none at times.
    """

    pid: int
    started: str
    """The moment of its start, as `start_mark` writes it."""

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Return the identity of the process `pid`, None if there is none."""
        started = start_mark(pid)
        return None if started is None else cls(pid, started)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read the output of `to_json`. An entry of an older release names no live process."""
        return cls(int(data["pid"]), str(data.get("started", "")))

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {"pid": self.pid, "started": self.started}

    def process(self) -> psutil.Process | None:
        """Return the process if it is the same one and still runs, else None."""
        try:
            process = psutil.Process(self.pid)
            same = start_mark(self.pid) == self.started
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


def start_mark(pid: int) -> str | None:
    """Return the start time of a process, independent of the clock; None if it is gone."""
    try:
        # Clock ticks since the boot that the id names; the name in brackets may contain any characters.
        ticks = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}/{ticks}"
    except (OSError, IndexError):
        pass
    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return None


def spawn(launch: Launch) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, and append its output to its log.

    Call it from the main thread: the death signal comes when the *thread* that started the child ends.
    """
    parent_pid = os.getpid()

    def enter() -> None:
        if launch.account is not None:
            become(launch.account)
        if launch.private_memory_bytes is not None:
            limit_private_memory(launch.private_memory_bytes)
        die_with_parent(launch.death_signal, parent_pid)

    descriptor = os.open(launch.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        return subprocess.Popen(  # noqa: S603  # the commands are ours
            launch.argv,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            env=dict(launch.env),
            cwd=launch.cwd,
            start_new_session=True,  # Ctrl-C goes to the supervisor alone
            preexec_fn=enter,  # noqa: PLW1509  # it takes no lock that another thread could hold
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise LocalError(f"{launch.name} cannot be started: {error}") from error
    finally:
        os.close(descriptor)


def limit_private_memory(limit_bytes: int) -> None:
    """Limit the memory that this process, a forked child, and its own children each do not share."""
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    limit = limit_bytes if most == resource.RLIM_INFINITY else min(limit_bytes, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def wait_ready(
    child: subprocess.Popen[bytes], launch: Launch, ready: Callable[[], bool], limit_s: float
) -> None:
    """Block until `ready()`; fail with one line if the child ends first or the limit passes."""
    deadline = time.monotonic() + limit_s
    while not ready():
        if child.poll() is not None:
            raise LocalError(f"{launch.name} {describe_exit(child.returncode)}: {gist(launch.log)}")
        if time.monotonic() > deadline:
            raise LocalError(f"{launch.name} was not ready within {limit_s:.0f} s: {gist(launch.log)}")
        time.sleep(POLL_S)


def stop(child: subprocess.Popen[bytes], launch: Launch) -> None:
    """End a child: its stop signal, a bounded wait, then SIGKILL for it and all of its children."""
    if child.poll() is None:
        child.send_signal(launch.stop_signal)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(launch.stop_timeout_s)
    kill(child)


def kill(child: subprocess.Popen[bytes]) -> None:
    """Send SIGKILL to a child and its process group, and collect it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    if child.poll() is None:
        child.kill()
    child.wait()


async def ended(child: subprocess.Popen[bytes]) -> None:
    """Wait until a child has ended, without polling where the system reports it (Linux)."""
    try:
        descriptor = os.pidfd_open(child.pid)
    except (AttributeError, OSError):
        while child.poll() is None:  # noqa: ASYNC110  # nothing to wait for here
            await asyncio.sleep(0.1)
        return
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    try:
        loop.add_reader(descriptor, over.set)
        await over.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    child.wait()


def reap(identity: Identity, stop_signal: signal.Signals = signal.SIGTERM, timeout_s: float = 5.0) -> bool:
    """End a process that an earlier supervisor left, with its children; return whether there was one."""
    process = identity.process()
    if process is None:
        return False
    family = [process]
    with contextlib.suppress(psutil.Error):
        family += process.children(recursive=True)
    end_all([process], stop_signal, timeout_s)
    end_all(family, signal.SIGKILL, timeout_s)
    return True


def end_all(processes: list[psutil.Process], stop_signal: signal.Signals, timeout_s: float) -> None:
    """Send a signal to processes that are not children of this one, and wait until they are gone."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(stop_signal)
    deadline_s = time.monotonic() + timeout_s
    while any(_lives(process) for process in processes) and time.monotonic() < deadline_s:
        time.sleep(POLL_S)


def _lives(process: psutil.Process) -> bool:
    """Return whether a process runs. A zombie that is not collected does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def describe_exit(status: int) -> str:
    """Return in words how a process ended."""
    if status >= 0:
        return f"ended with status {status}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-status).name}"
    return f"was killed by signal {-status}"


def log_tail(path: Path, lines: int, since_bytes: int = 0) -> list[str]:
    """Return the last lines of a log, none if there is no such file; `since_bytes` leaves out older runs."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(0, size - LOG_TAIL_BYTES, since_bytes if since_bytes <= size else 0))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-lines:]


def gist(log: Path, since_bytes: int = 0) -> str:
    """Return the line of a log's end that most likely names the error, and the place to read on."""
    tail = log_tail(log, 40, since_bytes)
    telling = [
        line for line in tail if any(word in line for word in ("ERROR", "FATAL", "Error", "Exception"))
    ]
    line = (telling or tail or ["it left no word"])[-1].strip()
    return f"{line[:300]} (see {log})"

"""The supervisor of child processes: starts them in order, restarts them, stops them in reverse order."""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeVar

from streams.backoff import Backoff
from tasktape.local.errors import LocalError
from tasktape.local.log_files import shorten
from tasktape.local.processes import Identity, Launch, describe_exit, ended, gist, kill, spawn

T = TypeVar("T")
Status = Literal["waiting", "starting", "ready", "restarting", "done", "failed", "stopped"]

POLL_S = 0.03
LOG_CHECK_S = 10.0
BACKOFF_FIRST_S = 0.2
BACKOFF_LIMIT_S = 60.0
STOP_LIMIT_S = 4.8
STEADY_S = 30.0
"""After this time, earlier failures of a child do not count."""


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One child: how to start it, when it is ready, and which children must be ready before."""

    name: str
    prepare: Callable[[], Launch]
    """Called before each start, in a thread: it may block, but must not start lasting processes."""
    is_ready: Callable[[], bool] | None = None
    """Called in a thread until it is true; None for a process that does one task and ends with status 0."""
    after: tuple[str, ...] = ()
    ready_limit_s: float = 60.0
    stop_rank: int = 0
    """Lower ranks stop first; equal ones together."""


@dataclass(slots=True)
class Limits:
    """The number of failures of a child that was never ready; others are restarted without limit."""

    before_ready: int = 3


@dataclass(slots=True)
class Child:
    """The state of one process."""

    spec: ProcessSpec
    status: Status = "waiting"
    restarts: int = 0
    failures: int = 0
    was_ready: bool = False
    reason: str | None = None
    """The reason of its last end, unless it is ready again."""
    launch: Launch | None = None
    popen: subprocess.Popen[bytes] | None = None
    identity: Identity | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)


class Supervisor:
    """A runner of the processes of `specs`, until it is stopped or one of them cannot be started."""

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        say: Callable[[str], None],
        on_change: Callable[[Sequence[Child]], None],
        limits: Limits | None = None,
    ) -> None:
        self.children = {spec.name: Child(spec) for spec in specs}
        # A full disk fails notes and log lines, but the child must still be supervised.
        self._say = partial(_as_far_as_possible, say)
        self._on_change = partial(_as_far_as_possible, on_change)
        self._limits = limits or Limits()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._failure: LocalError | None = None

    def request_stop(self) -> None:
        """Stop all in order; a second request stops them at once."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Start all and call `on_ready`; return after a stop, raise if one fails for good."""
        keepers = [asyncio.create_task(self._keep(child)) for child in self.children.values()]
        watchers = [asyncio.create_task(self._announce(on_ready)), asyncio.create_task(self._bound_logs())]
        try:
            await self._stop.wait()
        finally:
            self._stop.set()
            for task in (*keepers, *watchers):
                task.cancel()
            await asyncio.gather(*keepers, *watchers, return_exceptions=True)
            await self._stop_all()
        if self._failure is not None:
            raise self._failure

    async def _announce(self, on_ready: Callable[[], None]) -> None:
        for child in self.children.values():
            await child.ready.wait()
        on_ready()

    async def _bound_logs(self) -> None:
        while True:
            await asyncio.sleep(LOG_CHECK_S)
            for child in self.children.values():
                if child.launch is not None:
                    shorten(child.launch.log)

    async def _keep(self, child: Child) -> None:
        """Start a child, and restart it whenever it ends; give up if it never was ready.

        The others stay up meanwhile, because the cause, such as a full disk, may pass.
        """
        for name in child.spec.after:
            await self.children[name].ready.wait()
        while True:
            started_s = time.monotonic()
            try:
                reason = await self._live(child)
            except LocalError as error:
                reason = str(error)
            except Exception as error:  # noqa: BLE001  # whatever it is, it must not leave a child unattended
                reason = f"{child.spec.name} cannot be started: {error!r}"
            if reason is None:
                return
            lived_s = time.monotonic() - started_s
            child.failures = 1 if child.status == "ready" and lived_s > STEADY_S else child.failures + 1
            if not child.was_ready and child.failures >= self._limits.before_ready:
                self._give_up(child, reason)
                return
            child.reason = reason
            self._set(child, "restarting")
            backoff = Backoff(BACKOFF_FIRST_S, BACKOFF_LIMIT_S)
            delay_s = backoff.length_s(child.failures)
            again = f" in {delay_s:.0f} s" if delay_s > 1 else ""
            self._say(f"{reason}; starting it again{again}")
            await asyncio.sleep(backoff.pause_s(child.failures))
            child.restarts += 1

    async def _live(self, child: Child) -> str | None:
        """Run a child once; return the reason of its end, None if it did its work."""
        spec = child.spec
        child.launch = launch = await asyncio.to_thread(spec.prepare)
        shorten(launch.log)
        since_bytes = launch.log.stat().st_size if launch.log.exists() else 0
        child.popen = popen = spawn(launch)
        child.identity = Identity.of(popen.pid)
        self._set(child, "starting")
        if spec.is_ready is not None and not await self._until_ready(child, popen, spec.is_ready):
            await asyncio.to_thread(kill, popen)
            reason = f"was not ready within {spec.ready_limit_s:.0f} s"
            return f"{spec.name} {reason}: {gist(launch.log, since_bytes)}"
        await ended(popen)
        kill(popen)  # processes that it may have left in its process group
        if spec.is_ready is None and popen.returncode == 0:
            self._set(child, "done")
            child.ready.set()
            return None
        return f"{spec.name} {describe_exit(popen.returncode)}: {gist(launch.log, since_bytes)}"

    async def _until_ready(
        self, child: Child, popen: subprocess.Popen[bytes], is_ready: Callable[[], bool]
    ) -> bool:
        """Wait until a child is ready or has ended; return False when the time is over."""
        deadline_s = time.monotonic() + child.spec.ready_limit_s
        while popen.poll() is None:
            if await asyncio.to_thread(is_ready):
                child.was_ready, child.reason = True, None
                self._set(child, "ready")
                child.ready.set()
                return True
            if time.monotonic() > deadline_s:
                return False
            await asyncio.sleep(POLL_S)
        return True

    def _give_up(self, child: Child, reason: str) -> None:
        self._set(child, "failed")
        again = f" ({child.failures} times in a row)" if child.failures > 1 else ""
        self._failure = LocalError(f"{reason}{again}")
        self._stop.set()

    def _set(self, child: Child, status: Status) -> None:
        child.status = status
        self._on_change(tuple(self.children.values()))

    async def _stop_all(self) -> None:
        """Stop rank after rank. Each may use the time left, minus the time granted to later ranks."""
        deadline_s = time.monotonic() + STOP_LIMIT_S
        running = [child for child in self.children.values() if child.popen and child.popen.poll() is None]
        for rank in sorted({child.spec.stop_rank for child in running}):
            after_s = _granted_s([child for child in running if child.spec.stop_rank > rank])
            group = [child for child in running if child.spec.stop_rank == rank]
            limit_s = max(_granted_s(group), deadline_s - time.monotonic() - after_s)
            await asyncio.gather(*(self._stop_one(child, limit_s) for child in group))

    async def _stop_one(self, child: Child, limit_s: float) -> None:
        popen, launch = child.popen, child.launch
        assert popen is not None
        assert launch is not None
        if popen.poll() is None:
            popen.send_signal(launch.stop_signal)
        over, hurry = asyncio.create_task(ended(popen)), asyncio.create_task(self._hurry.wait())
        await asyncio.wait((over, hurry), timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if not over.done() and not hurry.done():
            self._say(f"{child.spec.name} did not stop within {limit_s:.1f} s, so it was killed")
        kill(popen)
        hurry.cancel()
        await asyncio.gather(over, hurry, return_exceptions=True)
        self._set(child, "stopped")


def _as_far_as_possible(tell: Callable[[T], None], what: T) -> None:
    with contextlib.suppress(OSError):
        tell(what)


def _granted_s(children: Sequence[Child]) -> float:
    """Return the time granted to the ranks of `children`, one after the other."""
    by_rank: dict[int, float] = {}
    for child in children:
        if child.launch is not None:
            rank = child.spec.stop_rank
            by_rank[rank] = max(by_rank.get(rank, 0.0), child.launch.stop_timeout_s)
    return sum(by_rank.values())

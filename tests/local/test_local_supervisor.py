"""Supervisor of small real processes."""

import asyncio
import os
import re
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tasktape.local import supervisor
from tasktape.local.errors import LocalError
from tasktape.local.processes import Launch
from tasktape.local.supervisor import Limits, ProcessSpec, Supervisor
from tests.waiting import LIMIT_S, eventually

# Writes its name and each signal it gets to a file, and ends on SIGTERM.
POLITE = """
import pathlib, signal, sys, time
record = pathlib.Path(sys.argv[1])
def note(text):
    with record.open("a") as file:
        file.write(f"{sys.argv[2]} {text}\\n")
def end(number, frame):
    note("stopped")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
note("started")
time.sleep(60)
"""
DEAF = POLITE.replace("signal.signal(signal.SIGTERM, end)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
BROKEN = "import sys; sys.exit('ERROR: the disk is on fire')"


class Bench:
    """A supervisor under test with its output and that of its processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = folder / "record"
        self.said: list[str] = []
        self.supervisor: Supervisor

    def spec(
        self, name: str, program: str = POLITE, *, rank: int = 0, stop_timeout_s: float = 2.0
    ) -> ProcessSpec:
        launch = Launch(
            name,
            (sys.executable, "-c", program, str(self.record), name),
            self.folder / f"{name}.log",
            stop_timeout_s=stop_timeout_s,
        )
        return ProcessSpec(name, lambda: launch, lambda: f"{name} started" in self.lines(), stop_rank=rank)

    def lines(self) -> list[str]:
        return self.record.read_text().splitlines() if self.record.exists() else []

    def start(
        self, specs: list[ProcessSpec], limits: Limits | None = None
    ) -> tuple[asyncio.Task[None], asyncio.Event]:
        ready = asyncio.Event()
        self.supervisor = Supervisor(specs, self.said.append, lambda _: None, limits)
        return asyncio.create_task(self.supervisor.run(ready.set)), ready

    def pid(self, name: str) -> int:
        popen = self.supervisor.children[name].popen
        assert popen is not None
        return popen.pid


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_processes_start_in_order_and_stop_in_reverse(bench: Bench) -> None:
    """A process waits for those it needs; ranks stop one after the other."""
    above = bench.spec("above", rank=0)
    above = ProcessSpec("above", above.prepare, above.is_ready, after=("below",), stop_rank=0)
    running, ready = bench.start([above, bench.spec("below", rank=1)])
    await asyncio.wait_for(ready.wait(), LIMIT_S)
    bench.supervisor.request_stop()
    await asyncio.wait_for(running, LIMIT_S)
    assert bench.lines() == ["below started", "above started", "above stopped", "below stopped"]
    assert {child.status for child in bench.supervisor.children.values()} == {"stopped"}


async def test_killed_process_is_restarted(bench: Bench) -> None:
    """SIGKILL is noticed at once and reported in one line; the pid changes."""
    running, ready = bench.start([bench.spec("one")])
    await asyncio.wait_for(ready.wait(), LIMIT_S)
    first = bench.pid("one")
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: bench.lines().count("one started") == 2)
    assert bench.pid("one") != first
    assert bench.supervisor.children["one"].restarts == 1
    assert any(re.match(r"one was killed by SIGKILL: .*starting it again$", line) for line in bench.said)
    bench.supervisor.request_stop()
    await asyncio.wait_for(running, LIMIT_S)


async def test_process_that_never_becomes_ready_ends_the_start(bench: Bench) -> None:
    """After a few attempts the reason is reported, in one line, and the others are stopped."""
    running, ready = bench.start(
        [bench.spec("fine", rank=1), bench.spec("broken", BROKEN)], Limits(before_ready=2)
    )
    with pytest.raises(
        LocalError, match=r"^broken ended with status 1: ERROR: the disk is on fire \(see .*2 times"
    ):
        await asyncio.wait_for(running, LIMIT_S)
    assert not ready.is_set()
    assert bench.lines() == ["fine started", "fine stopped"]


async def test_process_that_was_ready_is_restarted_indefinitely(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others keep running, pauses grow up to a limit, the reason is kept until it is ready."""
    monkeypatch.setattr(supervisor, "BACKOFF_FIRST_S", 0.01)
    monkeypatch.setattr(supervisor, "BACKOFF_LIMIT_S", 0.05)
    broken = bench.folder / "broken"
    program = f"import pathlib\nif pathlib.Path({str(broken)!r}).exists(): {BROKEN}\n{POLITE}"
    running, ready = bench.start([bench.spec("fine", rank=1), bench.spec("ill", program)], Limits(1))
    await asyncio.wait_for(ready.wait(), LIMIT_S)
    fine, ill = bench.pid("fine"), bench.supervisor.children["ill"]
    broken.touch()
    os.kill(bench.pid("ill"), signal.SIGKILL)
    # It looks ready for a moment after each start, as its earlier line says that it has started.
    await eventually(lambda: ill.restarts > 12 and "ERROR: the disk is on fire" in (ill.reason or ""), 30)

    assert (running.done(), bench.pid("fine"), alive(fine)) == (False, fine, True)
    broken.unlink()
    await eventually(lambda: ill.status == "ready")
    assert ill.reason is None
    bench.supervisor.request_stop()
    await asyncio.wait_for(running, LIMIT_S)


async def test_full_disk_does_not_stop_supervision(bench: Bench) -> None:
    """Though neither run file nor logs can be written."""

    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    ready = asyncio.Event()
    bench.supervisor = Supervisor([bench.spec("one")], full, full)
    running = asyncio.create_task(bench.supervisor.run(ready.set))
    await asyncio.wait_for(ready.wait(), LIMIT_S)
    os.kill(bench.pid("one"), signal.SIGKILL)
    await eventually(lambda: bench.lines().count("one started") == 2)
    bench.supervisor.request_stop()
    await asyncio.wait_for(running, LIMIT_S)


async def test_task_runs_once(bench: Bench) -> None:
    """A process without a readiness check is done when it ends with status 0."""
    task = ProcessSpec("task", lambda: Launch("task", (sys.executable, "-c", ""), bench.folder / "task.log"))
    running, ready = bench.start([task])
    await asyncio.wait_for(ready.wait(), LIMIT_S)
    assert bench.supervisor.children["task"].status == "done"
    bench.supervisor.request_stop()
    await asyncio.wait_for(running, LIMIT_S)


async def test_processes_that_ignore_signals_are_killed_in_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may use the remaining time, less that of the processes after them."""
    monkeypatch.setattr(supervisor, "STOP_LIMIT_S", 1.0)
    deaf, polite = bench.spec("deaf", DEAF), bench.spec("polite", rank=1, stop_timeout_s=0.4)
    running, ready = bench.start([deaf, polite])
    await asyncio.wait_for(ready.wait(), LIMIT_S)
    pid = bench.pid("deaf")
    bench.supervisor.children["deaf"].launch = replace(deaf.prepare(), stop_timeout_s=0.1)
    started_s = time.monotonic()
    bench.supervisor.request_stop()
    await asyncio.wait_for(running, LIMIT_S)
    assert time.monotonic() - started_s >= 0.6
    assert not alive(pid)
    assert "deaf did not stop within 0.6 s, so it was killed" in bench.said
    assert bench.lines()[-1] == "polite stopped"


async def test_second_stop_request_kills_at_once(bench: Bench) -> None:
    """For example a second Ctrl-C."""
    running, ready = bench.start([bench.spec("deaf", DEAF, stop_timeout_s=30)])
    await asyncio.wait_for(ready.wait(), LIMIT_S)
    pid = bench.pid("deaf")
    bench.supervisor.request_stop()
    bench.supervisor.request_stop()
    await asyncio.wait_for(running, LIMIT_S)
    assert not alive(pid)


async def test_missing_program_is_one_line(bench: Bench) -> None:
    missing = ProcessSpec(
        "missing", lambda: Launch("missing", ("/nowhere/program",), bench.folder / "missing.log")
    )
    running, _ = bench.start([missing], Limits(before_ready=1))
    with pytest.raises(LocalError, match=r"missing cannot be started: .*No such file"):
        await asyncio.wait_for(running, LIMIT_S)


async def test_process_that_is_not_ready_in_time_is_killed(bench: Bench) -> None:
    """And the reason is reported."""
    never = bench.spec("never")
    never = ProcessSpec("never", never.prepare, lambda: False, ready_limit_s=1)
    running, _ = bench.start([never], Limits(before_ready=1))
    with pytest.raises(LocalError, match="never was not ready within 1 s"):
        await asyncio.wait_for(running, LIMIT_S)

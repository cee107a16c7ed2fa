"""Child processes: identity, logs, leftovers, and their lifetime."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil

from tasktape.local.log_files import shorten
from tasktape.local.processes import Identity, Launch, describe_exit, gist, reap, spawn, stop
from tests.waiting import eventually_sync

SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")


def test_identity_is_a_pid_and_a_start_time(tmp_path: Path) -> None:
    """Another start time under the same pid is another process; an older release's entry is none."""
    launch = Launch("sleep", SLEEP, tmp_path / "log")
    child = spawn(launch)
    identity = Identity.of(child.pid)
    assert identity is not None
    assert Identity.from_json(identity.to_json()) == identity
    assert identity.process() is not None
    assert Identity(child.pid, identity.started + "0").process() is None
    assert Identity.from_json({"pid": child.pid, "create_time_s": 1.0, "argv": []}).process() is None
    stop(child, launch)
    assert identity.process() is None
    assert Identity.of(child.pid) is None


def test_process_with_a_rewritten_command_line_keeps_its_identity() -> None:
    """PostgreSQL rewrites its own, so it may be empty, or another one, at any time."""
    program = "read line; exec -a renamed sleep 60"
    child = subprocess.Popen(("/bin/bash", "-c", program), stdin=subprocess.PIPE)
    assert child.stdin is not None
    before = Identity.of(child.pid)
    argv = psutil.Process(child.pid).cmdline()
    child.stdin.write(b"go\n")
    child.stdin.flush()
    eventually_sync(lambda: psutil.Process(child.pid).cmdline() not in ([], argv))
    assert before is not None
    assert before == Identity.of(child.pid)
    assert before.process() is not None
    child.kill()
    child.wait()


def test_leftover_is_ended_and_another_process_is_not(tmp_path: Path) -> None:
    """By identity."""
    child = spawn(Launch("sleep", SLEEP, tmp_path / "log"))
    identity = Identity.of(child.pid)
    assert identity is not None
    assert not reap(Identity(child.pid, identity.started + "0"))
    assert child.poll() is None
    assert reap(identity)
    assert identity.process() is None


def test_children_do_not_get_the_terminals_interrupt(tmp_path: Path) -> None:
    """They have a session of their own."""
    launch = Launch("sleep", SLEEP, tmp_path / "log")
    child = spawn(launch)
    assert os.getsid(child.pid) == child.pid
    stop(child, launch)


def test_children_die_with_their_parent(tmp_path: Path) -> None:
    """Even if it is killed."""
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(f"""
                import pathlib, time
                from tasktape.local.processes import Launch, spawn
                launch = Launch("sleep", {SLEEP!r}, pathlib.Path({str(tmp_path / "log")!r}))
                print(spawn(launch).pid, flush=True)
                time.sleep(60)
            """),
        ],
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    eventually_sync(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_log_is_bounded_while_it_is_written(tmp_path: Path) -> None:
    """The writer continues at the new end; one older file is kept."""
    log = tmp_path / "x.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"a" * 100)
        shorten(log, 100)
        assert log.stat().st_size == 100
        writer.write(b"b")
        shorten(log, 100)
        writer.write(b"c")
    assert log.read_bytes() == b"c"
    assert (tmp_path / "x.log.1").read_bytes() == b"a" * 100 + b"b"


def test_summary_of_a_log_is_its_last_error(tmp_path: Path) -> None:
    """Else the last line, else a fixed text."""
    log = tmp_path / "x.log"
    assert gist(log) == f"it left no word (see {log})"
    log.write_text("one\nValueError: bad\ngoodbye\n")
    assert gist(log) == f"ValueError: bad (see {log})"
    log.write_text("one\ngoodbye\n\n")
    assert gist(log) == f"goodbye (see {log})"


def test_exit_statuses_are_described() -> None:
    """A signal by its name."""
    assert describe_exit(3) == "ended with status 3"
    assert describe_exit(-9) == "was killed by SIGKILL"
    assert describe_exit(-99) == "was killed by signal 99"

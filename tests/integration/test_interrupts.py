"""Ctrl-C of a single process: it ends as documented, without output that looks like a fault."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tasktape.local.kafka import EmbeddedKafka
from tests.integration.stack import Part, Stack
from tests.places import WorkerProcess, new_place
from tests.ports import free_port
from tests.waiting import eventually_sync

LIMIT_S = 30.0


def interrupted(part: Part) -> str:
    """Press Ctrl-C, check the end, and return all output of the process."""
    part.process.send_signal(signal.SIGINT)
    assert part.process.wait(LIMIT_S) == 130, part.tail()
    return part.log.read_text()


def logged_no_error(log: str) -> bool:
    return not any(word in log for word in ("Traceback", "KeyboardInterrupt", "Error", '"level": "error"'))


@pytest.mark.parametrize("verb", ["worker", "api"])
def test_ctrl_c_of_a_ready_process_is_a_clean_stop_with_status_130(running_stack: Stack, verb: str) -> None:
    stack = Stack(
        running_stack.brokers, running_stack.database_url, running_stack.folder, name=running_stack.name
    )
    part = stack.start_worker(slot=7) if verb == "worker" else stack.start_api()
    assert logged_no_error(interrupted(part)), part.tail()


@pytest.mark.parametrize("verb", ["worker", "api", "migrate"])
def test_ctrl_c_during_startup_ends_the_process_with_status_130(
    running_stack: Stack, tmp_path: Path, verb: str
) -> None:
    """The database accepts the connection, and does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/none"
        stack = Stack(running_stack.brokers, url, tmp_path)
        part = stack._start(verb, verb, {"HOST": "127.0.0.1", "PORT": str(free_port())})
        silent.settimeout(60)
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(1)  # It waits for an answer, and is no longer in the middle of connecting.
            assert logged_no_error(interrupted(part)), part.tail()


async def test_ctrl_c_of_a_worker_without_a_broker_ends_it_with_status_130(
    own_kafka: EmbeddedKafka, database_url: str, tmp_path: Path
) -> None:
    """In time, though it cannot leave its consumer group."""
    worker = WorkerProcess(await new_place(own_kafka.brokers, database_url), tmp_path)
    try:
        worker.start()
        eventually_sync(lambda: worker.is_ready, 60)
        own_kafka.stop()
        assert worker.interrupt() == 130
        assert "KeyboardInterrupt" not in worker.log.read_text()
    finally:
        worker.kill()


def test_ctrl_c_during_imports_shows_no_traceback(tmp_path: Path) -> None:
    """With a module that blocks."""
    (tmp_path / "click.py").write_text(
        "import os, time\nopen(os.environ['IMPORTING'], 'w').close()\ntime.sleep(60)\n"
    )
    importing = tmp_path / "importing"
    process = subprocess.Popen(
        [sys.executable, "-m", "tasktape", "list"],
        env=os.environ | {"PYTHONPATH": str(tmp_path), "IMPORTING": str(importing)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    eventually_sync(importing.exists)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, said) == (130, b"")

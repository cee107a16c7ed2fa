"""Ready file: a process is ready, and still running."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.errors import Unavailable
from streams.ready_file import ReadyFile
from tests.waiting import eventually

LONG_AGO = (1_000_000_000, 1_000_000_000)


def is_old(path: Path) -> bool:
    return path.stat().st_mtime == LONG_AGO[1]


async def test_file_of_a_killed_process_is_removed_before_the_next_is_ready(tmp_path: Path) -> None:
    path = tmp_path / "ready"
    path.touch()
    ready_file = ReadyFile(str(path))
    assert not path.exists()
    ready_file.make()
    assert path.exists()
    ready_file.remove()
    assert not path.exists()


async def test_file_is_touched_while_the_event_loop_runs(tmp_path: Path) -> None:
    path = tmp_path / "ready"
    ready_file = ReadyFile(str(path), heartbeat_s=0.01)
    ready_file.make()
    for _ in range(3):
        os.utime(path, LONG_AGO)
        await eventually(lambda: not is_old(path))
    ready_file.remove()


async def test_ready_again_creates_the_file_again(tmp_path: Path) -> None:
    path = tmp_path / "ready"
    ready_file = ReadyFile(str(path))
    ready_file.make()
    ready_file.remove()
    ready_file.make()
    assert path.exists()
    ready_file.remove()


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ready_file = ReadyFile(None)
    ready_file.make()
    ready_file.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "missing/ready"])
def test_impossible_path_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(Unavailable, match=r"TASKTAPE_READY_FILE .* cannot be written: "):
        ReadyFile(str(tmp_path / name))

"""The copy of the audit in Parquet files: each event once, also after the writer was killed anywhere."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import partial
from io import BytesIO
from pathlib import Path
from random import Random

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from api.export.encoders import ExportedEvent
from tasktape.parquet_copy import update
from tasktape.parquet_copy.manifest import NAME, BadCopy, Query, only_writer, opened
from tasktape.parquet_copy.update import Part, bring_up_to_date
from tests.exported import in_log_order, written
from tests.past_histories import history

Fetch = Callable[[Mapping[int, int]], Awaitable[Part]]
STEPS = ("fsync", "replace", "rename", "unlink", "mkdir", "open")
"""The system calls before which a writer is killed."""


def log_of(count: int) -> list[ExportedEvent]:
    """Return a log that was recorded on three days."""
    events = in_log_order(history(Random(count), count))
    return [
        ExportedEvent(
            each.event._replace(
                recorded_at=each.event.recorded_at + timedelta(days=each.event.position.offset // 10)
            ),
            each.list_id,
        )
        for each in events
    ]


def server_of(log: list[ExportedEvent]) -> Fetch:
    """Return what answers as `GET /api/audit/export` does."""

    async def fetch(after: Mapping[int, int]) -> Part:
        wanted = [
            each for each in log if each.event.position.offset > after.get(each.event.position.partition, -1)
        ]
        content = written("parquet", wanted[: update.PART_EVENTS])
        until = {each.event.position.partition: each.event.position.offset for each in log}
        return Part(pq.read_table(BytesIO(content)), until)

    return fetch


def copied(folder: Path, log: list[ExportedEvent], query: Query = ()) -> int:
    """Bring a copy up to date; return the number of its files."""
    manifest = asyncio.run(bring_up_to_date(folder, query, server_of(log), lambda _: None))
    return len(manifest.files)


def places_in(folder: Path) -> list[tuple[int, int]]:
    """Return the positions of all events, as another program reads the folder."""
    files = [str(path) for path in folder.glob("*/*.parquet")]
    table = (
        ds.dataset(files, format="parquet").to_table() if files else pa.table({"partition": [], "offset": []})
    )
    return sorted(zip(table["partition"].to_pylist(), table["offset"].to_pylist(), strict=True))


def places_of(log: list[ExportedEvent]) -> list[tuple[int, int]]:
    return [(each.event.position.partition, each.event.position.offset) for each in log]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update, "PART_EVENTS", 12)
    monkeypatch.setattr(update, "MOST_SMALL_FILES", 2)


def test_copy_has_every_event_by_day(tmp_path: Path) -> None:
    log = log_of(60)
    copied(tmp_path / "copy", log)
    assert places_in(tmp_path / "copy") == places_of(log)
    frame = pd.read_parquet(tmp_path / "copy")
    assert len(frame) == len(log)
    days = frame["recorded_at"].dt.strftime("%Y-%m-%d")
    assert len(set(days)) > 1
    assert list(frame["recorded_on"].astype(str)) == list(days)


def test_later_run_adds_later_events_only(tmp_path: Path) -> None:
    log = log_of(60)
    early = [each for each in log if each.event.position.offset < 7]
    copied(tmp_path / "copy", early)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "copy").glob("*/*.parquet")}
    assert places_in(tmp_path / "copy") == places_of(early)
    copied(tmp_path / "copy", log)
    assert places_in(tmp_path / "copy") == places_of(log)
    assert before
    names = sorted(path.read_bytes() for path in (tmp_path / "copy").glob("*/*.parquet"))
    copied(tmp_path / "copy", log)
    assert sorted(path.read_bytes() for path in (tmp_path / "copy").glob("*/*.parquet")) == names


def test_days_with_many_small_files_are_merged(tmp_path: Path) -> None:
    log = log_of(60)
    for end in range(1, 10):
        files = copied(tmp_path / "copy", [each for each in log if each.event.position.offset < end])
    assert files <= 3
    assert places_in(tmp_path / "copy") == [place for place in places_of(log) if place[1] < 9]


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Do work in a process that is killed before a step; return False if it had fewer steps."""
    child = os.fork()
    if child == 0:
        try:
            _count_steps(step)
            work()
        except BaseException:  # noqa: BLE001  # a process of the tests must not go on as a second one
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


def _count_steps(step: int) -> None:
    """Kill this process before the given step."""
    left = step

    def before(name: str) -> Callable[..., object]:
        real = getattr(os, name)

        def call(*given: object, **named: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*given, **named)

        return call

    for name in STEPS:
        setattr(os, name, before(name))


def test_killed_anywhere_each_event_is_there_once(tmp_path: Path) -> None:
    """A reader sees none twice before the copy is continued, and all of them afterwards."""
    log = log_of(40)
    early = [each for each in log if each.event.position.offset < 5]
    step = 0
    while True:
        folder = tmp_path / str(step)
        for end in (2, 5):
            copied(folder, [each for each in early if each.event.position.offset < end])
        was_killed = killed_at(step, partial(copied, folder, log))
        there = places_in(folder)
        assert len(there) == len(set(there))
        copied(folder, log)
        assert places_in(folder) == places_of(log)
        assert not list(folder.rglob("*.tmp"))
        if not was_killed:
            break
        step += 1
    assert step > 20


def test_only_one_process_writes(tmp_path: Path) -> None:
    with (
        only_writer(tmp_path / "copy"),
        pytest.raises(BadCopy, match="another process"),
        only_writer(tmp_path / "copy"),
    ):
        pass


def test_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(BadCopy, match="not empty"):
        copied(tmp_path, log_of(5))


def test_copy_of_other_events_is_refused(tmp_path: Path) -> None:
    copied(tmp_path / "copy", log_of(5))
    with pytest.raises(BadCopy, match="without filters"):
        copied(tmp_path / "copy", log_of(5), (("actor", "alice"),))


def test_missing_file_is_named(tmp_path: Path) -> None:
    copied(tmp_path / "copy", log_of(5))
    lost = next((tmp_path / "copy").glob("*/*.parquet"))
    lost.unlink()
    with pytest.raises(BadCopy, match=lost.name):
        copied(tmp_path / "copy", log_of(5))


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 1}', '{"format": 9}'])
def test_damaged_manifest_is_named(tmp_path: Path, content: str) -> None:
    copied(tmp_path / "copy", log_of(5))
    (tmp_path / "copy" / NAME).write_text(content)
    with pytest.raises(BadCopy, match=NAME):
        opened(tmp_path / "copy", ())

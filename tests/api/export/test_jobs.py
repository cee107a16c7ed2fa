"""Export jobs: files, bounds, cancelling, links, and nodes that stop."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import pytest

from api.export import jobs as jobs_module
from api.export.job_files import Job, JobFiles
from api.export.jobs import KEPT, MOST_OF_USER, ExportJobs
from api.export.links import Links
from app.errors import Gone, NotFound, Unavailable
from tests.exported import EventPage, in_log_order, written
from tests.past_histories import history
from tests.spec import START
from tests.waiting import eventually

EVENTS = in_log_order(history(Random(1), 40))
LIMIT_BYTES = 1 << 30


@dataclass
class Clock:
    """A clock that tests set."""

    time: datetime = START

    def __call__(self) -> datetime:
        return self.time


@dataclass
class Pages:
    """Pages that are read when the test lets them be."""

    error: Exception | None = None
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, progress: Callable[[int], None]) -> AsyncGenerator[Any]:
        yield Page(EVENTS[:20])
        progress(20)
        await self.may_end.wait()
        if self.error is not None:
            raise self.error
        yield Page(EVENTS[20:])
        progress(len(EVENTS) - 20)


class Page(EventPage):
    """A page of the length of its events."""

    def __len__(self) -> int:
        return len(self.found)


def job_of(user: str = "alice", **given: Any) -> Job:
    values: dict[str, Any] = {
        "id": str(uuid4()),
        "user": user,
        "format": "jsonl",
        "query": [],
        "state": "waiting",
        "records": len(EVENTS),
        "until": "0:40",
        "created_at": START,
        "expires_at": START + KEPT,
    }
    return Job(**values | given)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def jobs_in(folder: Path, clock: Clock, limit_bytes: int = LIMIT_BYTES) -> ExportJobs:
    return ExportJobs(JobFiles(folder), limit_bytes, clock)


async def state_of(jobs: ExportJobs, job: Job) -> str | None:
    found = await jobs.find(job.id)
    return None if found is None else found.state


async def over(jobs: ExportJobs, job: Job) -> Job:
    async def is_over() -> bool:
        found = await jobs.find(job.id)
        return found is not None and found.is_over

    await eventually(is_over)
    found = await jobs.find(job.id)
    assert found is not None
    return found


async def test_done_job_has_the_whole_file(tmp_path: Path, clock: Clock) -> None:
    jobs, job, pages = jobs_in(tmp_path, clock), job_of(), Pages()
    assert await jobs.start(job, pages, None)
    assert await state_of(jobs, job) in ("waiting", "running")
    pages.may_end.set()
    done = await over(jobs, job)
    assert (done.state, done.events, done.looked_at) == ("done", len(EVENTS), len(EVENTS))
    assert jobs.content(job.id).read_bytes() == written("jsonl", EVENTS)
    assert done.size_bytes == jobs.content(job.id).stat().st_size
    assert await jobs.of_user("alice") == [done]
    assert await jobs.of_user("bob") == []


async def test_progress_is_reported(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "SAVE_INTERVAL_S", 0.0)
    jobs, job, pages = jobs_in(tmp_path, clock), job_of(), Pages()
    await jobs.start(job, pages, None)

    async def half_done() -> bool:
        found = await jobs.find(job.id)
        return found is not None and found.events == 20 and found.size_bytes > 0

    await eventually(half_done)
    await jobs.remove(job.id)


async def test_removed_job_is_cancelled_and_leaves_nothing(tmp_path: Path, clock: Clock) -> None:
    jobs, job = jobs_in(tmp_path, clock), job_of()
    await jobs.start(job, Pages(), None)
    await jobs.remove(job.id)
    assert await jobs.find(job.id) is None
    assert not (tmp_path / job.id).exists()


@pytest.mark.parametrize(
    ("error", "reason"),
    [(Unavailable("the database is unavailable"), "database"), (RuntimeError("secret"), "internal")],
)
async def test_failed_job_says_why(tmp_path: Path, clock: Clock, error: Exception, reason: str) -> None:
    jobs, job, pages = jobs_in(tmp_path, clock), job_of(), Pages(error)
    pages.may_end.set()
    await jobs.start(job, pages, None)
    failed = await over(jobs, job)
    assert failed.state == "failed"
    assert reason in (failed.error or "")
    assert "secret" not in (failed.error or "")


async def test_files_are_bounded_together(tmp_path: Path, clock: Clock) -> None:
    jobs, first, second = jobs_in(tmp_path, clock, 20_000), job_of(), job_of("bob")
    states = []
    for job in (first, second):
        pages = Pages()
        pages.may_end.set()
        await jobs.start(job, pages, None)
        states.append((await over(jobs, job)).state)
    assert states == ["done", "failed"]


async def test_jobs_of_a_user_are_bounded(tmp_path: Path, clock: Clock) -> None:
    jobs = jobs_in(tmp_path, clock)
    begun = [job_of() for _ in range(MOST_OF_USER)]
    assert all([await jobs.start(job, Pages(), None) for job in begun])
    assert not await jobs.start(job_of(), Pages(), None)
    assert await jobs.start(job_of("bob"), Pages(), None)
    await jobs.remove(begun[0].id)
    assert await jobs.start(job_of(), Pages(), None)
    await jobs.stop()


async def test_expired_job_is_gone_and_its_file_is_deleted(tmp_path: Path, clock: Clock) -> None:
    jobs, job, pages = jobs_in(tmp_path, clock), job_of(), Pages()
    pages.may_end.set()
    await jobs.start(job, pages, None)
    await over(jobs, job)
    await jobs.stop()
    clock.time += KEPT
    assert await jobs.find(job.id) is None
    other = job_of("bob", expires_at=clock.time + KEPT)
    await jobs.start(other, pages, None)
    assert not (tmp_path / job.id).exists()
    await over(jobs, other)


async def test_other_node_sees_jobs_and_tells_those_of_a_stopped_node(tmp_path: Path, clock: Clock) -> None:
    node, other, job = jobs_in(tmp_path, clock), jobs_in(tmp_path, clock), job_of()
    await node.start(job, Pages(), None)

    async def is_running() -> bool:
        return await state_of(other, job) == "running"

    await eventually(is_running)
    await node.stop()
    assert await state_of(other, job) == "interrupted"
    assert await state_of(jobs_in(tmp_path, clock), job) == "interrupted"


def test_job_of_a_killed_node_is_interrupted(tmp_path: Path, clock: Clock) -> None:
    job = job_of()
    child = os.fork()
    if child == 0:
        try:
            JobFiles(tmp_path).begin(job)
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    found = JobFiles(tmp_path).find(job.id)
    assert found is not None
    assert found.state == "interrupted"


@pytest.mark.parametrize("name", ["..", "../other", "links.key", "x" * 36, ""])
def test_only_ids_name_jobs(tmp_path: Path, name: str) -> None:
    files = JobFiles(tmp_path / "jobs")
    files.key()
    assert files.find(name) is None


def test_nodes_share_the_key_of_links(tmp_path: Path) -> None:
    keys = {JobFiles(tmp_path / "jobs").key() for _ in range(3)}
    assert len(keys) == 1
    assert (tmp_path / "jobs" / "links.key").stat().st_mode & 0o777 == 0o600


def test_link_is_valid_until_it_expires() -> None:
    links, job_id = Links(b"a key"), str(uuid4())
    address = links.make(job_id, START + timedelta(hours=1))
    expires, signature = (part.partition("=")[2] for part in address.partition("?")[2].split("&"))
    links.check(job_id, int(expires), signature, START)
    with pytest.raises(Gone):
        links.check(job_id, int(expires), signature, START + timedelta(hours=1))
    wrong: Sequence[tuple[str, int, str]] = [
        (str(uuid4()), int(expires), signature),
        (job_id, int(expires) + 1, signature),
        (job_id, int(expires), "0" * 64),
        (job_id, int(expires), ""),
    ]
    for each in wrong:
        with pytest.raises(NotFound):
            links.check(*each, START)
    with pytest.raises(NotFound):
        Links(b"another").check(job_id, int(expires), signature, datetime.now(UTC))

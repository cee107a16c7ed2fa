"""Jobs: large exports, written to files in the background.

The number of jobs and the bytes of their files are bounded. Files are deleted when they expire.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import aclosing, suppress
from datetime import timedelta
from pathlib import Path
from tempfile import gettempdir
from typing import BinaryIO, ParamSpec

import structlog

from api.export.formats import FORMATS
from api.export.job_files import Job, JobFiles
from api.export.links import Links
from api.export.writing import ExportWriter, Pages
from app.errors import TaskError, Unavailable
from app.log.ports import Clock
from app.settings import Settings

RUNNING = 2
"""The most jobs that a node writes at the same time."""
MOST_UNFINISHED = 10
"""The most jobs of a node that wait or run."""
MOST_OF_USER = 5
"""The most jobs of a user that are kept."""
KEPT = timedelta(hours=24)
SAVE_INTERVAL_S = 1.0

P = ParamSpec("P")

_log = structlog.get_logger()

Read = Callable[[Callable[[int], None]], Pages]
"""Begins to read the pages of a job, and reports how many records were looked at since the last report."""


class ExportJobs:
    """The jobs of one node, and the files of all nodes that share its folder."""

    def __init__(self, files: JobFiles, limit_bytes: int, clock: Clock) -> None:
        self._files = files
        self._limit_bytes = limit_bytes
        self._clock = clock
        self._free = asyncio.Semaphore(RUNNING)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._newest: dict[str, Job] = {}

    async def links(self) -> Links:
        """Return the maker of links."""
        return Links(await asyncio.to_thread(self._files.key))

    async def start(self, job: Job, read: Read, limit: int | None) -> bool:
        """Begin a job; return False if there are too many. Raise `OSError`."""
        await asyncio.to_thread(self._remove_expired)
        kept = [each for each in await asyncio.to_thread(list, self._files.all()) if each.user == job.user]
        if len(self._tasks) >= MOST_UNFINISHED or len(kept) >= MOST_OF_USER:
            return False
        await asyncio.to_thread(self._files.begin, job)
        self._newest[job.id] = job
        task = asyncio.create_task(self._run(job.id, read, limit), name=f"export {job.id}")
        self._tasks[job.id] = task
        # Also when it is cancelled: then its state is that of a job whose node was stopped.
        task.add_done_callback(lambda _: self._release(job.id))
        return True

    def content(self, job_id: str) -> Path:
        """Return the path of the file of a job."""
        return self._files.content(job_id)

    async def find(self, job_id: str) -> Job | None:
        """Return a job that has not expired."""
        job = self._newest.get(job_id) or await asyncio.to_thread(self._files.find, job_id)
        return None if job is None or job.expires_at <= self._clock() else job

    async def of_user(self, user: str) -> list[Job]:
        """Return the jobs of a user, oldest first."""
        found = await asyncio.to_thread(list, self._files.all())
        current = [self._newest.get(job.id, job) for job in found if job.user == user]
        return sorted(
            (job for job in current if job.expires_at > self._clock()),
            key=lambda job: (job.created_at, job.id),
        )

    async def remove(self, job_id: str) -> None:
        """Cancel a job if it runs on this node, and delete its file."""
        task = self._tasks.get(job_id)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await asyncio.to_thread(self._files.remove, job_id)

    async def stop(self) -> None:
        """Stop all jobs; they are interrupted."""
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    # --- one job --------------------------------------------------------------------------------------------

    async def _run(self, job_id: str, read: Read, limit: int | None) -> None:
        with suppress(FileNotFoundError):  # it was deleted, perhaps by another node
            try:
                async with self._free:
                    await self._change(job_id, state="running")
                    await self._write(job_id, read, limit)
                await self._change(job_id, state="done")
            except TaskError as error:
                await self._change(job_id, state="failed", error=error.detail)
            except OSError as error:
                reason = f"the file cannot be written: {error.strerror}"
                await self._change(job_id, state="failed", error=reason)
            except Exception as error:  # noqa: BLE001  # a job must not end without a word
                _log.error("export failed", exc_info=error, job=job_id)
                await self._change(job_id, state="failed", error="an internal error, which was logged")

    def _release(self, job_id: str) -> None:
        del self._tasks[job_id], self._newest[job_id]
        self._files.release(job_id)

    async def _write(self, job_id: str, read: Read, limit: int | None) -> None:
        job = self._newest[job_id]
        writer = ExportWriter(FORMATS[job.format], job.compression, limit)
        looked_at = size_bytes = 0

        def progress(records: int) -> None:
            nonlocal looked_at
            looked_at += records

        with self._files.content(job_id).open("wb", buffering=0) as file:
            room_bytes, saved_s = await self._room_bytes(job_id), time.monotonic()
            async with aclosing(writer.chunks(lambda: read(progress))) as chunks:
                async for chunk in chunks:
                    size_bytes += len(chunk)
                    if size_bytes > room_bytes:
                        raise Unavailable(f"the files of exports have reached {self._limit_bytes:,} bytes")
                    await _in_thread(_write_all, file, chunk)
                    if time.monotonic() > saved_s + SAVE_INTERVAL_S:
                        await self._change(
                            job_id, events=writer.events, looked_at=looked_at, size_bytes=size_bytes
                        )
                        room_bytes, saved_s = await self._room_bytes(job_id), time.monotonic()
        await self._change(job_id, events=writer.events, looked_at=job.records, size_bytes=size_bytes)

    async def _room_bytes(self, job_id: str) -> int:
        """Return how large the file of a job may become."""
        jobs = await asyncio.to_thread(list, self._files.all())
        return self._limit_bytes - sum(job.size_bytes for job in jobs if job.id != job_id)

    async def _change(self, job_id: str, **changes: object) -> None:
        job = self._newest[job_id].model_copy(update=changes)
        await _in_thread(self._files.save, job)
        self._newest[job_id] = job

    def _remove_expired(self) -> None:
        for job in self._files.all():
            if job.expires_at <= self._clock() and job.id not in self._tasks:
                self._files.remove(job.id)


async def _in_thread(work: Callable[P, None], *given: P.args, **named: P.kwargs) -> None:
    """Do work in a thread. A cancellation waits for its end: nothing is written after a file is deleted."""
    working = asyncio.create_task(asyncio.to_thread(work, *given, **named))
    try:
        await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        raise


def _write_all(file: BinaryIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def open_jobs(settings: Settings, clock: Clock) -> ExportJobs:
    """Return the jobs of a node; their folder is by default in the data folder, else a temporary one."""
    if settings.exports_folder is not None:
        folder = Path(settings.exports_folder)
    elif settings.data is not None:
        folder = Path(settings.data) / "exports"
    else:
        folder = Path(gettempdir()) / f"tasktape-exports-{os.getuid()}-{settings.schema_name}"
    return ExportJobs(JobFiles(folder), settings.exports_limit_bytes, clock)

"""The files of export jobs in one folder: the state of each job beside what it has written.

Several nodes may share the folder. A node holds a lock on the jobs that it runs, so the others can tell a job
that runs from one whose node was stopped.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from api.export.compression import Coding
from api.export.formats import FormatName
from app.ids import is_uuid

KEY_FILE = "links.key"
KEY_BYTES = 32
STATE, CONTENT, LOCK = "job.json", "content", "lock"

JobState = Literal["waiting", "running", "done", "failed", "cancelled", "interrupted"]


class Job(BaseModel):
    """An export that is written to a file in the background."""

    model_config = ConfigDict(frozen=True)

    id: str
    user: str
    format: FormatName = Field(description="The format of the file")
    compression: Coding | None = Field(None, description="The compression of the file")
    query: list[tuple[str, str]] = Field(description="The filters: their names and values")
    state: JobState = Field(description="`interrupted`: its node was stopped; begin it again")
    error: str | None = Field(None, description="The reason why it failed")
    events: int = Field(0, description="Events written so far")
    records: int = Field(description="Records of the log that are looked at in all")
    looked_at: int = Field(0, description="Records of the log that were looked at so far")
    size_bytes: int = Field(0, description="Bytes written so far")
    until: str = Field(description="Positions up to which it has all events", examples=["0:121,3:44"])
    created_at: datetime
    expires_at: datetime = Field(description="The time at which the file is deleted")

    @property
    def is_over(self) -> bool:
        """Return True if nothing more is written."""
        return self.state not in ("waiting", "running")


class JobFiles:
    """The folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks: dict[str, int] = {}

    def key(self) -> bytes:
        """Return the secret that links are signed with; the first node makes it. Raise `OSError`."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / KEY_FILE
        temporary = path.with_name(f".{KEY_FILE}.{secrets.token_hex(8)}")
        if not path.exists():
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
            with suppress(FileExistsError):
                path.hardlink_to(temporary)
            temporary.unlink()
        return path.read_bytes()

    def begin(self, job: Job) -> None:
        """Make the files of a new job, and hold its lock. Raise `OSError`."""
        folder = self._folder / job.id
        folder.mkdir(parents=True, mode=0o700)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._locks[job.id] = descriptor
        self.save(job)

    def save(self, job: Job) -> None:
        """Keep the state of a job. Raise `OSError`."""
        path = self._folder / job.id / STATE
        temporary = path.with_suffix(".tmp")
        temporary.write_text(job.model_dump_json())
        temporary.replace(path)

    def release(self, job_id: str) -> None:
        """Release the lock of a job that is over."""
        os.close(self._locks.pop(job_id))

    def find(self, job_id: str) -> Job | None:
        """Return a job; None if there is none. Raise `OSError`."""
        if not is_uuid(job_id):
            return None
        try:
            job = Job.model_validate_json((self._folder / job_id / STATE).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        if job.is_over or job_id in self._locks or self._is_locked(job_id):
            return job
        return job.model_copy(update={"state": "interrupted"})

    def all(self) -> Iterator[Job]:
        """Yield all jobs. Raise `OSError`."""
        folders = self._folder.iterdir() if self._folder.exists() else ()
        found = (self.find(folder.name) for folder in folders)
        yield from (job for job in found if job is not None)

    def content(self, job_id: str) -> Path:
        """Return the path of what a job has written."""
        return self._folder / job_id / CONTENT

    def remove(self, job_id: str) -> None:
        """Delete a job and its file, which current readers can finish. Raise `OSError`."""
        folder = self._folder / job_id
        for name in (STATE, CONTENT, LOCK):
            (folder / name).unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            folder.rmdir()

    def _is_locked(self, job_id: str) -> bool:
        try:
            with (self._folder / job_id / LOCK).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False

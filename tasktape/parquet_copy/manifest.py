"""The manifest of a copy: the files that belong to it, and the positions up to which they have all events.

Replacing it is the commit. Before, the new files have temporary names; afterwards they get their own. So a
copy that was interrupted anywhere has each event once, and is completed when it is opened again.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.positions import positions_from_json, positions_to_json

NAME, LOCK = "_manifest.json", "_lock"
"""Readers of Parquet pass over names that begin with an underscore or a dot."""
FORMAT = 1
TEMPORARY = ".{}.tmp"


Query = tuple[tuple[str, str], ...]
"""The filters of a copy: their names and values."""


class BadCopy(Exception):
    """An error: the folder has no copy that can be continued."""


@dataclass(frozen=True, slots=True)
class DayFile:
    """A file with events of one day. Its path is relative to the folder."""

    path: str
    events: int
    size_bytes: int

    @property
    def day(self) -> str:
        """Return the name of the folder of its day."""
        return self.path.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The state of a copy. `query` are the filters that all its events pass."""

    query: Query
    positions: Mapping[int, int] = field(default_factory=dict)
    commits: int = 0
    files: tuple[DayFile, ...] = ()

    def as_json(self) -> bytes:
        """Return the file's content."""
        value = {
            "format": FORMAT,
            "query": self.query,
            "positions": positions_to_json(self.positions),
            "commits": self.commits,
            "files": [
                {"path": each.path, "events": each.events, "bytes": each.size_bytes} for each in self.files
            ],
        }
        return json.dumps(value, indent=1).encode()

    @classmethod
    def parse(cls, content: bytes) -> Manifest:
        """Parse the result of `as_json`. Raise `BadCopy`."""
        try:
            value: dict[str, Any] = json.loads(content)
            if value["format"] != FORMAT:
                raise BadCopy(f"{NAME} is of format {value['format']}, and this version writes {FORMAT}")
            return cls(
                tuple((str(name), str(text)) for name, text in value["query"]),
                positions_from_json(value["positions"]),
                int(value["commits"]),
                tuple(DayFile(each["path"], each["events"], each["bytes"]) for each in value["files"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BadCopy(f"{NAME} is damaged; delete the folder and begin again") from None


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Make the folder, and hold its lock. Raise `BadCopy` if another process has it, and `OSError`."""
    folder.mkdir(parents=True, exist_ok=True)
    ours = {NAME, LOCK, TEMPORARY.format(NAME)}
    if not (folder / NAME).exists() and any(each.name not in ours for each in folder.iterdir()):
        raise BadCopy("it is not empty, and has no copy; name a new folder")
    with (folder / LOCK).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadCopy("another process is writing it") from None
        yield


def opened(folder: Path, query: Query) -> Manifest:
    """Return the manifest, after what was interrupted is completed. Raise `BadCopy` and `OSError`."""
    path = folder / NAME
    if not path.exists():
        commit(folder, Manifest(query))
    manifest = Manifest.parse(path.read_bytes())
    if manifest.query != query:
        raise BadCopy(f"it is a copy of other events: {_shown(manifest.query)}")
    _complete(folder, manifest)
    return manifest


def commit(folder: Path, manifest: Manifest) -> None:
    """Make this the state of the copy; its new files are complete, under temporary names."""
    temporary = folder / TEMPORARY.format(NAME)
    with temporary.open("wb") as file:
        file.write(manifest.as_json())
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / NAME)
    sync_folder(folder)
    _complete(folder, manifest)


def temporary_of(path: Path) -> Path:
    """Return the name of a file until it is committed."""
    return path.with_name(TEMPORARY.format(path.name))


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _complete(folder: Path, manifest: Manifest) -> None:
    """Give the files of the manifest their names; remove all others. Raise `BadCopy` if one is missing."""
    wanted = {folder / each.path for each in manifest.files}
    changed = set()
    for day in (each for each in folder.iterdir() if each.is_dir()):
        for path in day.iterdir():
            if path not in wanted and (path.suffix == ".parquet" or path.name.endswith(".tmp")):
                target = path.with_name(path.name.removeprefix(".").removesuffix(".tmp"))
                if path.suffix == ".tmp" and target in wanted and not target.exists():
                    path.replace(target)
                else:
                    path.unlink()
                changed.add(day)
    for day in changed:
        sync_folder(day)
    missing = next((each.path for each in manifest.files if not (folder / each.path).exists()), None)
    if missing is not None:
        raise BadCopy(f"{missing} is missing; delete the folder and begin again")


def _shown(query: Query) -> str:
    return ", ".join(f"{name}={value}" for name, value in query) or "without filters"

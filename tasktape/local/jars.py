"""Kafka's jars: downloaded once into the user's cache, verified against the lock file beside this module."""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from tasktape.local.data_dir import user_folder
from tasktape.local.errors import LocalError

Progress = Callable[[int, int], None]
"""Called with the bytes present so far and the bytes in all."""

PARALLEL_DOWNLOADS = 4
TRIES_PER_JAR = 3


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock file."""

    group: str
    artifact: str
    version: str
    size_bytes: int
    sha256: str

    @property
    def file_name(self) -> str:
        """Return the file's name in the cache."""
        return f"{self.artifact}-{self.version}.jar"


def read_lock() -> tuple[Jar, ...]:
    """Return the jars of the embedded broker."""
    text = files("tasktape.local").joinpath("kafka-jars.lock.txt").read_text()
    return tuple(_parse(line) for line in text.splitlines() if line and not line.startswith("#"))


def lock_digest(jars: tuple[Jar, ...]) -> str:
    """Return a name of twelve characters for this set of jars."""
    return hashlib.sha256("".join(jar.sha256 for jar in jars).encode()).hexdigest()[:12]


def user_cache() -> Path:
    """Return the folder of this user's downloads for Tasktape. Raises `LocalError` without a home."""
    return user_folder("XDG_CACHE_HOME", Path("~/.cache")) / "tasktape"


def is_complete(folder: Path, jars: tuple[Jar, ...]) -> bool:
    """Return whether all jars exist with their sizes. Their content is verified when they are downloaded."""
    return all(_size(folder / jar.file_name) == jar.size_bytes for jar in jars)


def damaged(folder: Path, jars: tuple[Jar, ...]) -> list[str]:
    """Return the names of the jars that are missing or differ from the lock file."""
    return [jar.file_name for jar in jars if _sha256(folder / jar.file_name) != jar.sha256]


def fetch(folder: Path, jars: tuple[Jar, ...], progress: Progress) -> None:
    """Download missing or damaged jars into `folder`; the caller holds `exclusive` for it."""
    folder.mkdir(parents=True, exist_ok=True)
    for staging in folder.glob(".*"):  # left behind by a killed download
        shutil.rmtree(staging, ignore_errors=True)
    total = sum(jar.size_bytes for jar in jars)
    bad = set(damaged(folder, jars))
    missing = [jar for jar in jars if jar.file_name in bad]
    present = total - sum(jar.size_bytes for jar in missing)
    progress(present, total)
    with _pool() as pool:
        for size in pool.map(lambda jar: _fetch_one(folder, jar), missing):
            present += size
            progress(present, total)


@contextlib.contextmanager
def exclusive(path: Path) -> Generator[None]:
    """Hold a lock between processes, so that two concurrent starts download only once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(PARALLEL_DOWNLOADS)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _fetch_one(folder: Path, jar: Jar) -> int:
    """Download and verify one jar, then move it into place; return its size."""
    from jgo.maven import MavenContext, PythonResolver

    reason = ""
    for attempt in range(TRIES_PER_JAR):
        staging = folder / f".{jar.file_name}.{os.getpid()}.{attempt}"
        try:
            context = MavenContext(resolver=PythonResolver(), repo_cache=staging, timeout=30)
            component = context.project(jar.group, jar.artifact).at_version(jar.version)
            downloaded = Path(component.artifact().resolve())
            if _sha256(downloaded) == jar.sha256:
                downloaded.replace(folder / jar.file_name)
                return jar.size_bytes
            reason = "its checksum differs from the one in the lock file"
        except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
            reason = _first_line(error)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    raise LocalError(f"Kafka's {jar.file_name} cannot be downloaded: {reason}")


def _parse(line: str) -> Jar:
    coordinate, size, sha256 = line.split()
    group, artifact, version = coordinate.split(":")
    return Jar(group, artifact, version, int(size), sha256)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""

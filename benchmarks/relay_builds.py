"""The load client and the peers, built once into the user's cache: a folder for each state of its sources."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tasktape.local.jars import user_cache

SOURCES = Path(__file__).parent / "peers"
BUILD_LIMIT_S = 300.0


def client() -> Path:
    """The load client."""

    def make(folder: Path) -> None:
        _run(["go", "build", "-trimpath", "-o", str(folder / "client"), "."], SOURCES / "client")

    return _built("client", SOURCES / "client", ["go"], make) / "client"


def rawlimit() -> Path:
    """The server in bare C."""
    source = SOURCES / "rawlimit.c"

    def make(folder: Path) -> None:
        _run(["gcc", "-O2", "-o", str(folder / "rawlimit"), str(source)], folder)

    return _built("rawlimit", source, ["gcc"], make) / "rawlimit"


def socketio() -> Path:
    """The Socket.IO server, for node, with its packages beside it."""

    def make(folder: Path) -> None:
        shutil.copytree(SOURCES / "socketio", folder, dirs_exist_ok=True)
        _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], folder)

    need(["node"])
    return _built("socketio", SOURCES / "socketio", ["npm"], make) / "server.js"


def need(tools: Sequence[str]) -> None:
    """End with a line that names the first tool which is missing."""
    for tool in tools:
        if shutil.which(tool) is None:
            raise SystemExit(f"the relay benchmark needs {tool}, which is not installed")


def _built(name: str, source: Path, tools: Sequence[str], make: Callable[[Path], None]) -> Path:
    """The folder of what `make` makes of `source`, made unless it is there."""
    folder = user_cache() / "peers" / f"{name}-{_digest(source)}"
    if not folder.exists():
        need(tools)
        print(f"building {name} ...", flush=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".work-") as work:
            made = Path(work) / name
            made.mkdir()
            make(made)
            made.replace(folder)
    return folder


def _digest(source: Path) -> str:
    files = sorted(source.rglob("*")) if source.is_dir() else [source]
    digest = hashlib.sha256()
    for file in files:
        if file.is_file():
            digest.update(f"{file.relative_to(source.parent)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def _run(command: Sequence[str], folder: Path) -> None:
    # No other version of Go than the one that is installed.
    environment = os.environ | {"GOTOOLCHAIN": "local"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, timeout=BUILD_LIMIT_S, check=False
    )
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {(done.stderr or done.stdout).decode().strip()[-600:]}")

"""The load client and the peers, built once into the user's cache: a folder for each state of the sources."""

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
    """Return the load client."""

    def make(folder: Path) -> None:
        _run(["go", "build", "-trimpath", "-o", str(folder / "client"), "."], SOURCES / "client")

    return _built("client", SOURCES / "client", ["go"], make) / "client"


def rawlimit() -> Path:
    """Return the server in bare C."""
    source = SOURCES / "rawlimit.c"

    def make(folder: Path) -> None:
        _run(["gcc", "-O2", "-o", str(folder / "rawlimit"), str(source)], folder)

    return _built("rawlimit", source, ["gcc"], make) / "rawlimit"


def socketio() -> Path:
    """Return the Socket.IO server for node, with its packages beside it."""

    def make(folder: Path) -> None:
        shutil.copytree(SOURCES / "socketio", folder, dirs_exist_ok=True)
        _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], folder)

    need(["node"])
    return _built("socketio", SOURCES / "socketio", ["npm"], make) / "server.js"


def need(tools: Sequence[str]) -> None:
    """End with a line that names the first missing tool."""
    for tool in tools:
        if shutil.which(tool) is None:
            raise SystemExit(f"the relay benchmark needs {tool}, which is not installed")


def _built(name: str, source: Path, tools: Sequence[str], make: Callable[[Path], None]) -> Path:
    """Return the folder with the output of `make` for `source`; build it if it is missing."""
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
    # Use the installed version of Go only.
    environment = os.environ | {"GOTOOLCHAIN": "local"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, timeout=BUILD_LIMIT_S, check=False
    )
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {(done.stderr or done.stdout).decode().strip()[-600:]}")

"""Wheels built by `make wheels`, and environments with the requirements of a wheel only."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
OURS = frozenset({"tasktape", "tasktape-client"})


def tracked(*paths: str) -> list[str]:
    """Return the files that git tracks."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *paths], cwd=ROOT, capture_output=True, check=True, text=True
    )
    return list(filter(None, listed.stdout.split("\0")))


def copy_source(folder: Path) -> Path:
    """Copy what git tracks into a folder. Return the folder."""
    for name in tracked():
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy, follow_symlinks=False)
    return folder


def build_wheels(source: Path) -> dict[str, Path]:
    """Run `make wheels` in a source tree. Return the wheels by the names of their distributions."""
    environment = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    built = subprocess.run(
        ["make", "wheels", f"VENV={sys.prefix}", f"--old-file={sys.prefix}/.runtime"],
        cwd=source,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    wheels = (source / "dist").glob("*.whl")
    return {canonicalize_name(wheel.name.partition("-")[0]): wheel for wheel in wheels}


def names_in(wheel: Path) -> set[str]:
    """Return the names of a wheel's files."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def metadata_of(wheel: Path) -> Message:
    """Return a wheel's metadata."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment without pip, and without an index: the pip of this process installs into it."""

    folder: Path

    @classmethod
    def with_requirements(cls, folder: Path, requirements: Iterable[str]) -> Environment:
        """Create one with the third-party requirements, as installed here, and nothing else."""
        venv.create(folder, symlinks=True)
        environment = cls(folder)
        for name in _required(requirements):
            environment._link(name)
        return environment

    def _link(self, name: str) -> None:
        [site] = self.folder.glob("lib/python*/site-packages")
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(found.locate_file(top))).resolve())

    def pip(self, *arguments: str) -> str:
        """Run pip on it and return its output."""
        return self._run(sys.executable, "-m", "pip", "--python", str(self.folder), *arguments)

    def run(self, program: str, *arguments: str, folder: Path) -> str:
        """Run one of its programs in a folder and return its output."""
        return self._run(str(self.folder / "bin" / program), *arguments, folder=folder)

    def _run(self, *command: str, folder: Path | None = None) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        ran = subprocess.run(
            command, cwd=folder or self.folder, env=kept, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout


def _required(requirements: Iterable[str]) -> set[str]:
    """Return the names of the required third-party distributions, direct or not."""
    waiting = list(requirements)
    required: set[str] = set()
    seen: set[str] = set()
    while waiting:
        text = waiting.pop()
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        if text in seen or name in OURS:
            continue
        seen.add(text)
        required.add(name)
        for further in distribution(name).requires or ():
            marker = Requirement(further).marker
            extras = ("", *requirement.extras)
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(further)
    return required

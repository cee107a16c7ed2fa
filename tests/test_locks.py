"""Lock files suffice for production and for a local instance."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PRODUCTION = [
    "api.server",
    "streams.worker",
    "streams.migrate",
    "tasktape.cli.run",
    "tasktape.cli.worker",
    "tasktape_client.updates",
]
LOCAL = [*PRODUCTION, "tasktape.local.foreground", "tasktape.cli.local", "tasktape.cli.doctor"]
IMPORT_WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

absent, modules = (set(argument.split(",")) for argument in sys.argv[1:])
sys.meta_path.insert(0, Absent())
for module in modules:
    __import__(module)
"""


def pinned(lock: str) -> dict[str, str]:
    """Return the names and versions that a lock file pins."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", (ROOT / lock).read_text(), re.MULTILINE))


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def installed() -> dict[str, set[str]]:
    """Return the importable top-level packages, with their distributions."""
    found = packages_distributions()
    return {package: {normalised(name) for name in names} for package, names in found.items()}


def absent_from(lock: str, installed: dict[str, set[str]]) -> list[str]:
    """Return the packages that would be missing with only the pins of the lock file."""
    present = pinned(lock).keys() | {"tasktape", "tasktape-client"}
    return [package for package, distributions in installed.items() if not present & distributions]


@pytest.mark.parametrize(
    ("lock", "modules"), [("requirements-prod.lock", PRODUCTION), ("requirements.lock", LOCAL)]
)
def test_processes_load_with_pinned_packages_only(
    installed: dict[str, set[str]], lock: str, modules: list[str]
) -> None:
    absent = absent_from(lock, installed)
    assert "pytest" in absent
    command = [sys.executable, "-c", IMPORT_WITHOUT, ",".join(absent), ",".join(modules)]
    loaded = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert loaded.returncode == 0, loaded.stderr


def test_verbs_of_a_local_instance_name_missing_packages(installed: dict[str, set[str]]) -> None:
    absent = absent_from("requirements-prod.lock", installed)
    program = f"{IMPORT_WITHOUT}\nfrom tasktape.cli import main\nmain(['up', '--help'])"
    command = [sys.executable, "-c", program, ",".join(absent), "tasktape.cli"]
    refused = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert refused.stderr == (
        "Error: `tasktape up` needs the parts of a local instance: pip install 'tasktape[local]'\n"
    )


def test_lock_files_agree_on_every_version() -> None:
    everything = pinned("requirements-dev.lock")
    for lock in ("requirements-prod.lock", "requirements.lock"):
        assert pinned(lock).items() <= everything.items()


@pytest.mark.parametrize("lock", ["requirements-dev.lock", "requirements.lock", "requirements-prod.lock"])
def test_every_pin_has_hashes(lock: str) -> None:
    entries = re.split(r"\n(?=[a-z0-9])", (ROOT / lock).read_text())
    assert all("--hash=sha256:" in entry for entry in entries)
    # A package may have a pin for each range of versions of Python.
    assert {entry.partition("==")[0] for entry in entries} == pinned(lock).keys()

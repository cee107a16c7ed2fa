"""The wheel holds everything that is needed at run time, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The files of a wheel that is built of what git tracks."""
    source, wheels = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheels")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        copy = source / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(wheels), str(source)], check=True)
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def product_files() -> set[str]:
    """What git tracks in the product's packages."""
    packages = ["app", "projections", "streams", "api", "tasktape"]
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *packages], cwd=ROOT, capture_output=True, check=True, text=True
    )
    return set(filter(None, listed.stdout.split("\0")))


def test_every_file_of_the_packages_is_in_it(names: set[str]) -> None:
    for_checks_only = {name for name in product_files() if name.endswith("tsconfig.json")}
    assert product_files() - for_checks_only - names == set()


def test_nothing_but_the_packages_and_the_licence(names: set[str]) -> None:
    others = {name for name in names - product_files() if ".dist-info/" not in name}
    assert {name for name in others if not name.endswith("tsconfig.json")} == set()
    assert any(name.endswith("/LICENSE") for name in names)

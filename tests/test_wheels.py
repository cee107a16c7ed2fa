"""Wheels: complete, and usable next to a project with its own `app` package."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.integration.stack import Stack
from tests.wheels import ROOT, Environment, build_wheels, copy_source, metadata_of, names_in, tracked

PACKAGES = ("app", "projections", "streams", "api", "tasktape")
VERSION = (ROOT / "client" / "VERSION").read_text().strip()

USE_OF_THE_CLIENT = """
import asyncio, sys
from importlib.util import find_spec
from app.titles import TITLE
from tasktape_client import Client, Update

assert not any(map(find_spec, ["api", "projections", "streams", "tasktape"]))

async def main(url, token):
    async with Client(url, token, packed=True) as client, client.updates() as updates:
        task = await client.create_task(TITLE, tags=["office"])
        async for update in updates:
            if isinstance(update, Update):
                break
        tasks = await client.tasks().all()
        print(update.event.type, update.task.title, [each.id for each in tasks] == [task.id])

asyncio.run(main(*sys.argv[1:]))
"""
USE_OF_THE_SERVERS = """
from app.titles import TITLE
import tasktape.client
import tasktape_client

assert tasktape.client.Client is tasktape_client.Client
print(TITLE)
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a source tree of the tracked files."""
    return copy_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def wheels(source: Path) -> dict[str, Path]:
    """Return the wheels that `make wheels` builds."""
    return build_wheels(source)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project with a package `app` of its own."""
    folder = tmp_path / "project"
    (folder / "app").mkdir(parents=True)
    (folder / "app" / "__init__.py").touch()
    (folder / "app" / "titles.py").write_text('TITLE = "Book a room"\n')
    (folder / "use_client.py").write_text(USE_OF_THE_CLIENT)
    (folder / "use_server.py").write_text(USE_OF_THE_SERVERS)
    return folder


def requirements_of(wheel: Path) -> list[str]:
    """Return the requirements of a wheel without its extras."""
    required: list[str] = metadata_of(wheel).get_all("Requires-Dist") or []
    return [each for each in required if "extra ==" not in each]


def test_both_wheels_have_the_version_of_the_one_file(wheels: dict[str, Path]) -> None:
    assert {name: metadata_of(wheel)["Version"] for name, wheel in wheels.items()} == {
        "tasktape": VERSION,
        "tasktape-client": VERSION,
    }


def test_server_requires_the_client_of_its_own_version(wheels: dict[str, Path]) -> None:
    assert f"tasktape-client=={VERSION}" in requirements_of(wheels["tasktape"])


def test_server_wheel_has_all_of_its_packages_and_nothing_else(wheels: dict[str, Path]) -> None:
    product, names = set(tracked(*PACKAGES)), names_in(wheels["tasktape"])
    for_checks_only = {name for name in product if name.endswith("tsconfig.json")}
    assert product - for_checks_only - names == set()
    others = {name for name in names - product if ".dist-info/" not in name}
    assert others == set()
    assert any(name.endswith("/LICENSE") for name in names)


def test_client_wheel_has_its_package_and_nothing_else(wheels: dict[str, Path]) -> None:
    product = {name.removeprefix("client/") for name in tracked("client/tasktape_client")}
    names = names_in(wheels["tasktape-client"])
    assert {name for name in names if ".dist-info/" not in name} == product
    assert "tasktape_client/py.typed" in names
    assert any(name.endswith("/LICENSE") for name in names)


async def test_client_wheel_works_next_to_another_app_package(
    wheels: dict[str, Path], project: Path, tmp_path: Path, running_stack: Stack
) -> None:
    wheel = wheels["tasktape-client"]
    environment = Environment.with_requirements(tmp_path / "venv", requirements_of(wheel))
    environment.pip("install", "--no-compile", "--no-index", str(wheel))
    environment.pip("check")
    url, token = running_stack.urls[0], running_stack.token("user-of-the-wheel")
    printed = await asyncio.to_thread(environment.run, "python", "use_client.py", url, token, folder=project)
    assert printed == "task.created Book a room True\n"


def test_server_wheel_works_next_to_another_app_package(
    wheels: dict[str, Path], project: Path, tmp_path: Path
) -> None:
    wheel = wheels["tasktape"]
    environment = Environment.with_requirements(tmp_path / "venv", requirements_of(wheel))
    found_there = ("--no-index", "--find-links", str(wheel.parent))
    environment.pip("install", "--no-compile", *found_there, "tasktape")
    environment.pip("check")
    assert environment.run("tasktape", "--version", folder=project) == f"tasktape {VERSION}\n"
    assert "Usage: tasktape" in environment.run("tasktape", "--help", folder=project)
    assert environment.run("python", "use_server.py", folder=project) == "Book a room\n"


def test_editable_installation_has_the_client_of_its_folder(
    wheels: dict[str, Path], source: Path, tmp_path: Path
) -> None:
    needed = [*requirements_of(wheels["tasktape"]), "setuptools"]
    environment = Environment.with_requirements(tmp_path / "venv", needed)
    environment.pip("install", "--no-index", "--no-build-isolation", "--editable", str(source))
    environment.pip("check")
    assert environment.run("tasktape", "--version", folder=tmp_path) == f"tasktape {VERSION}\n"
    environment.run("python", "-c", "import tasktape.client", folder=tmp_path)

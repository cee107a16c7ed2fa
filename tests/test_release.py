"""What is released has one version, and everything that names it agrees."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import date
from importlib.metadata import version

from api import asyncapi, openapi
from tests.compose import ROOT

HEADINGS = re.findall(
    r"^## \[(?P<version>[^\]]+)\](?: - (?P<date>\S+))?$",
    (ROOT / "CHANGELOG.md").read_text(),
    re.MULTILINE,
)


def project_version() -> str:
    """The one place where it is written."""
    found = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def test_version_is_a_semantic_one_and_installed() -> None:
    assert re.fullmatch(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", project_version())
    assert version("tasktape") == project_version(), "make setup installs it"


def test_program_tells_the_version() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "tasktape", "--version"], capture_output=True, text=True, check=True
    )
    assert printed.stdout == f"tasktape {project_version()}\n"


def test_documents_of_the_api_tell_the_version() -> None:
    for document, name in ((openapi.document, "openapi.json"), (asyncapi.document, "asyncapi.json")):
        assert document()["info"]["version"] == project_version()
        written = json.loads((ROOT / "docs" / "reference" / name).read_text())
        assert written["info"]["version"] == project_version()


def test_changelog_begins_with_what_is_not_released_and_then_this_version() -> None:
    (first, undated), (second, released), *_ = HEADINGS
    assert (first, undated) == ("Unreleased", "")
    assert second == project_version()
    assert date.fromisoformat(released)


def test_changelog_has_the_releases_in_order() -> None:
    numbers = [tuple(map(int, name.split("."))) for name, _ in HEADINGS[1:]]
    assert numbers == sorted(set(numbers), reverse=True)
    days = [day for _, day in HEADINGS[1:]]
    assert days == sorted(days, reverse=True)

"""Version of a release, the same everywhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path
from textwrap import dedent

from api.contract import asyncapi, openapi
from tests.compose import ROOT

HEADINGS = re.findall(
    r"^## \[(?P<version>[^\]]+)\](?: - (?P<date>\S+))?$",
    (ROOT / "CHANGELOG.md").read_text(),
    re.MULTILINE,
)


def project_version() -> str:
    """Return the version from the one place where it is written."""
    return (ROOT / "client" / "VERSION").read_text().strip()


def test_version_is_semantic_and_installed() -> None:
    assert re.fullmatch(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", project_version())
    assert version("tasktape") == project_version(), "make setup installs it"
    assert version("tasktape-client") == project_version(), "make setup installs it"


def test_program_shows_the_version() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "tasktape", "--version"], capture_output=True, text=True, check=True
    )
    assert printed.stdout == f"tasktape {project_version()}\n"


def test_documents_of_the_api_have_the_version() -> None:
    for document, name in ((openapi.document, "openapi.json"), (asyncapi.document, "asyncapi.json")):
        assert document()["info"]["version"] == project_version()
        written = json.loads((ROOT / "docs" / "reference" / name).read_text())
        assert written["info"]["version"] == project_version()


def test_changelog_begins_with_unreleased_changes_and_then_this_version() -> None:
    (first, undated), (second, released), *_ = HEADINGS
    assert (first, undated) == ("Unreleased", "")
    assert second == project_version()
    assert date.fromisoformat(released)


def test_changelog_has_the_releases_in_order() -> None:
    numbers = [tuple(map(int, name.split("."))) for name, _ in HEADINGS[1:]]
    assert numbers == sorted(set(numbers), reverse=True)
    days = [day for _, day in HEADINGS[1:]]
    assert days == sorted(days, reverse=True)


def test_release_is_committed_tagged_pushed_and_built_as_documented(tmp_path: Path) -> None:
    """In a clone, up to the image; `docker` is a stand-in."""
    page = (ROOT / "docs" / "how-to" / "release.md").read_text()
    found = re.findall(r"^ *```sh\n(.*?)^ *```", page, re.MULTILINE | re.DOTALL)
    made, commit, build = map(dedent, found)
    assert made == "make format\nmake test\n"
    (tmp_path / "docker").write_text('#!/bin/sh\necho "$@" > ../asked\n')
    (tmp_path / "docker").chmod(0o755)
    who = {f"GIT_{role}_{part}": "a@b" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    environment = os.environ | who | {"HOME": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def run(script: str, folder: str = "clone") -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path / folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(f"git clone -q --bare {ROOT} origin.git && git -C origin.git branch -f next HEAD", ".")
    run("git clone -q --branch next origin.git clone", ".")
    (tmp_path / "clone" / ".venv").symlink_to(Path(sys.prefix))
    run("echo 9.8.7 > client/VERSION")
    run(commit + build)
    assert run("git -C ../origin.git log -1 --format=%s v9.8.7").strip() == "Release 9.8.7"
    assert run("git -C ../origin.git rev-parse next") == run("git rev-parse HEAD")
    assert {path.name for path in (tmp_path / "clone" / "dist").iterdir()} == {
        "tasktape-9.8.7-py3-none-any.whl",
        "tasktape_client-9.8.7-py3-none-any.whl",
    }
    assert (tmp_path / "asked").read_text() == "build --tag tasktape:9.8.7 .\n"

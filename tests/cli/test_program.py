"""Commands in hints, shown as they have to be typed."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from tasktape.cli.program import program_name, typed
from tasktape.local.data_dir import data_dir

BIN = Path(sys.executable).parent


@pytest.fixture(autouse=True)
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("TASKTAPE_DATA", raising=False)


def test_program_on_the_path_is_shown_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(BIN))
    assert program_name() == "tasktape"


def test_program_outside_the_path_is_shown_relative_to_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BIN.parent.parent)
    assert program_name() == f"{BIN.parent.name}/bin/tasktape"


def test_program_elsewhere_is_shown_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shlex.split(program_name()) == [str(BIN / "tasktape")]


def test_other_program_of_the_same_name_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "tasktape"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert program_name() == str(BIN / "tasktape")


def test_data_folder_is_shown_unless_it_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(BIN))
    folder = tmp_path / "my data"
    assert typed("down", folder) == f"tasktape down --data '{folder}'"
    assert typed("down", data_dir(None).root) == "tasktape down"
    monkeypatch.setenv("TASKTAPE_DATA", str(folder))
    assert typed("down", folder) == "tasktape down"

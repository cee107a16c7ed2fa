"""The verb `audit rotate-key`: it adds a key, and refuses with one line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from streams.tree_heads.keys import make_keys, read_keys
from tasktape.cli import main

NOW = datetime.now(UTC)


def rotate(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["audit", "rotate-key", "--data", str(folder), *options])


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("TASKTAPE_TREE_HEAD_KEYS", raising=False)
    make_keys(tmp_path / "tree-head-keys", "example.com/log", NOW)
    return tmp_path / "tree-head-keys"


def test_next_key_begins_in_a_minute_or_when_asked(file: Path) -> None:
    asked_at = datetime.now(UTC)
    first, second = rotate(file.parent), rotate(file.parent, "--at", "2100-01-01T01:00:00+01:00")
    keys = read_keys(file).keys
    assert [first.output, second.output] == [f"{key.public}\n" for key in keys[1:]]
    assert timedelta(0) < keys[1].since - asked_at < timedelta(minutes=10)
    assert keys[2].since == datetime(2100, 1, 1, tzinfo=UTC)
    assert file.stat().st_mode & 0o777 == 0o600


def test_earlier_time_missing_file_and_text_are_refused_in_one_line(file: Path, tmp_path: Path) -> None:
    for found, status, reason in (
        (rotate(file.parent, "--at", "2020-01-01T00:00:00Z"), 1, "name a later time"),
        (rotate(tmp_path / "none"), 1, "cannot be read"),
        (rotate(file.parent, "--at", "tomorrow"), 2, "--at"),
    ):
        assert found.exit_code == status, found.output
        assert reason in found.output
    assert len(read_keys(file).keys) == 1

"""Data folder: its secret, its lock, and the run file."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasktape.local.data_dir import DataDir, data_dir
from tasktape.local.errors import LocalError


def test_secret_is_created_once_and_private(tmp_path: Path) -> None:
    """Eight processes that start at once agree on one secret."""
    data = DataDir(tmp_path / "data")
    data.create()
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(lambda _: data.secret(), range(8)))
    assert len(secrets) == 1
    assert len(secrets.pop()) >= 64
    assert stat.S_IMODE(data.secret_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(data.root.stat().st_mode) == 0o700
    assert [path.name for path in data.root.glob(".secret*")] == []


def test_lock_has_one_holder(tmp_path: Path) -> None:
    """It is free again once its file is closed, as when its holder dies."""
    data = DataDir(tmp_path)
    assert not data.is_locked()
    held = data.lock()
    assert held is not None
    assert data.is_locked()
    assert data.lock() is None
    held.close()
    assert not data.is_locked()


def test_damaged_run_file_counts_as_none(tmp_path: Path) -> None:
    data = DataDir(tmp_path)
    assert data.read_run() == {}
    data.run_file.write_text("[1")
    assert data.read_run() == {}
    data.write_run({"ready": True})
    assert data.read_run() == {"ready": True}
    assert stat.S_IMODE(data.run_file.stat().st_mode) == 0o600


def test_option_and_variable_override_the_default_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In that order."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.delenv("TASKTAPE_DATA", raising=False)
    assert data_dir(None).root == tmp_path / "share" / "tasktape"
    monkeypatch.setenv("TASKTAPE_DATA", str(tmp_path / "variable"))
    assert data_dir(None).root == tmp_path / "variable"
    assert data_dir(tmp_path / "option").root == tmp_path / "option"


def test_folder_that_cannot_be_created_is_one_line(tmp_path: Path) -> None:
    """With the folder and the reason."""
    (tmp_path / "file").touch()
    with pytest.raises(LocalError, match="cannot be made: Not a directory"):
        DataDir(tmp_path / "file" / "data").create()

"""Files that appear when they are complete, and leave nothing behind otherwise."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streams.backup.blocks import BadBackup
from streams.backup.new_file import new_file


def write(path: Path, content: bytes, *, overwrite: bool = False) -> None:
    with new_file(path, overwrite=overwrite) as file:
        file.write(content)
        assert not path.exists() or overwrite


def test_file_appears_whole_and_only_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, b"content")
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_existing_file_is_replaced_only_on_demand(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(BadBackup, match="file exists; give another name, or --force to replace it"):
        write(path, b"new")
    assert path.read_bytes() == b"old"
    write(path, b"new", overwrite=True)
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def write_both() -> None:
        with new_file(path) as file:
            file.write(b"new")
            path.write_bytes(b"old")

    with pytest.raises(BadBackup, match="exists"):
        write_both()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_failure_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        with new_file(tmp_path / "file") as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert list(tmp_path.iterdir()) == []


@contextmanager
def size_limit(limit_bytes: int) -> Iterator[None]:
    """Let no file become larger, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [5_000, 5_000_000])
def test_full_disk_leaves_nothing(tmp_path: Path, size: int) -> None:
    """It may be full at once, or when the buffer is written."""
    path = tmp_path / "file"
    with size_limit(1_000), pytest.raises(OSError, match="too large") as caught:
        write(path, bytes(size))
    assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []


def test_file_of_a_killed_process_is_used_again(tmp_path: Path) -> None:
    (tmp_path / "file.partial").write_bytes(b"long ago" * 99)
    write(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with new_file(path) as file:
        file.write(b"first")
        with pytest.raises(BadBackup, match=r"another process writes .*file\.partial"):
            write(path, b"second")
    assert path.read_bytes() == b"first"

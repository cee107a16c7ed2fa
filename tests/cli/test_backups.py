"""Refusals of `backup` and `restore` before anything is started, and checks of files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fork_server import WORKER, fork_server
from tests.streams.backup_files import in_order, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a full backup, its increment, a damaged file and another file."""
    base = write(tmp_path / "full.ttb", in_order([(0, 1, 1, b"key", b"value", [])]))
    write(tmp_path / "increment.ttb", [], base)
    damaged = bytearray((tmp_path / "full.ttb").read_bytes())
    damaged[40] ^= 1
    (tmp_path / "damaged.ttb").write_bytes(damaged)
    (tmp_path / "other.txt").write_text("something else")
    return tmp_path


async def run(folder: Path, *words: str) -> tuple[int, str, str]:
    """Run a verb; words that name files of the folder are paths."""
    paths = [str(folder / word) if "." in word else word for word in words]
    return await fork_server(WORKER).run(tuple(paths), {"TASKTAPE_DATA": str(folder / "data"), "HOME": "/"})


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        ("backup", 2, "Missing argument 'FILE'."),
        ("backup a.ttb b.ttb", 2, "one FILE is written; several go with --check only"),
        ("backup --check --force full.ttb", 2, "--check goes with FILE only"),
        ("backup --since missing.ttb new.ttb", 2, "Invalid value for '--since'"),
        ("backup --since full.ttb --force full.ttb", 2, "FILE is its own base; give another name"),
        ("backup --since damaged.ttb new.ttb", 1, "damaged.ttb is damaged at byte 18: the bytes of block 0"),
        ("backup full.ttb", 1, "full.ttb exists; give another name, or --force to replace it"),
        ("backup new.ttb", 1, "There is no instance in"),
        ("backup --check missing.ttb", 1, "missing.ttb: No such file or directory"),
        ("backup --check damaged.ttb", 1, "damaged.ttb is damaged at byte 18: the bytes of block 0"),
        ("backup --check other.txt", 1, "other.txt is not a backup of Tasktape: it begins with other bytes"),
        ("backup --check increment.ttb full.ttb", 1, "full.ttb is a full backup, so it cannot follow"),
        ("restore", 2, "Missing argument 'FILE...'."),
        ("restore missing.ttb", 2, "Invalid value for 'FILE...'"),
        ("restore damaged.ttb", 1, "damaged.ttb is damaged at byte 18"),
        ("restore increment.ttb", 1, "increment.ttb is an increment: its base comes first, full.ttb"),
        ("restore full.ttb full.ttb", 1, "full.ttb is a full backup, so it cannot follow"),
    ],
)
async def test_refusal_is_one_line(words: str, status: int, line: str, folder: Path) -> None:
    """And neither a file nor a data folder is made."""
    before = names(folder)
    found, out, err = await run(folder, *words.split())
    assert (found, out) == (status, "")
    assert err.startswith("Error: ")
    assert line in err
    assert len(err.splitlines()) == 1
    assert names(folder) == before


async def test_check_describes_each_file(folder: Path) -> None:
    status, out, err = await run(folder, "backup", "--check", "full.ttb", "increment.ttb")
    assert (status, err) == (0, "")
    assert out.count("It is sound.") == 2
    assert "full.ttb: 1 record\n" in out
    assert "increment.ttb: 0 records since full.ttb" in out
    _, alone, _ = await run(folder, "backup", "--check", "increment.ttb")
    assert "It is restored after its base, full.ttb." in alone
    status, out, _ = await run(folder, "backup", "--check", "--json", "full.ttb", "increment.ttb")
    answer = json.loads(out)
    full, increment = answer["backups"]
    assert (status, answer["sound"]) == (0, True)
    assert full["base"] is None
    assert increment["base"]["digest"] == full["digest"]
    assert increment["starts"] == full["ends"] == {"0": 1, "1": 0, "2": 0}

"""The file of the verifier alone, in an empty environment that has `cryptography` only."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import tasktape.offline_verifier
from tests.streams.backup_files import in_order, write
from tests.verifier.signing import Signer, head_text, note
from tests.verifier.test_backups import by_partition
from tests.wheels import Environment

SIGNER = Signer()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of somebody who was given a backup, a head and the verifier."""
    folder = tmp_path_factory.mktemp("stranger")
    records = in_order([(number % 3, number, 1, b"list:1", b"{}", []) for number in range(30)])
    write(folder / "backup.ttb", records)
    body = head_text(by_partition(records))
    (folder / "heads").write_text(note(body, SIGNER.line(body)))
    shutil.copy(tasktape.offline_verifier.__file__, folder / "verify.py")
    return folder


def run(environment: Environment, folder: Path, *arguments: str) -> tuple[int, str]:
    """Run the verifier in an environment; return its exit status and what it prints."""
    command = [str(environment.folder / "bin" / "python"), "-I", "verify.py", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_verifier_needs_nothing_of_tasktape(folder: Path, tmp_path: Path) -> None:
    """Heads need `cryptography`; only backups need zstandard too. A line names what is missing."""
    bare = Environment.with_requirements(tmp_path / "bare", [])
    heads = ("heads", "--key", SIGNER.key, "heads")
    backup = ("backup", "--key", SIGNER.key, "--heads", "heads", "backup.ttb")
    assert run(bare, folder, *heads) == (
        1,
        "WRONG: the package cryptography is missing: pip install cryptography\n",
    )
    usual = Environment.with_requirements(tmp_path / "usual", ["cryptography"])
    status, printed = run(usual, folder, *heads)
    assert (status, printed.partition(":")[0]) == (0, "the head of 30 records at 2026-11-30T10")
    status, printed = run(usual, folder, *backup)
    assert status == 1
    assert "pip install zstandard" in printed
    full = Environment.with_requirements(tmp_path / "full", ["cryptography", "zstandard"])
    status, printed = run(full, folder, *backup)
    assert (status, printed.partition(" ")[0]) == (0, "30")

"""Secrets in files: read as settings, or refused in one line that names the file."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import jwt
import pytest

from app.settings import BadSettings
from tasktape.secret_files import MAX_BYTES, with_secret_files
from tests.fork_server import COMMAND_LINE, fork_server

SECRET = "0a" * 32


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    return path


@pytest.mark.parametrize("name", ["DATABASE_URL", "JWT_SECRET", "JWT_PUBLIC_KEY"])
def test_setting_is_the_content_of_its_file_without_the_line_end(file: Path, name: str) -> None:
    assert with_secret_files({f"{name}_FILE": str(file), "PORT": "1"}) == {name: SECRET, "PORT": "1"}


def test_empty_file_and_empty_name_count_as_unset(file: Path) -> None:
    file.write_text("\n")
    found = with_secret_files({"JWT_SECRET_FILE": str(file), "DATABASE_URL_FILE": "", "DATABASE_URL": "x"})
    assert found == {"JWT_SECRET": "", "DATABASE_URL": "x"}


def test_value_and_file_together_are_refused(file: Path) -> None:
    with pytest.raises(BadSettings, match="set JWT_SECRET or JWT_SECRET_FILE, not both"):
        with_secret_files({"JWT_SECRET_FILE": str(file), "JWT_SECRET": SECRET})


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a\0b", b"x" * (MAX_BYTES + 1)], ids=len)
def test_file_without_text_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(BadSettings, match="JWT_SECRET_FILE: "):
        with_secret_files({"JWT_SECRET_FILE": str(file)})


@pytest.mark.parametrize("verb", ["api", "worker", "migrate", "token", "up", "doctor"])
def test_missing_file_is_one_line_in_every_verb_that_reads_it(tmp_path: Path, verb: str) -> None:
    arguments = ["--user", "alice"] if verb == "token" else []
    done = subprocess.run(
        [fork_server(COMMAND_LINE).program, verb, *arguments],
        env={**os.environ, "JWT_SECRET_FILE": str(tmp_path / "none"), "TASKTAPE_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert (
        done.stderr == f"Error: JWT_SECRET_FILE: {tmp_path}/none cannot be read: No such file or directory\n"
    )


def test_token_is_signed_with_the_secret_of_the_file(tmp_path: Path, file: Path) -> None:
    done = subprocess.run(
        [fork_server(COMMAND_LINE).program, "token", "--user", "alice"],
        env={**os.environ, "JWT_SECRET_FILE": str(file), "TASKTAPE_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    claims = jwt.decode(done.stdout.strip(), SECRET, algorithms=["HS256"], audience="tasktape")
    assert claims["sub"] == "alice"

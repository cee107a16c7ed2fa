"""Embedded PostgreSQL: starts, keeps its rows through SIGKILL, requires the password."""

import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from tasktape.local.postgres import EmbeddedPostgres


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path / "a folder, ünï")
    yield server
    server.stop()


async def execute(url: str, statement: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(statement)
    finally:
        await connection.close()


def test_status_file_of_a_killed_server_is_ignored(tmp_path: Path) -> None:
    """It says "ready" until the next server writes its own."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    (tmp_path / "data").mkdir()
    lines = [str(ended.pid), str(tmp_path / "data"), "1795446000", "5432", "", "127.0.0.1", "0 0", "ready   "]
    (tmp_path / "data" / "postmaster.pid").write_text("\n".join(lines) + "\n")
    assert not EmbeddedPostgres(tmp_path).is_ready()


async def test_rows_survive_sigkill(postgres: EmbeddedPostgres) -> None:
    """Sessions of the killed server do not keep the next one from starting."""
    url = postgres.start()
    await execute(url, "create table kept as select 1 as one")
    idle = await asyncpg.connect(url)
    os.kill(postgres.pid, signal.SIGKILL)
    again = EmbeddedPostgres(postgres.folder)
    try:
        assert again.start() == url
        assert [tuple(row) for row in await execute(url, "select one from kept")] == [(1,)]
    finally:
        idle.terminate()
        again.stop()


async def test_pid_file_of_another_program_is_ignored(postgres: EmbeddedPostgres) -> None:
    """After a reboot the old pid may be any program's; the server starts nevertheless."""
    url = postgres.start()
    pid_file = postgres.folder / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    postgres.stop()
    pid_file.write_text("\n".join(["1", *lines[1:]]) + "\n")
    assert postgres.start() == url


async def test_password_is_required(postgres: EmbeddedPostgres) -> None:
    """It is random and readable only by its owner."""
    url = postgres.start()
    password = (postgres.folder / "password").read_text().strip()
    assert len(password) >= 32
    assert password in url
    assert stat.S_IMODE((postgres.folder / "password").stat().st_mode) == 0o600
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url.replace(password, "guess"))
    settings = await execute(
        url, "select current_setting('fsync'), current_setting('listen_addresses'), current_database()"
    )
    assert tuple(settings[0]) == ("on", "127.0.0.1", "tasktape")

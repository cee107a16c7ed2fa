"""`tasktape audit export` and `tasktape audit parquet` against a running stack."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tasktape.export_file import Begun, begin, note_of, partial_of
from tasktape_client import Client
from tests.integration.shell import Shell
from tests.integration.stack import Stack


@pytest.fixture(scope="module")
async def alice(running_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Return a user with a list of nine events."""
    shell = Shell(running_stack, tmp_path_factory.mktemp("alice"))
    await shell.works("lists", "create", "Garden")
    for number in range(8):
        await shell.works("add", f"Beans {number}", "--list", "Garden")
    return shell


def names_in(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


async def lines_of(alice: Shell, *more: str) -> list[str]:
    return (await alice.works("audit", "export", "--list", "Garden", *more)).splitlines()


async def test_export_is_printed_as_json_lines(alice: Shell) -> None:
    events = [json.loads(line) for line in await lines_of(alice)]
    assert [each["type"] for each in events].count("task.created") == 8
    created = [json.loads(line) for line in await lines_of(alice, "--type", "task.*")]
    assert created == [each for each in events if each["type"] == "task.created"]


async def test_ending_names_the_format(alice: Shell, tmp_path: Path) -> None:
    names = {"garden.csv", "garden.parquet", "garden.xes", "garden.jsonocel"}
    for name in names:
        await alice.works("audit", "export", "--list", "Garden", "--output", str(tmp_path / name))
    assert len(pd.read_parquet(tmp_path / "garden.parquet")) == len(pd.read_csv(tmp_path / "garden.csv")) == 9
    assert (tmp_path / "garden.xes").read_text().count("<trace>") == 8
    assert len(json.loads((tmp_path / "garden.jsonocel").read_text())["events"]) == 9
    assert names_in(tmp_path) == names
    assert "exists; --force" in await alice.fails("audit", "export", "--output", str(tmp_path / "garden.csv"))


@pytest.mark.parametrize("name", ["garden.jsonl", "garden.csv"])
async def test_interrupted_file_is_continued_after_any_byte(alice: Shell, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    options = ("audit", "export", "--list", "Garden", "--output", str(path))
    assert "to continue" in await alice.fails(*options, "--resume")
    await alice.works(*options)
    whole, note = path.read_bytes(), await begun_by(alice, path)
    for size_bytes in (0, 10, len(whole) // 2, len(whole) - 1, len(whole)):
        path.unlink()
        begin(path, note)
        partial_of(path).write_bytes(whole[:size_bytes])
        await alice.works(*options, "--resume")
        assert path.read_bytes() == whole
    assert not note_of(path).exists()
    begin(path, note)
    assert "other options" in await alice.fails(*options, "--force", "--resume", "--type", "task.*")


async def begun_by(alice: Shell, path: Path) -> Begun:
    """Return what the export of this user's list is begun with."""
    lists = {line.split()[1]: line.split()[0] for line in (await alice.works("lists", "list")).splitlines()}
    params, environment = [("list_id", lists["Garden"])], alice.environment
    async with (
        Client(environment["TASKTAPE_URL"], environment["TASKTAPE_TOKEN"]) as client,
        client.export("jsonl", params) as export,
    ):
        return Begun(path.suffix[1:], params, "", export.until)


async def test_export_says_what_is_wrong(alice: Shell, tmp_path: Path) -> None:
    assert "no list called Gadren" in await alice.fails("audit", "export", "--list", "Gadren")
    assert "task.created" in await alice.fails("audit", "export", "--type", "task.creatd")
    assert "after" in await alice.fails("audit", "export", "--after", "yesterday")
    await alice.fails("audit", "export", "--resume", status=2)
    assert "cannot be continued" in await alice.fails(
        "audit", "export", "--resume", "--output", str(tmp_path / "garden.xes")
    )
    assert names_in(tmp_path) == set()


async def test_copy_in_parquet_is_brought_up_to_date(alice: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    first = await alice.json("audit", "parquet", str(folder))
    frame = pd.read_parquet(folder)
    assert first["added"] == first["events"] == len(frame)
    await alice.works("add", "Peas", "--list", "Garden")
    added = await alice.works("audit", "parquet", str(folder))
    assert added.endswith(f"1 events added; {len(frame) + 1:,} in 2 files\n")
    assert len(pd.read_parquet(folder)) == len(frame) + 1
    assert "other events" in await alice.fails("audit", "parquet", str(folder), "--actor", alice.user)
    (tmp_path / "file").touch()
    assert "not empty" in await alice.fails("audit", "parquet", str(tmp_path))

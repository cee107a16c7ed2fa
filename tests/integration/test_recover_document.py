"""Commands of docs/how-to/recover.md, rebuild.md and upgrade.md, and examples of verbs for an instance."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.documents import Home, blocks
from tests.waiting import eventually_sync

CLI, RECOVER, UPGRADE = "docs/reference/cli.md", "docs/how-to/recover.md", "docs/how-to/upgrade.md"
REBUILD = "docs/how-to/rebuild.md"
LIMIT_S = 60


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    home.run("tasktape down")


def example(of: str) -> str:
    """Return the example of a verb on the page of the command line."""
    [found] = blocks(CLI, f"`tasktape {of}`")
    return found


def test_local_instance_is_inspected_repaired_and_upgraded_as_documented(home: Home) -> None:
    """A stopped Kafka is named with its remedy; nothing is lost, so there is nothing to repair."""
    home.run(example("up"))
    assert json.loads(home.run(example("status")))["ready"] is True
    assert "✗" not in home.run(example("doctor"))
    home.run("tasktape add kept")
    processes = json.loads(home.run("tasktape status --json"))["processes"]
    [kafka] = [each["pid"] for each in processes if each["name"] == "kafka"]
    remedy = f"kill -CONT {kafka}"
    home.run(f"kill -STOP {kafka}")
    try:
        said = home.run("tasktape status || test $? = 1")
        assert f"kafka: pid {kafka} was stopped by a signal" in said
        assert remedy in said
    finally:
        home.run(remedy)
    eventually_sync(lambda: "Not ready" not in home.run("tasktape status || true"), LIMIT_S)
    rebuild, look_first, some, drop_retired = blocks(REBUILD)
    assert "rebuilt as generation 2" in home.run(rebuild)
    looked = home.run(look_first)
    assert " events, about " in looked
    assert "rebuilt as generation 3" in looked
    rebuilt = home.run(some.replace("0:121", "0:0"))  # this log is shorter
    assert "rebuilt comments, search_index, statistics as generation 4" in rebuilt
    assert "rebuilt audit as generation 5" in rebuilt
    assert "dropped generation 1, 2, 3, 4, 5" in home.run(drop_retired)
    [repair] = blocks(RECOVER)
    assert "there is nothing to repair" in home.run(repair)
    assert "kept" in home.run("tasktape list")
    down, install, up = blocks(UPGRADE, "A local instance")[0].splitlines()
    assert (down, up) == ("tasktape down", "tasktape up --detach")
    assert install == "git pull && make setup"
    home.run(example("down"))

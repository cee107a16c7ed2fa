"""Search results and search errors on a terminal; the zone of the machine."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from tasktape.cli.search import marked, pointing_at
from tasktape.cli.tasks import OF_STATUS
from tasktape.cli.zone import local_zone
from tasktape_client import TasktapeError


def test_matches_are_highlighted() -> None:
    """HTML becomes text, and control characters of others are removed."""
    snippet = "a &lt;b&gt; <mark>milk</mark> \x1b[2J &amp; more"
    assert marked(snippet, bold=False) == "a <b> *milk* \ufffd[2J & more"
    assert marked(snippet, bold=True) == "a <b> \x1b[1mmilk\x1b[0m \ufffd[2J & more"


def test_invalid_part_of_a_query_is_marked() -> None:
    """On one line."""
    errors = [{"field": "q", "message": "is: takes open, done", "at": 5, "length": 4}]
    with (
        pytest.raises(click.ClickException, match=r"is: takes open, done: \#a is>>>:opn<<<e"),
        pointing_at("#a is:opne"),
    ):
        raise TasktapeError("q: is: takes open, done", problem={"errors": errors})


def test_other_errors_are_unchanged() -> None:
    """They have no position in a query."""
    with pytest.raises(TasktapeError, match="away"), pointing_at("is:open"):
        raise TasktapeError("away")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("is:done", True),
        ("#a -status:open", True),
        ("IS:OPEN", True),
        ("#home", False),
        ("is:overdue", False),
        ("this:open", False),
    ],
)
def test_queries_without_a_status_are_for_open_tasks(query: str, says: bool) -> None:  # noqa: FBT001
    assert bool(OF_STATUS.search(query)) is says


@pytest.mark.parametrize(
    ("tz", "target", "zone"),
    [
        ("Europe/Madrid", "/x", "Europe/Madrid"),
        (":Europe/Madrid", "/x", "Europe/Madrid"),
        ("", "/usr/share/zoneinfo/Asia/Tokyo", "Asia/Tokyo"),
        ("", "/elsewhere", None),
        ("CET-1CEST", "/x", None),
    ],
)
def test_zone_of_the_machine_is_found(tmp_path: Path, tz: str, target: str, zone: str | None) -> None:
    """By `TZ`, else by the target of `/etc/localtime`; None if neither is a name."""
    localtime = tmp_path / "localtime"
    localtime.symlink_to(target)
    assert local_zone(tz, localtime) == zone

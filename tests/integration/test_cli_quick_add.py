"""Quick add and natural dates from the command line."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.integration.shell import Shell
from tests.integration.stack import Stack

MADRID = ZoneInfo("Europe/Madrid")


@pytest.fixture
def shell(running_stack: Stack, tmp_path: Path) -> Shell:
    shell = Shell(running_stack, tmp_path)
    shell.environment["TZ"] = "Europe/Madrid"
    return shell


def tomorrow() -> date:
    return datetime.now(MADRID).date() + timedelta(days=1)


async def test_add_parses_the_text_and_shows_the_result(shell: Shell) -> None:
    """One word or many; in the output and in the JSON."""
    status, out, err = await shell.run("add", "call bob #home !high tomorrow 5pm @nobody")
    due = datetime(*tomorrow().timetuple()[:3], 17, tzinfo=MADRID).isoformat()
    assert status == 0, err
    assert out.endswith(f"  call bob @nobody !high due {due} #home\n")
    assert err.splitlines() == [
        f"Read #home as tags home, !high as priority high, tomorrow 5pm as due {due}",
        "Not read: @nobody: nobody in this list is called so",
    ]
    task = await shell.json("add", "water", "plants", "every", "2", "weeks", "@me")
    assert (task["title"], task["recurrence"]) == ("water plants", "FREQ=WEEKLY;INTERVAL=2")
    assert (task["assignees"], task["time_zone"]) == ([shell.user], "Europe/Madrid")
    assert [part["field"] for part in task["quick"]["parts"]] == ["recurrence", "assignees"]


async def test_add_takes_text_verbatim_on_request(shell: Shell) -> None:
    """With --plain, in quotes, and for fields given by options."""
    text = "call bob #home tomorrow"
    assert (await shell.json("add", "--plain", text))["title"] == text
    assert (await shell.json("add", f'"{text}"'))["title"] == text
    task = await shell.json("add", text, "--due", "2036-12-24", "--tag", "phone")
    assert (task["title"], task["due"]) == ("call bob tomorrow", "2036-12-24")
    assert task["tags"] == ["phone", "home"]
    refused = await shell.fails("add", "tomorrow")
    assert "no words left for the title, 'tomorrow' as due" in refused


async def test_options_accept_natural_dates(shell: Shell) -> None:
    """For add, edit, list and search; anything else is refused before anything is done."""
    task = await shell.json("add", "x", "--due", "tomorrow", "--remind", "tomorrow 9am")
    assert (task["due"], task["time_zone"]) == (tomorrow().isoformat(), None)
    at = datetime.fromisoformat(task["reminders"][0]["at"])
    assert at == datetime(*tomorrow().timetuple()[:3], 9, tzinfo=MADRID)
    task = await shell.json("add", "y", "--due", "dec 24 2036 5pm", "--time-zone", "America/New_York")
    assert (task["due"], task["time_zone"]) == ("2036-12-24T17:00:00-05:00", "America/New_York")
    task = await shell.json("edit", task["id"], "--due", "in 3 days")
    assert task["due"] == (tomorrow() + timedelta(days=2)).isoformat()
    for listed in (
        await shell.json("list", "--due-before", "in 2 days"),
        await shell.json("list", "due:tomorrow"),
        await shell.json("search", 'due:<"in 2 days"'),
    ):
        assert [each["title"] for each in listed["items"]] == ["x"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("add", "x", "--due", "blurgh"), "--due"),
        (("add", "x", "--due", "2026-13-01"), "--due"),
        (("add", "x", "--due", ""), "--due"),
        (("add", "x", "--remind", "soon"), "--remind"),
        (("add", "x", "--remind", "tomorrow"), "--remind"),
        (("list", "--due-before", "whenever"), "--due-before"),
    ],
)
async def test_invalid_date_is_a_usage_error_of_one_line(
    shell: Shell, arguments: tuple[str, ...], named: str
) -> None:
    """Exit 2, with the option and what to write."""
    error = await shell.fails(*arguments, status=2)
    assert named in error.splitlines()[-1]

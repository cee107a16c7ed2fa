"""Examples of docs/reference/quick-add.md, parsed as described there."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from app.quick_add.parser import QuickContext, QuickTask, read_quick

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "quick-add.md").read_text()
PARTS, UNREAD = ("at", "length", "text", "field", "value"), ("at", "length", "text", "reason")
NOW = datetime(2026, 11, 25, 15, 30, tzinfo=UTC)


def read(text: str) -> QuickTask:
    people = ("alice", "bob", "Bob Smith")
    return read_quick(text, QuickContext(NOW, ZoneInfo("Europe/Madrid"), "alice", people))


def examples(heading: str) -> list[str]:
    """Return what the first column of a section's table says to write."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| ")][1:]
    return [each for cell in cells for each in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize(
    ("heading", "fields", "fewest"),
    [
        ("Signs", {"tags", "assignees", "priority"}, 14),
        ("Dates and times", {"due"}, 49),
        ("Recurrence", {"recurrence"}, 29),
    ],
)
def test_examples_of_a_table_are_parsed_as_the_fields_of_its_section(
    heading: str, fields: set[str], fewest: int
) -> None:
    found = examples(heading)
    assert len(found) >= fewest
    for example in found:
        text = example.replace("… ", "every day ")
        if text in {"morning", "afternoon", "evening", "night"}:  # These follow on a day.
            text = f"friday {text}"
        task = read(f"call {text}")
        assert (task.title, bool(fields & set(task.fields))) == ("call", True), example


@pytest.mark.parametrize(
    "text",
    ["mon ami", "enjoy the sun", "cancel the monday meeting", "review May report", "pay 3/4", "issue #123"],
)
def test_examples_of_plain_text_are_not_parsed(text: str) -> None:
    assert text.removeprefix("pay ").removeprefix("issue ") in PAGE
    task = read(text)
    assert (task.title, task.fields) == (text, {})


@pytest.mark.parametrize(
    ("text", "title", "fields"),
    [
        ("dentist mon", "dentist", {"due"}),
        ("mon 9:00 standup", "standup", {"due", "time_zone"}),
        ('watch "Tomorrow Never Dies" friday', 'watch "Tomorrow Never Dies"', {"due"}),
        ('"Buy milk tomorrow" #home', "Buy milk tomorrow", {"tags"}),
        (r"\#not-a-tag", "#not-a-tag", set[str]()),
        (r"\next monday", "next monday", set[str]()),
    ],
)
def test_examples_in_prose_are_parsed_as_described(text: str, title: str, fields: set[str]) -> None:
    assert f"`{text}`" in PAGE
    task = read(text)
    assert (task.title, set(task.fields)) == (title, fields)


def test_response_in_the_document_is_that_of_its_request() -> None:
    [shown] = re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    [text] = re.findall(r"^The response to `([^`]+)`", PAGE, re.MULTILINE)
    task = read(text)
    parts = [{name: getattr(each, name) for name in PARTS} for each in task.parts]
    unread = [{name: getattr(each, name) for name in UNREAD} for each in task.unread]
    assert {"parts": parts, "unread": unread} == json.loads(shown)["quick"]

"""Tasks and events on one line of a terminal."""

from typing import Any

import pytest

from tasktape.cli.lines import event_line, field_text, printable, task_line
from tasktape_client import Event, Task
from tests.client.scripted_server import update_of
from tests.client.test_calls import TASK


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "[ ]  03f9a2c  Buy milk"),
        ({"status": "done"}, "[x]  03f9a2c  Buy milk"),
        (
            {"priority": "high", "due": "2026-12-01", "stage": "Queued", "tags": ["a"], "assignees": ["bob"]},
            "[ ]  03f9a2c  Buy milk !high due 2026-12-01 (Queued) #a @bob",
        ),
        ({"title": "\x1b[2Jgone\nand \u202eback"}, "[ ]  03f9a2c  \ufffd[2Jgone\ufffdand \ufffdback"),
    ],
)
def test_task_is_one_line(changes: dict[str, Any], line: str) -> None:
    """Present fields only; control characters of others do not reach the terminal."""
    assert task_line(Task.model_validate({**TASK, **changes})) == line


@pytest.mark.parametrize(
    ("kind", "changes", "shown"),
    [
        ("task.edited", {"priority": ["high", "none"]}, 'priority: "none"'),
        ("task.moved", {"list_id": ["a", "b"], "rank": ["1", "2"]}, 'list_id: "b"'),
        (
            "task.created",
            {"title": [None, "T"], "priority": [None, "none"], "status": [None, "open"], "tags": [None, []]},
            'title: "T"',
        ),
        ("task.deleted", {"deleted_at": [None, "2026"]}, 'deleted_at: "2026"'),
        ("task.edited", {}, ""),
    ],
)
def test_event_shows_its_changes(kind: str, changes: dict[str, Any], shown: str) -> None:
    """Without default values."""
    event = Event.model_validate({**update_of("0:1")["event"], "actor": "alice", "type": kind})
    assert event_line(event, changes) == f"2026-01-01T00:00:00Z  alice  {kind}  {shown}".rstrip()


def test_letters_of_all_scripts_stay() -> None:
    """Only unprintable characters are replaced."""
    assert printable("\u00c4pfel \u725b\u4e73 \U0001f95b") == "\u00c4pfel \u725b\u4e73 \U0001f95b"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Buy milk", "Buy milk"),
        (["a", "b"], "a, b"),
        ([{"before": "PT30M"}, {"at": "2026-12-01T09:00:00Z"}], "before PT30M, at 2026-12-01T09:00:00Z"),
        ({"id": "s", "occurrence": 2, "values": {}}, "id s occurrence 2"),
    ],
)
def test_values_of_all_kinds_are_shown_in_words(value: object, text: str) -> None:
    assert field_text(value) == text

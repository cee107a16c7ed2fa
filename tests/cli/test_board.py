"""The board of a replay in a terminal."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from tasktape.cli.board import Board
from tasktape.cli.replay import Speed, apply
from tasktape_client import ReplayState, TaskList, Update

LIST, OTHER = "0190f3c0-0000-7000-8000-000000000001", "0190f3c0-0000-7000-8000-000000000002"
AT = datetime(2026, 3, 1, 9, tzinfo=UTC)


def task(number: int, stage: str | None = None, list_id: str = LIST, status: str = "open") -> dict[str, Any]:
    """Return a task as the server sends it."""
    return {
        "id": f"t{number}",
        "list_id": list_id,
        "title": f"Task {number}",
        "status": status,
        "stage": stage,
        "version": 1,
        "rank": "a",
        "created_at": AT,
        "created_by": "ann",
        "updated_at": AT,
    }


def update(number: int, state: dict[str, Any] | None) -> Update:
    """Return an update of a task."""
    event = {
        "id": "e",
        "type": "task.edited",
        "stream": f"task:t{number}",
        "version": 2,
        "position": "0:1",
        "outcome": "accepted",
        "time": AT,
        "recorded_at": AT,
        "actor": "ann",
    }
    return Update.model_validate(
        {"channel": f"replay:{LIST}", "position": "0:1", "event": event, "task": state, "at": AT}
    )


def snapshot(*tasks: dict[str, Any], part: int = 0) -> ReplayState:
    """Return a part of a snapshot."""
    return ReplayState.model_validate(
        {"channel": f"replay:{LIST}", "state": "snapshot", "at": AT, "part": part, "tasks": tasks}
    )


@pytest.fixture
def board() -> Board:
    """Return the board of a list with two stages."""
    board = Board(LIST)
    stages = [{"name": name, "category": "open"} for name in ("To do", "Doing")]
    board.show_list(
        TaskList.model_validate(
            {
                "id": LIST,
                "name": "Garden",
                "inbox": False,
                "members": {},
                "stages": stages,
                "version": 1,
                "created_at": AT,
                "created_by": "ann",
                "updated_at": AT,
            }
        )
    )
    return board


def test_tasks_move_between_columns_and_the_latest_is_on_top(board: Board) -> None:
    apply(board, snapshot(task(1, "To do"), task(2, "To do")))
    apply(board, snapshot(task(3), part=1))
    assert board.columns(9) == [
        ("To do", 2, ["Task 2", "Task 1"]),
        ("Doing", 0, []),
        ("Open", 1, ["Task 3"]),
    ]
    apply(board, update(1, task(1, "Doing")))
    apply(board, update(3, task(3, status="done")))
    assert board.columns(1) == [("To do", 1, ["Task 2"]), ("Doing", 1, ["Task 1"]), ("Done", 1, ["Task 3"])]


@pytest.mark.parametrize("gone", [None, task(1, "To do", OTHER)])
def test_deleted_and_moved_tasks_leave_the_board(board: Board, gone: dict[str, Any] | None) -> None:
    apply(board, snapshot(task(1, "To do")))
    apply(board, update(1, gone))
    assert all(count == 0 for _, count, _ in board.columns(9))
    assert board.events == 1


def test_snapshot_replaces_the_board(board: Board) -> None:
    apply(board, snapshot(task(1, "To do")))
    apply(board, snapshot(task(2, "To do")))
    assert board.columns(9)[0] == ("To do", 1, ["Task 2"])


@pytest.mark.parametrize("width", [10, 40, 120])
def test_board_fits_the_terminal(board: Board, width: int) -> None:
    """Whatever titles contain, and however many columns there are."""
    for number in range(60):
        state = task(number, f"Stage {number % 15}") | {"title": "[red]\x1b[2J " + "long " * 20}
        apply(board, update(number, state))
    output = io.StringIO()
    Console(file=output, width=width, height=20, force_terminal=False).print(board.render(width, 20))
    lines = output.getvalue().splitlines()
    assert len(lines) <= 20
    assert all(len(line) <= width for line in lines)
    assert "\x1b" not in output.getvalue()
    assert "[red]" in output.getvalue()


@pytest.mark.parametrize(
    ("text", "speed"), [("1000x", 1000), ("0.5", 0.5), ("max", float("inf")), ("1e9", 1e9)]
)
def test_speeds_are_read(text: str, speed: float) -> None:
    assert Speed().convert(text, None, None) == speed


@pytest.mark.parametrize("text", ["0", "-1x", "nan", "inf", "2e9", "fast", "", "x"])
def test_other_speeds_are_refused(text: str) -> None:
    with pytest.raises(Exception, match="is not a speed"):
        Speed().convert(text, None, None)

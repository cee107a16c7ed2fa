"""The board of a list in a terminal: a column for each stage, which shows the tasks that changed last."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from tasktape.cli.lines import moment, printable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tasktape_client import Task, TaskList

STATUSES = {"open": "Open", "done": "Done"}
"""The columns of tasks without a stage."""
MIN_COLUMN_CHARS = 12
HEIGHT_OF_FRAME = 6


class Board:
    """The tasks of a list by column. It keeps their titles only."""

    def __init__(self, list_id: str) -> None:
        self._list_id = list_id
        self._columns: dict[str, dict[str, str]] = {}
        self._places: dict[str, str] = {}
        self.name = ""
        self.at: datetime | None = None
        self.events = 0

    def clear(self) -> None:
        """Remove all tasks."""
        self._places.clear()
        for column in self._columns.values():
            column.clear()

    def show_list(self, task_list: TaskList) -> None:
        """Take the name and the stages of the list."""
        self.name = task_list.name
        known = self._columns
        names = [stage["name"] for stage in task_list.stages]
        self._columns = {name: known.get(name, {}) for name in names} | known

    def put(self, task_id: str, task: Task | None) -> None:
        """Put a task on the board, on top of its column; remove one that is gone or in another list."""
        before = self._places.pop(task_id, None)
        if before is not None:
            del self._columns[before][task_id]
        if task is None or task.list_id != self._list_id:
            return
        column = task.stage or STATUSES[task.status]
        self._places[task_id] = column
        self._columns.setdefault(column, {})[task_id] = task.title

    def columns(self, height: int) -> list[tuple[str, int, Sequence[str]]]:
        """Return the name of each column, its number of tasks, and the titles of those that changed last."""
        return [
            (
                name,
                len(tasks),
                [title for _, title in zip(range(height), reversed(tasks.values()), strict=False)],
            )
            for name, tasks in self._columns.items()
            if tasks or name not in STATUSES.values()
        ]

    def render(self, width: int, height: int) -> RenderableType:
        """Return the board for a terminal of this size."""
        from rich.table import Table
        from rich.text import Text

        shown = self.columns(max(1, height - HEIGHT_OF_FRAME))
        fitting = max(1, width // MIN_COLUMN_CHARS)
        if len(shown) > fitting:  # the emptiest columns give way
            least = sorted(count for _, count, _ in shown)[-fitting]
            shown = [each for each in shown if each[1] >= least][:fitting]
        title = Text(printable(f"{self.name}  {moment(self.at)}  {self.events:,} events"), no_wrap=True)
        table = Table(title=title, expand=True, title_justify="left")
        for name, count, _ in shown:
            table.add_column(Text(printable(f"{name} ({count})")), ratio=1, no_wrap=True, overflow="ellipsis")
        for row in range(max((len(titles) for _, _, titles in shown), default=0)):
            table.add_row(
                *(Text(printable(titles[row]) if row < len(titles) else "") for _, _, titles in shown)
            )
        return table

"""The progress of a rebuild: a bar on a terminal, and nothing elsewhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress, Task


class RebuildProgress:
    """A bar with the number of events, the rate and the time left, on standard error."""

    def __init__(self, label: str = "Rebuilding") -> None:
        self._label = label
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        if os.isatty(2):
            self._bar = _new_bar()
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` events are done."""
        if self._bar is None:
            return
        if not self._bar.tasks:
            # Its rate begins where a former rebuild was interrupted.
            self._bar.add_task(self._label, total=total, completed=done)
        self._bar.update(self._bar.tasks[0].id, completed=done, total=total)


def _new_bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        """The rate, in events a second."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.0f}/s" if task.speed else "…")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} events"),
        Rate(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )

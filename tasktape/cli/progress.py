"""The progress of a download."""

import os
from typing import Any, Self

import click


class Progress:
    """The progress of a download: a bar on a terminal, a few lines elsewhere, nothing without a download."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._next_percent = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.render_finish()

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` bytes have arrived."""
        if not os.isatty(2):
            self._plain(done, total)
            return
        if self._bar is None:
            self._bar = click.progressbar(
                length=total, label="Fetching Kafka, once", file=click.get_text_stream("stderr")
            )
            self._bar.render_progress()
        self._bar.update(done - self._bar.pos)
        if done == total:
            self._bar.render_finish()
            self._bar = None
            _say("Preparing Kafka, once …")

    def _plain(self, done: int, total: int) -> None:
        percent = 100 * done // total
        if percent >= self._next_percent:
            _say(f"Fetching Kafka, once: {percent} % of {total >> 20} MB")
            self._next_percent = percent - percent % 25 + 25
        if done == total:
            _say("Preparing Kafka, once …")


def _say(line: str) -> None:
    click.echo(line, err=True)

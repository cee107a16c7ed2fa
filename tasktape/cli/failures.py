"""The failure of a verb: one line on standard error, and an exit status."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import click

INTERRUPTED_STATUS = 130
"""Exit status after Ctrl-C: 128 and the number of SIGINT, as shells have it."""


def say_failure(error: click.ClickException) -> int:
    """Print the error on one line with a hint to the help; return the exit status."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()  # it is the help
        return error.exit_code
    line = " ".join(error.format_message().split())
    if isinstance(error, click.UsageError) and error.ctx is not None:
        line += f" ({error.ctx.command_path} --help says more)"
    click.echo(f"Error: {line}", err=True)
    return error.exit_code


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question with similar names, after a blank; empty if there are none."""
    by_folded = {each.casefold(): each for each in known}
    close = get_close_matches(name.casefold(), by_folded, cutoff=0.6)
    return f" Did you mean {' or '.join(by_folded[each] for each in close)}?" if close else ""


class Verbs(click.Group):
    """A group that suggests similar verbs for an unknown one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the verb. Raise `click.UsageError`."""
        name = args[0]
        if name.startswith("-") or ctx.resilient_parsing or name in self.list_commands(ctx):
            return super().resolve_command(ctx, args)
        raise click.UsageError(f"No such command {name!r}.{did_you_mean(name, self.list_commands(ctx))}", ctx)

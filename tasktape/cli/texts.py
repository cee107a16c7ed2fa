"""External text: arguments and environment variables may contain any bytes."""

from __future__ import annotations

import os
import sys
from typing import Any

import click


def is_text(given: str) -> bool:
    """Return whether all of its bytes were text. Python passes other bytes as lone surrogates."""
    try:
        given.encode()
    except UnicodeEncodeError:
        return False
    return True


class Text(click.types.StringParamType):
    """An argument that is text. Names of files are not: they may have any bytes."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text. Raise `click.BadParameter`."""
        text: str = super().convert(value, param, ctx)
        if not is_text(text):
            self.fail(f"it holds bytes that are not {sys.getfilesystemencoding()} text", param, ctx)
        return text


def take_only_text(command: click.Command) -> None:
    """Make a verb and its sub-verbs refuse bytes that are not text in all text parameters."""
    for param in command.params:
        if type(param.type) is click.types.StringParamType:
            param.type = Text()
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        take_only_text(below)


def variable(name: str) -> str | None:
    """Return an environment variable. Raise `click.ClickException` if it is not text."""
    value = os.environ.get(name)
    if value is not None and not is_text(value):
        raise click.ClickException(f"{name} holds bytes that are not {sys.getfilesystemencoding()} text")
    return value

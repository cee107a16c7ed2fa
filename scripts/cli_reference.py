"""The generator of docs/reference/cli.md, which also checks that the file is up to date."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from tasktape.cli import main

TARGET = Path(__file__).parent.parent / "docs" / "reference" / "cli.md"
INTRODUCTION = """\
# The command line

The option `--help` of each verb prints what this page says of it. In a checkout the program is
`.venv/bin/tasktape`.

The exit status is

- 0 on success, also if the reader of the output stops early, as `head` does;
- 1 if something was refused or failed;
- 2 if it was called wrongly;
- 3 if the command was carried out and only its output could not be written, for instance on a full disk. Do
  not repeat it;
- 130 after Ctrl-C.

Errors are one line on standard error.

Arguments are text in the encoding of the terminal, and other bytes are refused. Names of files may be any
bytes. Characters that the terminal's encoding lacks are printed as escapes (`\\u2713`).

The examples name tasks by `3f9a2c1`: put the end of an id in its place, as `tasktape list` shows it.
"""


def page() -> str:
    """Return the whole page."""
    context = click.Context(main, info_name="tasktape")
    sections = [INTRODUCTION]
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        sections += _sections(command, click.Context(command, parent=context, info_name=name))
    return "\n".join(sections)


def _sections(command: click.Command, context: click.Context) -> Iterator[str]:
    yield "\n".join(_lines(command, context))
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _sections(inner, click.Context(inner, parent=context, info_name=name))


def _lines(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"## `{context.command_path}`"
    yield ""
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if not paragraph.startswith("Example"):
            yield " ".join(paragraph.replace("\b", "").split())
            yield ""
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"```\n{usage}\n```"
    yield ""
    options = [record for parameter in command.get_params(context) if (record := _record(parameter, context))]
    if options:
        yield "| option | meaning |\n|---|---|"
        yield from (f"| `{_cell(name)}` | {_cell(meaning)} |" for name, meaning in options)
        yield ""
    if example := _example(command):
        yield f"Example:\n\n```sh\n{example}\n```"
        yield ""


def _record(parameter: click.Parameter, context: click.Context) -> tuple[str, str] | None:
    if "--help" in parameter.opts:
        return None
    return parameter.get_help_record(context)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _example(command: click.Command) -> str:
    """Return the text after `Example:` in a command's help or epilogue, one command a line."""
    for text in (command.epilog or "", command.help or ""):
        _, found, example = text.replace("\b", "").partition("Example")
        if found:
            lines = example.partition(":")[2].split("\n\n", maxsplit=1)[0].splitlines()
            return "\n".join(line.strip() for line in lines if line.strip())
    return ""


def run(mode: str) -> int:
    """Write the page, or report whether it is up to date."""
    text = page()
    if mode == "--write":
        TARGET.write_text(text)
        return 0
    if TARGET.exists() and TARGET.read_text() == text:
        return 0
    sys.stderr.write(f"{TARGET.name} is out of date: make format\n")
    return 1


if __name__ == "__main__":
    sys.exit(run(sys.argv[1] if len(sys.argv) > 1 else "--check"))

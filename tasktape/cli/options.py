"""Options and error handling that several verbs share."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

P = ParamSpec("P")
R = TypeVar("R")

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="The data folder.  [default: TASKTAPE_DATA, else the user's own data folder]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def local_errors(verb: Callable[P, R]) -> Callable[P, R]:
    """Turn what the embedded stack cannot do into one line and exit status 1."""

    @functools.wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        from tasktape.local.errors import LocalError

        try:
            return verb(*args, **kwargs)
        except LocalError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            raise click.ClickException(
                f"{error.filename or 'The system'}: {error.strerror or error}"
            ) from error

    return run

"""Options and error handling that several verbs share."""

import functools
import os
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


def process_environment() -> dict[str, str]:
    """Return the environment with the secrets from files. Raise `click.ClickException`."""
    from app.settings import BadSettings
    from tasktape.secret_files import with_secret_files

    try:
        return with_secret_files(os.environ)
    except BadSettings as error:
        raise bad_settings(error) from None


def bad_settings(error: Exception) -> click.ClickException:
    """Return the error for invalid settings: one line and exit status 2."""
    failure = click.ClickException(str(error))
    failure.exit_code = 2
    return failure


def local_errors(verb: Callable[P, R]) -> Callable[P, R]:
    """Turn errors of the embedded stack into one line and exit status 1."""

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

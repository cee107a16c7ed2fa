"""The address of the API and the token of a verb: from options, environment, or the local instance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from tasktape.cli.options import data_option, local_errors, process_environment
from tasktape.cli.texts import variable

F = TypeVar("F", bound=Callable[..., None])
LOCAL_TOKEN_TTL_S = 12 * 3600

_url_option = click.option(
    "--url", help="The API's address.  [default: TASKTAPE_URL, else the local instance]"
)
_token_option = click.option("--token", help="Your token.  [default: TASKTAPE_TOKEN, else one of your own]")


@dataclass(frozen=True, slots=True)
class Connection:
    """The address of an API, without a slash at its end, and a token for it or its source."""

    url: str
    token: str | Callable[[], str]


def connection_options(verb: F) -> F:
    """Add the options `--url`, `--token` and `--data`."""
    return _url_option(_token_option(data_option(verb)))


@local_errors
def find_connection(url: str | None, token: str | None, data: Path | None) -> Connection:
    """Return the connection that options and environment name. Raises `click.ClickException`."""
    url, token = url or variable("TASKTAPE_URL"), token or variable("TASKTAPE_TOKEN")
    if url and token:
        return Connection(_address(url), token)
    from tasktape.cli.program import typed
    from tasktape.local.data_dir import data_dir

    folder = data_dir(data)
    local_url = folder.read_run().get("url")
    url = url or local_url
    if not url:
        raise click.ClickException(
            f"Nothing runs on {folder.root}: start it with `{typed('up', folder.root)}`, "
            "or name a server with --url"
        )
    if token:
        return Connection(_address(url), token)
    secret = variable("JWT_SECRET") or process_environment().get("JWT_SECRET") or folder.read_secret()
    if not secret or url != local_url:  # never send a token of this instance to another server
        raise click.ClickException("Say who you are there: give --token or set TASKTAPE_TOKEN")
    return Connection(_address(url), lambda: _own_token(secret))


def _address(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise click.BadParameter("it has to begin with http:// or https://", param_hint="--url")
    return url.rstrip("/")


def _own_token(secret: str) -> str:
    """Return a token for the user of this system, signed with the local instance's secret."""
    from tasktape.local.tokens import mint, system_user

    return mint(
        secret,
        system_user(),
        admin=True,
        ttl_s=LOCAL_TOKEN_TTL_S,
        issuer=variable("JWT_ISSUER") or "tasktape",
        audience=variable("JWT_AUDIENCE") or "tasktape",
    )

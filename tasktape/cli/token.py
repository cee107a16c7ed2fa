"""The verb token."""

import re
from pathlib import Path

import click

from tasktape.cli.options import data_option, local_errors, process_environment
from tasktape.cli.texts import variable

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@click.command(epilog="Example: tasktape token --user alice --ttl 8h")
@click.option("--user", help="The user of the token.  [default: the user of the command line: your account]")
@click.option("--admin", is_flag=True, help="With an operator's rights.")
@click.option(
    "--auditor", is_flag=True, help="With the right to read the whole audit, and to change nothing."
)
@click.option("--ttl", default="1h", show_default=True, help="How long it is valid: 90s, 15m, 8h, 30d.")
@data_option
@local_errors
def token(user: str | None, ttl: str, data: Path | None, *, admin: bool, auditor: bool) -> None:
    """Print a sign-in token (a JWT), signed with JWT_SECRET or the data folder's secret."""
    from app.text.names import user_name
    from tasktape.cli.program import typed
    from tasktape.local.data_dir import data_dir
    from tasktape.local.tokens import mint, system_user

    environment = process_environment()
    folder = data_dir(data)
    secret = variable("JWT_SECRET") or environment.get("JWT_SECRET") or folder.read_secret()
    if not secret:
        raise click.ClickException(
            f"No secret to sign with in {folder.root}: "
            f"set JWT_SECRET, or run `{typed('up', folder.root)}` once"
        )
    user = system_user() if user is None else user
    try:
        user = user_name(user)
    except ValueError as error:
        raise click.BadParameter(f"it {error}", param_hint="--user") from None
    issuer, audience = (
        variable("JWT_ISSUER") or "tasktape",
        variable("JWT_AUDIENCE") or "tasktape",
    )
    roles = {"admin": admin, "auditor": auditor}
    click.echo(mint(secret, user, **roles, ttl_s=parse_ttl_s(ttl), issuer=issuer, audience=audience))


def parse_ttl_s(text: str) -> int:
    """Read a duration such as `90s`, `15m`, `8h` or `30d`."""
    match = re.fullmatch(r"(\d{1,9})([smhd]?)", text.strip())
    seconds = int(match[1]) * UNITS_S[match[2] or "s"] if match else 0
    if not 0 < seconds <= 3650 * 86400:
        raise click.BadParameter(
            f"{text!r} is not a duration such as 90s, 15m, 8h or 30d", param_hint="--ttl"
        )
    return seconds

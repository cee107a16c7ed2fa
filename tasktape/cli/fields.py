"""The options that set a task's fields."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from app.recurrence.next_date import DATE_LENGTH
from app.tasks.fields import EDITED_FIELDS, TaskField
from app.values import Priority
from tasktape.cli.client import find_task
from tasktape.cli.zone import due_given, local_zone

if TYPE_CHECKING:
    from tasktape_client import Client

F = TypeVar("F", bound=Callable[..., Any])

PRIORITIES = get_args(Priority)
NAMED_OTHERWISE = {"parent": "parent_id"}
"""Fields that go by another name here than in the API."""
_OPTION_NAMES = {name: option for option, name in NAMED_OTHERWISE.items()}
CLEARABLE = tuple(
    _OPTION_NAMES.get(name, name)
    for name, field in EDITED_FIELDS.items()
    if not field.required and name != "recurrence_from"
)
_ISO_DURATION = re.compile(r"P(T?[0-9])", re.IGNORECASE)
_BEFORE = re.compile(r"(\d{1,6})([smhdw])")
_OWN_OPTIONS: Mapping[str, Callable[[Any], Any]] = {
    "notes": click.option("--notes", help="More about it."),
    "due": click.option(
        "--due",
        help="A day, a time of the time zone, or both: tomorrow, fri 5pm, dec 24, 2026-12-01T09:00.",
    ),
    "time_zone": click.option(
        "--time-zone", help="Where it is due, such as Europe/Madrid.  [default: of times yours, of dates UTC]"
    ),
    "priority": click.option("--priority", type=click.Choice(PRIORITIES)),
    "tags": click.option("--tag", "tags", multiple=True, help="May be given several times."),
    "assignees": click.option("--assignee", "assignees", multiple=True, help="May be given several times."),
    "stage": click.option("--stage", help="Where it is in its process."),
    "parent_id": click.option("--parent", metavar="ID", help="The task that it is a part of."),
    "recurrence": click.option(
        "--recurrence", help="How it comes again, as RFC 5545 says it: FREQ=WEEKLY;BYDAY=MO."
    ),
    "recurrence_from": click.option(
        "--from-completion/--from-due",
        "from_completion",
        default=None,
        help="Whether the next date counts from when it was done, or from when it was due.",
    ),
    "reminders": click.option(
        "--remind",
        "reminders",
        multiple=True,
        help="So long before it is due (30m, 2h, 1d), or at a time (tomorrow 9am); several times, too.",
    ),
}
"""The options of fields that need more than their name and their kind."""


def _option_of(name: str, field: TaskField) -> Callable[[Any], Any]:
    type_ = int if field.rules.kind == "number" else str
    return click.option(f"--{name.replace('_', '-')}", type=type_, help=f"{field.rules.description}.")


_OPTIONS = [
    _OWN_OPTIONS.get(name) or _option_of(name, field)
    for name, field in EDITED_FIELDS.items()
    if name != "title"
]


def field_options(verb: F) -> F:
    """Add the options that set a task's fields."""
    for option in reversed(_OPTIONS):
        verb = option(verb)
    return verb


async def fields_of(client: Client, given: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the options in the API's form. Raise `click.ClickException`.

    Times without an offset are those of the time zone that is given, or of this machine's.
    """
    zone = given.get("time_zone") or local_zone()
    fields = {name: value for name, value in given.items() if value not in (None, ())}
    if "from_completion" in fields:
        fields["recurrence_from"] = "completion" if fields.pop("from_completion") else "due"
    if "due" in fields:
        fields["due"] = due_given(fields["due"], zone, "--due")
    if "reminders" in fields:
        fields["reminders"] = [reminder(text, zone) for text in fields["reminders"]]
    if "parent" in fields:
        fields["parent"] = await find_task(client, fields["parent"])
    return {NAMED_OTHERWISE.get(name, name): value for name, value in fields.items()}


def reminder(text: str, zone: str | None) -> dict[str, str]:
    """Return a reminder: a duration before the due date, in words or ISO 8601, or a date-time."""
    short = _BEFORE.fullmatch(text.strip().lower())
    if short is not None:
        count, unit = short[1], short[2].upper()
        return {"before": f"P{count}{unit}" if unit in "DW" else f"PT{count}{unit}"}
    if _ISO_DURATION.match(text):
        return {"before": text.upper()}
    at = due_given(text, zone, "--remind")
    if len(at) <= DATE_LENGTH:
        raise click.BadParameter(f"{text!r} needs a time of day, as in {text} 9am", param_hint="--remind")
    return {"at": at}

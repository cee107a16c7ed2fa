"""The request headers that the API reads; each has its rules here only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request

from api.commands.entity_tags import Precondition, Tags, parse_tags
from app.errors import Malformed, PreconditionFailed
from app.positions import MAX_PARTITIONS, parse_positions

MAX_WAIT_S = 60.0
MAX_CORRELATION_CHARS = 128
_TRACEPARENT = re.compile(r"^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$")
_SECONDS = re.compile(r"^[0-9]+$")
_PREFERENCES = re.compile(r'(?:[^,"]|"(?:\\.|[^"\\])*"?)+')
_PARAMETERS = re.compile(r";.*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Preference:
    """The caller's preferences from `Prefer` (RFC 7240); `applied` is the value of `Preference-Applied`."""

    wait_s: float
    applied: str | None
    strict: bool = False


def preference(request: Request, default_s: float) -> Preference:
    """Parse `Prefer`: `respond-async` does not wait, `wait=N` waits N seconds, at most `MAX_WAIT_S`.

    `handling=strict` requires an exact match of `If-Match`. Ignore unknown preferences, as the standard
    requires.
    """
    lines = request.headers.getlist("prefer")
    if not lines:
        return Preference(default_s, None)
    wanted = _preferences(lines)
    wait_s, applied = default_s, list[str]()
    if _SECONDS.match(wanted.get("wait", "")):
        # The number may have any length; Python reads all its digits as a float.
        wait_s = min(float(wanted["wait"]), MAX_WAIT_S)
        applied.append(f"wait={wait_s:.0f}")
    elif "respond-async" in wanted:
        wait_s = 0.0
        applied.append("respond-async")
    strict = wanted.get("handling", "").lower() == "strict"
    if strict:
        applied.append("handling=strict")
    return Preference(wait_s, ", ".join(applied) or None, strict)


def _preferences(lines: Sequence[str]) -> dict[str, str]:
    """Return values by name; if a name is repeated, its first value counts."""
    found: dict[str, str] = {}
    for text in _PREFERENCES.findall(",".join(lines)):
        name, _, value = _PARAMETERS.sub("", text).partition("=")
        found.setdefault(name.strip().lower(), value.strip().strip('"'))
    return found


def if_match(request: Request, *, strict: bool) -> Precondition | None:
    """Return the versions that `If-Match` names; None if it is absent or `*`.

    Raise `Malformed`, and `PreconditionFailed` for foreign tags.
    """
    tags = parse_tags("If-Match", request.headers.getlist("if-match"))
    if tags is None or tags.wildcard:
        return None
    versions = tags.versions()
    if not versions:
        raise PreconditionFailed("If-Match names no version of this; weak tags never match")
    return Precondition(versions, strict=strict)


def if_none_match(request: Request) -> Tags | None:
    """Return the tags that `If-None-Match` names, if any. Raise `Malformed`."""
    return parse_tags("If-None-Match", request.headers.getlist("if-none-match"))


def wanted_positions(request: Request, partitions: int) -> dict[int, int]:
    """Return the positions that a read must have reached. Raise `Malformed`."""
    header = request.headers.get("tasktape-position")
    if not header:
        return {}
    if header.count(",") > MAX_PARTITIONS:
        raise Malformed("Tasktape-Position: too many positions")
    positions = parse_positions(header)
    unknown = next((partition for partition in positions if partition >= partitions), None)
    if unknown is not None:
        raise Malformed(f"Tasktape-Position: the log has no partition {unknown}")
    return positions


def correlation_id(given: str | None) -> str | None:
    """Return the caller's correlation id, or None if it cannot be used."""
    if given and len(given) <= MAX_CORRELATION_CHARS and given.isascii() and given.isprintable():
        return given
    return None


def traceparent(request: Request) -> str | None:
    """Return the caller's trace context (W3C); ignore an invalid one, as the standard requires."""
    given = request.headers.get("traceparent", "")
    return given if _TRACEPARENT.match(given) else None

"""The request headers that we read, each with its rules in one place."""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.requests import Request

from app.errors import Malformed, PreconditionFailed
from app.positions import MAX_PARTITIONS, parse_positions

MAX_WAIT_S = 60.0
MAX_CORRELATION_CHARS = 128
_ENTITY_TAG = re.compile(r'\s*(W/)?"([\x21\x23-\x7e]*)"\s*(?:,|$)')
_VERSION = re.compile(r"^(0|[1-9][0-9]{0,15})$")
_TRACEPARENT = re.compile(r"^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$")
_WAIT = re.compile(r"^wait=(\d{1,9})$")


@dataclass(frozen=True, slots=True)
class Preference:
    """How long a caller wants to wait for an outcome (RFC 7240); `applied` is what to answer."""

    wait_s: float
    applied: str | None


def preference(request: Request, default_s: float) -> Preference:
    """Read `Prefer`: `respond-async` does not wait, `wait=N` waits N seconds, at most `MAX_WAIT_S`."""
    wanted = [
        part.strip().lower() for value in request.headers.getlist("prefer") for part in value.split(",")
    ]
    waits = [min(float(found[1]), MAX_WAIT_S) for part in wanted if (found := _WAIT.match(part))]
    if waits:
        return Preference(waits[0], f"wait={waits[0]:.0f}")
    if "respond-async" in wanted:
        return Preference(0.0, "respond-async")
    return Preference(default_s, None)


def if_match(request: Request) -> int | None:
    """The version that `If-Match` names; None if it is absent or `*`.

    Of several versions the newest counts. Raises `Malformed`, and `PreconditionFailed` for foreign tags.
    """
    headers = request.headers.getlist("if-match")
    header = ",".join(headers).strip()
    if not headers or header == "*":
        return None
    tags = _entity_tags(header)
    versions = [int(tag) for weak, tag in tags if not weak and _VERSION.match(tag)]
    if not versions:
        raise PreconditionFailed("If-Match names no version of this; weak tags never match")
    return max(versions)


def _entity_tags(header: str) -> list[tuple[bool, str]]:
    tags, place = list[tuple[bool, str]](), 0
    while place < len(header) or not tags:
        found = _ENTITY_TAG.match(header, place)
        if found is None:
            raise Malformed('If-Match: write the version in quotes, as ETag does: "3"')
        tags.append((found[1] is not None, found[2]))
        place = found.end()
    return tags


def wanted_positions(request: Request, partitions: int) -> dict[int, int]:
    """The positions that a read must have reached. Raises `Malformed`."""
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
    """A caller's correlation id, or None for one that can't be used."""
    if given and len(given) <= MAX_CORRELATION_CHARS and given.isascii() and given.isprintable():
        return given
    return None


def traceparent(request: Request) -> str | None:
    """The caller's trace context (W3C), if it is valid; an invalid one is ignored, as the standard asks."""
    given = request.headers.get("traceparent", "")
    return given if _TRACEPARENT.match(given) else None

"""Content negotiation: whether a caller prefers JSON to plain text (RFC 9110, 12.5.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MAX_RANGES = 50


def prefers_json(accept: Sequence[str]) -> bool:
    """Return whether the `Accept` headers rate JSON above plain text; without preference it is False."""
    ranges = [each for header in accept for each in header.lower().split(",")][:MAX_RANGES]
    qualities = dict(map(_quality, ranges))
    return _of(qualities, "application") > _of(qualities, "text")


def _of(qualities: dict[str, float], kind: str) -> float:
    exact = {"application": "application/json", "text": "text/plain"}[kind]
    known: Iterable[str] = (exact, f"{kind}/*", "*/*")
    return next((qualities[each] for each in known if each in qualities), 0.0)


def _quality(media_range: str) -> tuple[str, float]:
    name, *parameters = (part.strip() for part in media_range.split(";"))
    given = next((each[2:] for each in parameters if each.startswith("q=")), "1")
    try:
        return name, min(1.0, max(0.0, float(given)))
    except ValueError:
        return name, 0.0

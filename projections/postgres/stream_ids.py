"""The SQL that makes and takes apart the ids of streams (`app.stream_ids`)."""

from __future__ import annotations

KEY = "substr(stream, 6)"
"""The key of the column `stream`: the kinds have four letters."""
IS_TASK = "stream LIKE 'task:%'"


def stream_of(kind: str, key: str) -> str:
    """Return the id of a stream of a kind; `key` is an expression."""
    return f"'{kind}:' || {key}"

"""The SQL that makes, takes apart and finds the ids of streams (`app.stream_ids`)."""

from __future__ import annotations

KIND = "left(stream, 4)"
"""The kind of the column `stream`."""
KEY = "substr(stream, 6)"
"""The key of the column `stream`: the kinds have four letters."""
IS_TASK = "stream LIKE 'task:%'"


def stream_of(kind: str, key: str) -> str:
    """Return the id of a stream of a kind; `key` is an expression."""
    return f"'{kind}:' || {key}"


def hash_of(stream: str) -> str:
    """Return the number by which an index finds a stream: it takes a fifth of the bytes of the id."""
    return f"hashtextextended({stream}, 0)"


def is_stream(stream: str, column: str = "stream") -> str:
    """Return the condition that a column with an index of `hash_of` is this stream, an expression."""
    return f"{hash_of(column)} = {hash_of(stream)} AND {column} = {stream}"


def is_one_of(parameter: str, column: str = "stream") -> str:
    """Return the condition that a column with an index of `hash_of` is one of the streams in a parameter."""
    hashes = f"ARRAY(SELECT {hash_of('wanted')} FROM unnest({parameter}::text[]) AS wanted)"  # noqa: S608
    return f"{hash_of(column)} = ANY({hashes}) AND {column} = ANY({parameter}::text[])"

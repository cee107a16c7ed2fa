"""Counts of earlier occurrences of names, on the disk: an import's memory must not grow with its file."""

from __future__ import annotations

import sqlite3
from hashlib import blake2b
from typing import Self

_COUNT = """
    INSERT INTO names VALUES (?, 0) ON CONFLICT (name) DO UPDATE SET seen = seen + 1 RETURNING seen
"""


class Occurrences:
    """A counter of names. Names beyond a small cache are in a temporary file."""

    def __init__(self) -> None:
        # The empty name is SQLite's own temporary database, deleted when it is closed.
        self._names = sqlite3.connect("", isolation_level=None)
        self._names.execute("PRAGMA journal_mode = OFF")
        self._names.execute("CREATE TABLE names (name BLOB PRIMARY KEY, seen INTEGER) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._names.close()

    def count(self, name: str) -> int:
        """Return the number of earlier calls with `name`, and count this one."""
        digest = blake2b(name.encode(), digest_size=16).digest()
        [(seen,)] = self._names.execute(_COUNT, (digest,)).fetchall()
        return int(seen)

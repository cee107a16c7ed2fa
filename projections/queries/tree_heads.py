"""The tree heads of the topic, as a table, with their keys. It outlives all generations.

Only the process that signs writes it, in the order of the topic.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from app.merkle.notes import Note, PublicKey
from app.merkle.tree_heads import TreeHead
from projections.postgres.database import Database


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A tree head with its note."""

    head: TreeHead
    note: Note


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A public key, and from when on it signs."""

    key: PublicKey
    since: datetime


class TreeHeadQueries:
    """The queries, in the control schema."""

    def __init__(self, database: Database) -> None:
        self._pool = database.pool
        heads, keys = (f'"{database.control_schema}".{table}' for table in ("tree_heads", "tree_head_keys"))
        self._last = f"SELECT note FROM {heads} ORDER BY size DESC LIMIT 1"  # noqa: S608
        self._of_size = f"SELECT note FROM {heads} WHERE size = $1"  # noqa: S608
        self._next_offset = f'SELECT coalesce(max("offset"), -1) + 1 FROM {heads}'  # noqa: S608
        self._write = f"""
            INSERT INTO {heads} (size, "offset", note) VALUES ($1, $2, $3)
            ON CONFLICT (size) DO UPDATE SET "offset" = excluded."offset", note = excluded.note
        """  # noqa: S608
        self._keys = f"SELECT key, since FROM {keys} ORDER BY since, key"  # noqa: S608
        self._add_key = f"""
            INSERT INTO {keys} (key, since) VALUES ($1, $2)
            ON CONFLICT (key) DO UPDATE SET since = excluded.since
        """  # noqa: S608

    async def last(self) -> SignedHead | None:
        """Return the last tree head."""
        return _signed(await self._pool.fetchval(self._last))

    async def of_size(self, size: int) -> SignedHead | None:
        """Return the tree head with this number of records."""
        return _signed(await self._pool.fetchval(self._of_size, size))

    async def next_offset(self) -> int:
        """Return the offset of the topic after the last record that is in the table."""
        offset: int = await self._pool.fetchval(self._next_offset)
        return offset

    async def write(self, signed: SignedHead, offset: int) -> None:
        """Write a tree head in place of the former note with its size."""
        await self._pool.execute(self._write, signed.head.size, offset, str(signed.note))

    async def keys(self) -> list[KnownKey]:
        """Return all keys, the oldest first."""
        rows = await self._pool.fetch(self._keys)
        return [KnownKey(PublicKey.parse(row["key"]), row["since"]) for row in rows]

    async def write_keys(self, keys: Collection[KnownKey]) -> None:
        """Add keys; those that are not among them stay known."""
        await self._pool.executemany(self._add_key, [(str(each.key), each.since) for each in keys])


def _signed(content: str | None) -> SignedHead | None:
    if content is None:
        return None
    note = Note.parse(content)
    return SignedHead(TreeHead.parse(note.text), note)

"""Tree heads: the sizes and roots of all partitions at one time, as the text of a checkpoint.

docs/reference/tree-heads.md has the format.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from struct import Struct
from typing import NamedTuple, Self

from app.dates import format_time
from app.merkle.hashes import HASH_BYTES, leaf_hash, perfect_root, root_of
from app.merkle.notes import Unreadable, from_base64, is_key_name
from app.merkle.proofs import inclusion_path, proof_of

_LEAF = Struct(f">IQ{HASH_BYTES}s")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}Z")


class PartitionTree(NamedTuple):
    """The tree of a partition at a time."""

    partition: int
    size: int
    root: bytes

    @property
    def leaf(self) -> bytes:
        """The hash of its leaf in the tree over partitions."""
        return leaf_hash(_LEAF.pack(self.partition, self.size, self.root))


@dataclass(frozen=True, slots=True)
class TreeHead:
    """The trees of all partitions of a log, in order."""

    origin: str
    time: datetime
    trees: Sequence[PartitionTree]

    @property
    def size(self) -> int:
        """The number of records in all partitions."""
        return sum(tree.size for tree in self.trees)

    @property
    def sizes(self) -> dict[int, int]:
        """The size of the tree of each partition."""
        return {tree.partition: tree.size for tree in self.trees}

    @property
    def leaves(self) -> list[bytes]:
        """The hashes of the leaves of the tree over partitions."""
        return [tree.leaf for tree in self.trees]

    @property
    def root(self) -> bytes:
        """The root over partitions."""
        return root_of(self.leaves)

    def partition_proof(self, partition: int) -> list[bytes]:
        """Return the proof that the tree of a partition is in the root over partitions."""
        leaves = self.leaves
        return proof_of(
            inclusion_path(partition, len(leaves)),
            lambda node: perfect_root(leaves[node.number << node.level : (node.number + 1) << node.level]),
        )

    def __str__(self) -> str:
        """Return the text that is signed."""
        return "".join(
            f"{line}\n"
            for line in (
                self.origin,
                self.size,
                base64_of(self.root),
                f"time {format_time(self.time)}",
                *(f"partition {each.partition} {each.size} {base64_of(each.root)}" for each in self.trees),
            )
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the tree head of a text that `str` made. Raise `Unreadable`, also if its parts disagree."""
        origin, *lines = text.removesuffix("\n").split("\n")
        if len(lines) < 4 or not is_key_name(origin):
            raise Unreadable("a tree head has an origin, a size, a root, a time, and partitions")
        size, root, time, *partitions = lines
        trees = tuple(_tree(line, number) for number, line in enumerate(partitions))
        head = cls(origin, _time(time), trees)
        if size != str(head.size):
            raise Unreadable("the size is not the sum of the partitions")
        if from_base64(root, HASH_BYTES) != head.root:
            raise Unreadable("the root is not that over the partitions")
        if str(head) != text:
            raise Unreadable("the tree head is not written as it should be")
        return head


def base64_of(content: bytes) -> str:
    """Return bytes as base64."""
    return b64encode(content).decode()


def _tree(line: str, number: int) -> PartitionTree:
    word, partition, size, root = (*line.split(" "), *[""] * 4)[:4]
    if word != "partition" or partition != str(number) or not _NUMBER.fullmatch(size):
        raise Unreadable(f"the line of partition {number} is missing or wrong")
    return PartitionTree(number, int(size), from_base64(root, HASH_BYTES))


def _time(line: str) -> datetime:
    word, _, time = line.partition(" ")
    if word != "time" or not _TIME.fullmatch(time):
        raise Unreadable("the line of the time is missing or wrong")
    try:
        return datetime.fromisoformat(time).astimezone(UTC)
    except ValueError:
        raise Unreadable("the line of the time is missing or wrong") from None

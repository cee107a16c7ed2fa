"""The tree heads of a verification: those of the topic, and those that were kept elsewhere."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise

from app.dates import format_time
from app.merkle.notes import Note, PublicKey, Unreadable
from app.merkle.tree_heads import TreeHead
from streams.tree_heads.keys import verify


class Heads:
    """Signed heads of one log; `faults` are lines about those that are not right."""

    def __init__(self, partitions: int, keys: Collection[PublicKey]) -> None:
        self.keys = list(keys)
        self.known: list[TreeHead] = []
        self.faults: list[str] = []
        self._partitions = partitions
        self._texts: set[str] = set()

    def add(self, content: str) -> None:
        """Add the head of a note, unless it is known. One that was not signed is a fault."""
        try:
            note = Note.parse(content)
            if note.text in self._texts:
                return
            self._texts.add(note.text)
            head, signers = TreeHead.parse(note.text), note.signed_by(self.keys, verify)
        except Unreadable as error:
            self._fault(content, str(error))
            return
        if not signers:
            self._fault(content, "no known key signed it")
        elif len(head.trees) != self._partitions:
            self._fault(content, f"it has {len(head.trees)} partitions, not {self._partitions}")
        else:
            self.known.append(head)

    def _fault(self, content: str, reason: str) -> None:
        beginning = " ".join(content.split()[:2])[:100]
        self.faults.append(f"a tree head ({beginning}): {reason}")

    def check_growth(self) -> None:
        """Put the heads in order, and find those that contradict an earlier one."""
        self.known.sort(key=lambda head: (head.size, head.time))
        for before, after in pairwise(self.known):
            for old, new in zip(before.trees, after.trees, strict=True):
                if old.size > new.size or (old.size == new.size and old.root != new.root):
                    self.faults.append(
                        f"two tree heads contradict each other in partition {old.partition}: {named(before)} "
                        f"and {named(after)}; both are signed"
                    )
                    break


def named(head: TreeHead) -> str:
    """Return words for a head."""
    return f"the head of {head.size:,} records at {format_time(head.time)}"

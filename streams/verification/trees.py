"""The comparison of a partition's records with the hashes of its tree, and of both with signed tree heads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy

from app.merkle.hashes import Frontier
from app.merkle.tree_heads import TreeHead
from streams.verification.differences import Difference, Place
from streams.verification.heads import named


class TreeComparison:
    """Two trees that grow together: that of the records in the log, and that of the stored hashes.

    They are one until they differ. `first` is the first record that does;
    `signed` is the number of records that are as a head has them.
    """

    def __init__(self, partition: int, heads: Iterable[TreeHead]) -> None:
        self._partition = partition
        self._due = {head.trees[partition].size: head for head in heads}
        self._log = Frontier()
        self._stored: Frontier | None = None
        self.first: int | None = None
        self.signed = 0
        self.heads = 0
        self.differences: dict[Place, Difference] = {}
        self._compare_roots()

    @property
    def size(self) -> int:
        """The number of records so far."""
        return self._log.size

    def add(self, leaf: bytes, stored: bytes) -> None:
        """Add the next record, as the hash of what is in the log, and the hash that was stored of it."""
        if leaf != stored and self._stored is None:
            self.first = self._log.size
            self._stored = deepcopy(self._log)
        self._log.append(leaf)
        if self._stored is not None:
            self._stored.append(stored)
        if self._log.size in self._due:
            self._compare_roots()

    def _compare_roots(self) -> None:
        """Compare both trees with the head that has this size, if there is one."""
        head = self._due.pop(self._log.size, None)
        if head is None:
            return
        root = head.trees[self._partition].root
        log_fits = self._log.root == root
        stored_fits = log_fits if self._stored is None else self._stored.root == root
        if log_fits:
            self.signed, self.heads = self._log.size, self.heads + 1
        if self.first is not None and log_fits != stored_fits:
            self._blame("trees" if log_fits else "log", self.first, head)
        elif not log_fits:
            self._add(
                "tree heads", self.signed if self.first is None else self.first, _unfit(head, self.signed)
            )

    def _blame(self, place: Place, offset: int, head: TreeHead) -> None:
        if place == "log":
            reason = f"it is not the record that was signed: {named(head)} has the hash of another one"
        else:
            reason = (
                f"its hash is not that of the record, which {named(head)} has: run `tasktape rebuild tree`"
            )
        self._add(place, offset, reason)

    def _add(self, place: Place, offset: int, reason: str) -> None:
        self.differences.setdefault(place, Difference(self._partition, offset, place, reason))

    def finish(self) -> Sequence[Difference]:
        """Return the differences, after the last record."""
        if self.first is not None and not self.differences:
            self._add(
                "trees", self.first, "the hash stored of it is another one, and no tree head has it yet"
            )
        for size in sorted(self._due):
            if not self.differences:
                reason = f"it is missing: {named(self._due[size])} has {size:,} records of the partition"
                self._add("log", self._log.size, reason)
        return list(self.differences.values())


def _unfit(head: TreeHead, signed: int) -> str:
    return (
        f"the root of {named(head)} is neither that of the log nor that of the stored hashes; "
        f"the records before {signed:,} are as signed"
    )

"""Three-way merge of prose, such as a task's notes: by lines, and by words where lines conflict.

It follows diff3 (Khanna, Kunal, Pierce: "A Formal Investigation of Diff3", 2007): a change of one side is
applied, equal changes of both sides are applied once, other overlapping changes are a conflict. In addition:

- Conflicting lines are merged again, by words.
- A side that contains the other side's change and continues from it wins. Saving twice therefore does not
  conflict with itself.
- Lines that both sides append at the very end are all kept, first those of `theirs`. Two insertions at any
  other place are a conflict, because their order would be a guess.
- Blank lines and punctuation alone do not count as common parts of two texts.
- No grapheme cluster is divided, and no cluster is made that neither text contains. A word is a run of text
  without spaces and punctuation, so in scripts without spaces it is a phrase: two changes of one phrase are a
  conflict.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from app.text.comparison import is_filler, replacements, shared_prefix, words_of
from app.text.graphemes import clusters

_STEPS = 600_000
"""The limit of one comparison; a merge makes at most four of this size. A step takes some 0.05 µs."""


@dataclass(frozen=True, slots=True)
class _Change:
    """A replacement of `base[start:end]` by `new` on one side."""

    start: int
    end: int
    new: list[str]
    side: int

    @property
    def grows(self) -> bool:
        return len(self.new) > self.end - self.start


@dataclass(frozen=True, slots=True)
class _Region:
    """A changed part of the base, with the text of both sides."""

    start: int
    end: int
    base: list[str]
    theirs: list[str]
    yours: list[str]


def merge_texts(base: str, theirs: str, yours: str) -> str | None:
    """Merge the changes of both texts into `base`; return None if both changed the same place differently.

    Line breaks at the very end are merged separately: if both changed their number, the larger one wins.
    """
    if theirs in {base, yours}:
        return yours
    if yours == base:
        return theirs
    lines = _merge_lines(_lines(base), _lines(theirs), _lines(yours))
    if lines is None:
        return None
    breaks = [len(text) - len(text.rstrip("\n")) for text in (base, theirs, yours)]
    merged = "\n".join(lines) + "\n" * _merge_numbers(*breaks)
    return merged if _has_only_clusters_of(merged, base, theirs, yours) else None


def _has_only_clusters_of(merged: str, *texts: str) -> bool:
    """Return whether all grapheme clusters of the merged text occur in the given texts.

    A mark at the beginning of a line or a word may now follow another letter, and form a cluster that nobody
    wrote.
    """
    known = {"\n", "\r\n", *(cluster for text in texts for cluster in clusters(text))}
    return merged.isascii() or known.issuperset(clusters(merged))


def _lines(text: str) -> list[str]:
    body = text.rstrip("\n")
    return body.split("\n") if body else []


def _merge_numbers(base: int, theirs: int, yours: int) -> int:
    if theirs == base:
        return yours
    return theirs if yours == base else max(theirs, yours)


def _merge_lines(base: list[str], theirs: list[str], yours: list[str]) -> list[str] | None:
    regions = _regions(base, theirs, yours, steps=_STEPS, may_grow=1)
    settled = [_merge_region(region, end=len(base)) for region in regions]
    conflicts = settled.count(None)
    for index, region in enumerate(regions):
        if settled[index] is None:
            settled[index] = _merge_words(region, _STEPS // conflicts)
    return _joined(base, regions, settled)


def _merge_words(lines: _Region, steps: int) -> list[str] | None:
    texts = ("\n".join(side) for side in (lines.base, lines.theirs, lines.yours))
    base, theirs, yours = (words_of(text) for text in texts)
    if not (base and theirs and yours):
        return None
    regions = _regions(base, theirs, yours, steps=steps, may_grow=0)
    words = _joined(base, regions, [_merge_region(region) for region in regions])
    return None if words is None else "".join(words).split("\n")


def _joined(base: list[str], regions: list[_Region], settled: list[list[str] | None]) -> list[str] | None:
    """Replace each region of the base by its merged lines; return None if a region has a conflict."""
    joined: list[str] = []
    at = 0
    for region, new in zip(regions, settled, strict=True):
        if new is None:
            return None
        joined += base[at : region.start] + new
        at = region.end
    return joined + base[at:]


# --- the changed regions ---------------------------------------------------------------------------------


def _regions(
    base: list[str], theirs: list[str], yours: list[str], *, steps: int, may_grow: int
) -> list[_Region]:
    """Return the changed regions in order; changes that cannot be separated share a region.

    These are overlapping changes. Adjacent changes are included if both contain the same lines, or if more
    than `may_grow` of the two add something, because their order is not clear.
    """
    changes = _changes(base, theirs, 0, steps) + _changes(base, yours, 1, steps)
    groups: list[list[_Change]] = []
    for change in sorted(changes, key=lambda change: (change.start, change.end)):
        others = [other for other in groups[-1] if other.side != change.side] if groups else []
        if others and _clash(others[-1], change, may_grow):
            groups[-1].append(change)
        else:
            groups.append([change])
    return [_region(base, group) for group in groups]


def _changes(base: list[str], new: list[str], side: int, steps: int) -> list[_Change]:
    return [
        _Change(each.start, each.end, new[each.new_start : each.new_end], side)
        for each in replacements(base, new, steps)
    ]


def _clash(one: _Change, other: _Change, may_grow: int) -> bool:
    if one.start < other.end and other.start < one.end:
        return True
    touching = one.end == other.start or other.end == one.start
    return touching and (one.grows + other.grows > may_grow or not set(one.new).isdisjoint(other.new))


def _region(base: list[str], changes: list[_Change]) -> _Region:
    start, end = changes[0].start, max(change.end for change in changes)
    theirs, yours = (_applied(base, start, end, [c for c in changes if c.side == side]) for side in (0, 1))
    return _Region(start, end, base[start:end], theirs, yours)


def _applied(base: list[str], start: int, end: int, changes: list[_Change]) -> list[str]:
    applied: list[str] = []
    for change in changes:
        applied += base[start : change.start] + change.new
        start = change.end
    return applied + base[start:end]


# --- the merge of a region -------------------------------------------------------------------------------


def _merge_region(region: _Region, *, end: int | None = None) -> list[str] | None:
    """Merge a region, or return None for a conflict; both sides may append at the text's end, `end`."""
    base, theirs, yours = region.base, region.theirs, region.yours
    if theirs in (base, yours):
        return yours
    if yours == base:
        return theirs
    if further := _continuation(base, theirs, yours):
        return further
    if further := _continuation(base[::-1], theirs[::-1], yours[::-1]):
        return further[::-1]
    return _merge_insertions(theirs, yours) if region.start == region.end == end else None


def _continuation(base: list[str], theirs: list[str], yours: list[str]) -> list[str] | None:
    """Return the side that begins with the other's change and continues where the other kept the base."""
    shared = shared_prefix(theirs, yours)
    pairs = sorted(((theirs, yours), (yours, theirs)), key=lambda pair: -len(pair[0]))
    for one, other in pairs:
        left = one[shared:]
        replaced = max(0, len(base) - len(left))
        if shared and base[replaced:] == left and not set(base[:replaced]) & set(other[shared:]):
            return other
    return None


def _merge_insertions(theirs: list[str], yours: list[str]) -> list[str]:
    """Return the lines that both sides inserted at one place, `theirs` first, without duplicates."""
    start = shared_prefix(theirs, yours)
    repeated = Counter(line for line in theirs[start:] if not is_filler(line))
    added = []
    for line in yours[start:]:
        if repeated[line]:
            repeated[line] -= 1
        else:
            added.append(line)
    return theirs + added

"""Expected contents of the activity feed, from the fold of a log."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from app.activity import Entry, activity_type, actor_of
from app.log.fold import Folded
from app.tasks.state import Task


def feed_of(log: Iterable[Folded], lists: Collection[str]) -> list[Entry]:
    """Return the feed of these lists, newest first."""
    found = [entry for folded in log if (entry := entry_of(folded, lists)) is not None]
    return sorted(found, key=lambda e: (e.at, -e.partition, e.offset), reverse=True)


def entry_of(folded: Folded, lists: Collection[str]) -> Entry | None:
    """Return the entry of a record in the feed of these lists; None if it has none."""
    type_, record, after, before = activity_type(folded), folded.record, folded.after, folded.before
    if type_ is None or record is None:
        return None
    here = after.list_id if isinstance(after, Task) else record.stream.key
    left = before.list_id if isinstance(before, Task) else here
    if here not in lists and left not in lists:
        return None
    if here not in lists:
        here, type_ = left, "task.moved_out" if type_ == "task.moved_in" else type_
    actor = actor_of(type_, record.actor, record.source)
    return Entry(folded.raw.recorded_at, *folded.raw.position, type_, actor, here, record.stream)

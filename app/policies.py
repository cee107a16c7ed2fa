"""Policies: which accepted records something follows from. What follows is in `series.py`.

Imported history is what others did, long ago: nothing follows from it.
"""

from __future__ import annotations

from app.fold import Folded
from app.tasks import Task

IMPORT_PREFIX = "/tasktape/import"


def reacts(folded: Folded) -> bool:
    """Whether a policy has to look at this record: a recurring task was completed, or reopened."""
    record, before, after = folded.record, folded.before, folded.after
    if folded.outcome != "accepted" or record is None or record.source.startswith(IMPORT_PREFIX):
        return False
    if not isinstance(before, Task) or not isinstance(after, Task):
        return False
    return before.status != after.status and (after.recurrence or before.recurrence) is not None

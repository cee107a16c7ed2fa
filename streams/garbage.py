"""Garbage collection for processes that handle many small objects, few of them in cycles."""

import gc

ALLOCATIONS = 50_000
YOUNG_COLLECTIONS = 20
MIDDLE_COLLECTIONS = 100


def collect_rarely() -> None:
    """Leave what start-up made out of every collection, and collect after many allocations only.

    Python's own thresholds made collections a quarter of a busy worker's time; memory does not grow
    noticeably, since nearly everything here is freed by its reference count.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS, YOUNG_COLLECTIONS, MIDDLE_COLLECTIONS)

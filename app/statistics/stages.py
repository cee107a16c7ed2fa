"""The stages of lists as statistics need them: the category of each name that a list ever had."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from app.lists.events import Stage
from app.values import Category


def categories(history: Iterable[Sequence[Stage]]) -> Mapping[str, Category]:
    """Return the category of each stage; `history` are a list's stages from the oldest to the newest.

    A name that the list no longer has keeps its last category, because tasks were in that stage.
    """
    return {stage["name"]: stage["category"] for stages in history for stage in stages}

"""Loop between Faust and the projector, while nothing is delivered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest

from app.tasks.events import TaskCreated
from projections.postgres.checkpoints import Checkpoint
from streams import projection_loop
from streams.projection_loop import ProjectionLoop
from tests.memory_log import MemoryEventLog
from tests.spec import LIST_ID, START, record_of
from tests.waiting import eventually


class Projector:
    """Returns its next checkpoint on each call, and records catch-ups."""

    def __init__(self, *checkpoints: int) -> None:
        self._checkpoints = list(checkpoints)
        self.asked = 0
        self.refilled: set[int] = set()
        self.caught_up: list[tuple[int, int]] = []
        """The number of calls before each catch-up, and its end."""

    async def recover(self, partitions: Sequence[int]) -> None:
        """Do nothing."""

    async def settle(self) -> None:
        """Do nothing."""

    async def checkpoints(self, partitions: Sequence[int]) -> dict[int, Checkpoint]:
        """Return the next checkpoints; the last ones stay."""
        self.asked += 1
        at = self._checkpoints.pop(0) if len(self._checkpoints) > 1 else self._checkpoints[0]
        return dict.fromkeys(partitions, Checkpoint(at, at))

    async def catch_up(self, partition: int, end: int) -> None:
        """Record the call."""
        self.caught_up.append((self.asked, end))
        self._checkpoints = [end]


@pytest.mark.parametrize(
    ("checkpoints", "asked"),
    [((3, 3, 3, 1), 4), ((3, 3, 3, 3, 2), 5), ((3, 1, 2, 2), 4), ((3, 2, 2), 3)],
    ids=["taken back", "taken back later", "moves on, then stays", "stays behind"],
)
async def test_undelivered_records_are_read(
    monkeypatch: pytest.MonkeyPatch, checkpoints: Sequence[int], asked: int
) -> None:
    """A checkpoint that is still behind at the second look is caught up; one set back by a crash is not.

    The first look is at new partitions.
    """
    monkeypatch.setattr(projection_loop, "CHECK_S", 0.01)
    monkeypatch.setattr(projection_loop, "FAR_BEHIND_CHECK_S", float("inf"))
    log = MemoryEventLog(1, lambda: START)
    stream = f"task:{uuid4()}"
    await log.append([record_of(TaskCreated(LIST_ID, "Buy milk"), 1, id=str(uuid4()), stream=stream)] * 3)
    projector: Any = Projector(*checkpoints)
    loop = ProjectionLoop(projector, log)
    loop.assign([0])
    loop.start()
    try:
        await eventually(lambda: bool(projector.caught_up))
        assert projector.caught_up == [(asked, 3)]
    finally:
        await loop.stop()

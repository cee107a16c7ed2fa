"""Commits of the checkpoints: repeated after any failure, and once more at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest
from aiokafka.errors import CommitFailedError, KafkaConnectionError

from app.errors import Unavailable
from streams import offset_commits
from streams.offset_commits import OffsetCommits
from tests.waiting import eventually


class Commit:
    """Raises its errors, one a call, and records the partitions of each."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.calls: list[Collection[int]] = []

    async def __call__(self, partitions: Collection[int]) -> None:
        """Raise the next error, if any is left."""
        self.calls.append(partitions)
        if self._errors:
            raise self._errors.pop(0)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offset_commits, "COMMIT_S", 0.001)


async def test_commits_are_tried_again_after_each_failure() -> None:
    commit = Commit(CommitFailedError(), Unavailable("Kafka is away"), TimeoutError(), RuntimeError("odd"))
    task = asyncio.create_task(OffsetCommits(commit, lambda: frozenset({0, 1})).run())
    await eventually(lambda: len(commit.calls) > 5)
    task.cancel()
    assert set(commit.calls) == {frozenset({0, 1})}


async def test_nothing_is_committed_before_the_first_assignment() -> None:
    """There is no consumer yet."""
    commit = Commit()
    assigned: set[int] = set()
    looks = 0

    def partitions() -> frozenset[int]:
        nonlocal looks
        looks += 1
        return frozenset(assigned)

    task = asyncio.create_task(OffsetCommits(commit, partitions).run())
    await eventually(lambda: looks > 2)
    assert not commit.calls
    assigned.add(3)
    await eventually(lambda: bool(commit.calls))
    task.cancel()


@pytest.mark.parametrize("error", [KafkaConnectionError(), TimeoutError(), Unavailable("away")])
async def test_last_commit_does_not_prevent_the_end(error: Exception) -> None:
    commit = Commit(error)
    await OffsetCommits(commit, lambda: frozenset({0})).end()
    assert commit.calls == [frozenset({0})]


async def test_last_commit_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offset_commits, "LAST_LIMIT_S", 0.01)

    async def hang(_: Collection[int]) -> None:
        await asyncio.Event().wait()

    await OffsetCommits(hang, lambda: frozenset({0})).end()

"""Inboxes: created once per user, and requested again after a failure or an eviction."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from api.commands import inboxes as module
from api.commands.inboxes import RETRY_AFTER_S, Inboxes
from api.commands.requests import CommandRequest
from app.errors import Unavailable
from app.ids import inbox_id


class Commands:
    """Records the requested inboxes, and fails for some."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.failing: set[str] = set()

    async def handle(self, request: CommandRequest) -> None:
        self.asked.append(request.user)
        if request.user in self.failing:
            raise Unavailable("the log is away")


@pytest.fixture
def now_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the time, which changes only when a test sets it."""
    now = [100.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


async def test_inbox_is_created_once(now_s: list[float]) -> None:
    commands = Commands()
    inboxes = Inboxes(cast("Any", commands))
    for _ in range(2):
        await inboxes.ensure("alice")
        now_s[0] += 1_000_000
    assert commands.asked == ["alice"]


async def test_existing_inbox_is_not_created(now_s: list[float]) -> None:
    commands = Commands()

    async def lists_of(user: str) -> list[str]:
        return [inbox_id(user)] if user == "alice" else []

    inboxes = Inboxes(cast("Any", commands), lists_of)
    for user in ("alice", "bob"):
        await inboxes.ensure(user)
    assert commands.asked == ["bob"]


async def test_failed_creation_is_retried_later(now_s: list[float]) -> None:
    commands = Commands()
    inboxes = Inboxes(cast("Any", commands))
    commands.failing.add("alice")
    await inboxes.ensure("alice")
    now_s[0] += RETRY_AFTER_S - 0.1
    await inboxes.ensure("alice")
    assert commands.asked == ["alice"]
    commands.failing.clear()
    now_s[0] += 0.1
    for _ in range(2):
        await inboxes.ensure("alice")
        now_s[0] += 1_000_000
    assert commands.asked == ["alice", "alice"]


async def test_users_seen_longest_ago_are_evicted_first(
    now_s: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_KNOWN_USERS", 2)
    commands = Commands()
    inboxes = Inboxes(cast("Any", commands))
    for user in ("alice", "bob", "alice", "carol", "alice", "bob"):
        await inboxes.ensure(user)
    assert commands.asked == ["alice", "bob", "carol", "bob"]

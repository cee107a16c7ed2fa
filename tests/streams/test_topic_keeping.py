"""Keeping of topics: missing ones are created again, except the log."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

import pytest
from aiokafka.errors import KafkaConnectionError

from app.settings import Settings
from streams import topic_keeping
from streams.topic_keeping import keep_topics
from streams.topics import TopicShape, shapes_of


class Brokers:
    """The topics at each look; an error is raised; in the end the log is missing."""

    def __init__(self, *looks: Collection[str] | Exception) -> None:
        self._looks = iter(looks)
        self.made: list[list[str]] = []

    async def topics(self, _settings: Settings) -> set[str]:
        look = next(self._looks, set[str]())
        if isinstance(look, Exception):
            raise look
        return set(look)

    async def ensure(self, _brokers: object, shapes: Sequence[TopicShape]) -> None:
        self.made.append([shape.name for shape in shapes])


async def kept(brokers: Brokers, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the message about the missing log."""
    said: list[str] = []
    monkeypatch.setattr(topic_keeping, "CHECK_S", 0.001)
    monkeypatch.setattr(topic_keeping, "_topics", brokers.topics)
    monkeypatch.setattr(topic_keeping, "ensure_topics", brokers.ensure)
    async with asyncio.timeout(30):
        await keep_topics(settings, said.append)
    return said


async def test_missing_topics_except_the_log_are_created_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors while looking, expected or not, end nothing."""
    settings = Settings()
    the_log, *others = (shape.name for shape in shapes_of(settings))
    brokers = Brokers([the_log, *others], KafkaConnectionError(), ValueError("a bug"), [the_log, *others[1:]])
    (said,) = await kept(brokers, settings, monkeypatch)
    assert brokers.made == [others[:1]]
    assert said.startswith(f"the topic {the_log} is gone")

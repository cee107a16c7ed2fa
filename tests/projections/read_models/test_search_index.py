"""Search words of tasks after changes of titles, notes and comments, and their bound."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.tasks.events import (
    TaskCommentDeleted,
    TaskCommented,
    TaskCommentEdited,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskRestored,
    TaskUndone,
)
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.projector import Projector
from projections.read_models.search_index import COMMENTS_SEARCHED, WORDS_SEARCHED
from tests.memory_log import MemoryEventLog
from tests.spec import LIST_ID, START, record_of
from tests.truth import emptied


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    schema = f"w_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", 1))
    opened = await open_database(database_url, schema, pool_size=1)
    yield opened
    await opened.close()


async def document_after(database: Database, *events: Any, at_once: bool) -> str:
    """Return the words of a task after these events, projected in one batch or one by one."""
    await emptied(database)
    log = MemoryEventLog(1, lambda: START + timedelta(days=1))
    projector = Projector(database, log.read, None)
    for version, event in enumerate(events, start=1):
        await log.append([record_of(event, version)])
        if not at_once:
            await projector.catch_up(0, version)
    await projector.catch_up(0, len(events))
    document: str = await database.pool.fetchval("SELECT document::text FROM task_search")
    return document


CREATED = TaskCreated(LIST_ID, "Buy milk", notes="the Milk")


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    ("events", "document"),
    [
        ([], "'=buy':2 '=milk':3 'buy':2 'milk':3,6 'the':5"),
        ([TaskCompleted(), TaskDeleted(), TaskRestored()], "'=buy':2 '=milk':3 'buy':2 'milk':3,6 'the':5"),
        ([TaskEdited({"title": "Café"})], "'=cafe':2 'cafe':2 'milk':5 'the':4"),
        ([TaskEdited({"title": "x"}), TaskUndone(2, {"title": "Tea", "notes": ""})], "'=tea':2 'tea':2"),
        (
            [TaskEdited({"notes": ""}), TaskCommented("a", "first"), TaskCommented("b", "second one")],
            "'=buy':2 '=milk':3 'buy':2 'first':9 'milk':3 'one':7 'second':6",
        ),
        (
            [TaskEdited({"notes": ""}), TaskCommented("a", "first"), TaskCommentEdited("a", "other")],
            "'=buy':2 '=milk':3 'buy':2 'milk':3 'other':6",
        ),
        (
            [TaskEdited({"notes": ""}), TaskCommented("a", "first"), TaskCommentDeleted("a")],
            "'=buy':2 '=milk':3 'buy':2 'milk':3",
        ),
        ([TaskEdited({"title": "…", "notes": ""})], ""),
    ],
)
async def test_words_follow_the_texts(
    database: Database, events: list[Any], document: str, *, at_once: bool
) -> None:
    """Newest comment first; between two texts a position is free."""
    assert await document_after(database, CREATED, *events, at_once=at_once) == document


async def test_newest_comments_are_indexed(database: Database) -> None:
    """Up to the documented number."""
    said = [TaskCommented(f"c{number}", f"n{number}") for number in range(COMMENTS_SEARCHED + 5)]
    document = await document_after(database, CREATED, *said, at_once=True)
    assert [number for number in range(len(said)) if f"'n{number}'" in document] == list(range(5, len(said)))


@pytest.mark.parametrize(
    ("word", "most", "number"),
    [
        ("{:x}", 19_000, WORDS_SEARCHED - 3),
        ("\U00010330" * 60 + "{}", 1_500, 1_499),
        ("a" * 3_000 + " {}", 33, 32),
    ],
    ids=["many", "large", "long"],
)
async def test_texts_of_any_length_are_indexed(database: Database, word: str, most: int, number: int) -> None:
    """Within the bound of an event: the first words are searchable."""
    notes = " ".join(word.format(place) for place in range(most))
    document = await document_after(database, TaskCreated(LIST_ID, "T", notes=notes), at_once=True)
    assert document.count(":") >= number
    assert document.count(":") <= WORDS_SEARCHED + 1

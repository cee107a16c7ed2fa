"""The texts that tasks have had: comments of other programs count as they do in the present."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from app.tasks.events import TaskCommentDeleted, TaskCommented, TaskCommentEdited, TaskCreated, TaskEvent
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.projector import Projector
from projections.read_models.comments import CommentQueries
from tests.memory_log import MemoryEventLog
from tests.spec import LIST_ID, START, TASK_ID, record_of
from tests.truth import emptied

HISTORY: tuple[tuple[TaskEvent, list[str]], ...] = (
    (TaskCreated(LIST_ID, "Buy milk"), []),
    (TaskCommentEdited("one", "not written yet"), []),
    (TaskCommentDeleted("one"), []),
    (TaskCommented("one", "oat"), ["oat"]),
    (TaskCommented("one", "written twice"), ["oat"]),
    (TaskCommented("two", ""), ["oat", ""]),
    (TaskCommentEdited("two", "soy"), ["oat", "soy"]),
    (TaskCommentEdited("one", "rice"), ["rice", "soy"]),
    (TaskCommentDeleted("one"), ["soy"]),
    (TaskCommentEdited("one", "edited after its deletion"), ["soy"]),
    (TaskCommented("one", "written after its deletion"), ["soy"]),
    (TaskCommentDeleted("one"), ["soy"]),
    (TaskCommentDeleted("two"), []),
    (TaskCommentEdited("two", "edited after its deletion"), []),
)
"""Events, and the comments after each."""


@pytest.fixture(scope="module")
async def shared_database(database_url: str) -> AsyncIterator[Database]:
    schema = f"t_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", 1))
    opened = await open_database(database_url, schema, pool_size=2)
    yield opened
    await opened.close()


@pytest.mark.parametrize("at_once", [1, 3, len(HISTORY)])
async def test_past_comments_are_those_that_there_were(shared_database: Database, at_once: int) -> None:
    """One by one, or with their events projected together."""
    database = await emptied(shared_database)
    log = MemoryEventLog(1, lambda: START)
    projector = Projector(database, log.read, None)
    records = [record_of(event, version) for version, (event, _) in enumerate(HISTORY, start=1)]
    for first in range(0, len(records), at_once):
        await log.append(records[first : first + at_once])
        await projector.catch_up(0, (await log.ends())[0])
    queries = CommentQueries(database.pool)
    for version, (_, texts) in enumerate(HISTORY, start=1):
        page = await queries.page_at(TASK_ID, version, after=None, limit=9)
        assert [comment.text for comment in page.items] == texts, version
    words = await database.pool.fetch(
        "SELECT unnest(tsvector_to_array(document)) AS word FROM task_texts WHERE place LIKE 'comment:%'"
    )
    assert {row["word"] for row in words} == {"oat", "rice", "soy"}

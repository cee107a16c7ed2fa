"""The read model of the words that tasks have had: one row for each text, and the versions that had it.

A text is a title, notes or one comment, as long as it stays the same. Searches for words at a past time use
these rows; those for words of today use `task_search`.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import BigInteger, Column, Index, Table, Text
from sqlalchemy.dialects.postgresql import TSVECTOR

from app.tasks.events import TaskCommentDeleted, TaskCommented, TaskCommentEdited
from app.tasks.state import Task
from projections.postgres.connections import Connection
from projections.postgres.tables import read_models
from projections.read_models.projected import Projected, ProjectedBatch
from projections.read_models.search_index import PENDING_KIB, document_of

task_texts = Table(
    "task_texts",
    read_models,
    Column("task_id", Text, primary_key=True),
    # The field, or `COMMENT` and the id of the comment.
    Column("place", Text, primary_key=True),
    Column("first_version", BigInteger, primary_key=True),
    # The first version without it; null if the newest one has it.
    Column("end_version", BigInteger),
    Column("document", TSVECTOR, nullable=False),
    Index(
        "task_texts_by_words",
        "document",
        postgresql_using="gin",
        postgresql_with={"gin_pending_list_limit": PENDING_KIB},
    ),
)
"""The texts of tasks as `tsvector`s, and the versions that have them."""

TABLES = (task_texts,)
VERSION = 1

COMMENT = "comment:"

_INSERT = """
    INSERT INTO task_texts (task_id, place, first_version, end_version, document)
    SELECT task_id, place, first_version, end_version, document::tsvector
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[])
        AS found(task_id, place, first_version, end_version, document)
"""
_END = """
    UPDATE task_texts SET end_version = "end".version
    FROM unnest($1::text[], $2::text[], $3::bigint[]) AS "end"(task_id, place, version)
    WHERE task_texts.task_id = "end".task_id AND task_texts.place = "end".place AND end_version IS NULL
"""


async def write(connection: Connection, batch: ProjectedBatch) -> None:
    """Write the texts that the batch added or changed, and the ends of those it changed or removed."""
    open_texts: dict[tuple[str, str], tuple[int, str]] = {}
    written: list[tuple[str, str, int, int | None, str]] = []
    ends: list[tuple[str, str, int]] = []
    for task, projected in batch.task_versions():
        for place, text in _changed(task, projected):
            key = (task.id, place)
            if key in open_texts:
                first, former = open_texts.pop(key)
                written.append((*key, first, task.version, former))
            elif projected.folded.before is not None:
                ends.append((*key, task.version))
            if text:
                open_texts[key] = task.version, text
    written += [(*key, first, None, text) for key, (first, text) in open_texts.items()]
    if ends:
        await connection.execute(_END, *map(list, zip(*ends, strict=True)))
    if written:
        *columns, texts = map(list, zip(*written, strict=True))
        documents = [document_of([("", str(text))]) for text in texts]
        await connection.execute(_INSERT, *columns, documents)


def _changed(task: Task, projected: Projected) -> Iterator[tuple[str, str]]:
    """Yield the changed texts by place; a text is empty if there is none any more."""
    before, record = projected.folded.before, projected.folded.record
    assert record is not None
    for place in ("title", "notes"):
        text = getattr(task, place)
        if text != ("" if before is None else getattr(before, place)):
            yield place, text
    match record.data:
        case (
            TaskCommented(comment_id=comment_id, text=text)
            | TaskCommentEdited(comment_id=comment_id, text=text)
        ):
            yield f"{COMMENT}{comment_id}", text
        case TaskCommentDeleted(comment_id=comment_id):
            yield f"{COMMENT}{comment_id}", ""
        case _:
            pass

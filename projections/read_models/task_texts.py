"""The read model of the words that tasks have had: one row for each text, and the versions that had it.

A text is a title, notes or one comment, as long as it stays the same. Searches for words at a past time use
these rows; those for words of today use `task_search`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sqlalchemy import BigInteger, Column, Index, Table, Text
from sqlalchemy.dialects.postgresql import TSVECTOR

from app.tasks.events import TaskCommentDeleted, TaskCommented, TaskCommentEdited
from projections.postgres.connections import Connection
from projections.postgres.tables import read_models
from projections.read_models.projected import ProjectedBatch
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
VERSION = 2

COMMENT = "comment:"
Key = tuple[str, str]
"""A task, and a place in it."""

_KNOWN = """
    SELECT wanted.*, found.is_there FROM unnest($1::text[], $2::text[]) AS wanted(task_id, place)
    CROSS JOIN LATERAL (
        SELECT bool_or(end_version IS NULL) AS is_there FROM task_texts
        WHERE task_texts.task_id = wanted.task_id AND task_texts.place = wanted.place
    ) AS found WHERE is_there IS NOT NULL
"""
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
    changes = list(_changes(batch))
    comments = await _known_comments(connection, {key for key, *_ in changes if key[1].startswith(COMMENT)})
    open_texts: dict[Key, tuple[int, str]] = {}
    written: list[tuple[str, str, int, int | None, str]] = []
    ends: list[tuple[str, str, int]] = []
    for key, version, change in changes:
        if isinstance(change, CommentEvent) and not _takes_effect(comments, key, change):
            continue
        text = _text_of(change)
        if key in open_texts:
            first, former = open_texts.pop(key)
            written.append((*key, first, version, former))
        elif version > 1 and not isinstance(change, TaskCommented):
            ends.append((*key, version))
        if text is not None:
            open_texts[key] = version, text
    written += [(*key, first, None, text) for key, (first, text) in open_texts.items()]
    if ends:
        await connection.execute(_END, *map(list, zip(*ends, strict=True)))
    if written:
        *columns, texts = map(list, zip(*written, strict=True))
        documents = [document_of([("", str(text))]) for text in texts]
        await connection.execute(_INSERT, *columns, documents)


CommentEvent = TaskCommented | TaskCommentEdited | TaskCommentDeleted
Change = CommentEvent | str
"""An event of a comment, or the new text of a field."""


def _changes(batch: ProjectedBatch) -> Iterator[tuple[Key, int, Change]]:
    """Yield what changes a text, with the version of its task from then on."""
    for task, projected in batch.task_versions():
        before, record = projected.folded.before, projected.folded.record
        assert record is not None
        for place in ("title", "notes"):
            text = getattr(task, place)
            if text != ("" if before is None else getattr(before, place)):
                yield (task.id, place), task.version, text
        if isinstance(record.data, CommentEvent):
            yield (task.id, f"{COMMENT}{record.data.comment_id}"), task.version, record.data


def _text_of(change: Change) -> str | None:
    """Return the text after a change; None if there is none any more."""
    if isinstance(change, str):
        return change or None
    return None if isinstance(change, TaskCommentDeleted) else change.text


async def _known_comments(connection: Connection, keys: Collection[Key]) -> dict[Key, bool]:
    """Return those of these comments that there were, and whether they are still there."""
    if not keys:
        return {}
    rows = await connection.fetch(_KNOWN, *map(list, zip(*sorted(keys), strict=True)))
    return {(row["task_id"], row["place"]): row["is_there"] for row in rows}


def _takes_effect(comments: dict[Key, bool], key: Key, event: CommentEvent) -> bool:
    """Return whether an event changes a comment, and note whether the comment is there afterwards.

    Other programs may write a comment twice, or edit a deleted one: as in `comments`, this changes nothing.
    """
    is_there = comments.get(key)
    if isinstance(event, TaskCommented):
        comments.setdefault(key, True)
        return is_there is None
    if is_there:
        comments[key] = not isinstance(event, TaskCommentDeleted)
    return bool(is_there)

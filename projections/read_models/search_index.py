"""The read model of search: the words and search keys of every task, in one row; also of deleted tasks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

from sqlalchemy import Column, Index, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import TSVECTOR

from app.search.sorting import SORT_ORDERS
from app.tasks.events import TaskCommentDeleted, TaskCommented, TaskCommentEdited
from app.tasks.state import Task
from app.text.tokens import forms_of, stands_alone
from projections.postgres.connections import Connection
from projections.postgres.tables import read_models, texts_column, time_column
from projections.read_models.projected import Projected, ProjectedBatch
from projections.read_models.tasks import sort_column

PENDING_KIB = 256
"""The size of the index's list of new entries."""

task_search = Table(
    "task_search",
    read_models,
    Column("task_id", Text, primary_key=True),
    # As in `tasks`. Of these only facets and due dates are indexed: while neither they nor the words change,
    # Postgres updates a row in its page, which has some free space for it.
    Column("list_id", Text, nullable=False),
    Column("status_bucket", SmallInteger, nullable=False),
    *map(sort_column, SORT_ORDERS.values()),
    Column("due", Text),
    texts_column("facets"),
    time_column("since"),
    time_column("known_since"),
    Column("document", TSVECTOR, nullable=False),
    # One index of both finds tasks by words and facets. New entries are merged into it periodically;
    # until then, a search also scans up to this many KiB.
    Index(
        "task_search_by_words_and_facets",
        "document",
        "facets",
        postgresql_using="gin",
        postgresql_with={"gin_pending_list_limit": PENDING_KIB},
    ),
    Index("task_search_by_due", "list_id", "due_at"),
    postgresql_with={"fillfactor": 85},
)
"""The index of tasks for lookups: the words of every task, with their places in title, notes and comments.

It also contains the other search and sort keys, so that no other table is read.
"""

TABLES = (task_search,)
VERSION = 1

COMMENTS_SEARCHED = 200
"""The number of a task's newest comments that are searched; older ones are not found."""
WORDS_SEARCHED = 16_000
"""The number of a task's first words, from title, notes and comments: Postgres has places up to 16,383."""
_DOCUMENT_BYTES = 900_000
"""Postgres takes 1,048,575."""

IN_TITLE = "="
"""The mark of words in the title; no form contains it."""

FACTS = tuple(column.name for column in task_search.columns if column.name not in ("task_id", "document"))
"""The columns of `task_search` that the table `tasks` has too."""
_UPSERT = f"""
    INSERT INTO task_search (task_id, document, {", ".join(FACTS)})
    SELECT task_id, document::tsvector, {", ".join(f"tasks.{name}" for name in FACTS)}
    FROM unnest($1::text[], $2::text[]) AS found(task_id, document) JOIN tasks ON tasks.id = task_id
    ON CONFLICT (task_id) DO UPDATE
    SET document = excluded.document, {", ".join(f"{name} = excluded.{name}" for name in FACTS)}
"""  # noqa: S608
_UPDATE = f"""
    UPDATE task_search SET {", ".join(f"{name} = tasks.{name}" for name in FACTS)}
    FROM tasks WHERE tasks.id = task_id AND tasks.id = ANY($1)
"""  # noqa: S608
_NEWEST_COMMENTS = """
    SELECT task_id, text FROM unnest($1::text[]) AS wanted(id) CROSS JOIN LATERAL (
        SELECT task_id, text, created_at, comments.id FROM comments
        WHERE task_id = wanted.id AND deleted_at IS NULL ORDER BY created_at DESC, comments.id DESC LIMIT $2
    ) AS newest ORDER BY created_at DESC, newest.id DESC
"""


async def write(connection: Connection, batch: ProjectedBatch) -> None:
    """Write the search keys of every changed task, and its words if title, notes or comments changed.

    Call it after the tasks and the comments are written.
    """
    newest: dict[str, Task] = {}
    changed: set[str] = set()
    for projected in batch.records:
        task = projected.folded.after
        if projected.folded.outcome == "accepted" and isinstance(task, Task):
            newest[task.id] = task
            if _says_something_else(projected):
                changed.add(task.id)
    if same := sorted(newest.keys() - changed):
        await connection.execute(_UPDATE, same)
    if not changed:
        return
    ids = sorted(changed)
    comments = await newest_comments(connection, [key for key in ids if newest[key].comment_count])
    documents = [_document_of_task(newest[key], comments.get(key, ())) for key in ids]
    await connection.execute(_UPSERT, ids, documents)


def _says_something_else(projected: Projected) -> bool:
    before, after = projected.folded.before, projected.folded.after
    if not isinstance(before, Task) or not isinstance(after, Task):
        return True
    record = projected.folded.record
    return (
        before.title != after.title
        or before.notes != after.notes
        or (
            record is not None
            and isinstance(record.data, TaskCommented | TaskCommentEdited | TaskCommentDeleted)
        )
    )


async def newest_comments(
    connection: Connection, task_ids: Sequence[str], limit: int = COMMENTS_SEARCHED
) -> Mapping[str, Sequence[str]]:
    """Return the texts of at most `limit` comments of each task that has some, newest first."""
    comments: dict[str, list[str]] = defaultdict(list)
    if task_ids:
        for row in await connection.fetch(_NEWEST_COMMENTS, task_ids, limit):
            comments[row["task_id"]].append(row["text"])
    return comments


def _document_of_task(task: Task, comments: Iterable[str]) -> str:
    return document_of(((IN_TITLE, task.title), ("", task.notes), *(("", comment) for comment in comments)))


def document_of(texts: Iterable[tuple[str, str]]) -> str:
    """Return a `tsvector` as text, of texts that each have a mark, or none ("").

    A free place separates two texts, so that no phrase spans them. The words of a text with a mark are
    included again with that mark, because an index does not distinguish texts. So are pairs of words of a
    script without spaces, at the place of the first word: single characters are in too many tasks for a
    useful index, and Postgres keeps only 255 places of a lexeme.
    """
    places: dict[str, list[str]] = {}
    place = size = 0
    for mark, text in texts:
        place += 1
        forms = forms_of(text)
        for form, following in zip_longest(forms, forms[1:]):
            place += 1
            lexemes = [form, pair_of(form, following)] if are_pair(form, following) else [form]
            for word in dict.fromkeys([*lexemes, *(mark + lexeme for lexeme in lexemes)]):
                size += 2 if word in places else 4 * len(word) + 8
                places.setdefault(word, []).append(str(place))
            if place >= WORDS_SEARCHED or size >= _DOCUMENT_BYTES:
                return _written(places)
    return _written(places)


def are_pair(form: str, following: str | None) -> bool:
    """Return whether two consecutive words, of which the second may be missing, are indexed as a pair."""
    return not form.isascii() and following is not None and stands_alone(form) and stands_alone(following)


def pair_of(form: str, following: str) -> str:
    """Return the lexeme of a pair; no form contains its sign."""
    return f"{form}-{following}"


def _written(places: Mapping[str, Sequence[str]]) -> str:
    # No lexeme contains a quote or a backslash.
    return " ".join(f"'{word}':{','.join(found)}" for word, found in places.items())

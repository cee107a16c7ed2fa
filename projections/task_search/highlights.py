"""Highlights: the matches of the searched words in the tasks of a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from app.search.snippets import FoundIn, Match, best_match
from app.tasks.state import Task
from app.text.tokens import Needle
from projections.postgres.connections import Connection
from projections.read_models.search_index import COMMENTS_SEARCHED, newest_comments
from projections.task_search.past_comments import comments_at

MOST_COMMENTS = 1_000
"""The number of comments to search for a page: an equal share of the newest of each of its tasks."""


async def matches_of(
    connection: Connection, needles: Sequence[Needle], tasks: Sequence[Task], *, past: bool = False
) -> Mapping[str, Match] | None:
    """Return the best match of each task, by its id, or None if the search has no words.

    Comments count if title and notes do not contain everything. Tasks from the `past` have their comments of
    then.
    """
    wanted = [needle for needle in needles if not needle.negated]
    if not wanted:
        return None
    best = {task.id: best_match(wanted, _texts(task, ())) for task in tasks}
    partly = [task for task in tasks if task.comment_count and best[task.id][1] < len(wanted)]
    if partly:
        ids = [task.id for task in partly]
        share = min(COMMENTS_SEARCHED, max(1, MOST_COMMENTS // len(partly)))
        if past:
            comments = await comments_at(connection, {task.id: task.version for task in partly}, share)
        else:
            comments = await newest_comments(connection, ids, share)
        best |= {task.id: best_match(wanted, _texts(task, comments.get(task.id, ()))) for task in partly}
    return {task_id: match for task_id, (match, _) in best.items() if match is not None}


def _texts(task: Task, comments: Sequence[str]) -> Iterator[tuple[FoundIn, str]]:
    yield "title", task.title
    yield "notes", task.notes
    for comment in comments:
        yield "comment", comment

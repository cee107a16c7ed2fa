"""Descriptions of events for people: a sentence, and the differences of the texts that changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic_core import from_json, to_json

from app.audit.sentences import sentence_of
from app.audit.text_diffs import Segment, text_diff
from app.log.event_json import RecordedEvent, event_json
from app.tasks.events import TaskCommentDeleted, TaskCommentEdited

COMMENT_CHANGES = (TaskCommentEdited.type, TaskCommentDeleted.type)
"""The types of events whose comment had a text before."""


class Description(NamedTuple):
    """A sentence, and the difference of each changed text by its field; that of a comment is `comment`."""

    sentence: str
    diff: Mapping[str, Sequence[Segment]]


def describe(
    event: RecordedEvent, title: str, lists: Mapping[str, str], former_comment: str | None
) -> Description:
    """Return the description of an event.

    `title` is that of the task, or the name of the list, after it. `lists` has the names of lists that a task
    moved between, by id. `former_comment` is the text of the comment before a change of it.
    """
    return Description(sentence_of(event, title, lists), _text_diffs(event, former_comment))


def _text_diffs(event: RecordedEvent, former_comment: str | None) -> dict[str, Sequence[Segment]]:
    if former_comment is not None:
        return {"comment": text_diff(former_comment, from_json(event.data).get("text", ""))}
    if b'"notes":' not in event.changes:
        return {}
    former, new = from_json(event.changes).get("notes", (None, None))
    return {} if former is None else {"notes": text_diff(former, new)}


def described_json(event: RecordedEvent, description: Description) -> bytes:
    """Return the JSON of an event with its description; `diff` only if a text changed."""
    diff = b',"diff":%s' % to_json(description.diff) if description.diff else b""
    return b'%s,"sentence":%s%s}' % (event_json(event)[:-1], to_json(description.sentence), diff)

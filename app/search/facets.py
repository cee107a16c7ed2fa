"""Facets: the exact search keys of a task, each as a short text: `tag:home`, `assignee:alice`, `is:open`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from app.tasks.state import Task
from app.text.names import normal_label, normal_user

FacetKind = Literal["list", "is", "p", "stage", "tag", "assignee", "by", "parent", "has"]

LONGEST_FACET = 200
"""Characters: more than our commands accept, because other producers' values must fit an index too."""


_SPELLED: Mapping[FacetKind, Callable[[str], str]] = {
    "stage": normal_label,
    "tag": normal_label,
    "assignee": normal_user,
    "by": normal_user,
}


def facet(kind: FacetKind, value: str) -> str:
    """Return a facet as text; all spellings of a name give the same facet."""
    spelled = _SPELLED.get(kind)
    return f"{kind}:{value if spelled is None else spelled(value)}"[:LONGEST_FACET]


def facets_of(task: Task) -> tuple[str, ...]:
    """Return every facet of a task, each once. `has:` is the same as in the search language."""
    return tuple(dict.fromkeys(_facets(task)))


def _facets(task: Task) -> Iterator[str]:
    yield facet("list", task.list_id)
    yield facet("is", task.status)
    yield facet("p", task.priority)
    yield facet("by", task.created_by)
    if task.stage is not None:
        yield facet("stage", task.stage)
    if task.parent_id is not None:
        yield facet("parent", task.parent_id)
    for tag in task.tags:
        yield facet("tag", tag)
    for assignee in task.assignees:
        yield facet("assignee", assignee)
    for name in ("notes", "due", "tags", "assignees", "recurrence", "reminders"):
        if getattr(task, name):
            yield facet("has", name)
    if task.parent_id is not None:
        yield facet("has", "parent")
    if task.comment_count:
        yield facet("has", "comments")

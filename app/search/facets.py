"""Facets: the exact search keys of a task, each as a short text: `tag:home`, `assignee:alice`, `is:open`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import TypeAlias

from app.tasks.fields import FIELDS
from app.tasks.state import Task
from app.text.names import normal_label, normal_user

FacetKind: TypeAlias = str
"""`is`, `by`, `has`, or the `facet` of a field."""

LONGEST_FACET = 200
"""Characters: more than our commands accept, because other producers' values must fit an index too."""

_EXACT = tuple((name, field.rules.facet) for name, field in FIELDS.items() if field.rules.facet is not None)
_OPTIONAL = tuple(
    (name, f"has:{field.has}", field.default) for name, field in FIELDS.items() if field.has is not None
)
HAS = (*(field.has for field in FIELDS.values() if field.has is not None), "comments")
"""The words of `has:`."""
_SPELLED: Mapping[FacetKind, Callable[[str], str]] = {
    "stage": normal_label,
    "tag": normal_label,
    "assignee": normal_user,
    "by": normal_user,
}


@lru_cache(maxsize=8_192)
def facet(kind: FacetKind, value: str) -> str:
    """Return a facet as text; all spellings of a name give the same facet."""
    spelled = _SPELLED.get(kind)
    return f"{kind}:{value if spelled is None else spelled(value)}"[:LONGEST_FACET]


def facets_of(task: Task) -> tuple[str, ...]:
    """Return every facet of a task, each once. `has:` is the same as in the search language."""
    return tuple(dict.fromkeys(_facets(task)))


def _facets(task: Task) -> Iterator[str]:
    yield facet("is", task.status)
    yield facet("by", task.created_by)
    for name, kind in _EXACT:
        value = getattr(task, name)
        if isinstance(value, tuple):
            for each in value:
                yield facet(kind, each)
        elif value is not None:
            yield facet(kind, value)
    for name, found_by, empty in _OPTIONAL:
        if getattr(task, name) != empty:
            yield found_by
    if task.comment_count:
        yield facet("has", "comments")

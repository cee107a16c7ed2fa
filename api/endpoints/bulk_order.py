"""The order of the commands of a bulk request: related ones in their order, others concurrently."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from itertools import groupby

from api.endpoints.bulk_commands import Entry
from app.ids import is_uuid


async def families(
    entries: Sequence[Entry], tops_of: Callable[[Collection[str]], Awaitable[Mapping[str, str]]]
) -> Sequence[Sequence[Entry]]:
    """Return groups of related commands, within which the order matters.

    Commands are related by a task, by one of its ancestors, or by a task or list that another is moved next
    to or into. A command on a list is related to all others, whose tasks may be in the list.
    """
    if any(entry.command.list_id is not None for entry in entries):
        return [entries]
    named = {anchor for entry in entries for anchor in _anchors(entry)}
    tops = await tops_of(named)
    groups = _Groups()
    for entry in entries:
        groups.join([tops.get(anchor, anchor) for anchor in _anchors(entry)])
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        anchor = next(iter(_anchors(entry)))
        found.setdefault(groups.of(tops.get(anchor, anchor)), []).append(entry)
    return list(found.values())


class _Groups:
    """Names that are joined, directly or transitively (a union-find)."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def of(self, name: str) -> str:
        """Return the representative of the group of `name`."""
        above = self._above.setdefault(name, name)
        while above != name:
            self._above[name] = self._above[above]  # path halving
            name, above = above, self._above[above]
        return name

    def join(self, names: Sequence[str]) -> None:
        """Put all of these into one group."""
        first = self.of(names[0])
        for name in names[1:]:
            self._above[self.of(name)] = first


def runs(family: Sequence[Entry]) -> Iterable[Sequence[Entry]]:
    """Yield the commands in order; combine consecutive creations of tasks in the same list."""
    for (is_creation, _), run in groupby(family, key=lambda entry: (_is_creation(entry), _list_named(entry))):
        entries = list(run)
        if is_creation:
            yield entries
        else:
            yield from ([entry] for entry in entries)


def _is_creation(entry: Entry) -> bool:
    is_plain = entry.command.body.get("parent_id") is None and entry.if_match is None
    return entry.command.command == "create" and is_plain


def _list_named(entry: Entry) -> str | None:
    list_id = entry.command.body.get("list_id")
    return list_id if isinstance(list_id, str) else None


def _anchors(entry: Entry) -> Sequence[str]:
    """Return the tasks and lists that a command names; creations in the inbox are related by it."""
    body = entry.command.body
    named = [entry.command.task_id, *(body.get(name) for name in ("parent_id", "before", "after", "list_id"))]
    # The body is not validated yet: an invalid id relates to nothing, and fails its own command.
    found = [name for name in named if isinstance(name, str) and is_uuid(name)]
    return found or ["inbox"]

"""Stories: the events of one correlation id as trees, each below the event that caused it.

A command leads to an event. Commands on other tasks follow from it, and policies answer events with events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic_core import to_json

from app.log.event_json import RecordedEvent
from app.positions import Position

MAX_DEPTH = 32
"""The levels of a tree. Events further below are on the last level, in their order."""


@dataclass(slots=True)
class Node:
    """An event with its effects, in the order in which they were given."""

    event: RecordedEvent
    effects: list[Node] = field(default_factory=list)


def trees_of(events: Sequence[RecordedEvent]) -> list[Node]:
    """Return the trees of some events, in their order; those whose cause is not among them are roots.

    A cause is an accepted event, if one has its id. Foreign records may name causes in a circle: the first
    event of one is a root.
    """
    nodes = [Node(event) for event in events]
    causes: dict[str, Node] = {}
    for node in nodes:
        if node.event.id is not None and (node.event.outcome == "accepted" or node.event.id not in causes):
            causes[node.event.id] = node
    parents: dict[int, Node] = {}
    for node in reversed(nodes):  # so that a circle is cut at its first event
        cause = causes.get(node.event.causation_id or "")
        if cause is not None and not _is_below(cause, node, parents):
            parents[id(node)] = cause
    roots = []
    for node in nodes:
        above = _lineage(node, parents)
        if len(above) == 0:
            roots.append(node)
        else:
            above[max(0, len(above) - MAX_DEPTH + 1)].effects.append(node)
    return roots


def _lineage(node: Node, parents: dict[int, Node]) -> list[Node]:
    """Return the causes of a node, the nearest first."""
    above = []
    while (parent := parents.get(id(node))) is not None:
        above.append(parent)
        node = parent
    return above


def _is_below(node: Node, other: Node, parents: dict[int, Node]) -> bool:
    """Return whether a node is another one, or one of its effects."""
    return node is other or any(each is other for each in _lineage(node, parents))


# --- JSON ------------------------------------------------------------------------------------------------


def story_json(
    nodes: Sequence[Node], events: Mapping[Position, bytes], notified: Mapping[Position, Mapping[str, str]]
) -> bytes:
    """Return trees as JSON: `events` has the JSON of each event, and `notified` whom it notified as what."""
    return b"[%s]" % b",".join(_node_json(node, events, notified) for node in nodes)


def _node_json(
    node: Node, events: Mapping[Position, bytes], notified: Mapping[Position, Mapping[str, str]]
) -> bytes:
    position = node.event.position
    notifications = [
        {"user": user, "kind": kind} for user, kind in sorted(notified.get(position, {}).items())
    ]
    return b'%s,"notifications":%s,"effects":%s}' % (
        events[position][:-1],
        to_json(notifications),
        story_json(node.effects, events, notified),
    )

"""The other nodes: which there are, and whether what is known of them is all that they said. Pure.

A node numbers its changes. Whoever misses one, as the heartbeat or the next change shows, asks for its
roster, and goes on from there. A node that is not heard of for a time is gone, with everyone on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from api.presence.node_messages import Alive, Ask, Changed, Envelope, Goodbye, Roster
from api.presence.roster import NOT_HERE, Entry, Here, UserRoster

MAX_NODES = 256
MAX_ENTRIES_OF_NODE = 200_000
ASK_EVERY_S = 1.0


@dataclass(slots=True)
class PeerNode:
    """Another node: `sequence` is the last change that is known of it, `parts` those of its next roster."""

    incarnation: int
    heard_at: float
    sequence: int = 0
    asked_at: float | None = None
    parts: dict[int, tuple[Entry, ...]] = field(default_factory=dict)
    parts_of: int = -1


class Peers:
    """Keeps the entries of other nodes in the roll as they say."""

    def __init__(self, user_roster: UserRoster, ttl_s: float) -> None:
        self._user_roster = user_roster
        self._ttl_s = ttl_s
        self._known: dict[str, PeerNode] = {}
        self._stopped: dict[str, int] = {}
        self.shed = 0
        """How many nodes and entries were left out, as there are too many."""

    def __len__(self) -> int:
        """How many there are."""
        return len(self._known)

    def hear(self, envelope: Envelope, now: float) -> Ask | None:
        """Take in what another node says; returns what to ask it, if something was missed."""
        node, message = envelope.node, envelope.message
        if isinstance(message, Goodbye):
            self._stop(node, envelope.incarnation)
            return None
        neighbour = self._neighbour(envelope, now)
        if neighbour is None:
            return None
        match message:
            case Alive(sequence=sequence):
                missed = sequence > neighbour.sequence
            case Changed(sequence=sequence, entries=entries):
                missed = self._change(node, neighbour, sequence, entries)
            case Roster():
                missed = self._take_part(node, neighbour, message)
            case _:
                missed = False
        return self._ask(node, neighbour, now) if missed else None

    def forget_silent(self, now: float) -> list[str]:
        """Drop the nodes that have not been heard of for too long; returns them."""
        silent = [node for node, neighbour in self._known.items() if now > neighbour.heard_at + self._ttl_s]
        for node in silent:
            self._drop(node)
        return silent

    def _neighbour(self, envelope: Envelope, now: float) -> PeerNode | None:
        """The node that speaks; None if it is one that is over, or one too many."""
        node, incarnation = envelope.node, envelope.incarnation
        known = self._known.get(node)
        if known is not None and known.incarnation == incarnation:
            known.heard_at = now
            return known
        if incarnation <= max(self._stopped.get(node, -1), known.incarnation if known else -1):
            return None
        if known is not None:
            self._drop(node)
        if len(self._known) >= MAX_NODES:
            self.shed += 1
            return None
        self._known[node] = PeerNode(incarnation, now)
        return self._known[node]

    def _stop(self, node: str, incarnation: int) -> None:
        known = self._known.get(node)
        if known is not None and known.incarnation > incarnation:
            return
        self._drop(node)
        self._stopped.pop(node, None)
        self._stopped[node] = incarnation
        if len(self._stopped) > MAX_NODES:
            del self._stopped[next(iter(self._stopped))]

    def _drop(self, node: str) -> None:
        if self._known.pop(node, None) is not None:
            self._user_roster.replace(node, ())

    def _change(self, node: str, neighbour: PeerNode, sequence: int, entries: Iterable[Entry]) -> bool:
        """Apply a change; whether one before it was missed."""
        if sequence <= neighbour.sequence:
            return False
        if sequence > neighbour.sequence + 1:
            return True
        neighbour.sequence = sequence
        for entry in entries:
            here = Here(entry.connections, entry.viewing) if entry.connections > 0 else NOT_HERE
            if here != NOT_HERE and self._user_roster.size(node) >= MAX_ENTRIES_OF_NODE:
                self.shed += 1
                continue
            self._user_roster.set(node, entry.channel, entry.user, here)
        return False

    def _take_part(self, node: str, neighbour: PeerNode, roster: Roster) -> bool:
        """Take a part of a roster, and apply it once it is complete; whether there is still more to ask."""
        if roster.sequence <= neighbour.sequence:
            return False
        if neighbour.parts_of != roster.sequence:
            neighbour.parts, neighbour.parts_of = {}, roster.sequence
        if (len(neighbour.parts) + 1) * len(roster.entries) > MAX_ENTRIES_OF_NODE:
            self.shed += len(roster.entries)
            return False
        neighbour.parts[roster.part] = roster.entries
        if len(neighbour.parts) == roster.parts:
            self._user_roster.replace(node, [entry for part in neighbour.parts.values() for entry in part])
            neighbour.sequence, neighbour.asked_at = roster.sequence, None
            neighbour.parts, neighbour.parts_of = {}, -1
        return False

    def _ask(self, node: str, neighbour: PeerNode, now: float) -> Ask | None:
        if neighbour.asked_at is not None and now < neighbour.asked_at + ASK_EVERY_S:
            return None
        neighbour.asked_at = now
        return Ask(node)

"""The other nodes, and whether what is known of them is complete. Pure.

A node numbers its changes. A node that has missed one, as the heartbeat or the next change shows, asks for
the roster, and continues from there. A node that has been silent for a time is gone, with all its users.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from api.presence.node_messages import Alive, Ask, Changed, Envelope, Goodbye, Roster
from api.presence.roster import ABSENT, Entry, UserCounts, UserRoster

MAX_NODES = 256
MAX_ENTRIES_OF_NODE = 200_000
ASK_EVERY_S = 1.0


@dataclass(slots=True)
class PeerNode:
    """Another node: `sequence` is its latest known change, `parts` those of its next roster."""

    incarnation: int
    seen_at: float
    sequence: int = 0
    asked_at: float | None = None
    parts: dict[int, tuple[Entry, ...]] = field(default_factory=dict)
    parts_of: int = -1


class Peers:
    """Maintains the entries of other nodes in the roster."""

    def __init__(self, user_roster: UserRoster, ttl_s: float) -> None:
        self._user_roster = user_roster
        self._ttl_s = ttl_s
        self._known: dict[str, PeerNode] = {}
        self._stopped: dict[str, int] = {}
        self.shed = 0
        """The number of nodes and entries that were left out because of the bounds."""

    def __len__(self) -> int:
        """Return the number of known nodes."""
        return len(self._known)

    def receive(self, envelope: Envelope, now: float) -> Ask | None:
        """Apply a message of another node; return the request for its roster if one was missed."""
        node, message = envelope.node, envelope.message
        if isinstance(message, Goodbye):
            self._stop(node, envelope.incarnation)
            return None
        peer = self._sender(envelope, now)
        if peer is None:
            return None
        match message:
            case Alive(sequence=sequence):
                missed = sequence > peer.sequence
            case Changed(sequence=sequence, entries=entries):
                missed = self._change(node, peer, sequence, entries)
            case Roster():
                missed = self._store_part(node, peer, message)
            case _:
                missed = False
        return self._ask(node, peer, now) if missed else None

    def drop_silent(self, now: float) -> list[str]:
        """Drop the nodes that have been silent for too long; return them."""
        silent = [node for node, peer in self._known.items() if now > peer.seen_at + self._ttl_s]
        for node in silent:
            self._drop(node)
        return silent

    def _sender(self, envelope: Envelope, now: float) -> PeerNode | None:
        """Return the sending node; None for an ended incarnation, or beyond the limit of nodes."""
        node, incarnation = envelope.node, envelope.incarnation
        known = self._known.get(node)
        if known is not None and known.incarnation == incarnation:
            known.seen_at = now
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

    def _change(self, node: str, peer: PeerNode, sequence: int, entries: Iterable[Entry]) -> bool:
        """Apply a change; return True if an earlier one was missed."""
        if sequence <= peer.sequence:
            return False
        if sequence > peer.sequence + 1:
            return True
        peer.sequence = sequence
        for entry in entries:
            counts = UserCounts(entry.connections, entry.viewing) if entry.connections > 0 else ABSENT
            if counts != ABSENT and self._user_roster.size(node) >= MAX_ENTRIES_OF_NODE:
                self.shed += 1
                continue
            self._user_roster.set(node, entry.channel, entry.user, counts)
        return False

    def _store_part(self, node: str, peer: PeerNode, roster: Roster) -> bool:
        """Store a part of a roster, and apply the roster once complete; return True to request it again."""
        if roster.sequence <= peer.sequence:
            return False
        if peer.parts_of != roster.sequence:
            peer.parts, peer.parts_of = {}, roster.sequence
        if (len(peer.parts) + 1) * len(roster.entries) > MAX_ENTRIES_OF_NODE:
            self.shed += len(roster.entries)
            return False
        peer.parts[roster.part] = roster.entries
        if len(peer.parts) == roster.parts:
            self._user_roster.replace(node, [entry for part in peer.parts.values() for entry in part])
            peer.sequence, peer.asked_at = roster.sequence, None
            peer.parts, peer.parts_of = {}, -1
        return False

    def _ask(self, node: str, peer: PeerNode, now: float) -> Ask | None:
        if peer.asked_at is not None and now < peer.asked_at + ASK_EVERY_S:
            return None
        peer.asked_at = now
        return Ask(node)

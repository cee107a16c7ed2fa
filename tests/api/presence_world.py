"""Nodes in one process, on a topic that may lose messages, with a clock set by the test."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from api.presence.events import Effect, Notify, PresenceChange, PresenceNotification, PresenceSignal, Publish
from api.presence.node_messages import Envelope, decode, encode
from api.presence.state import HEARTBEAT_S, TTL_S, Presence
from app.channels import Channel

TASK = Channel("task:0190f3c0-0000-7000-8000-000000000001")
LIST = Channel("list:0190f3c0-0000-7000-8000-000000000002")


@dataclass
class View:
    """State of a channel according to one socket's messages; None before the roster."""

    users: set[str] | None = None


@dataclass
class PresenceNode:
    """A node, its sockets, and the messages that it has not received yet."""

    presence: Presence
    coming: list[bytes] = field(default_factory=list)
    sockets: dict[str, str] = field(default_factory=dict)
    received: dict[str, list[PresenceNotification]] = field(default_factory=dict)
    views: dict[tuple[str, str], View] = field(default_factory=dict)
    alive: bool = True


class PresenceWorld:
    """Nodes by name. While `loses`, published messages reach nobody."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.nodes: dict[str, PresenceNode] = {}
        self.loses = False
        self.published: Counter[str] = Counter()
        self._starts = 0
        self._names = 0

    def start(self, name: str) -> PresenceNode:
        """Start a node, replacing the one of that name."""
        self._starts += 1
        node = PresenceNode(Presence(name, self._starts))
        self.nodes[name] = node
        self.do(node, node.presence.hello())
        return node

    def kill(self, name: str) -> None:
        """End a node without a message."""
        self.nodes[name].alive = False

    def stop(self, name: str) -> None:
        """Stop a node gracefully."""
        node = self.nodes[name]
        self.do(node, node.presence.goodbye())
        node.alive = False

    # --- sockets -----------------------------------------------------------------------------------------

    def enter(self, node: PresenceNode, user: str) -> str:
        """Connect a socket of a user."""
        self._names += 1
        session = f"s{self._names}"
        node.presence.enter(session, user)
        node.sockets[session] = user
        node.received[session] = []
        return session

    def subscribe(self, node: PresenceNode, session: str, channel: Channel = TASK) -> None:
        """Subscribe a socket to a channel."""
        node.presence.subscribe(session, channel)
        node.views[session, channel] = View()

    def unsubscribe(self, node: PresenceNode, session: str, channel: Channel = TASK) -> None:
        """Unsubscribe a socket from a channel."""
        node.views.pop((session, channel), None)
        self.do(node, node.presence.unsubscribe(session, channel, self.now))

    def leave(self, node: PresenceNode, session: str) -> None:
        """Disconnect a socket."""
        for key in [key for key in node.views if key[0] == session]:
            del node.views[key]
        del node.sockets[session]
        self.do(node, node.presence.leave(session, self.now))

    def joined(self, node: PresenceNode, user: str, channel: Channel = TASK) -> str:
        """Return a new socket of a user, subscribed to the channel on all nodes."""
        session = self.enter(node, user)
        self.subscribe(node, session, channel)
        self.settle()
        return session

    def signal(
        self, node: PresenceNode, session: str, kind: str, *, on: bool = True, channel: Channel = TASK
    ) -> None:
        """Send a signal from a socket."""
        data = {} if on else {"on": False}
        self.do(node, node.presence.signal(session, channel, kind, data, self.now))

    # --- what comes of it --------------------------------------------------------------------------------

    def do(self, node: PresenceNode, effects: list[Effect]) -> None:
        """Apply effects."""
        for effect in effects:
            if isinstance(effect, Notify):
                for session in effect.sessions:
                    self._tell(node, session, effect.message)
                continue
            assert isinstance(effect, Publish)
            self.published[effect.message.type] += 1
            value = encode(Envelope(node.presence.node, node.presence.incarnation, effect.message))
            if not self.loses:
                for other in self.nodes.values():
                    other.coming.append(value)

    def _tell(self, node: PresenceNode, session: str, message: PresenceNotification) -> None:
        assert session in node.sockets, "sent to a closed socket"
        node.received[session].append(message)
        view = node.views[session, message.channel]
        if isinstance(message, PresenceSignal):
            assert message.session != session, "an echo"
            assert view.users is not None, "a signal before who is present"
            return
        if message.present is not None:
            view.users = {user.user for user in message.present}
            return
        assert view.users is not None, "news before who is present"
        for user in message.joined:
            assert user.user not in view.users, "announced twice"
            view.users.add(user.user)
        for user in message.left:
            assert user.user in view.users, "left without having been there"
            view.users.remove(user.user)

    def deliver(self, node: PresenceNode, count: int | None = None) -> None:
        """Deliver all waiting messages to a node, or only some."""
        for _ in range(len(node.coming) if count is None else min(count, len(node.coming))):
            self.do(node, node.presence.receive(decode(node.coming.pop(0)), self.now))

    def tick(self) -> None:
        """Run what is due on all nodes."""
        for node in self.living:
            self.do(node, node.presence.tick(self.now))

    def settle(self) -> None:
        """Deliver all messages without advancing the clock."""
        self.tick()
        while any(node.coming for node in self.living):
            for node in self.living:
                self.deliver(node)
            self.tick()

    def heartbeats(self) -> None:
        """Send the heartbeats of all nodes."""
        for node in self.living:
            self.do(node, node.presence.heartbeat())

    def quiet(self, seconds: float = TTL_S + HEARTBEAT_S) -> None:
        """Advance the clock without losses or changes."""
        self.loses = False
        until = self.now + seconds
        while self.now < until:
            self.heartbeats()
            self.settle()
            self.now += HEARTBEAT_S / 2
            self.settle()

    @property
    def living(self) -> list[PresenceNode]:
        """Return the running nodes."""
        return [node for node in self.nodes.values() if node.alive]

    def true_connections(self, channel: str | None = None) -> Counter[str]:
        """Return user → sockets on all nodes, optionally of one channel."""
        return Counter(
            user
            for node in self.living
            for session, user in node.sockets.items()
            if channel is None or (session, channel) in node.views
        )


def signals_of(node: PresenceNode, session: str, kind: str | None = None) -> list[PresenceSignal]:
    """Return the signals of one kind that a socket got."""
    return [
        message
        for message in node.received[session]
        if isinstance(message, PresenceSignal) and kind in {None, message.kind}
    ]


def joins_and_leaves_of(node: PresenceNode, session: str) -> list[tuple[list[str], list[str]]]:
    """Return the joins and leaves that a socket got."""
    return [
        ([user.user for user in message.joined], [user.user for user in message.left])
        for message in node.received[session]
        if isinstance(message, PresenceChange) and message.present is None
    ]

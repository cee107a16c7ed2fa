"""Convergence of presence under random joins, losses and restarts."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from api.presence.roster import EVERYWHERE
from app.channels import Channel
from tests.api.presence_world import LIST, TASK, PresenceNode, PresenceWorld

NAMES = st.sampled_from(["n1", "n2", "n3"])
USERS = st.sampled_from(["alice", "bob", "carol"])
CHANNELS = st.sampled_from([TASK, LIST])
PICK = st.integers(0, 30)


class Presences(RuleBasedStateMachine):
    """Three nodes with sockets that come and go, and messages that are late or lost.

    `PresenceWorld` checks that nobody is announced twice, and that no sender gets its own signal.
    """

    @initialize()
    def begin(self) -> None:
        self.world = PresenceWorld()
        for name in ("n1", "n2"):
            self.world.start(name)

    def _socket(self, name: str, pick: int) -> tuple[PresenceNode, str] | None:
        node = self.world.nodes.get(name)
        if node is None or not node.alive or not node.sockets:
            return None
        return node, sorted(node.sockets)[pick % len(node.sockets)]

    @rule(name=NAMES, user=USERS, channel=CHANNELS)
    def come(self, name: str, user: str, channel: Channel) -> None:
        node = self.world.nodes.get(name)
        if node is not None and node.alive:
            session = self.world.enter(node, user)
            self.world.subscribe(node, session, channel)

    @rule(name=NAMES, pick=PICK, channel=CHANNELS)
    def subscribe(self, name: str, pick: int, channel: Channel) -> None:
        if found := self._socket(name, pick):
            self.world.subscribe(*found, channel)

    @rule(name=NAMES, pick=PICK, channel=CHANNELS)
    def unsubscribe(self, name: str, pick: int, channel: Channel) -> None:
        if found := self._socket(name, pick):
            self.world.unsubscribe(*found, channel)

    @rule(name=NAMES, pick=PICK)
    def leave(self, name: str, pick: int) -> None:
        if found := self._socket(name, pick):
            self.world.leave(*found)

    @rule(
        name=NAMES,
        pick=PICK,
        channel=CHANNELS,
        kind=st.sampled_from(["viewing", "typing", "cursor"]),
        on=st.booleans(),
    )
    def signal(self, name: str, pick: int, channel: Channel, kind: str, *, on: bool) -> None:
        found = self._socket(name, pick)
        if found and (found[1], channel) in found[0].views:
            self.world.signal(*found, kind, on=on, channel=channel)

    @rule(name=NAMES)
    def start(self, name: str) -> None:
        self.world.start(name)

    @rule(name=NAMES, orderly=st.booleans())
    def end(self, name: str, *, orderly: bool) -> None:
        node = self.world.nodes.get(name)
        if node is not None and node.alive:
            (self.world.stop if orderly else self.world.kill)(name)

    @rule(loses=st.booleans())
    def weather(self, *, loses: bool) -> None:
        self.world.loses = loses

    @rule(name=NAMES, pick=PICK)
    def lose_one(self, name: str, pick: int) -> None:
        node = self.world.nodes.get(name)
        if node is not None and node.coming:
            node.coming.pop(pick % len(node.coming))

    @rule(name=NAMES, pick=PICK, count=st.integers(1, 5))
    def hear(self, name: str, pick: int, count: int) -> None:
        node = self.world.nodes.get(name)
        if node is not None and node.alive:
            self.world.deliver(node, count)

    @rule(name=NAMES, pick=PICK)
    def hear_twice(self, name: str, pick: int) -> None:
        node = self.world.nodes.get(name)
        if node is not None and node.coming:
            node.coming.append(node.coming[pick % len(node.coming)])

    @rule(seconds=st.sampled_from([0.01, 0.5, 3.0, 5.0, 16.0]))
    def time_goes_by(self, seconds: float) -> None:
        self.world.now += seconds
        self.world.tick()

    @rule()
    def heartbeats(self) -> None:
        self.world.heartbeats()

    @rule()
    def quiet(self) -> None:
        self.world.quiet()
        self._is_true()

    @invariant()
    def own_sockets_are_known_at_once(self) -> None:
        for node in self.world.living if hasattr(self, "world") else ():
            for user in node.sockets.values():
                assert node.presence.users.connection_count(user)

    def _is_true(self) -> None:
        everywhere = self.world.true_connections()
        for node in self.world.living:
            presence = node.presence
            users = presence.users.connected_users()
            assert {user: presence.users.connection_count(user) for user in users} == everywhere
            assert presence.users.present_count(EVERYWHERE) == len(everywhere)
            for channel in (TASK, LIST):
                wanted = self.world.true_connections(channel)
                assert {each.user: each.connections for each in presence.users.present(channel)} == wanted
                assert not any(each.typing for each in presence.users.present(channel))
            for (_, name), view in node.views.items():
                assert view.users == set(self.world.true_connections(name))
        viewing = [
            {
                (channel, each.user)
                for channel in (TASK, LIST)
                for each in node.presence.users.present(channel)
                if each.viewing
            }
            for node in self.world.living
        ]
        assert all(each == viewing[0] for each in viewing)
        assert not any(node.presence.needs_tick for node in self.world.living)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.quiet()


def test_presence_converges() -> None:
    """Nodes stop and restart; messages are lost, late and repeated."""
    run_state_machine_as_test(
        Presences, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
    )

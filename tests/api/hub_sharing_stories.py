"""Stories of a list that is shared, taken away and shared again."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from app.positions import Position
from tests.api.hub_stories import OWN, SHARED, Story, clients, nodes, partitions
from tests.api.relay_world import Client

people = st.sampled_from(["ann", "ann", "bob"])
sharing_steps = st.lists(
    st.one_of(
        st.tuples(st.just("join"), people),
        st.tuples(st.just("leave"), people),
        st.tuples(st.just("delete or restore")),
        st.tuples(st.just("notify"), partitions, st.sampled_from([OWN, SHARED, SHARED]), st.sets(people)),
        st.tuples(st.just("move"), partitions),
        st.tuples(st.just("move to shared"), partitions),
        st.tuples(st.just("publish"), nodes, partitions, st.integers(1, 3), st.integers(0, 2)),
        st.tuples(st.just("catch up"), clients, nodes),
        st.tuples(st.just("run"), st.integers(1, 6)),
        st.tuples(st.just("receive"), clients, st.integers(1, 6)),
        st.tuples(st.just("reconnect"), clients, nodes),
        st.tuples(st.just("ask again"), clients),
        st.tuples(st.just("ticks"), st.integers(0, 3)),
    ),
    max_size=40,
)


class Member(Client):
    """A client that keeps the tasks of the lists that it has according to its messages, and of no others.

    A list that it joins comes complete, so earlier tasks of it are dropped.
    """

    def __init__(self, user: str) -> None:
        super().__init__(user)
        self.lists: set[str] = set()
        self._found_in: dict[Position, set[str]] = {}
        self._joined: set[str] = set()

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "update":
            # Of what happens to a list itself, that is the list's which came before one was a member.
            channel = message["channel"]
            task_in = set(message["task"]["lists"]) if message["task"] else {channel}
            if message["task"] or channel.startswith("list:"):
                assert task_in & self.lists, "an update of a list that it does not have"
                self._found_in[Position.parse(message["position"])] = task_in
        match message["type"]:
            case "authenticated":
                self._joined = set()
                self.lists = {channel for channel in message["channels"] if channel.startswith("list:")}
                self._keep(self.lists)
            case "subscribed" if message["channel"].startswith("list:"):
                self.lists.add(message["channel"])
                self._keep(self.lists - {message["channel"]})
            case "unsubscribed":
                self.lists.discard(message["channel"])
                self._keep(self.lists)
            case "update" if message["list"] is not None:
                before, after = message["changes"].get("members", ({}, {}))
                if "deleted_at" in message["changes"]:
                    before, after = {}, message["list"]["members"]
                if self.user in after and self.user not in (before or {}):
                    self._joined.add(f"list:{message['list']['id']}")
        super()._take(message)

    def _end_recovery(self) -> None:
        if self._recovering == 0:
            self._keep(self.lists - self._joined)
            self._joined.clear()
        super()._end_recovery()

    def _keep(self, lists: set[str]) -> None:
        """Apply an update to the kept lists and tasks."""
        self.got = [
            (channel, position)
            for channel, position in self.got
            if position not in self._found_in or self._found_in[position] & lists
        ]


def check_shared(story: Story) -> None:
    """Check that each client has its lists as they are, and the events of its former lists."""
    world = story.world
    mine = {f"list:{list_id}" for list_id, members in world.members.items() if "ann" in members}
    expected = {
        update.position
        for update in world.updates
        if mine & set(update.channels)
        or (update.stream.startswith("list:") and "user:ann" in update.channels)
    }
    for client in story.clients:
        assert isinstance(client, Member)
        positions = [position for _, position in client.got]
        assert len(positions) == len(set(positions)), "an update came twice"
        assert set(positions) == expected, "an update was lost, or was another's"
        assert client.lists == mine
        assert not client.resynced


SHARING = [("join", "ann"), ("notify", 0, SHARED, {"ann"}), ("notify", 1, SHARED, set()), ("catch up", 0, 0)]

"""Presence: recipients, order and bounds of its messages."""

from __future__ import annotations

from typing import Any

import pytest

from api.presence import local_sockets, present_users, signal_rates
from api.presence import peers as peers_module
from api.presence.events import Notify, PresenceChange, PresenceSignal, PresentUser, Publish
from api.presence.node_messages import Alive, Ask, Changed, Envelope, Goodbye, Roster, Signalled
from api.presence.roster import Entry
from api.presence.signal_rates import CURSOR_EVERY_S
from api.presence.state import ROSTER_EVERY_S, TTL_S, Presence
from api.presence.typing_users import TYPING_S
from app.channels import user_channel
from app.errors import Malformed, NotFound
from tests.api.presence_world import LIST, TASK, PresenceWorld, joins_and_leaves_of, signals_of


@pytest.fixture
def world() -> PresenceWorld:
    """Return two nodes that know each other."""
    made = PresenceWorld()
    made.start("one")
    made.start("two")
    made.settle()
    return made


# --- who is there ----------------------------------------------------------------------------------------


def test_subscriber_gets_the_roster_then_joins_and_leaves(world: PresenceWorld) -> None:
    one, two = world.nodes["one"], world.nodes["two"]
    alice = world.joined(one, "alice")
    bob = world.joined(two, "bob")
    assert one.received[alice][0] == PresenceChange(TASK, present=(PresentUser("alice", 1, False, False),))
    first = two.received[bob][0]
    assert isinstance(first, PresenceChange)
    assert [each.user for each in first.present or ()] == ["alice", "bob"]
    world.leave(two, bob)
    world.settle()
    assert joins_and_leaves_of(one, alice) == [(["bob"], []), ([], ["bob"])]


def test_user_joins_once_and_leaves_with_the_last_socket(world: PresenceWorld) -> None:
    one, two = world.nodes["one"], world.nodes["two"]
    alice = world.joined(one, "alice")
    bobs = [world.joined(node, "bob") for node in (one, two, two)]
    assert one.presence.users.present(TASK)[1] == PresentUser("bob", 3, False, False)
    world.leave(one, bobs[0])
    world.leave(two, bobs[1])
    world.settle()
    assert joins_and_leaves_of(one, alice) == [(["bob"], [])]
    world.unsubscribe(two, bobs[2])
    world.settle()
    assert joins_and_leaves_of(one, alice) == [(["bob"], []), ([], ["bob"])]
    assert one.presence.users.connection_count("bob") == 1


def test_automatic_channel_counts_but_gets_no_messages(world: PresenceWorld) -> None:
    one, two = world.nodes["one"], world.nodes["two"]
    alice = world.enter(one, "alice")
    one.presence.attend(alice, [LIST, user_channel("alice")])
    world.settle()
    bob = world.joined(two, "bob", LIST)
    assert one.received[alice] == []
    assert {each.user for each in two.presence.users.present(LIST)} == {"alice", "bob"}
    assert two.presence.users.present("user:alice") == ()
    world.subscribe(one, alice, LIST)
    world.settle()
    assert len(one.received[alice]) == 1
    assert one.presence.users.present(LIST)[0].connections == 1
    world.leave(one, alice)
    world.settle()
    assert joins_and_leaves_of(two, bob) == [([], ["alice"])]


def test_connections_are_listed(world: PresenceWorld) -> None:
    one, two = world.nodes["one"], world.nodes["two"]
    for node, user in ((one, "bob"), (two, "bob"), (two, "alice")):
        world.enter(node, user)
    world.settle()
    presence = one.presence
    assert presence.users.connected_users() == ["alice", "bob"]
    bob = presence.users.connected("bob")
    assert (bob.connections, bob.nodes) == (2, 2)
    assert presence.users.connection_count("alice")
    assert not presence.users.connection_count("carol")


def test_unknown_connection_is_ignored(world: PresenceWorld) -> None:
    presence = world.nodes["one"].presence
    presence.attend("nobody", [TASK])
    presence.subscribe("nobody", TASK)
    assert presence.unsubscribe("nobody", TASK, 0) == presence.leave("nobody", 0) == []
    session = world.enter(world.nodes["one"], "alice")
    presence.subscribe(session, user_channel("alice"))
    assert presence.unsubscribe(session, TASK, 0) == []
    assert presence.users.connected_users() == ["alice"]


# --- nodes -----------------------------------------------------------------------------------------------


def test_silent_node_is_removed(world: PresenceWorld) -> None:
    one, two = world.nodes["one"], world.nodes["two"]
    alice, _ = world.joined(one, "alice"), world.joined(two, "bob")
    world.kill("two")
    world.now += TTL_S
    world.tick()
    assert one.presence.users.connection_count("bob")
    world.now += 0.1
    world.tick()
    assert not one.presence.users.connection_count("bob")
    assert joins_and_leaves_of(one, alice)[-1] == ([], ["bob"])


def test_stopped_node_is_removed_at_once_and_stays_so(world: PresenceWorld) -> None:
    one, two = world.nodes["one"], world.nodes["two"]
    alice, _ = world.joined(one, "alice"), world.joined(two, "bob")
    world.do(two, two.presence.heartbeat())
    late = one.coming[-1]
    world.stop("two")
    one.coming.append(late)
    world.settle()
    assert not one.presence.users.connection_count("bob")
    assert joins_and_leaves_of(one, alice)[-1] == ([], ["bob"])


def test_restarted_node_has_no_connections(world: PresenceWorld) -> None:
    one = world.nodes["one"]
    world.joined(one, "alice")
    world.joined(world.nodes["two"], "bob")
    old = world.nodes["two"]
    world.now += ROSTER_EVERY_S
    two = world.start("two")
    world.settle()
    assert not one.presence.users.connection_count("bob")
    assert two.presence.users.connection_count("alice")
    world.do(old, old.presence.goodbye())
    world.joined(two, "carol")
    assert one.presence.users.connection_count("carol"), "the goodbye was that of an earlier incarnation"


def test_missed_change_is_requested_once_a_second(world: PresenceWorld) -> None:
    one, two = world.nodes["one"], world.nodes["two"]
    world.loses = True
    world.joined(two, "bob")
    world.loses = False
    world.published.clear()
    for _ in range(3):
        world.heartbeats()
        world.deliver(one)
    assert world.published["ask"] == 1
    assert not one.presence.users.connection_count("bob")
    world.settle()
    assert one.presence.users.connection_count("bob")
    assert world.published["roster"] == 1


def test_single_node_publishes_only_heartbeats() -> None:
    world = PresenceWorld()
    alone = world.start("alone")
    session = world.joined(alone, "alice")
    world.signal(alone, session, "typing")
    world.heartbeats()
    world.settle()
    assert world.published == {"alive": 2, "ask": 1}


def test_new_node_gets_the_whole_roster_of_a_large_one() -> None:
    world = PresenceWorld()
    large = world.start("large")
    for number in range(1_200):
        world.enter(large, f"user{number}")
    world.settle()
    new = world.start("new")
    world.settle()
    assert len(new.presence.users.connected_users()) == 1_200
    assert world.published["roster"] == 3


def test_incomplete_roster_is_not_used(world: PresenceWorld) -> None:
    one = world.nodes["one"].presence
    parts = [Roster(7, part, 2, (Entry(TASK, f"user{part}", 1, 0),)) for part in (0, 1)]
    for message in (parts[0], parts[0], Alive(7)):
        one.receive(Envelope("three", 1, message), world.now)
    assert one.users.present(TASK) == ()
    one.receive(Envelope("three", 1, parts[1]), world.now)
    assert [each.user for each in one.users.present(TASK)] == ["user0", "user1"]
    assert one.receive(Envelope("three", 1, Alive(7)), world.now) == []


# --- signals ---------------------------------------------------------------------------------------------


def test_signals_reach_all_other_sockets(world: PresenceWorld) -> None:
    one, two = world.nodes["one"], world.nodes["two"]
    sender, sibling, other = (world.joined(node, "alice") for node in (one, one, two))
    for kind in ("viewing", "typing", "cursor"):
        world.signal(one, sender, kind)
        world.settle()
        wanted = [PresenceSignal(TASK, kind, {}, "alice", sender)]
        assert signals_of(one, sibling, kind) == signals_of(two, other, kind) == wanted
    assert signals_of(one, sender) == []
    assert (
        one.presence.users.present(TASK)
        == two.presence.users.present(TASK)
        == (PresentUser("alice", 3, True, True),)
    )


def test_signal_follows_the_join_of_its_sender(world: PresenceWorld) -> None:
    one, two = world.nodes["one"], world.nodes["two"]
    alice = world.joined(two, "alice")
    bob = world.enter(one, "bob")
    world.subscribe(one, bob)
    world.signal(one, bob, "typing")
    world.deliver(two)
    kinds = [type(message).__name__ for message in two.received[alice]]
    assert kinds == ["PresenceChange", "PresenceChange", "PresenceSignal"]


def test_viewing_lasts_until_it_is_changed(world: PresenceWorld) -> None:
    one, two = world.nodes["one"], world.nodes["two"]
    alices = [world.joined(one, "alice"), world.joined(one, "alice")]
    bob = world.joined(two, "bob")
    for _ in range(2):
        world.signal(one, alices[0], "viewing")
    world.signal(one, alices[1], "viewing")
    world.signal(one, alices[1], "viewing", on=False)
    world.quiet()
    assert two.presence.users.present(TASK)[0].viewing
    world.unsubscribe(one, alices[0])
    world.settle()
    assert not two.presence.users.present(TASK)[0].viewing
    said = [(each.session, each.data) for each in signals_of(two, bob, "viewing")]
    off = {"on": False}
    assert said == [(alices[0], {}), (alices[1], {}), (alices[1], off), (alices[0], off)]


def test_typing_expires_unless_repeated(world: PresenceWorld) -> None:
    one, two = world.nodes["one"], world.nodes["two"]
    alice, bob = world.joined(one, "alice"), world.joined(two, "bob")
    for _ in range(3):
        world.signal(one, alice, "typing")
        world.settle()
        world.now += TYPING_S - 1
        world.settle()
        assert two.presence.users.present(TASK)[0].typing
    world.now += 1
    world.settle()
    for node in (one, two):
        assert not any(each.typing for each in node.presence.users.present(TASK))
    assert [each.data for each in signals_of(two, bob, "typing")] == [{}, {}, {}, {"on": False}]


def test_end_of_typing_is_sent_at_once(world: PresenceWorld) -> None:
    one, two = world.nodes["one"], world.nodes["two"]
    alice, bob = world.joined(one, "alice"), world.joined(two, "bob")
    for on in (True, True, False, False):
        world.signal(one, alice, "typing", on=on)
    world.now += 1.5
    world.settle()
    assert [each.data for each in signals_of(two, bob, "typing")] == [{}, {"on": False}]
    assert not two.presence.users.present(TASK)[0].typing
    assert not one.presence.needs_tick


def test_latest_of_many_cursors_are_sent(world: PresenceWorld) -> None:
    one, two = world.nodes["one"], world.nodes["two"]
    alice, bob = world.joined(one, "alice"), world.joined(two, "bob")
    for number in range(101):
        effects = one.presence.signal(alice, TASK, "cursor", {"x": number}, world.now)
        world.do(one, effects)
        world.tick()
        world.now += 0.01
    world.now += CURSOR_EVERY_S
    world.settle()
    places: list[Any] = [each.data["x"] for each in signals_of(two, bob, "cursor")]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (0, 100)
    assert 15 <= len(places) <= 22


def test_waiting_cursor_is_dropped_when_its_socket_has_gone(world: PresenceWorld) -> None:
    one, two = world.nodes["one"], world.nodes["two"]
    alice, bob = world.joined(one, "alice"), world.joined(two, "bob")
    world.signal(one, alice, "cursor")
    world.signal(one, alice, "cursor")
    world.leave(one, alice)
    world.now += 1
    world.settle()
    assert len(signals_of(two, bob)) == 1


@pytest.mark.parametrize(
    ("channel", "kind", "data", "error"),
    [
        (LIST, "typing", {}, NotFound),
        ("user:alice", "typing", {}, NotFound),
        (TASK, "shouting", {}, Malformed),
        (TASK, "cursor", {"x": "x" * 1024}, Malformed),
        (TASK, "cursor", {"x": 2**70}, Malformed),
    ],
)
def test_invalid_signal_is_refused(
    world: PresenceWorld, channel: str, kind: str, data: dict[str, Any], error: type[Exception]
) -> None:
    one = world.nodes["one"]
    alice = world.joined(one, "alice")
    one.presence.attend(alice, [LIST])
    with pytest.raises(error):
        one.presence.signal(alice, channel, kind, data, world.now)


# --- bounds ----------------------------------------------------------------------------------------------


def test_crowded_channel_announces_some_and_replaces_them_as_they_leave(
    world: PresenceWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(present_users, "MAX_ANNOUNCED", 3)
    one, two = world.nodes["one"], world.nodes["two"]
    alice = world.joined(one, "alice")
    others = [world.joined(two, f"user{number}") for number in range(4)]
    assert joins_and_leaves_of(one, alice) == [(["user0"], []), (["user1"], [])]
    world.leave(two, others[3])
    world.leave(two, others[0])
    world.settle()
    assert joins_and_leaves_of(one, alice)[2:] == [(["user2"], ["user0"])]


def test_users_on_channels_are_bounded(world: PresenceWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_sockets, "MAX_OWN_ENTRIES", 3)
    one = world.nodes["one"]
    alice = world.joined(one, "alice")
    bob = world.joined(one, "bob")
    assert [each.user for each in one.presence.users.present(TASK)] == ["alice"]
    assert (one.presence.users.connection_count("bob"), one.presence.shed) == (1, 1)
    world.signal(one, bob, "viewing")
    world.signal(one, bob, "cursor")
    assert len(signals_of(one, alice)) == 1
    world.leave(one, bob)
    world.leave(one, alice)
    world.settle()
    assert one.presence.users.connected_users() == []


def test_cursors_are_dropped_when_there_are_too_many_recipients(
    world: PresenceWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal_rates, "MAX_CURSORS_SENT", 5)
    one = world.nodes["one"]
    sessions = [world.joined(one, f"user{number}") for number in range(4)]
    for session in sessions:
        world.signal(one, session, "cursor")
    world.signal(one, sessions[0], "typing")
    assert len(signals_of(one, sessions[3], "cursor")) == 1
    assert one.presence.shed == 3
    assert len(signals_of(one, sessions[3], "typing")) == 1


def test_other_nodes_are_bounded(world: PresenceWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers_module, "MAX_NODES", 2)
    monkeypatch.setattr(peers_module, "MAX_ENTRIES_OF_NODE", 2)
    one = world.nodes["one"].presence
    entries = tuple(Entry(TASK, f"user{number}", 1, 0) for number in range(3))
    one.receive(Envelope("three", 1, Changed(1, entries)), world.now)
    one.receive(Envelope("four", 1, Changed(1, entries)), world.now)
    assert one.users.present_count(TASK) == 2
    one.receive(Envelope("three", 1, Roster(2, 0, 1, entries)), world.now)
    assert one.users.present_count(TASK) == 2
    for number in range(4):
        one.receive(Envelope(f"stopped{number}", 1, Goodbye()), world.now)
    assert len(one._peers._stopped) == 2


def test_own_messages_are_ignored() -> None:
    presence = Presence("one", 1)
    presence.enter("s", "alice")
    presence.subscribe("s", TASK)
    for message in (Alive(9), Ask(None), Goodbye(), Signalled(TASK, "bob", "t", "typing", {})):
        assert presence.receive(Envelope("one", 1, message), 0.0) == []
    assert presence.users.connected_users() == ["alice"]
    assert [type(effect) for effect in presence.tick(0.0)] == [Notify]
    assert presence.heartbeat() == [Publish(Alive(1))]

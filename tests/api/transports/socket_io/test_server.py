"""Sessions and updates over Socket.IO."""

from __future__ import annotations

import json

import pytest
from websockets.asyncio.client import connect

from api.protocol.frames import EncodedMessage, MessageBatch
from api.transports.socket_io.packets import PACKET, HistoryFilter, event_packet
from tests.api.relay_world import list_update, task_update
from tests.api.socket_io_client import LIST, OTHER, QUERY, SECRET, TASK, Client, opened, served, signed_in
from tests.waiting import eventually


async def test_client_gets_the_updates_of_its_session() -> None:
    """As `task:update`; it is counted as connected."""
    async with served() as at, signed_in(at) as client:
        assert [(each.transport, each.user) for each in at.connection_registry] == [("socketio", "ann")]
        assert (await client.ask("subscribe:task", TASK))["channel"] == f"task:{TASK}"
        at.commit()
        name, update = await client.receive()
        assert (name, update["channel"], update["position"]) == ("task:update", f"list:{LIST}", "0:0")
        assert (await client.ask("subscribe:task", SECRET))["code"] == "not_found"


def test_update_begins_with_the_seeds_event_fields() -> None:
    """Under the names that the seed's frontends read, next to our message."""
    event = {"stream": f"task:{TASK}", "type": "task.completed", "actor": "ann", "time": "t"}
    message = {"channel": "c", "type": "update", "position": "0:1", "event": event, "task": {"id": TASK}}
    packet = EncodedMessage(json.dumps(message).encode()).form(PACKET)
    got = {"type": "task.completed", "taskId": TASK, "userId": "ann", "timestamp": "t"}
    assert json.loads(packet[1:]) == ["task:update", message | got]


@pytest.mark.parametrize(
    ("stream", "name"), [("list:x", "list:update"), ("user:ann", "user:update"), ("task:x", "task:update")]
)
def test_updates_are_named_by_their_stream(stream: str, name: str) -> None:
    """A frontend that knows only tasks ignores the others."""
    message = {"type": "update", "event": {"stream": stream}, "task": None}
    assert json.loads(EncodedMessage(json.dumps(message).encode()).form(PACKET)[1:])[0] == name


def test_packet_is_encoded_once_for_all_clients() -> None:
    """As are frames."""
    one = EncodedMessage(b'{"type":"update","event":{}}')
    assert one.form(PACKET) is one.form(PACKET)
    assert list(MessageBatch([one, one]).forms(PACKET))[1] is one.form(PACKET)


def test_history_of_a_joined_list_is_left_out() -> None:
    """The update of the joining itself is sent."""
    newest = HistoryFilter()
    past = event_packet("task:update", {})
    got = [
        *(newest.wants(packet) for packet in (past, event_packet("subscribed", {"missed": 3}))),
        *(newest.wants(packet) for packet in (past, past, event_packet("list:update", {}), past)),
        *(newest.wants(packet) for packet in (event_packet("subscribed", {"missed": 0}), past)),
    ]
    assert got == [True, True, False, False, True, True, True, True]


async def test_joined_list_is_announced() -> None:
    """From then on its updates are sent."""
    async with served() as at, signed_in(at) as client:
        for _ in range(3):
            at.publish(task_update(at.node.world.next_position(0), SECRET, OTHER))
        at.node.world.members[OTHER].add("ann")
        at.publish(list_update(at.node.world.next_position(0), OTHER, {"bob"}, {"ann", "bob"}))
        at.publish(task_update(at.node.world.next_position(0), SECRET, OTHER))
        messages = [await client.receive() for _ in range(3)]
        assert [name for name, _ in messages] == ["subscribed", "task:update", "task:update"]
        assert [each["position"] for _, each in messages[1:]] == ["0:3", "0:4"]


async def test_requests_before_the_authentication_reply_are_queued() -> None:
    """Frontends emit both at once: they are handled in order, however long it takes."""
    async with served() as at, opened(at) as client:
        at.node.world.query_ticks = 20
        await client.emit("authenticate", {"userId": "ann", "token": "ann"})
        await client.emit("subscribe:task", TASK, ack=7)
        assert (await client.receive())[0] == "authenticated"
        packet = await client.packet()
        assert packet.startswith("437"), packet
        assert json.loads(packet[3:])[0]["type"] == "subscribed"


async def test_draining_disconnects_everyone() -> None:
    """Also clients that have not authenticated, or joined no namespace."""
    url = f"{QUERY}websocket"
    async with served() as at:
        bare = await connect(f"ws://127.0.0.1:{at.port}{url}")
        async with signed_in(at) as one, opened(at) as other:
            await eventually(lambda: len(at.connection_registry) == 3)
            await at.connection_registry.drain()
            assert len(at.connection_registry) == 0
            for client in (one, other):
                packets, code = await client.ending()
                assert json.loads(packets[0][2:]) == [
                    "goodbye",
                    {"type": "goodbye", "code": 4001, "reason": "restarting", "retry_after_ms": [0, 8000]},
                ]
                assert code == 4001
        assert (await Client(bare).ending())[1] == 4001
        async with connect(f"ws://127.0.0.1:{at.port}{url}") as late:
            assert (await Client(late).ending())[1] == 4001


async def test_clients_are_counted() -> None:
    """Open, sent, received, and the reasons for closing."""
    async with served(ping_s=0.05) as at:
        traffic = at.relay.counters.traffic_of("socketio", "json")
        async with signed_in(at) as client:
            at.commit(3)
            for _ in range(3):
                await client.receive()
            assert (traffic.open, traffic.messages) == (1, 4)
            assert traffic.received == 1
            assert traffic.size_bytes > 400
            at.now[0] += 3600
            await client.ending()
        assert traffic.open == 0
        assert at.relay.counters.closes["4005", "server"] == 1


async def test_node_without_positions_invites_to_reconnect() -> None:
    """It does not know yet where updates begin."""
    async with served() as at:
        at.node.hub.published.partitions = 0
        async with opened(at, {"token": "ann"}) as client:
            assert (await client.ending())[1] == 4001

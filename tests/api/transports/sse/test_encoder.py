"""Resumption of event streams: from any event id, a client gets all later updates once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from api.protocol.frames import EncodedMessage, MessageBatch
from api.transports.sse.encoder import EVENT, EventText
from app.positions import Position, format_positions, parse_positions
from tests.api import hub_stories as hub
from tests.api.relay_world import Client, Node
from tests.thoroughness import examples


class Reader(Client):
    """A client that resumes from the last id; an update counts once the id includes it."""

    def __init__(self, user: str) -> None:
        super().__init__(user)
        self.place = ","
        self._pending: list[tuple[str, Position]] = []
        self._text: EventText | None = None
        self._events: Iterator[bytes] = iter(())

    def connect(self, node: Node) -> None:
        """Connect at its position."""
        self.positions = parse_positions(self.place)
        self._pending.clear()
        self._events = iter(())
        super().connect(node)
        assert self.session is not None
        self._text = EventText(self.session, self.positions)

    async def receive(self, count: int = 10_000) -> None:
        """Receive at most `count` of the waiting events; a batch may be interrupted."""
        send_queue = self.send_queue
        while count and send_queue is not None and self._text is not None:
            event = next(self._events, None)
            if event is not None:
                self._read(event.decode())
                count -= 1
            elif len(send_queue):
                self._events = self._text.events(await send_queue.first())
                send_queue.sent()
            else:
                return

    def _read(self, event: str) -> None:
        lines = dict(line.split(": ", 1) for line in event.splitlines() if line)
        message = json.loads(lines["data"])
        assert lines["event"] == message["type"]
        place = lines.get("id", self.place)
        if message["type"] == "update":
            assert "id" in lines
            self._pending.append((message["channel"], Position.parse(message["position"])))
        elif message["type"] == "resync":
            self.resynced.append(message["channel"])
        if place != self.place:
            self.place = place
            self.got += self._pending
            self._pending.clear()


@settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(hub.steps, st.sampled_from([1, 3, 1_000]))
def test_interrupted_stream_loses_and_repeats_nothing(history: list[Any], ring: int) -> None:
    """From node to node, ahead of one and behind it, in the middle of a recovery."""
    _check(history, ring)


LATER_PARTITION: list[Any] = [
    ("new list", 0),
    ("new task", 1),
    ("task", 1, "t1"),
    ("publish", 0, 1, 2, 0),
    ("run", 9),
    ("receive", 0, 9),
    ("publish", 1, 0, 1, 0),
    ("publish", 1, 1, 2, 0),
    ("reconnect", 0, 1),
    ("run", 9),
    ("receive", 0, 2),
    ("reconnect", 0, 1),
    ("run", 9),
]


@settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(hub.joining_steps, st.sampled_from([1, 1_000]))
# The stream breaks off between the update that one joined with and the list's task in a later partition.
@example(LATER_PARTITION, 1_000)
# It breaks off between the list's task and the update that one joined with.
@example([*hub.JOINED, ("receive", 0, 3), ("reconnect", 0, 0)], 1_000)
def test_interrupted_stream_keeps_joined_lists_complete(history: list[Any], ring: int) -> None:
    """Their history lies before the client's position."""
    _check(history, ring)


def _check(history: list[Any], ring: int) -> None:
    story = hub.Story(ring)
    story.clients = [Reader("ann"), Reader("ann")]
    asyncio.run(hub.run_story(story, history))
    hub.check(story)


def test_line_ends_of_a_message_do_not_end_the_event() -> None:
    """JSON may have several lines; those inside strings are escaped."""
    form = EncodedMessage(b'{"type":"x",\r\n"text":"a\\nb"}').form(EVENT)
    assert form == b'\nevent: x\ndata: {"type":"x", "text":"a\\nb"}\n'


def test_event_is_encoded_once_for_all_streams() -> None:
    """Except its id, which is each stream's own."""
    one = EncodedMessage(b'{"type":"update","position":"0:1"}')
    assert one.form(EVENT) is list(MessageBatch([one, one]).forms(EVENT))[1]


@pytest.mark.parametrize("positions", [{}, {0: 0}, {0: 5, 3: 7}])
def test_event_id_round_trips(positions: dict[int, int]) -> None:
    """Also that of the very beginning."""
    assert parse_positions(format_positions(positions) or ",") == positions

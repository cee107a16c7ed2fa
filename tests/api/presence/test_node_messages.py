"""Messages between nodes: decoded as they were encoded, and refused otherwise."""

from __future__ import annotations

import ormsgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.presence.node_messages import (
    MAX_ENTRIES,
    MAX_MESSAGE_BYTES,
    Alive,
    Ask,
    Changed,
    Envelope,
    Goodbye,
    NodeMessage,
    Roster,
    Signalled,
    decode,
    encode,
)
from api.presence.roster import Entry
from app.errors import Malformed

MESSAGES: list[NodeMessage] = [
    Alive(0),
    Changed(2**62, (Entry("task:x", "älice", 3, 1), Entry("", "bob", 0, 0))),
    Roster(7, 0, 1, ()),
    Ask(None),
    Ask("another"),
    Signalled("list:x", "alice", "s1", "cursor", {"x": 1.5, "in": ["a", None, {"b": True}]}),
    Goodbye(),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.type)
def test_message_round_trips(message: NodeMessage) -> None:
    envelope = Envelope("node", 2**62, message)
    assert decode(encode(envelope)) == envelope


def test_message_with_the_most_entries_fits() -> None:
    entries = tuple(Entry("\U0001f600" * 256, "\U0001f600" * 128, 2**32, 2**32) for _ in range(MAX_ENTRIES))
    assert len(decode(encode(Envelope("n" * 36, 1, Changed(1, entries)))).message.entries) == MAX_ENTRIES  # type: ignore[union-attr]


def test_unknown_field_is_ignored() -> None:
    value = ormsgpack.unpackb(encode(Envelope("node", 1, Alive(1))))
    value["more"] = value["message"]["more"] = 1
    assert decode(ormsgpack.packb(value)) == Envelope("node", 1, Alive(1))


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"node": 1},
        {"node": "n" * 257},
        {"incarnation": -1},
        {"message": {"type": "unheard-of"}},
        {"message": {"type": "alive"}},
        {
            "message": {
                "type": "signal",
                "channel": "c",
                "user": "u",
                "session": "s",
                "kind": "shout",
                "data": {},
            }
        },
        {"message": {"type": "changed", "sequence": 1, "entries": [["c", "u", 1]]}},
        {"message": {"type": "changed", "sequence": 1, "entries": [["c", "u", 1, 1]] * (MAX_ENTRIES + 1)}},
    ],
)
def test_invalid_message_is_malformed(change: dict[str, object]) -> None:
    value = ormsgpack.unpackb(encode(Envelope("node", 1, Alive(1)))) | change
    with pytest.raises(Malformed):
        decode(ormsgpack.packb(value))


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_malformed(value: bytes) -> None:
    with pytest.raises(Malformed):
        decode(value)


def test_huge_message_is_not_decoded() -> None:
    with pytest.raises(Malformed, match="too large"):
        decode(b"\xc0" * (MAX_MESSAGE_BYTES + 1))

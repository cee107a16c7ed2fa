"""Messages: what is read, what is refused, and what closes the socket."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.outbox import Farewell
from api.protocol import (
    MAX_MESSAGE_BYTES,
    Authenticate,
    BadFrame,
    Error,
    Incoming,
    Ping,
    Refused,
    Subscribe,
    Subscribed,
    goodbye,
    parse,
    pong_to,
    read_since,
)
from app.errors import Malformed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id":1,"type":"authenticate","token":"t"}', Authenticate(id=1, type="authenticate", token="t")),
        (
            '{"id":"x","type":"subscribe","channel":"task:1","since":{"0":-1},"more":1}',
            Subscribe(id="x", type="subscribe", channel="task:1", since={"0": -1}),
        ),
        ('{"type":"ping"}', Ping()),
    ],
)
def test_messages_are_read(text: str, message: Incoming) -> None:
    """Fields that are unknown are passed over."""
    assert parse(text) == message


@pytest.mark.parametrize("text", ["", "{", "[]", "[{}]", '"ping"', "1", "null", '{"a":"\\ud800"}', "NaN"])
def test_what_is_no_message_at_all_is_bad(text: str) -> None:
    """There is nothing to answer."""
    with pytest.raises(BadFrame):
        parse(text)


@pytest.mark.parametrize("letter", ["a", "ä"])
def test_a_message_has_a_largest_size_in_bytes(letter: str) -> None:
    """Not in characters."""
    width = len(letter.encode())
    head, tail = '{"type":"ping","x":"', '"}'
    room = (MAX_MESSAGE_BYTES - len(head) - len(tail)) // width
    assert parse(head + letter * room + tail) == Ping()
    with pytest.raises(BadFrame):
        parse(head + letter * (room + 1) + tail)


@pytest.mark.parametrize(
    ("message", "message_id", "code"),
    [
        ({"id": 3, "type": "dance"}, 3, "unknown_type"),
        ({"id": 3}, 3, "malformed"),
        ({"id": "s", "type": "subscribe"}, "s", "malformed"),
        ({"id": 3, "type": "subscribe", "channel": ""}, 3, "malformed"),
        ({"id": 3, "type": "subscribe", "channel": "task:1", "since": {"0": "1"}}, 3, "malformed"),
        ({"id": 3, "type": "subscribe", "channel": "task:1", "since": [1]}, 3, "malformed"),
        ({"id": True, "type": "ping"}, None, "malformed"),
        ({"id": [1], "type": "ping"}, None, "malformed"),
        ({"id": "x" * 65, "type": "ping"}, None, "malformed"),
        ({"type": "authenticate", "token": 1}, None, "malformed"),
    ],
)
def test_a_wrong_message_is_refused_by_its_id(
    message: dict[str, Any], message_id: int | str | None, code: str
) -> None:
    """The id comes back if it can be one."""
    with pytest.raises(Refused) as refused:
        parse(json.dumps(message))
    assert (refused.value.message_id, refused.value.code) == (message_id, code)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
types = st.sampled_from(
    ["authenticate", "subscribe", "unsubscribe", "refresh", "signal", "ping", "pong", "other"]
)
fields = st.sampled_from(["id", "channel", "since", "token", "features", "kind", "data"])


@given(types, st.dictionaries(fields, json_values))
def test_nothing_else_ever_comes_of_a_message(kind: str, rest: dict[str, Any]) -> None:
    """It is read or it is refused, and a refusal can be written."""
    try:
        parse(json.dumps(rest | {"type": kind}))
    except Refused as refused:
        Error(id=refused.message_id, code=refused.code, message=refused.detail).encode()
    except BadFrame:
        pass


@given(st.text())
def test_any_text_is_read_refused_or_bad(text: str) -> None:
    """Nothing that is sent raises anything else."""
    with contextlib.suppress(Refused, BadFrame):
        parse(text)


def test_since_names_partitions_of_the_log() -> None:
    """-1 says "from the beginning", as does leaving a partition out."""
    assert read_since({"0": 7, "1": -1}, 4) == {0: 7}
    for wrong in ({"4": 1}, {"x": 1}, {"-1": 1}, {"0": -2}, {"0": 2**62}):
        with pytest.raises(Malformed):
            read_since(wrong, 4)


def test_what_is_none_is_left_out() -> None:
    """A message without an id has no `id`."""
    reply = Subscribed(channel="list:1", positions={"0": 3})
    assert json.loads(reply.encode()) == {
        "type": "subscribed",
        "channel": "list:1",
        "positions": {"0": 3},
        "missed": 0,
    }
    assert json.loads(pong_to(Ping(id=4)).value) == {"id": 4, "type": "pong"}
    assert json.loads(pong_to(Ping()).value) == {"type": "pong"}


def test_goodbye_says_when_to_come_back() -> None:
    """As a window, so that not all come at once."""
    assert json.loads(goodbye(Farewell(4001, "restarting", (0, 8000))).value) == {
        "type": "goodbye",
        "code": 4001,
        "reason": "restarting",
        "retry_after_ms": [0, 8000],
    }
    assert Farewell(4499, "").come_back
    assert not Farewell(4500, "").come_back

"""Decoding of frames: accepted, refused, or fatal for the socket."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import ormsgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.protocol.client_messages import (
    Authenticate,
    BadFrame,
    Incoming,
    Ping,
    Pong,
    Refresh,
    Refused,
    Signal,
    Subscribe,
    Unsubscribe,
)
from api.protocol.decoding import BAD_ID, read_frame
from api.protocol.limits import MAX_BATCH, MAX_MESSAGE_BYTES, MAX_SIGNAL_BYTES
from app.channels import task_channel
from app.text.json_text import MAX_DEPTH
from tests.fuzz.soundness import EXAMPLES, check, comparable

PING: dict[str, Any] = {"type": "ping"}


def written(value: object) -> list[str | bytes]:
    """Return a value in both encodings."""
    return [json.dumps(value), ormsgpack.packb(value)]


def nested(depth: int) -> list[Any]:
    """Return lists nested in lists."""
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def refusal(frame: str | bytes) -> Refused:
    """Return the single refusal of a frame."""
    (refused,) = read_frame(frame, batch=False)
    assert isinstance(refused, Refused)
    return refused


# --- one message -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"id": 1, "type": "authenticate", "token": "t"}, Authenticate(id=1, type="authenticate", token="t")),
        (
            {"id": "x", "type": "subscribe", "channel": "task:1", "since": {"0": -1}, "more": 1},
            Subscribe(id="x", type="subscribe", channel=task_channel("1"), since={"0": -1}),
        ),
        (
            {"type": "signal", "channel": "task:1", "kind": "cursor", "data": {"at": [1, 2.5, None]}},
            Signal(type="signal", channel=task_channel("1"), kind="cursor", data={"at": [1, 2.5, None]}),
        ),
        (PING, Ping()),
    ],
)
def test_messages_are_decoded_in_both_encodings(value: dict[str, Any], message: Incoming) -> None:
    """Unknown fields are ignored."""
    for frame in written(value):
        assert read_frame(frame, batch=False) == [message]
        assert read_frame(frame, batch=True) == [message]


@pytest.mark.parametrize("wrong", [True, 1.5, 2**53 + 1, -(2**53) - 1, "x" * 65, [1], {}], ids=str)
def test_error_of_an_invalid_id_describes_valid_ones(wrong: object) -> None:
    """Whatever is wrong with it."""
    for frame in written({"id": wrong, "type": "ping"}):
        refused = refusal(frame)
        assert (refused.message_id, refused.code, refused.detail) == (None, "malformed", BAD_ID)


@pytest.mark.parametrize("example", EXAMPLES, ids=json.dumps)
def test_messages_round_trip(example: dict[str, Any]) -> None:
    """Both encodings mean the same, and decoded messages can be encoded again."""
    (one,), (other,) = (read_frame(frame, batch=False) for frame in written(example))
    assert one == other
    assert not isinstance(one, Refused)
    assert one.model_dump(mode="json", exclude_unset=True) == example


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{",
        "[]",
        "[{}]",
        '"ping"',
        "1",
        "null",
        '{"a":"\\ud800"}',
        '{"a":"\ud800"}',
        "NaN",
        '{"type":"ping","x":NaN}',
        '{"type":"ping","x":-Infinity}',
        '{"type":"ping","x":1e999}',
        '{"type":"ping"} {"type":"ping"}',
        "[" * 10_000,
        b"",
        b"\xc1",
        b"\xc0",
        b"\x90",
        b"\x81\xa4type",
        b"\x81\xa1\xff\x01",
        b"\x81\x01\x02",
        b"\xdf\xff\xff\xff\xff",
        b"\x91" * 10_000,
        ormsgpack.packb({"type": "ping", "x": float("nan")}),
        ormsgpack.packb({"type": "ping", "x": float("-inf")}),
        ormsgpack.packb({"type": "ping", "x": b"binary"}),
        ormsgpack.packb({"type": "ping", "x": ormsgpack.Ext(5, b"e")}),
        ormsgpack.packb(PING) + b"\xc0",
    ],
    ids=repr,
)
def test_frame_without_a_message_is_bad(frame: str | bytes) -> None:
    """There is nothing to reply to."""
    with pytest.raises(BadFrame):
        read_frame(frame, batch=False)


@pytest.mark.parametrize("letter", ["a", "ä"])
def test_message_size_is_bounded_in_bytes(letter: str) -> None:
    """Not in characters."""
    width = len(letter.encode())
    head, tail = '{"type":"ping","x":"', '"}'
    room = (MAX_MESSAGE_BYTES - len(head) - len(tail)) // width
    assert read_frame(head + letter * room + tail, batch=False) == [Ping()]
    with pytest.raises(BadFrame):
        read_frame(head + letter * (room + 1) + tail, batch=False)
    around = len(ormsgpack.packb(PING | {"x": "a" * 60_000})) - 60_000
    filler = "a" * (MAX_MESSAGE_BYTES - around)
    assert read_frame(ormsgpack.packb(PING | {"x": filler}), batch=False) == [Ping()]
    with pytest.raises(BadFrame):
        read_frame(ormsgpack.packb(PING | {"x": filler + "a"}), batch=False)


def test_message_depth_is_bounded() -> None:
    """The same in both encodings."""
    for frame in written(PING | {"x": nested(MAX_DEPTH - 1)}):
        assert read_frame(frame, batch=False) == [Ping()]
    for frame in written(PING | {"x": nested(MAX_DEPTH)}):
        with pytest.raises(BadFrame):
            read_frame(frame, batch=False)


@pytest.mark.parametrize(
    ("message", "message_id", "code"),
    [
        ({"id": 3, "type": "dance"}, 3, "unknown_type"),
        ({"id": 3}, 3, "malformed"),
        ({"id": "s", "type": "subscribe"}, "s", "malformed"),
        ({"id": 3, "type": "subscribe", "channel": ""}, 3, "malformed"),
        ({"id": 3, "type": "subscribe", "channel": "task:1", "since": {"0": "1"}}, 3, "malformed"),
        ({"id": 3, "type": "subscribe", "channel": "task:1", "since": [1]}, 3, "malformed"),
        ({"id": 3, "type": "signal", "channel": "task:1", "kind": "dance"}, 3, "malformed"),
        ({"id": 3, "type": "signal", "channel": "task:1", "kind": "typing", "data": []}, 3, "malformed"),
        ({"id": True, "type": "ping"}, None, "malformed"),
        ({"id": [1], "type": "ping"}, None, "malformed"),
        ({"id": 2**54, "type": "ping"}, None, "malformed"),
        ({"id": "x" * 65, "type": "ping"}, None, "malformed"),
        ({"type": "authenticate", "token": 1}, None, "malformed"),
    ],
)
def test_invalid_message_is_refused_with_its_id(
    message: dict[str, Any], message_id: int | str | None, code: str
) -> None:
    """If it has a valid one."""
    for frame in written(message):
        refused = refusal(frame)
        assert (refused.message_id, refused.code) == (message_id, code)


def test_signal_payload_size_is_bounded() -> None:
    """In bytes of JSON for both encodings; it can be written in msgpack again."""
    signal = {"type": "signal", "channel": "task:1", "kind": "cursor"}
    room = MAX_SIGNAL_BYTES - len('{"a":""}')
    for frame in written(signal | {"data": {"a": "ä" * (room // 2)}}):
        assert isinstance(read_frame(frame, batch=False)[0], Signal)
    for frame in written(signal | {"data": {"a": "ä" * (room // 2) + "a"}}):
        assert refusal(frame).detail == f"data: it has at most {MAX_SIGNAL_BYTES} bytes"
    assert isinstance(read_frame(json.dumps(signal | {"data": {"a": 2**64 - 1}}), batch=False)[0], Signal)
    for number in (2**64, -(2**63) - 1, 10**5000):
        frame = '{"type":"signal","channel":"task:1","kind":"cursor","data":{"a":[{"b":%s}]}}'
        with contextlib.suppress(BadFrame):
            assert "64 bits" in refusal(frame % _digits(number)).detail


def _digits(number: int) -> str:
    """Return a number that is too long for Python to write."""
    return str(number) if abs(number) < 10**100 else "1" + "0" * 5000


# --- batches ---------------------------------------------------------------------------------------------


def test_batch_is_decoded_in_order() -> None:
    """Each message counts."""
    messages = [PING | {"id": number} for number in range(MAX_BATCH)]
    for frame in written(messages):
        assert read_frame(frame, batch=True) == [Ping(id=number) for number in range(MAX_BATCH)]


@pytest.mark.parametrize("wrong", [{"id": 7, "type": "dance"}, {}, [], [PING], 1, "ping", None, True])
def test_invalid_message_of_a_batch_is_refused_alone(wrong: Any) -> None:
    """In its place."""
    for frame in written([PING, wrong, PING]):
        first, refused, last = read_frame(frame, batch=True)
        assert (first, last) == (Ping(), Ping())
        assert isinstance(refused, Refused)
        assert refused.message_id == (wrong.get("id") if isinstance(wrong, dict) else None)


@pytest.mark.parametrize("count", [0, MAX_BATCH + 1])
def test_batch_size_is_bounded(count: int) -> None:
    """An empty batch is no message, and neither is one that is too large."""
    for frame in written([PING] * count):
        with pytest.raises(BadFrame):
            read_frame(frame, batch=True)


def test_batch_is_refused_unless_negotiated() -> None:
    """An array is no message then."""
    for frame in written([PING]):
        with pytest.raises(BadFrame):
            read_frame(frame, batch=False)


# --- whatever comes --------------------------------------------------------------------------------------

texts = st.text("a1: \x00ä\u2028𝄞", max_size=8)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=10
)
types = st.sampled_from([*sorted({example["type"] for example in EXAMPLES}), "other"])
fields = st.sampled_from(["id", "channel", "since", "token", "features", "kind", "data"])
messages = st.builds(
    lambda kind, rest: rest | {"type": kind}, types, st.dictionaries(fields, json_values)
) | st.sampled_from(EXAMPLES)


@given(messages | st.lists(messages, max_size=5), st.booleans())
def test_any_message_is_decoded_or_refused(value: Any, batch: bool) -> None:  # noqa: FBT001
    check(json.dumps(value), batch=batch)
    with contextlib.suppress(TypeError):
        check(ormsgpack.packb(value), batch=batch)


@given(st.text(st.characters()) | st.binary(), st.booleans())
def test_any_frame_is_decoded_refused_or_bad(frame: str | bytes, batch: bool) -> None:  # noqa: FBT001
    """No input raises another error."""
    check(frame, batch=batch)


@given(st.lists(messages, min_size=1, max_size=5))
def test_batch_is_equivalent_to_its_messages(value: list[dict[str, Any]]) -> None:
    """One frame or several."""
    try:
        alone = [each for message in value for each in read_frame(json.dumps(message), batch=False)]
    except BadFrame:
        with pytest.raises(BadFrame):
            read_frame(json.dumps(value), batch=True)
    else:
        assert comparable(read_frame(json.dumps(value), batch=True)) == comparable(alone)


# --- there and back --------------------------------------------------------------------------------------

ids = st.none() | st.integers(-(2**53), 2**53) | texts
channels = st.text("a1:-ä", min_size=1, max_size=256)
since = st.none() | st.dictionaries(texts, st.integers(-1, 2**62), max_size=4)
small = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
carried = st.dictionaries(texts, small | texts | st.lists(small, max_size=4), max_size=4)
tokens = {"id": ids, "token": texts}
valid = st.one_of(
    st.builds(
        Authenticate,
        **tokens,
        type=st.just("authenticate"),
        features=st.lists(texts, max_size=32),
        since=since,
    ),
    st.builds(Subscribe, id=ids, type=st.just("subscribe"), channel=channels, since=since),
    st.builds(Unsubscribe, id=ids, type=st.just("unsubscribe"), channel=channels),
    st.builds(Refresh, **tokens, type=st.just("refresh")),
    st.builds(
        Signal,
        id=ids,
        type=st.just("signal"),
        channel=channels,
        kind=st.sampled_from(["typing", "cursor", "viewing"]),
        data=carried,
    ),
    st.builds(Ping, id=ids),
    st.builds(Pong, id=ids),
)


@given(st.lists(valid, min_size=1, max_size=8))
def test_encoded_messages_are_decoded(value: list[Incoming]) -> None:
    """Every message, in both encodings, alone and in a batch."""
    said = [message.model_dump(exclude_none=True) for message in value]
    for frame in written(said):
        assert read_frame(frame, batch=True) == value
    for message, alone in zip(value, said, strict=True):
        for frame in written(alone):
            assert read_frame(frame, batch=False) == [message]

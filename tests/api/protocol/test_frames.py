"""Encoding of frames, decoded by another library for each kind of client."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import ormsgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from api.protocol import frames
from api.protocol.frames import (
    CODECS,
    JSON,
    MAX_BATCH_BYTES,
    MAX_BATCH_MESSAGES,
    Codec,
    EncodedMessage,
    MessageBatch,
    codec,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
MESSAGES = st.dictionaries(st.text(max_size=8), VALUES, max_size=6)


def outgoing(message: Any) -> EncodedMessage:
    return EncodedMessage(json.dumps(message).encode())


def frames_of(data: bytes, wanted: Codec) -> Iterable[Frame]:
    """Return the frames in some bytes as the library websockets parses them for a client."""
    extension = PerMessageDeflate(
        remote_no_context_takeover=True,
        local_no_context_takeover=True,
        remote_max_window_bits=frames.WINDOW_BITS,
        local_max_window_bits=frames.WINDOW_BITS,
    )
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    while reader.buffer:
        parsing = Frame.parse(
            reader.read_exact, mask=False, max_size=None, extensions=[extension] if wanted.deflated else None
        )
        with pytest.raises(StopIteration) as parsed:
            next(parsing)
        yield parsed.value.value


def read(data: bytes, wanted: Codec) -> list[Any]:
    """Return the messages in some bytes."""
    messages: list[Any] = []
    for frame in frames_of(data, wanted):
        assert frame.opcode == (Opcode.BINARY if wanted.packed else Opcode.TEXT)
        value = ormsgpack.unpackb(frame.data) if wanted.packed else json.loads(bytes(frame.data))
        messages += value if isinstance(value, list) else [value]
    return messages


def test_each_kind_of_client_has_one_codec() -> None:
    """With a name of its own."""
    assert len({each.name for each in CODECS}) == 8
    for each in CODECS:
        assert codec(packed=each.packed, deflated=each.deflated, batched=each.batched) is each
    assert codec(packed=False, deflated=False, batched=False) is JSON


@given(MESSAGES, st.sampled_from(CODECS))
def test_another_library_decodes_messages(message: dict[str, Any], wanted: Codec) -> None:
    """And the frame is encoded once."""
    sent = outgoing(message)
    assert read(sent.form(wanted), wanted) == [message]
    assert sent.form(wanted) is sent.form(wanted)


@given(st.lists(MESSAGES, min_size=1, max_size=20), st.sampled_from(CODECS))
def test_joined_messages_keep_their_order(messages: list[dict[str, Any]], wanted: Codec) -> None:
    """As one array for clients of batches."""
    joined = MessageBatch([outgoing(message) for message in messages])
    assert read(joined.form(wanted), wanted) == messages
    assert joined.count == len(messages)
    assert joined.form(wanted) is joined.form(wanted)
    if wanted.batched:
        assert len(list(frames_of(joined.form(wanted), wanted))) == 1


@pytest.mark.parametrize("wanted", CODECS, ids=lambda each: each.name)
@pytest.mark.parametrize("size", [0, 110, 130, 255, 256, 70_000])
def test_payloads_of_every_length_are_framed(wanted: Codec, size: int) -> None:
    """Around the sizes where the header or the compression changes."""
    message = {"type": "x", "pad": "é" * size}
    assert read(outgoing(message).form(wanted), wanted) == [message]


def test_compression_makes_updates_smaller() -> None:
    """Small messages stay uncompressed."""
    message = outgoing({"type": "update", "task": {"title": "Buy milk", "tags": ["shop"] * 40}})
    plain, deflated = JSON, codec(packed=False, deflated=True, batched=False)
    assert len(message.form(deflated)) < len(message.form(plain)) / 2
    ping = outgoing({"type": "ping"})
    assert ping.form(deflated) == ping.form(plain)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("count", "size"), [(MAX_BATCH_MESSAGES * 2 + 1, 10), (40, MAX_BATCH_BYTES // 10)])
def test_arrays_are_bounded(*, packed: bool, count: int, size: int) -> None:
    """In messages and bytes; a message too large for any array is sent alone."""
    wanted = codec(packed=packed, deflated=False, batched=True)
    messages = [{"number": number, "pad": "x" * size} for number in range(count)]
    messages.append({"number": count, "pad": "x" * 2 * MAX_BATCH_BYTES})
    data = MessageBatch([outgoing(message) for message in messages]).form(wanted)
    assert read(data, wanted) == messages
    for frame in frames_of(data, wanted):
        value = ormsgpack.unpackb(frame.data) if packed else json.loads(bytes(frame.data))
        if isinstance(value, list):
            assert 1 < len(value) <= MAX_BATCH_MESSAGES
            assert len(frame.data) <= MAX_BATCH_BYTES + MAX_BATCH_MESSAGES

"""Frame parser compared with the library websockets, for any bytes in any division."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ProtocolError
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.utils import apply_mask

from api.transports.websocket.frame_parser import BadFrames, FrameReader
from tests.thoroughness import examples

MAX_BYTES = 300
LARGE_BYTES = 10_000
"""More than what is compared comes to: the library counts a ping within a message as part of its size."""
MASK = b"\x01\x02\x03\x04"

BAD = (-1, b"")
FILLER = bytes(1 << 20)
Read = list[tuple[int, bytes]]
"""Messages and control frames, and at last maybe `BAD`: which code is right is not asked."""


def frame(first: int, payload: bytes, *, masked: bool = True, stretched: bool = False) -> bytes:
    """Return a frame; one of a message may use more bytes for its length than needed."""
    size, mask_bit = len(payload), 0x80 if masked else 0
    if size > 0xFFFF:
        head = bytes((first, mask_bit | 127)) + size.to_bytes(8)
    elif size > 125 or (stretched and not first & 0x08):
        head = bytes((first, mask_bit | 126)) + size.to_bytes(2)
    else:
        head = bytes((first, mask_bit | size))
    return head + (MASK + apply_mask(payload, MASK) if masked else payload)


def deflater() -> PerMessageDeflate:
    """Return compression as negotiated with a client."""
    return PerMessageDeflate(
        remote_no_context_takeover=True,
        local_no_context_takeover=True,
        remote_max_window_bits=12,
        local_max_window_bits=12,
    )


def deflated(payload: bytes) -> bytes:
    """Return a payload as such a client sends it."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, -12)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def read_here(chunks: Sequence[bytes], *, deflates: bool) -> Read:
    """Return the result of our parser."""
    reader = FrameReader(LARGE_BYTES, deflater() if deflates else None)
    read: Read = []
    try:
        for chunk in chunks:
            for each in reader.read(chunk):
                if each[0] == Opcode.CLOSE:
                    Close.parse(each[1])  # As callers of the library do: it has no parser without.
                read.append(each)
                if each[0] == Opcode.CLOSE:
                    return read
    except (BadFrames, ProtocolError, UnicodeDecodeError):
        read.append(BAD)
    return read


def read_there(data: bytes, *, deflates: bool) -> Read:
    """Return the result of the library, which leaves joining fragments to its callers."""
    protocol = ServerProtocol(state=State.OPEN, max_size=LARGE_BYTES)
    if deflates:
        protocol.extensions = [deflater()]
    next(protocol.parser)
    protocol.parser = protocol.parse()
    next(protocol.parser)
    protocol.receive_data(data)
    read: Read = list(_joined(event for event in protocol.events_received() if isinstance(event, Frame)))
    if str(protocol.parser_exc) == "incomplete fragmented message":
        # It takes no close within a message. RFC 6455, 5.4, has control frames there.
        assert protocol.close_rcvd is not None
        read.append((Opcode.CLOSE, protocol.close_rcvd.serialize()))
    elif protocol.parser_exc is not None:
        read.append(BAD)
    return read


def _joined(frames: Iterator[Frame]) -> Iterator[tuple[int, bytes]]:
    opcode, parts = 0, b""
    for each in frames:
        if each.opcode >= Opcode.CLOSE:
            yield int(each.opcode), bytes(each.data)
            continue
        opcode, parts = int(each.opcode) or opcode, parts + bytes(each.data)
        if each.fin:
            yield opcode, parts
            opcode, parts = 0, b""


firsts = st.sampled_from([0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8A, 0x81, 0x80, 0x00]) | st.integers(
    0, 255
)
payloads = st.binary(max_size=20) | st.sampled_from([b"", b"x" * 125, b"x" * 126, b"x" * 300])
frames = st.builds(
    frame, firsts, payloads, masked=st.sampled_from([True] * 9 + [False]), stretched=st.booleans()
)
compressed = st.builds(
    lambda first, text, cut: frame(first | 0x40, deflated(text)[: cut or None]),
    st.sampled_from([0x81, 0x82, 0x01]),
    st.binary(max_size=30) | st.just(b"z" * 1_000),
    st.sampled_from([0, 0, 0, 3]),
)

closes = st.builds(
    lambda code, reason: frame(0x88, code.to_bytes(2) + reason),
    st.sampled_from([999, 1000, 1004, 1005, 1012, 2999, 3000, 4500, 5000]),
    st.sampled_from([b"", b"bye", b"\xff"]),
) | st.just(frame(0x88, b"\x03"))


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(frames | compressed | closes, max_size=6), st.binary(max_size=6), st.data())
def test_frames_are_parsed_as_by_the_library(sent: list[bytes], rest: bytes, data: st.DataObject) -> None:
    """Any content and any division; with compression and without."""
    whole = b"".join(sent) + rest
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=8)))
    chunks = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    for deflates in (False, True):
        here = read_here(chunks, deflates=deflates)
        if here[-1:] == [BAD]:
            # We see it when the head is there, the library when all of the frame is.
            assert here == read_there(whole + FILLER, deflates=deflates)[: len(here)]
        else:
            assert here == read_there(whole, deflates=deflates)


def test_frame_in_single_bytes_is_parsed_once() -> None:
    """Nothing is returned before the last byte."""
    reader = FrameReader(MAX_BYTES)
    sent = frame(0x81, b"y" * 200)
    for at in range(len(sent) - 1):
        assert list(reader.read(sent[at : at + 1])) == []
    assert list(reader.read(sent[-1:])) == [(Opcode.TEXT, b"y" * 200)]


@pytest.mark.parametrize(
    "sent",
    [
        frame(0x82, b"x" * (MAX_BYTES + 1))[:4],  # It is not waited for.
        frame(0x01, b"a" * 200) + frame(0x89, b"ping") + frame(0x80, b"b" * 101)[:2],
        frame(0xC1, deflated(b"z" * (MAX_BYTES + 1))),
        frame(0xC1, deflated(b"z" * 100_000)),
        frame(0x41, deflated(b"z" * 200)) + frame(0x80, b"\x00" * 290),
    ],
)
def test_oversized_message_ends_parsing(sent: bytes) -> None:
    """As soon as it is seen, in whichever way it is too large."""
    reader = FrameReader(MAX_BYTES, deflater())
    with pytest.raises(BadFrames) as bad:
        list(reader.read(sent))
    assert bad.value.code in ({1002, 1009} if sent[0] == 0x41 else {1009})


def test_message_of_the_maximum_size_is_parsed() -> None:
    """Also with a ping in its middle."""
    sent = frame(0x01, b"a" * 200) + frame(0x89, b"p" * 125) + frame(0x80, b"b" * 100)
    assert list(FrameReader(MAX_BYTES).read(sent)) == [
        (Opcode.PING, b"p" * 125),
        (1, b"a" * 200 + b"b" * 100),
    ]
    assert list(FrameReader(MAX_BYTES, deflater()).read(frame(0xC2, deflated(b"z" * MAX_BYTES)))) == [
        (Opcode.BINARY, b"z" * MAX_BYTES)
    ]


def test_empty_fragments_cost_nothing() -> None:
    """Any number."""
    reader = FrameReader(MAX_BYTES)
    assert list(reader.read(frame(0x01, b"a") + frame(0x00, b"") * 10_000)) == []
    assert list(reader.read(frame(0x80, b"b"))) == [(Opcode.TEXT, b"ab")]
    assert reader._parts is None

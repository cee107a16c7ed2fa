"""States in the audit: the JSON of the API, packed into bytes.

A packed state lacks the ids at the beginning of the JSON, which other columns of its row have. It is
compressed with a dictionary of what states have in common, which `benchmarks/state_dictionary.py` makes.
Another dictionary needs another `VERSION` of the read model `audit`.
"""

from __future__ import annotations

import threading
from importlib.resources import files

import zstandard
from zstandard import FORMAT_ZSTD1_MAGICLESS, ZstdCompressionDict, ZstdCompressionParameters

from app.stream_ids import StreamId

DICTIONARY_FILE = "states.dictionary"
LEVEL = 3
"""A level that searches longer saves two bytes of a state, and takes four times as long."""
PLAIN, PACKED = b"\x00", b"\x01"
"""The first byte of a column: whether the JSON follows as it is."""


class _Codec(threading.local):
    """The compression of a thread; zstd's contexts serve one thread at a time."""

    def __init__(self) -> None:
        dictionary = ZstdCompressionDict(files(__package__).joinpath(DICTIONARY_FILE).read_bytes())
        parameters = ZstdCompressionParameters.from_level(
            LEVEL, format=FORMAT_ZSTD1_MAGICLESS, write_content_size=1, write_checksum=0, write_dict_id=0
        )
        self.compress = zstandard.ZstdCompressor(dict_data=dictionary, compression_params=parameters).compress
        self.decompress = zstandard.ZstdDecompressor(
            dict_data=dictionary, format=FORMAT_ZSTD1_MAGICLESS
        ).decompress


_CODEC = _Codec()


def pack(state: bytes, stream: StreamId, list_id: str | None) -> bytes:
    """Return the bytes of a state in a row with this stream and this list."""
    head = _head(stream, list_id)
    if not state.startswith(head):
        return PLAIN + state
    return PACKED + _CODEC.compress(state[len(head) :])


def unpack(packed: bytes, stream: StreamId, list_id: str | None) -> bytes:
    """Return the state in a row with this stream and this list, as JSON."""
    if packed.startswith(PLAIN):
        return packed[1:]
    return _head(stream, list_id) + _CODEC.decompress(packed[1:])


def _head(stream: StreamId, list_id: str | None) -> bytes:
    """Return how the JSON of a state begins, if its ids need no escapes."""
    of_list = f'"list_id":"{list_id}",' if list_id is not None and stream.kind == "task" else ""
    return f'{{"id":"{stream.key}",{of_list}'.encode()

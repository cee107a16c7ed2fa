"""`Prefer` and `Accept-Encoding` according to their standards."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from api.http.content_coding import MIN_BYTES, accepts_gzip, compressible
from api.http.headers import preference


def preferring(*lines: str) -> Request:
    return Request({"type": "http", "headers": [(b"prefer", line.encode()) for line in lines]})


@pytest.mark.parametrize(
    ("lines", "wait_s", "applied", "strict"),
    [
        ([], 5, None, False),
        (["wait=10"], 10, "wait=10", False),
        (["wait=60"], 60, "wait=60", False),
        (["wait=61"], 60, "wait=60", False),
        (["wait=9999999999"], 60, "wait=60", False),
        (["wait=" + "9" * 5000], 60, "wait=60", False),
        (["wait=0000000000007"], 7, "wait=7", False),
        (['Wait = "7"'], 7, "wait=7", False),
        (["wait=7; foo=1"], 7, "wait=7", False),
        (["wait=7, wait=9"], 7, "wait=7", False),
        (["respond-async"], 0, "respond-async", False),
        (["respond-async, wait=7"], 7, "wait=7", False),
        (["respond-async", "wait=7"], 7, "wait=7", False),
        (["wait=-1"], 5, None, False),
        (["wait=1.5"], 5, None, False),
        (["wait=\u0663"], 5, None, False),
        (["wait"], 5, None, False),
        (["wait=x, respond-async"], 0, "respond-async", False),
        (["handling=strict"], 5, "handling=strict", True),
        (["handling=lenient"], 5, None, False),
        (["wait=7,handling=strict"], 7, "wait=7, handling=strict", True),
        (['note="a, wait=1", wait=7'], 7, "wait=7", False),
        (['note="open, wait=7'], 5, None, False),
        (["return=minimal"], 5, None, False),
    ],
)
def test_prefer_is_parsed(lines: list[str], wait_s: float, applied: str | None, *, strict: bool) -> None:
    """A wait above the bound becomes the bound; unknown preferences are ignored; the first of a name
    counts."""
    found = preference(preferring(*lines), 5)
    assert (found.wait_s, found.applied, found.strict) == (wait_s, applied, strict)


@pytest.mark.parametrize(
    ("accepted", "gzip"),
    [
        *(
            ([], False),
            ([""], False),
            (["gzip"], True),
            (["GZIP"], True),
            (["x-gzip"], True),
            (["br"], False),
        ),
        *((["gzip;q=0"], False), (["gzip; q=0.000"], False), (["gzip;q=0.1"], True), (["*"], True)),
        *((["*;q=0"], False), (["gzip, *;q=0"], True), (["gzip;q=0, *"], False), (["identity"], False)),
        *((["identity, gzip;q=0.5"], False), (["identity;q=0.5, gzip"], True), (["br", "gzip"], True)),
        *((["gzip, deflate, br, zstd"], True), (["identity;q=0"], False)),
    ],
)
def test_accept_encoding_is_parsed(accepted: list[str], *, gzip: bool) -> None:
    """By weights, over several lines."""
    assert accepts_gzip(accepted) == gzip


@pytest.mark.parametrize(
    ("media_type", "expected"),
    [
        *(("application/json", True), ("application/problem+json", True), ("text/html; charset=utf-8", True)),
        *(("text/javascript", True), ("image/svg+xml", True), ("text/plain; version=0.0.4", True)),
        *(("text/event-stream", False), ("text/event-stream; charset=utf-8", False), ("image/png", False)),
    ],
)
def test_large_texts_are_compressed_but_no_streams(media_type: str, *, expected: bool) -> None:
    assert compressible(media_type, MIN_BYTES) == expected
    assert not compressible(media_type, MIN_BYTES - 1)

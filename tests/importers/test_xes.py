"""XES parser: accepted and refused input, positions of errors, and bounded memory."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasktape.importers.files import Damaged, ImportFile
from tasktape.importers.xes import MAX_TAG_BYTES, Refused, XesEvent, XesTrace, parse_time, read_xes

HEAD = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<log xes.version="1.0" xmlns="http://www.xes-standard.org/">\n'
)
CEST = timezone(timedelta(hours=2))

GOOD = """\
<trace>
  <string key="concept:name" value="%s"/>
  <event>
    <string key="org:resource" value="Ann"/>
    <string key="concept:name" value="Accepted"/>
    <string key="lifecycle:transition" value="In Progress"/>
    <date key="time:timestamp" value="2012-05-05T14:54:27+02:00"/>
  </event>
</trace>
"""


def read(*parts: str | bytes, head: bytes = HEAD, end: bytes = b"</log>") -> list[XesTrace | Refused]:
    """Return the traces of a log with these parts."""
    encoded = [part if isinstance(part, bytes) else part.encode() for part in parts]
    return list(read_xes([head, *encoded, end]))


def event(line: str, *, time: str = '<date key="time:timestamp" value="2012-05-05T14:54:27Z"/>') -> str:
    """Return one event on a single line."""
    return f"<event>{line}{time}</event>\n"


def test_trace_has_name_line_and_events() -> None:
    [trace] = read(GOOD % "1-364285768")
    assert trace == XesTrace(
        1,
        3,
        "1-364285768",
        [XesEvent("Accepted", "In Progress", "Ann", datetime(2012, 5, 5, 14, 54, 27, tzinfo=CEST))],
    )


ENCODED = (
    '<?xml version="1.0" encoding="%s"?>\n<log><trace><string key="concept:name" value="%s"/>'
    '<event><date key="time:timestamp" value="2020-01-01T00:00:00Z"/></event></trace></log>'
)


@pytest.mark.parametrize(
    ("declared", "codec", "name"),
    [
        ("gb2312", "gb2312", "日本"),
        ("Shift_JIS", "shift_jis", "日本"),
        ("EUC-JP", "euc_jp", "日本"),
        ("Big5", "big5", "日本"),
        ("GB18030", "gb18030", "日本é"),
        ("utf-32", "utf-32", "日本é"),
        ("UTF-16", "utf-16", "日本é"),
        ("UTF-16", "utf-16-be", "日本é"),
        ("UTF-16LE", "utf-16-le", "日本é"),
        ("utf-8", "utf-8-sig", "日本é"),
        ("windows-1252", "cp1252", "é€"),
        ("ISO-8859-15", "iso8859-15", "é€"),
        ("KOI8-R", "koi8_r", "Имя"),
        ("IBM500", "cp500", "é"),
    ],
)
def test_declared_encoding_is_used(declared: str, codec: str, name: str) -> None:
    """Also those that expat does not know, a few bytes at a time."""
    encoded = (ENCODED % (declared, name)).encode(codec)
    [trace] = read_xes(encoded[place : place + 5] for place in range(0, len(encoded), 5))
    assert isinstance(trace, XesTrace)
    assert trace.name == name


@pytest.mark.parametrize(
    ("declared", "codec", "reason"),
    [
        ("klingon", "utf-8", "is in an encoding that is not known here, 'klingon'"),
        ("", "utf-8", "is in an encoding that is not known here, ''"),
        ("../x", "utf-8", "is in an encoding that is not known here, '../x'"),
        ("utf-7", "utf-8", "is in an encoding that is not read here, 'utf-7'"),
        ("hex", "utf-8", "is in an encoding that is not read here, 'hex'"),
        ("unicode_escape", "utf-8", "is in an encoding that is not read here"),
        ("ISO-8859-1", "utf-8-sig", "says that it is iso8859-1, and begins as utf-8 does"),
        ("UTF-16", "utf-8", "says that it is utf-16, and does not begin so"),
        ("UTF-8", "utf-16", "says that it is utf-8, and begins as utf-16 does"),
        ("UTF-8", "cp037", "says that it is utf-8, and begins as EBCDIC does"),
        ("US-ASCII", "utf-8", "says that it is ascii, and has bytes that are not"),
        ("Big5", "latin-1", "says that it is big5, and has bytes that are not"),
        ("UTF-8", "latin-1", "not well-formed"),
    ],
)
def test_wrongly_declared_encoding_is_one_refusal(declared: str, codec: str, reason: str) -> None:
    """Nothing is guessed, and no byte is replaced."""
    [refused] = read_xes([(ENCODED % (declared, "né")).encode(codec)])
    assert isinstance(refused, Refused)
    assert reason in refused.reason
    assert refused.ends


@pytest.mark.parametrize(
    ("attribute", "resource"),
    [
        ('<int key="org:resource" value="112"/>', "112"),
        ('<id key="org:resource" value="3f9a"/>', "3f9a"),
        ('<float key="org:resource" value="112.0"/>', "112.0"),
        ('<float key="org:resource" value="nan"/>', None),
        ('<float key="org:resource" value="NaN"/>', None),
        ("", None),
    ],
)
def test_value_of_another_type_is_converted_by_its_type(attribute: str, resource: str | None) -> None:
    """A float NaN is how tables write an empty cell, not a person."""
    [trace] = read("<trace>", event(attribute), "</trace>")
    assert isinstance(trace, XesTrace)
    assert [each.resource for each in trace.events] == [resource]


@pytest.mark.parametrize(
    ("attribute", "reason"),
    [
        ('<int key="org:resource" value="Ann"/>', "org:resource 'Ann' is not an int"),
        ('<int key="org:resource" value="1_0"/>', "is not an int"),
        ('<float key="org:resource" value="Ann"/>', "is not a float"),
        ('<float key="org:resource" value="INF"/>', "is not a float"),
        ('<boolean key="org:resource" value="true"/>', "is a <boolean>, not text"),
        ('<list key="concept:name" value="x"/>', "is a <list>, not text"),
    ],
)
def test_value_that_does_not_fit_its_type_refuses_the_trace(attribute: str, reason: str) -> None:
    """With its line."""
    [refused, other] = read("<trace>\n", event(attribute), "</trace>", GOOD % "other")
    assert isinstance(refused, Refused)
    assert reason in refused.reason
    assert refused.line == 4
    assert isinstance(other, XesTrace)


def test_name_that_is_nan_counts_as_missing() -> None:
    """The trace is named by its position."""
    [trace] = read('<trace><float key="concept:name" value="nan"/>', event(""), "</trace>")
    assert isinstance(trace, XesTrace)
    assert trace.label == "Trace 1"


def test_other_elements_are_ignored() -> None:
    """Extensions, globals, classifiers, attributes of the log and nested ones."""
    noise = """
    <!-- <trace> -->
    <extension name="Time" prefix="time" uri="http://www.xes-standard.org/time.xesext"/>
    <global scope="event"><date key="time:timestamp" value="1970-01-01T00:00:00Z"/></global>
    <global scope="trace"><string key="concept:name" value="UNKNOWN"/></global>
    <classifier name="Activity" keys="concept:name"/>
    <string key="concept:name" value="the log"/>
    <float key="a" value="1"><float key="concept:name" value="nested"/></float>
    <trace>
      <list key="children"><values><string key="concept:name" value="in a list"/></values></list>
      <string key="concept:name" value="T"><string key="concept:name" value="nested"/></string>
      <event>
        <string key="concept:name" value="A"><string key="concept:name" value="nested"/></string>
        <container key="c"><date key="time:timestamp" value="nonsense"/></container>
        <date value="2012-05-05T14:54:27Z" key="time:timestamp"/>
        <string key="org:resource"/>
      </event>
    </trace>
    """
    [trace] = read(noise)
    assert isinstance(trace, XesTrace)
    assert (trace.name, trace.number) == ("T", 1)
    assert trace.events == [XesEvent("A", None, None, datetime(2012, 5, 5, 14, 54, 27, tzinfo=UTC))]


def test_name_may_follow_the_events_or_be_missing() -> None:
    """Without one the trace is named by its position."""
    first, second, third = read(
        f'<trace>{event("")}<string key="concept:name" value=" a&#10; b "/></trace>',
        f"<trace>{event('')}</trace>",
        f'<trace><string key="concept:name" value="  "/>{event("")}</trace>',
    )
    labels = [one.label for one in (first, second, third) if isinstance(one, XesTrace)]
    assert labels == ["a b", "Trace 2", "Trace 3"]


def test_namespace_may_have_a_prefix() -> None:
    [trace] = read(
        '<x:trace><x:string key="concept:name" value="T"/><x:event>'
        '<x:date key="time:timestamp" value="2012-05-05T14:54:27Z"/></x:event></x:trace>',
        head=b'<x:log xmlns:x="http://www.xes-standard.org/">',
        end=b"</x:log>",
    )
    assert isinstance(trace, XesTrace)
    assert (trace.name, len(trace.events)) == ("T", 1)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1"])
def test_encodings_are_detected(encoding: str) -> None:
    """By the XML declaration or the byte order mark."""
    name = "utf-8" if encoding == "utf-8-sig" else encoding
    text = f'<?xml version="1.0" encoding="{name}"?><log>{GOOD % "Zoë"}</log>'
    [trace] = read_xes([text.encode(encoding)])
    assert isinstance(trace, XesTrace)
    assert trace.name == "Zoë"


@given(st.lists(st.integers(1, 200), max_size=60))
def test_chunks_may_end_anywhere(sizes: list[int]) -> None:
    """Results and lines are the same."""
    broken_time = event("").replace("2012-05-05T14", "2012-05-05X14")
    text = HEAD + (GOOD % "A" + f"<trace>\n{broken_time}</trace>\n" + GOOD % "Zoë").encode() + b"</log>"

    def pieces() -> Iterator[bytes]:
        rest = text
        for size in sizes:
            yield rest[:size]
            rest = rest[size:]
        yield rest

    assert list(read_xes(pieces())) == list(read_xes([text]))


# --- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time", "reason"),
    [
        ("", "an event without time:timestamp"),
        ('<date key="time:timestamp"/>', "an event without time:timestamp"),
        ('<date key="time:timestamp" value=""/>', "time:timestamp '' is not a date and time"),
        (
            '<date key="time:timestamp" value="yesterday"/>',
            "time:timestamp 'yesterday' is not a date and time",
        ),
    ],
)
def test_invalid_time_refuses_only_its_trace(time: str, reason: str) -> None:
    """With the line of the event; nothing of it is imported."""
    events = event("") + event("", time=time) + event("")
    bad = f'<trace>\n<string key="concept:name" value="B"/>\n{events}</trace>\n'
    first, second, third = read(GOOD % "A", bad, GOOD % "C")
    assert second == Refused("B", 3 + 9 + 3, reason)
    assert isinstance(first, XesTrace)
    assert isinstance(third, XesTrace)
    assert (first.name, third.name, third.number) == ("A", "C", 3)


def test_first_reason_is_given() -> None:
    """A trace with several invalid events is refused once."""
    refused = read("<trace>\n", event("", time=""), event("", time=""), "</trace>")
    assert refused == [Refused("Trace 1", 4, "an event without time:timestamp")]


def test_line_of_an_invalid_time_is_exact() -> None:
    """Though an event has many lines."""
    lines = (GOOD % "A").replace("2012-05-05T14:54:27+02:00", "5 May 2012")
    assert read(lines) == [Refused("A", 3 + 6, "time:timestamp '5 May 2012' is not a date and time")]


def test_broken_xml_ends_the_parsing() -> None:
    """Earlier traces are complete; the trace and line are named; nothing after it is parsed."""
    bad = '<trace>\n<string key="concept:name" value="B"/>\n<event>\n<string key="a" value="</event></trace>'
    first, second = read(GOOD % "A", bad, GOOD % "C")
    assert isinstance(first, XesTrace)
    assert second == Refused("B", 3 + 9 + 3, "not well-formed (invalid token)", ends=True)


def test_broken_xml_between_traces_names_none() -> None:
    _, refused = read(GOOD % "A", "</oops>")
    assert refused == Refused(None, 3 + 9, "mismatched tag", ends=True)


@pytest.mark.parametrize("cut", [0, 10, len(HEAD), len(HEAD) + 100, -1, -7])
def test_truncated_file_is_refused(cut: int) -> None:
    """Wherever it was cut."""
    text = HEAD + (GOOD % "A").encode() + b"</log>"
    *_, last = read_xes([text[:cut]])
    assert isinstance(last, Refused)
    assert last.ends


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"<html></html>", "not an XES log: its root is <html>"),
        (b"PK\x03\x04", "not well-formed (invalid token)"),
        (b'{"a": 1}', "not well-formed (invalid token)"),
        (b"<!DOCTYPE log><log/>", "a document type declaration"),
        (b'<!DOCTYPE l [<!ENTITY a "x"><!ENTITY b "&a;&a;">]><log>&b;</log>', "a document type declaration"),
        (b'<!DOCTYPE l SYSTEM "file:///etc/passwd"><log/>', "a document type declaration"),
        (b"<log>" + b"<a>" * 300, "nested more than 200 deep"),
        (b"<log>&unknown;</log>", "undefined entity"),
    ],
)
def test_other_files_are_refused_in_one_line(text: bytes, reason: str) -> None:
    """Also entity bombs and endless elements."""
    [refused] = read_xes([text])
    assert isinstance(refused, Refused)
    assert refused.ends
    assert reason in refused.reason


def test_endless_tag_is_refused() -> None:
    """Memory is bounded although expat keeps an unfinished tag whole."""

    def endless() -> Iterator[bytes]:
        yield b'<log><trace><string key="concept:name" value="'
        for _ in range(2 * MAX_TAG_BYTES // 65_536):
            yield b"x" * 65_536
        raise AssertionError("nobody stopped reading")

    [refused] = read_xes(endless())
    assert isinstance(refused, Refused)
    assert "a tag or comment of more than 4 MiB" in refused.reason


def test_number_of_events_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded."""
    monkeypatch.setattr("tasktape.importers.xes.MAX_TRACE_EVENTS", 3)
    refused, good = read("<trace>\n", *([event("")] * 9), "</trace>", GOOD % "B")
    assert refused == Refused("Trace 1", 7, "more than 3 events")
    assert isinstance(good, XesTrace)


def test_events_outside_of_traces_are_refused() -> None:
    refused, good = read(event(""), GOOD % "A")
    assert refused == Refused(None, 3, "an event outside of every trace")
    assert isinstance(good, XesTrace)


def test_empty_logs_and_traces_are_accepted() -> None:
    assert read() == []
    assert read("<trace/>") == [XesTrace(1, 3)]


# --- times -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2012-05-05T14:54:27+02:00", datetime(2012, 5, 5, 12, 54, 27, tzinfo=UTC)),
        ("2012-05-05T14:54:27Z", datetime(2012, 5, 5, 14, 54, 27, tzinfo=UTC)),
        (" 2012-05-05T14:54:27.123456789-00:30 ", datetime(2012, 5, 5, 15, 24, 27, 123456, tzinfo=UTC)),
        ("2012-05-05T14:54:27.5", datetime(2012, 5, 5, 14, 54, 27, 500000, tzinfo=UTC)),
    ],
)
def test_times_are_parsed(text: str, time: datetime) -> None:
    """Any xs:dateTime; without an offset it is UTC."""
    assert parse_time(text) == time


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2012-05-05",
        "2012-05-05 14:54:27",
        "20120505T145427Z",
        "2012-05-05T14:54",
        "2012-02-30T00:00:00Z",
        "2012-05-05T25:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "12012-05-05T14:54:27Z",
        "1336222467",
    ],
)
def test_invalid_times_are_refused(text: str) -> None:
    """A date alone, another notation, or an instant that has no UTC time."""
    assert parse_time(text) is None


# --- files -----------------------------------------------------------------------------------------------


def test_gzipped_files_are_detected_by_their_bytes(tmp_path: Path) -> None:
    """Whatever the name; several gzip members are one file."""
    text = HEAD + (GOOD % "A").encode() + b"</log>"
    (tmp_path / "plain.gz").write_bytes(text)
    (tmp_path / "zipped.xes").write_bytes(gzip.compress(text[:50]) + gzip.compress(text[50:]))
    for name in ("plain.gz", "zipped.xes"):
        with ImportFile(tmp_path / name) as file:
            assert b"".join(file.chunks()) == text
            assert file.position == file.size == (tmp_path / name).stat().st_size


@pytest.mark.parametrize(("cut", "reason"), [(30, "ends early"), (-4, "ends early")])
def test_truncated_gzipped_file_is_refused(tmp_path: Path, cut: int, reason: str) -> None:
    """With the trace where it ends."""
    path = tmp_path / "log.xes.gz"
    path.write_bytes(gzip.compress(HEAD + (GOOD % "A").encode() + b"</log>")[:cut])
    with ImportFile(path) as file:
        *_, last = read_xes(file.chunks())
    assert isinstance(last, Refused)
    assert last.ends
    assert reason in last.reason


def test_damaged_gzipped_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.xes.gz"
    packed = bytearray(gzip.compress(HEAD + (GOOD % "A").encode() * 500 + b"</log>"))
    packed[40:60] = bytes(20)
    path.write_bytes(packed)
    with ImportFile(path) as file, pytest.raises(Damaged, match=r"damaged|early"):
        list(file.chunks())


def test_memory_does_not_grow_with_the_file() -> None:
    """Twenty times the traces need no more memory."""

    def log(traces: int) -> Iterable[bytes]:
        yield HEAD
        for number in range(traces):
            yield (GOOD % f"trace {number}").encode()
        yield b"</log>"

    def peak_bytes(traces: int) -> int:
        tracemalloc.start()
        try:
            assert sum(isinstance(one, XesTrace) for one in read_xes(log(traces))) == traces
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak_bytes(100)
    assert peak_bytes(10_000) < peak_bytes(500) + 100_000

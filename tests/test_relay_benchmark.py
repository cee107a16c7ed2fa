"""Updates of the relay benchmark, equal to those of the product."""

from __future__ import annotations

from pydantic_core import from_json

from app.ids import is_uuid
from app.log import records, updates
from benchmarks.relay_publisher import VALUE_BYTES, comment, update

LIST = "10000000-0000-4000-8000-000000000000"
TASK = "20000000-0000-4000-8000-000000000000"
LINE = b'{"sent_seq":1764221000000000,"sent_ns":1764221000000000000}'


def test_update_of_the_benchmark_is_valid() -> None:
    """It is decoded unchanged, is for the list's members, and its message has the compared size."""
    made = update(3, LIST, TASK, 1_234, LINE)
    _, value, headers = updates.encode(made)
    assert updates.decode(headers, value) == made
    assert made.channels == (f"task:{TASK}", f"list:{LIST}")
    assert len(value) == VALUE_BYTES
    message = from_json(value)
    assert (message["type"], message["position"]) == ("update", "3:1234")
    assert message["event"]["data"]["sent_seq"] == 1764221000000000
    assert is_uuid(message["event"]["id"])


def test_comment_of_the_benchmark_is_accepted() -> None:
    """It is the next record of the task, with the line as its text."""
    made = comment("alice", TASK, 7, LINE)
    key, value, headers = records.encode(made)
    found = records.decode(key, headers, value)
    assert found.data == made.data
    assert (found.stream.kind, found.version, found.actor) == ("task", 7, "alice")

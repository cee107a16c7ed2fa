"""Backups that were changed with all their digests: the verifier names the first record that differs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.backup.records import LogRecord
from tasktape.offline_verifier import leaf_hash
from tests.streams.backup_files import PARTITIONS, in_order, write
from tests.thoroughness import examples
from tests.verifier.running import verify
from tests.verifier.signing import Signer, head_text, note

SIGNER = Signer()
texts = st.none() | st.binary(max_size=5)
drawn = st.tuples(
    st.integers(0, PARTITIONS - 1),
    st.integers(0, 2**40),
    st.integers(0, 1),
    texts,
    texts,
    st.lists(st.tuples(st.sampled_from(["ce_id", ""]), texts), max_size=2),
)
histories = st.lists(drawn, min_size=4, max_size=30).map(in_order)


def by_partition(records: Sequence[LogRecord]) -> list[list[bytes]]:
    """Return the canonical bytes of each partition."""
    return [
        [each.canonical for each in records if each.partition == partition] for partition in range(PARTITIONS)
    ]


def renumbered(records: Sequence[LogRecord]) -> list[LogRecord]:
    """Return records with the offsets that follow from their order."""
    return in_order([(each[0], *each[2:6], list(each.headers)) for each in records])


def changed(how: str, records: list[LogRecord], at: int) -> list[LogRecord]:
    """Return records of which one was changed, dropped, inserted or moved, or that end before it."""
    record, before, after = records[at], records[:at], records[at + 1 :]
    others = {
        "flip": [*before, record._replace(value=b"other"), *after],
        "time": [*before, record._replace(timestamp_ms=record.timestamp_ms + 1), *after],
        "drop": [*before, *after],
        "insert": [*before, record._replace(value=b"other"), record, *after],
        "reorder": [*after[:1], *before, record, *after[1:]],
        "truncate": before,
    }
    return renumbered(others[how])


@settings(max_examples=examples(60))
@given(st.sampled_from(["flip", "time", "drop", "insert", "reorder", "truncate"]), histories, st.data())
def test_first_changed_record_is_named(how: str, records: list[LogRecord], data: st.DataObject) -> None:
    """With a list of hashes exactly, and without one by the head before and the head after it."""
    other = changed(how, records, data.draw(st.integers(0, len(records) - 1)))
    cut = data.draw(st.integers(0, len(records)))
    heads = [head_text(by_partition(records[:end])) for end in (cut, len(records))]
    was, found = by_partition(records), by_partition(other)
    differences = [
        (partition, first)
        for partition in range(PARTITIONS)
        if (first := first_difference(was[partition], found[partition])) is not None
    ]
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "heads").write_text("\n".join(note(each, SIGNER.line(each)) for each in heads))
        (folder / "hashes").write_text("".join(listed(partition, each) for partition, each in enumerate(was)))
        write(folder / "backup", other)
        exact = faults(folder, "--hashes", str(folder / "hashes"))
        roughly = faults(folder)
    assert [places(line)[:1] for line in exact] == [[each] for each in differences]
    assert len(roughly) == len(exact)
    for (partition, offset), line in zip(differences, roughly, strict=True):
        named = [at for place, at in places(line) if place == partition]
        assert named[0] <= offset <= named[-1]


def faults(folder: Path, *options: str) -> list[str]:
    """Return the lines about a backup; none if it is right."""
    arguments = ("--key", SIGNER.key, "--heads", f"{folder}/heads", *options, f"{folder}/backup")
    return verify("backup", *arguments)[1]


def places(line: str) -> list[tuple[int, int]]:
    """Return the positions that a line names."""
    text = re.sub(r" at \S+", "", line)
    return [(int(partition), int(offset)) for partition, offset in re.findall(r"(\d+):(\d+)", text)]


def listed(partition: int, records: Sequence[bytes]) -> str:
    """Return the lines of a list of hashes."""
    return "".join(f"{partition}:{at} {leaf_hash(each).hex()}\n" for at, each in enumerate(records))


def first_difference(was: Sequence[bytes], found: Sequence[bytes]) -> int | None:
    """Return the first of these records that is not found in its place."""
    return next((at for at, record in enumerate(was) if found[at : at + 1] != [record]), None)

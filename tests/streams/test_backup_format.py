"""The file format of backups: round trips, and every kind of damage found and named."""

from __future__ import annotations

import contextlib
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.backup.blocks import FORMAT, MAGIC, BadBackup, BlockReader
from streams.backup.reading import Ends, check_continues, open_backup, read_ends
from streams.backup.records import LogRecord, entry, read_entries
from tests.integration.documents import blocks
from tests.streams.backup_files import PARTITIONS, in_order, write
from tests.thoroughness import examples

some_bytes = st.none() | st.binary(max_size=40)
headers = st.lists(
    st.tuples(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), some_bytes), max_size=5
)
contents = st.tuples(
    st.integers(0, PARTITIONS - 1), st.integers(-1, 2**62), st.integers(0, 1), some_bytes, some_bytes, headers
)


def read(path: Path) -> list[LogRecord]:
    """Read all records of a backup."""
    with open_backup(path) as reader:
        return [each.record for entries in reader.records() for each in entries]


@settings(max_examples=examples(60))
@given(drawn=st.lists(contents, max_size=30), block_bytes=st.integers(1, 2000))
def test_records_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[Any], block_bytes: int
) -> None:
    """Keys, values, headers in order, with duplicates and nulls, times and their types."""
    path = tmp_path_factory.mktemp("backup") / "file"
    records = in_order(drawn)
    ends = write(path, records, block_bytes=block_bytes)
    assert read(path) == records
    with open_backup(path) as reader:
        assert sum(map(len, reader.records())) == ends.footer.records == len(records)
        assert reader.ends == ends
    again = write(path, records, block_bytes=block_bytes + 77)
    assert again.footer == ends.footer, "the digests of a log do not depend on the blocks"


@settings(max_examples=examples(40))
@given(drawn=st.lists(contents, min_size=1, max_size=30), cuts=st.lists(st.integers(0, 30), max_size=3))
def test_increments_hold_what_a_full_backup_does(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[Any], cuts: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("backup")
    records = in_order(drawn)
    whole = write(folder / "whole", records)
    before, at, found = None, 0, []
    for number, cut in enumerate([*sorted(cuts), len(records)]):
        path = folder / f"part-{number}"
        part = write(path, records[at : max(at, min(cut, len(records)))], before)
        check_continues(part, before)
        found += read(path)
        before, at = part, max(at, cut)
    assert found == records
    assert before is not None
    assert before.footer.ends == whole.footer.ends


@settings(max_examples=examples(60))
@given(record=contents.map(lambda drawn: in_order([drawn])[0]), change=st.integers(0, 10**6))
def test_malformed_records_are_a_value_error(record: LogRecord, change: int) -> None:
    """Whatever byte is changed or cut off."""
    block = bytearray(entry(record.canonical, 0) * 2)
    block[change % len(block)] ^= 1 << change % 8
    for data in (bytes(block), bytes(block[: change % len(block)])):
        with contextlib.suppress(ValueError):
            list(read_entries(data))


# --- damage ------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a backup of several blocks."""
    chance = random.Random(4)
    drawn = [
        (
            chance.randrange(3),
            10**12 + n,
            1,
            b"task:1",
            chance.randbytes(30),
            [("ce_id", b"x"), ("ce_id", None)],
        )
        for n in range(60)
    ]
    path = tmp_path / "full.ttb"
    write(path, in_order(drawn), block_bytes=500)
    return path


def places(path: Path) -> list[int]:
    """Return where the blocks begin, and where the last one ends."""
    with path.open("rb") as file:
        reader = BlockReader(file, path)
        return [*(block.at for block in reader.blocks()), reader.at]


def damage(path: Path) -> str:
    """Return the error of a check."""
    with pytest.raises(BadBackup) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_each_flipped_bit_is_found_at_its_block(path: Path) -> None:
    whole, blocks = path.read_bytes(), places(path)
    for at in range(len(MAGIC) + 2, len(whole), 23):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        named = int(re.search(r"at byte (\d+)", damage(path))[1])  # type: ignore[index]
        block = max(begin for begin in blocks if begin <= at)
        # A length that is wrong makes the file end too early.
        assert named in {block, len(whole)} or "follow its end" in damage(path)
    path.write_bytes(whole)
    assert len(read(path)) == 60


def test_truncated_file_is_named_with_the_byte_where_it_ends(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(len(MAGIC), len(whole), 23):
        path.write_bytes(whole[:length])
        assert f"damaged at byte {length}: the file ends" in damage(path)


def test_missing_repeated_and_swapped_blocks_are_named(path: Path) -> None:
    whole, blocks = path.read_bytes(), places(path)
    first, second, third, fourth = blocks[1:5]
    for changed in (
        whole[:second] + whole[third:],
        whole[:third] + whole[second:third] + whole[third:],
        whole[:second] + whole[third:fourth] + whole[second:third] + whole[fourth:],
    ):
        path.write_bytes(changed)
        named = third if changed[second:third] == whole[second:third] else second
        assert f"damaged at byte {named}: block" in damage(path)
        assert "blocks are missing or moved" in damage(path)
    path.write_bytes(whole[:first] + whole[second:])
    assert f"at byte {first}: block 2 stands in the place of block 1" in damage(path)


def test_block_of_another_backup_is_named(path: Path, tmp_path: Path) -> None:
    whole, blocks = path.read_bytes(), places(path)
    other = tmp_path / "other"
    drawn: list[Any] = [(0, n, 1, b"key", b"value" * 20, []) for n in range(60)]
    write(other, in_order(drawn), block_bytes=500)
    foreign, theirs = other.read_bytes(), places(other)
    path.write_bytes(whole[: blocks[2]] + foreign[theirs[2] : theirs[3]] + whole[blocks[3] :])
    assert f"at byte {blocks[2]}: the bytes of block 2 do not match its digest" in damage(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not a backup of Tasktape: it is empty"),
        (b"PK\x03\x04" * 20, "is not a backup of Tasktape"),
        (MAGIC[:-1] + b"\r\n" + bytes(9), "is not a backup of Tasktape"),
        (MAGIC, "ends there; it is truncated"),
        (
            MAGIC + (FORMAT + 1).to_bytes(2, "big") + bytes(99),
            f"has format 2, this release reads up to {FORMAT}: upgrade",
        ),
        (MAGIC + bytes(99), "there is no format 0"),
    ],
)
def test_other_files_and_versions_are_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert reason in damage(path)
    with pytest.raises(BadBackup, match=re.escape(reason)):
        read_ends(path)


def test_bytes_after_the_end_are_named(path: Path) -> None:
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + b"garbage")
    assert f"damaged at byte {size}: 7 bytes follow its end" in damage(path)


def test_records_out_of_order_are_refused(path: Path, tmp_path: Path) -> None:
    """Digests cannot show them if the writer was wrong."""
    ends = write(tmp_path / "base", in_order([(0, 1, 1, None, None, [])]))
    with pytest.raises(BadBackup, match="the log lacks the record 0:1"):
        write(path, [LogRecord(0, 2, 0, 1, None, None, [])], ends)


@pytest.mark.parametrize("kind", ["missing base", "wrong base", "full one in a chain"])
def test_wrong_chains_are_refused(kind: str, path: Path, tmp_path: Path) -> None:
    base = read_ends(path)
    one = write(
        tmp_path / "one",
        in_order([(0, 1, 1, None, None, [])], {m.partition: m.offset for m in base.footer.ends}),
        base,
    )
    two = write(tmp_path / "two", [], one)
    chains = {
        "missing base": ([one], "is an increment: its base comes first, full.ttb with the digest"),
        "wrong base": ([base, two], "two does not continue .*full.ttb: its base is one with the digest"),
        "full one in a chain": ([base, base], "is a full backup, so it cannot follow"),
    }
    chain, reason = chains[kind]
    with pytest.raises(BadBackup, match=reason):
        check_chain(chain)


def check_chain(chain: Sequence[Ends]) -> None:
    for before, ends in zip([None, *chain], chain, strict=False):
        check_continues(ends, before)


def test_blocks_are_zstandard_and_headers_are_json(path: Path) -> None:
    """As the reference says, for other programs."""
    with path.open("rb") as file:
        first, *blocks, last = BlockReader(file, path).blocks()
    assert first.payload.startswith(b"{")
    assert last.payload.startswith(b"{")
    data = b"".join(zstandard.ZstdDecompressor().decompress(block.payload) for block in blocks)
    assert len(list(read_entries(data))) == 60


def test_program_of_the_reference_reads_a_backup(path: Path) -> None:
    """It computes the digests of partitions by itself."""
    [program] = blocks("docs/reference/backup-format.md", language="python")
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f"{mark.partition} {mark.digest.hex()}" for mark in read_ends(path).footer.ends
    ]

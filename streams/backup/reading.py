"""Reading a backup and checking it: block by block, with the memory of one block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import zstandard

from streams.backup.blocks import FOOTER, MAX_PAYLOAD_BYTES, BadBackup, Block, BlockReader
from streams.backup.manifest import Base, Footer, Header, Mark, parse_footer, parse_header
from streams.backup.records import LogRecord, read_entries

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ends:
    """The header and the footer of a backup, and the digest that identifies it."""

    path: Path
    header: Header
    footer: Footer
    digest: bytes


class Entry(NamedTuple):
    """A record with its canonical bytes."""

    record: LogRecord
    canonical: bytes


class BackupReader:
    """Reads one file from its start to its end. Everything that it returns has been checked.

    `ends` is set once all records have been read. All methods raise `BadBackup`, which names the place.
    """

    def __init__(self, blocks: BlockReader, path: Path) -> None:
        self._reader = blocks
        self._blocks = blocks.blocks()
        self._path = path
        self.header = _parsed(blocks, next(self._blocks), parse_header)
        self.digests = {start.partition: start.digest_from_here() for start in self.header.starts}
        self.ends: Ends | None = None

    def records(self) -> Iterator[Sequence[Entry]]:
        """Read the records of each block, in order, then check the footer."""
        count = record_bytes = 0
        for block in self._blocks:
            if block.kind == FOOTER:
                self._finish(block, count, record_bytes)
                continue
            entries = self._decoded(block)
            self._check_order(block, entries)
            yield entries
            count += len(entries)
            record_bytes += sum(len(each.canonical) for each in entries)

    def _decoded(self, block: Block) -> list[Entry]:
        try:
            data = _decompressed(block.payload)
            return [Entry(*each) for each in read_entries(data)]
        except (ValueError, zstandard.ZstdError) as error:
            raise self._reader.damaged(block.at, f"block {block.number} cannot be read ({error})") from error

    def _check_order(self, block: Block, entries: Sequence[Entry]) -> None:
        """Check that each record is the next of its partition, and add it to the digest."""
        for record, canonical in entries:
            digest = self.digests.get(record.partition)
            if digest is None or record.offset != digest.end:
                expected = "no record of that partition" if digest is None else f"{digest.end}"
                raise self._reader.damaged(
                    block.at,
                    f"block {block.number} has the record {record.partition}:{record.offset} "
                    f"in the place of {expected}",
                )
            digest.add(canonical)

    def _finish(self, block: Block, count: int, record_bytes: int) -> None:
        footer = _parsed(self._reader, block, parse_footer)
        marks = tuple(Mark.of(*each) for each in self.digests.items())
        announced = {mark.partition: mark.offset for mark in marks} == dict(self.header.ends)
        if not announced or footer != Footer(records=count, record_bytes=record_bytes, ends=marks):
            raise self._reader.damaged(block.at, "the records are not those that its header and footer name")
        self.ends = Ends(self._path, self.header, footer, self._reader.digest)


@contextmanager
def open_backup(path: Path) -> Iterator[BackupReader]:
    """Open a backup, and read its header. Raise `BadBackup` and `OSError`."""
    with path.open("rb") as file:
        yield BackupReader(BlockReader(file, path), path)


def read_ends(path: Path) -> Ends:
    """Read the header and the footer of a backup, which are checked, but not the records between them."""
    with path.open("rb") as file:
        reader = BlockReader(file, path)
        first, last = reader.ends()
        header = _parsed(reader, first, parse_header)
        return Ends(path, header, _parsed(reader, last, parse_footer), reader.digest)


def check_continues(ends: Ends, before: Ends | None) -> None:
    """Check that a backup can follow `before`, or come first. Raise `BadBackup`."""
    base = ends.header.base
    if before is None:
        if base is not None:
            raise BadBackup(f"{ends.path} is an increment: its base comes first, {_named(base)}")
        return
    if base is None:
        raise BadBackup(f"{ends.path} is a full backup, so it cannot follow {before.path}")
    if base.digest != before.digest:
        raise BadBackup(f"{ends.path} does not continue {before.path}: its base is {_named(base)}")
    if ends.header.starts != before.footer.ends:
        raise BadBackup(f"{ends.path} does not start where its base {before.path} ends")


def _decompressed(payload: bytes) -> bytes:
    size = zstandard.frame_content_size(payload)
    if not 0 < size <= MAX_PAYLOAD_BYTES:
        raise ValueError(f"a content of {size} bytes")
    return zstandard.ZstdDecompressor().decompress(payload)


def _named(base: Base) -> str:
    return f"{base.file} with the digest {base.digest.hex()[:12]}"


def _parsed(reader: BlockReader, block: Block, parse: Callable[[bytes], T]) -> T:
    try:
        return parse(block.payload)
    except ValueError as error:
        raise reader.damaged(block.at, f"block {block.number} cannot be read ({error})") from error

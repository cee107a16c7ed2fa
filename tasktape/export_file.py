"""The file of an export that can be continued: it gets its name when it is complete.

Beside `FILE.partial`, `FILE.partial.json` says what it was begun with. The last complete record says where to
continue: the records of an export are in the order of the log.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import BinaryIO

from app.errors import Malformed
from app.positions import Position, Positions, format_positions, parse_positions

RESUMABLE = ("csv", "jsonl")
CHUNK_BYTES = 1 << 20


class CannotResume(Exception):
    """An error: there is no partial file that can be continued in this way."""


Params = Sequence[tuple[str, str]]
"""The filters of an export: their names and values."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The beginning of a file: its format, its filters, and the positions between which it has events."""

    export_format: str
    params: Params
    after: str
    until: str


@dataclass(frozen=True, slots=True)
class Rest:
    """The rest of a file: the records between two sets of positions. `kept_bytes` of it are complete."""

    kept_bytes: int
    after: str
    until: str


def partial_of(path: Path) -> Path:
    """Return the name of a file until it is complete."""
    return path.with_name(f"{path.name}.partial")


def note_of(path: Path) -> Path:
    """Return the name of the file that says what a file was begun with."""
    return path.with_name(f"{path.name}.partial.json")


def begin(path: Path, begun: Begun) -> None:
    """Note what the file is begun with. Raise `OSError`."""
    partial_of(path).write_bytes(b"")
    note_of(path).write_text(json.dumps(asdict(begun)))


def finish(path: Path) -> None:
    """Give a complete file its name. Raise `OSError`."""
    partial_of(path).replace(path)
    note_of(path).unlink(missing_ok=True)


def rest_of(path: Path, export_format: str, params: Params, after: str) -> Rest:
    """Return what a file lacks. Raise `CannotResume` and `OSError`."""
    if export_format not in RESUMABLE:
        raise CannotResume(f"{export_format} cannot be continued; {' and '.join(RESUMABLE)} can")
    try:
        begun = Begun(**json.loads(note_of(path).read_text()))
        first, until = parse_positions(begun.after), parse_positions(begun.until)
    except FileNotFoundError:
        raise CannotResume(f"there is no {partial_of(path).name} to continue") from None
    except (ValueError, TypeError, AttributeError, Malformed):
        raise CannotResume(f"{note_of(path).name} is damaged") from None
    if (begun.export_format, [*map(tuple, begun.params)], begun.after) != (export_format, [*params], after):
        raise CannotResume(f"{partial_of(path).name} was begun with other options")
    with partial_of(path).open("rb") as file:
        kept_bytes, last = _last_of_csv(file) if export_format == "csv" else _last_of_lines(file)
    if last is not None:
        first = _after(first, until, last)
    return Rest(kept_bytes, format_positions(first), begun.until)


def _after(after: Positions, until: Positions, last: Position) -> dict[int, int]:
    """Return the positions that are in a file whose last record has this one: partition by partition."""
    complete = {partition: offset for partition, offset in until.items() if partition < last.partition}
    return {**after, **complete, last.partition: last.offset}


def _last_of_lines(file: BinaryIO) -> tuple[int, Position | None]:
    """Return the size of the complete lines, and the position in the last one."""
    end = _last_line_end(file, file.seek(0, 2))
    if end == 0:
        return 0, None
    begin = _last_line_end(file, end - 1)
    file.seek(begin)
    return end, Position.parse(json.loads(file.read(end - begin))["position"])


def _last_line_end(file: BinaryIO, end: int) -> int:
    """Return the place after the last end of a line before a place, or 0."""
    while end > 0:
        begin = max(0, end - CHUNK_BYTES)
        file.seek(begin)
        found = file.read(end - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def _last_of_csv(file: BinaryIO) -> tuple[int, Position | None]:
    """Return the size of the complete rows, and the position in the last one.

    A value may contain the end of a line: a row ends with one that is outside of quotes.
    """
    kept_bytes, last = 0, b""
    column = None
    for row in _rows(file):
        kept_bytes, last = kept_bytes + len(row), row
        if column is None:
            column, last = _cells(row).index("position"), b""
    if column is None or not last:
        return kept_bytes, None
    return kept_bytes, Position.parse(_cells(last)[column])


def _rows(file: BinaryIO) -> Iterator[bytes]:
    row, quotes = b"", 0
    for line in file:
        row, quotes = row + line, quotes + line.count(b'"')
        if quotes % 2 == 0 and line.endswith(b"\r\n"):
            yield row
            row, quotes = b"", 0


def _cells(row: bytes) -> list[str]:
    return next(csv.reader(StringIO(row.decode(), newline="")))

"""The formats of exports, each declared once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from api.export.csv_table import CsvTable
from api.export.encoders import Encoder
from api.export.json_lines import JsonLines
from api.export.ocel import OcelLog
from api.export.parquet import ParquetFile
from api.export.xes import XesLog

FormatName = Literal["csv", "jsonl", "parquet", "xes", "ocel"]


@dataclass(frozen=True, slots=True)
class Format:
    """A format. `by_stream` ones have the accepted events of one stream after the other, others all records.

    The records of the others are in the order of the log. `passes` is how often the events are read.
    """

    media_type: str
    ending: str
    encoder: Callable[[], Encoder]
    by_stream: bool = False
    passes: int = 1
    compressed: bool = False


FORMATS: Mapping[FormatName, Format] = {
    "csv": Format("text/csv; charset=utf-8; header=present", "csv", CsvTable),
    "jsonl": Format("application/jsonl", "jsonl", JsonLines),
    "parquet": Format("application/vnd.apache.parquet", "parquet", ParquetFile, compressed=True),
    "xes": Format("application/xml", "xes", XesLog, by_stream=True),
    "ocel": Format("application/json", "jsonocel", OcelLog, by_stream=True, passes=2),
}

"""Statistics of the cases of a log, computed with pandas: shares no code with the read model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tests.integration.xes_by_another_route import Step

ZONE = "Europe/Stockholm"


def frame_of(cases: Mapping[str, Sequence[Step]]) -> pd.DataFrame:
    """Return a row for each step. `since` is its time, or an earlier one of a later step of its case."""
    frame = pd.DataFrame(
        [
            (name, number, step.time, step.stage, step.actor, step.done)
            for name, steps in cases.items()
            for number, step in enumerate(steps)
        ],
        columns=["case", "number", "time", "stage", "actor", "done"],
    )
    frame["time"] = pd.to_datetime(frame["time"], utc=True)
    frame["since"] = frame[::-1].groupby("case")["time"].cummin()
    frame["day"] = frame["time"].dt.tz_convert(ZONE).dt.date
    frame["was_done"] = frame.groupby("case")["done"].shift(fill_value=False)
    return frame


def counts_by_day(frame: pd.DataFrame, name: str) -> dict[str, int]:
    """Return how many steps of a kind each day has."""
    kinds = {
        "created": frame["number"] == 0,
        "completed": frame["done"] & ~frame["was_done"],
        "reopened": ~frame["done"] & frame["was_done"] & (frame["number"] > 0),
    }
    return {str(day): int(count) for day, count in frame[kinds[name]].groupby("day").size().items()}


def last_steps(frame: pd.DataFrame, day: str) -> pd.DataFrame:
    """Return the step that each case is at, at the end of a day."""
    end = (pd.Timestamp(day) + pd.Timedelta(days=1)).tz_localize(ZONE)
    return frame[frame["since"] < end].groupby("case").last()


def quantiles(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the number of finished cases, and the percentiles of their lead and cycle times, in seconds."""
    turns = frame[frame["done"] != frame["was_done"]].groupby("case").last()
    finished = turns[turns["done"]]["time"]
    created = frame[frame["number"] == 0].set_index("case")["time"]
    first_stage = frame.groupby("case")["stage"].transform("first")
    until = frame.groupby("case")["since"].shift(-1)
    held = until.isna() | (frame["since"] < until)
    started = frame[held & (frame["stage"] != first_stage)].groupby("case")["since"].min()
    start = started.reindex(finished.index).fillna(created)
    found = {}
    for name, begin in (("lead_time", created.reindex(finished.index)), ("cycle_time", start)):
        seconds = (finished - begin).dt.total_seconds().clip(lower=0)
        found[name] = [len(seconds), *seconds.quantile([0.5, 0.85, 0.95])]
    return found

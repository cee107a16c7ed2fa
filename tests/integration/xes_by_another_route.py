"""Cases of an XES file parsed with ElementTree: shares no code with the importer."""

from __future__ import annotations

import gzip
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ENDS_THE_WORK = {"completed", "closed", "resolved", "cancelled", "canceled", "done", "finished"}


@dataclass(frozen=True)
class Step:
    """One event of a case: time, actor, and state of the case after it."""

    time: datetime
    actor: str
    stage: str
    done: bool


def cases(path: Path) -> dict[str, list[Step]]:
    """Return the steps of every case, by its name, in the order of the file."""
    return dict(_cases(path))


def _cases(path: Path) -> Iterator[tuple[str, list[Step]]]:
    with gzip.open(path) as file:
        for _, element in ET.iterparse(file):
            if element.tag.rpartition("}")[2] == "trace":
                steps = [_step(child) for child in element if child.tag.rpartition("}")[2] == "event"]
                # Of the first event alone no case is done: it only comes to be.
                steps[0] = Step(steps[0].time, steps[0].actor, steps[0].stage, done=False)
                yield _value(element, "concept:name"), steps
                element.clear()


def _step(event: ET.Element) -> Step:
    activity, transition = _value(event, "concept:name"), _value(event, "lifecycle:transition")
    moment = datetime.fromisoformat(_value(event, "time:timestamp")).astimezone(UTC)
    return Step(
        time=moment,
        actor=_value(event, "org:resource"),
        stage=activity + "/" + transition,
        done=activity.lower() in ENDS_THE_WORK or transition.lower() in ENDS_THE_WORK,
    )


def _value(element: ET.Element, key: str) -> str:
    found = element.find(f"./*[@key='{key}']")
    assert found is not None
    return found.attrib["value"]

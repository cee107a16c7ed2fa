"""The reader of frames withstands what nobody would send; more of it: `python -m tests.fuzz.reading`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from api.protocol.client_messages import Ping, Signal
from api.protocol.decoding import read_frame
from tests.fuzz.reading import by_chance
from tests.fuzz.soundness import check, frame_of, seeds

ROOT = Path(__file__).parents[2]
RUNS = 20_000


def test_the_fuzzer_finds_nothing() -> None:
    """In so many runs, on whichever fuzzer there is."""
    command = [sys.executable, "-m", "tests.fuzz.reading", "--runs", str(RUNS), "--seconds", "120"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"Done {RUNS} runs", done.stderr)


def test_examples_that_are_mutated_at_random_find_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """What is done where there is no other fuzzer."""
    by_chance(runs=2_000, seconds=60, seed=3)
    assert "Done 2000 runs" in capsys.readouterr().err


@pytest.mark.parametrize("data", list(seeds()), ids=lambda data: repr(data[:30]))
def test_it_begins_with_sound_frames(data: bytes) -> None:
    """Every example, in both encodings."""
    frame, batch = frame_of(data)
    check(frame, batch=batch)


def raising(frame: str | bytes, *, batch: bool) -> list[Any]:
    """A reader that breaks."""
    raise ValueError(frame, batch)


def telling_encodings_apart(frame: str | bytes, *, batch: bool) -> list[Any]:
    """A reader that understands one encoding only."""
    return [Ping(id=1)] if isinstance(frame, bytes) else read_frame(frame, batch=batch)


def letting_all_pass(frame: str | bytes, *, batch: bool) -> list[Any]:
    """A reader that takes what can't be sent on."""
    return [Signal.model_construct(type="signal", channel="c", kind="typing", data={"a": 2**70})]


def making_nothing_of_it(frame: str | bytes, *, batch: bool) -> list[Any]:
    """A reader that loses messages."""
    return []


@pytest.mark.parametrize("broken", [raising, telling_encodings_apart, letting_all_pass, making_nothing_of_it])
def test_a_broken_reader_is_found(broken: Any) -> None:
    """The checks would see it."""
    with pytest.raises((AssertionError, ValueError, TypeError)):
        check('{"type":"ping"}', batch=False, read=broken)

"""Frame decoder under a short run of `python -m tests.fuzz.reading`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from api.protocol.client_messages import Ping, Signal
from api.protocol.decoding import read_frame
from app.channels import Channel
from tests.fuzz.reading import by_chance
from tests.fuzz.soundness import check, frame_of, seeds

ROOT = Path(__file__).parents[2]
RUNS = 20_000


def test_fuzzer_finds_nothing() -> None:
    """In a number of runs, with the available fuzzer."""
    command = [sys.executable, "-m", "tests.fuzz.reading", "--runs", str(RUNS), "--seconds", "120"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"Done {RUNS} runs", done.stderr)


def test_random_mutations_find_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """The alternative without atheris."""
    by_chance(runs=2_000, seconds=60, seed=3)
    assert "Done 2000 runs" in capsys.readouterr().err


@pytest.mark.parametrize("data", list(seeds()), ids=lambda data: repr(data[:30]))
def test_fuzzer_begins_with_valid_frames(data: bytes) -> None:
    """Every example, in both encodings."""
    frame, batch = frame_of(data)
    check(frame, batch=batch)


def raising(frame: str | bytes, *, batch: bool) -> list[Any]:
    """Raise an error, as a broken decoder."""
    raise ValueError(frame, batch)


def decoding_one_encoding(frame: str | bytes, *, batch: bool) -> list[Any]:
    """Decode one encoding only, as a broken decoder."""
    return [Ping(id=1)] if isinstance(frame, bytes) else read_frame(frame, batch=batch)


def accepting_everything(frame: str | bytes, *, batch: bool) -> list[Any]:
    """Accept values that cannot be sent, as a broken decoder."""
    return [Signal.model_construct(type="signal", channel=Channel("c"), kind="typing", data={"a": 2**70})]


def losing_messages(frame: str | bytes, *, batch: bool) -> list[Any]:
    """Lose messages, as a broken decoder."""
    return []


@pytest.mark.parametrize("broken", [raising, decoding_one_encoding, accepting_everything, losing_messages])
def test_broken_decoder_is_found(broken: Any) -> None:
    with pytest.raises((AssertionError, ValueError, TypeError)):
        check('{"type":"ping"}', batch=False, read=broken)

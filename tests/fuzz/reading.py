"""Fuzzer of the frame decoder: `python -m tests.fuzz.reading --seconds 60`.

Where atheris is installed, it looks for frames that take new paths; elsewhere examples are mutated at random.
A frame that violates an invariant is shown, and the exit code is not 0.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

MAX_FRAME_BYTES = 4_096


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a number of frames, or for a time."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.reading", description=main.__doc__)
    parser.add_argument("--runs", type=int, default=-1, help="frames at most")
    parser.add_argument("--seconds", type=int, default=60, help="seconds at most")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    fuzz = _by_paths if find_spec("atheris") else by_chance
    fuzz(options.runs, options.seconds, options.seed)
    return 0


def by_chance(runs: int, seconds: int, seed: int) -> None:
    """Mutate the examples. Raise the violated invariant, with the frame in a note."""
    from tests.fuzz.soundness import check, frame_of

    until, done = time.monotonic() + seconds, 0
    for data in _mutants(random.Random(seed)):
        if done == runs or time.monotonic() > until:
            break
        frame, batch = frame_of(data)
        try:
            check(frame, batch=batch)
        except BaseException as error:
            error.add_note(f"the frame: {frame!r}, batch={batch}")
            raise
        done += 1
    sys.stderr.write(f"Done {done} runs\n")


def _mutants(chance: random.Random) -> Iterator[bytes]:
    from tests.fuzz.soundness import seeds

    known = list(seeds())
    while True:
        data = bytearray(chance.choice(known))
        for _ in range(chance.randint(0, 4)):
            place = chance.randrange(len(data) + 1)
            match chance.randrange(4):
                case 0:
                    del data[place : place + chance.randint(1, 8)]
                case 1:
                    data[place:place] = chance.randbytes(chance.randint(1, 4))
                case 2:
                    data[place : place + 1] = chance.randbytes(1)
                case _:
                    other = chance.choice(known)
                    data[place:place] = other[chance.randrange(len(other)) :][: chance.randint(1, 64)]
        yield bytes(data[:MAX_FRAME_BYTES])


def _by_paths(runs: int, seconds: int, seed: int) -> None:
    """Run atheris, which ends the process."""
    import atheris

    with atheris.instrument_imports(include=["api.protocol.client_messages", "api.protocol.decoding"]):
        from tests.fuzz.soundness import check, frame_of, seeds

    def run(data: bytes) -> None:
        frame, batch = frame_of(data)
        check(frame, batch=batch)

    options = {"runs": runs, "max_total_time": seconds, "seed": seed, "max_len": MAX_FRAME_BYTES}
    with TemporaryDirectory() as folder:
        for number, data in enumerate(seeds()):
            Path(folder, str(number)).write_bytes(data)
        flags = [f"-{name}={value}" for name, value in options.items()]
        atheris.Setup([sys.argv[0], *flags, f"-artifact_prefix={folder}/", folder], run)
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())

"""Standard input, output and error, whatever the environment made of them.

What a terminal's encoding has no sign for is written as an escape, a stream that is closed takes and gives
nothing, and a failure of the output is one exception of its own, which nothing takes for another error.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

UNWRITTEN_STATUS = 3
"""Exit status: what was asked for is done, and only its output could not be written."""


class OutputFailed(Exception):  # the name states a fact, not an error of the code
    """An error of the output. `reader_gone`: the reader closed it. `is_done`: there were commands."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(reason.strerror or str(reason))
        self.reader_gone = reason.errno == errno.EPIPE
        self.is_done = False


class OutputFile(io.FileIO):
    """A file to print to: an error of it is `OutputFailed`, and after one the rest is discarded.

    With `carries_on` an error is only noted: nothing is interrupted for the sake of what it prints.
    """

    def __init__(self, descriptor: int, *, carries_on: bool = False) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self.carries_on = carries_on
        self.failure: OutputFailed | None = None

    def write(self, data: object, /) -> int:
        """Write some of `data`; return the number of bytes. Raise `OutputFailed`."""
        size_bytes = memoryview(data).nbytes  # type: ignore[arg-type]  # typeshed names no protocol for it
        while self.failure is None:
            try:
                written = super().write(data)  # type: ignore[arg-type]
            except OSError as error:
                self.failure = OutputFailed(error)
                if not self.carries_on:
                    raise self.failure from None
            else:
                if written is not None:
                    return written
                # Another process shares it and made it non-blocking.
                select.select([], [self.fileno()], [])
        return size_bytes


def open_streams() -> None:
    """Reopen the standard streams, once, at the start of the process."""
    for descriptor in (0, 1, 2):
        _open_if_closed(descriptor)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  # it is no path
    sys.stdout = _printed(1, sys.stdout)
    # Nothing is left to tell of an error of it.
    sys.stderr = _printed(2, sys.stderr, carries_on=True)


@contextmanager
def carried_on() -> Iterator[None]:
    """Carry out what is in here although its output fails; that is raised at the end.

    Raises `OutputFailed`.
    """
    file = _output_file()
    if file is None or file.carries_on:
        yield
        return
    file.carries_on = True
    try:
        yield
    finally:
        file.carries_on = False
    if file.failure is not None:
        raise file.failure


@contextmanager
def output_after(*, done: bool) -> Iterator[None]:
    """Make a failure of the output say whether the command is done. Raise `OutputFailed`."""
    try:
        yield
    except OutputFailed as failed:
        failed.is_done = done
        raise


def discard_output() -> None:
    """Discard all further output, including buffers."""
    file = _output_file()
    if file is not None:
        file.carries_on = True
        file.failure = file.failure or OutputFailed(OSError(errno.EPIPE, os.strerror(errno.EPIPE)))


def _output_file() -> OutputFile | None:
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw if isinstance(raw, OutputFile) else None


def _open_if_closed(descriptor: int) -> None:
    """Occupy a closed number, so that no file or socket gets it and is printed to."""
    try:
        os.fstat(descriptor)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        if null != descriptor:
            os.dup2(null, descriptor)
            os.close(null)


def _printed(descriptor: int, replaced: TextIO | None, *, carries_on: bool = False) -> TextIO:
    """Return the stream on `descriptor`, in the encoding of the replaced one."""
    file = OutputFile(descriptor, carries_on=carries_on)
    return io.TextIOWrapper(
        io.BufferedWriter(file),
        encoding="utf-8" if replaced is None else replaced.encoding,
        errors="backslashreplace",
        line_buffering=carries_on or file.isatty(),
    )

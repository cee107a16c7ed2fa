"""Runs of the offline verifier in this process."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout

from tasktape.offline_verifier import main


def verify(*arguments: str) -> tuple[str, list[str]]:
    """Run the verifier; return what it prints, and its lines about faults."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main(arguments)
    faults = err.getvalue().splitlines()
    assert all(line.startswith("WRONG: ") for line in faults), faults
    assert status == bool(faults)
    return out.getvalue(), faults

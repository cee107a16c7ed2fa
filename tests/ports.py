"""Ports for what a test starts."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

from tasktape.local.ports import LOOPBACK, is_free

FIRST, LAST, SHARE = 10_000, 20_000, 500
"""Below those that the embedded stack takes, and those that systems hand out to outgoing connections."""


def free_port() -> int:
    """A port that nobody listens at, and that nobody else will be given: it can be taken at leisure."""
    return next(port for port in _candidates if is_free(LOOPBACK, port))


def _new_candidates() -> Iterator[int]:
    """Each port of this process' share once; which one comes first is chance, as another run may go on."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = FIRST + number * SHARE % (LAST - FIRST)
    return iter(random.sample(range(first, first + SHARE), SHARE))


_candidates = _new_candidates()

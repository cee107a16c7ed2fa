"""Ports for processes of tests."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

from tasktape.local.ports import LOOPBACK, is_free

FIRST, LAST, SHARE = 10_000, 20_000, 500
"""Below those that the embedded stack takes, and those that systems hand out to outgoing connections."""


BAD_PORTS = frozenset(
    {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, *range(6665, 6670), 6679, 6697, 10_080}
)
"""Above 1023, those that browsers connect to for no page, by the Fetch standard."""


def free_port() -> int:
    """Return a free port that nobody else will be given, also if it is used later."""
    return next(port for port in _candidates if is_free(LOOPBACK, port))


def new_candidates() -> Iterator[int]:
    """Yield each port of this process' share once, in random order: another run may be in progress."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = FIRST + number * SHARE % (LAST - FIRST)
    ports = [port for port in range(first, first + SHARE) if port not in BAD_PORTS]
    return iter(random.sample(ports, len(ports)))


_candidates = new_candidates()

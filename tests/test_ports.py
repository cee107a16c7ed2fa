"""Ports for processes of tests."""

from __future__ import annotations

import pytest

from tests import ports


@pytest.mark.parametrize("worker", ["gw0", "gw1"])
def test_free_ports_are_of_one_share_and_allowed_by_browsers(
    worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
    first = ports.FIRST + ports.SHARE * int(worker[2:])
    share = set(range(first, first + ports.SHARE))
    assert set(ports.new_candidates()) == share - ports.BAD_PORTS
    assert (10_080 in share) == (worker == "gw0")

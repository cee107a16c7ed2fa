"""The client's progress with a real relay: each update is delivered once, in order, after any failure."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.positions import Position, positions_from_json, positions_to_json
from tasktape_client.progress import Progress
from tests.api.hub_stories import Story, check, joining_steps, run_story, steps
from tests.api.relay_world import Client, Node
from tests.thoroughness import examples


class Listener(Client):
    """A client that delivers every update on arrival, as `Updates` does, and not after a recovery."""

    def __init__(self, user: str) -> None:
        self.progress = Progress()
        super().__init__(user)

    @property
    def positions(self) -> dict[int, int] | None:
        """Return the resume positions."""
        reached = self.progress.positions
        return None if reached is None else positions_from_json(reached)

    @positions.setter
    def positions(self, positions: Mapping[int, int] | None) -> None:
        self.progress = Progress(None if positions is None else positions_to_json(positions))

    def connect(self, node: Node) -> None:
        """Connect from the resume positions."""
        super().connect(node)
        self.progress.begin(1)

    def _take(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "authenticated" | "subscribed" as kind:
                expected = kind == "authenticated"
                self.progress.reply(message["positions"], message["missed"], expected=expected)
            case "update" if self.progress.update(message["position"]):
                self.got.append((message["channel"], Position.parse(message["position"])))
            case "resync":
                self.resynced.append(message["channel"])


def story(ring: int) -> Story:
    """Return a story with the clients above."""
    shown = Story(ring)
    shown.clients = [Listener("ann"), Listener("ann")]
    return shown


@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps, st.sampled_from([1, 3, 1_000]))
def test_each_update_is_delivered_once_and_in_order(history: list[Any], ring: int) -> None:
    """Despite late and repeated updates, slow queries, lost connections and new lists."""
    shown = story(ring)
    asyncio.run(run_story(shown, history))
    check(shown)


JOINED = [
    ("run", 9),
    ("new list", 1),
    ("new task", 0),
    ("publish", 0, 0, 1, 0),
    ("publish", 0, 1, 1, 0),
    ("run", 9),
]


@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(joining_steps, st.sampled_from([1, 1_000]))
# The list's task was delivered, the update of the join was not.
@example([*JOINED, ("receive", 0, 3), ("reconnect", 0, 0)], 1_000)
def test_new_list_is_delivered_completely_and_once(history: list[Any], ring: int) -> None:
    """Also if a connection is lost during its delivery, or before the update of the join."""
    shown = story(ring)
    asyncio.run(run_story(shown, history))
    check(shown)

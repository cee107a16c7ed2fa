"""Delivery under any schedule: each client gets exactly the updates of its channels, once, in order."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.positions import Position
from tests.api.hub_stories import JOINED, Story, check, joining_steps, run_story, steps
from tests.thoroughness import examples

AHEAD = [
    ("new list", 1),
    ("reconnect", 1, 1),
    ("catch up", 0, 0),
    ("move to new", 0),
    ("catch up", 0, 1),
    ("receive", 1, 2),
    ("reconnect", 1, 0),
    ("catch up", 1, 1),
]


@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps, st.sampled_from([1, 3, 1_000]))
# A list is joined on a node that is behind the one before: what lies between comes with the list.
@example(AHEAD, 1_000)
def test_clients_get_their_channels_once_and_in_order(history: list[Any], ring: int) -> None:
    """Despite late and repeated updates, slow queries, lost connections and new lists."""
    story = Story(ring)
    asyncio.run(run_story(story, history))
    check(story)


OVERTAKEN = [
    ("new list", 1),
    ("new task", 0),
    ("task", 0, "t1"),
    ("publish", 0, 0, 2, 0),
    ("run", 4),
    ("receive", 0, 9),
]


@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(joining_steps, st.sampled_from([1, 1_000]))
# The list's creation was missed, and its task lies before what the client has.
@example([*OVERTAKEN, ("publish", 1, 0, 2, 0), ("publish", 1, 1, 1, 0), ("reconnect", 0, 1)], 1_000)
# The read models have the list before the node has received its creation.
@example([*OVERTAKEN, ("reconnect", 0, 0), ("run", 9)], 1_000)
# The connection breaks between the list and the update that one joined it with.
@example([*JOINED, ("receive", 0, 3), ("reconnect", 0, 0)], 1_000)
def test_new_list_is_complete(history: list[Any], ring: int) -> None:
    """Subscribers get tasks of a list that overtake its creation on another partition."""
    story = Story(ring)
    asyncio.run(run_story(story, history))
    check(story)


def test_lost_update_fails_the_check() -> None:
    """A client that misses an update fails the property above."""
    story = Story(1_000)
    asyncio.run(run_story(story, [("task", 0, "t1"), ("publish", 0, 0, 4, 0), ("run", 3)]))
    assert [position for _, position in story.clients[0].got] == [Position(0, 0)]
    story.clients[0].got.clear()
    try:
        check(story)
    except AssertionError:
        return
    raise AssertionError("a lost update went unnoticed")

"""Delivery to the members of a list that is shared, taken away and shared again."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.api.hub_sharing_stories import SHARING, Member, check_shared, sharing_steps
from tests.api.hub_stories import SHARED, Story, run_story
from tests.api.relay.test_hub_feeds import FURTHER_ON
from tests.thoroughness import examples

ELSEWHERE = [("reconnect", 0, 1), ("catch up", 0, 1), ("reconnect", 0, 0), ("run", 9)]
DELETED = [
    ("delete or restore",),
    ("notify", 0, SHARED, {"ann"}),
    ("delete or restore",),
    ("notify", 0, SHARED, {"ann"}),
]


@settings(max_examples=examples(600), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sharing_steps, st.sampled_from([1, 3, 1_000]))
# That somebody else joins a list is no reason to tell all of it again.
@example([*SHARING, ("join", "bob"), ("reconnect", 0, 0), ("catch up", 0, 0)], 1_000)
@example([*SHARING, ("join", "bob"), ("catch up", 1, 0), ("reconnect", 0, 0)], 1_000)
# Joins and leaves that were received on another node are not repeated here.
@example([("join", "ann"), ("leave", "ann"), *ELSEWHERE], 1_000)
@example([("join", "ann"), *ELSEWHERE[:2], ("leave", "ann"), ("join", "ann"), *ELSEWHERE], 1_000)
# A list is deleted and restored while one is away, here or on another node, and while one is here.
@example([*SHARING, *DELETED, ("reconnect", 0, 0), ("catch up", 0, 0)], 1_000)
@example([*SHARING, *DELETED[:2], ("catch up", 0, 0), *DELETED[2:], ("catch up", 0, 0)], 1_000)
@example([*SHARING, *DELETED[:2], *ELSEWHERE[:2], *DELETED[2:], *ELSEWHERE], 1_000)
# One is ahead of a node when one joins there: before it hears of that, and when it has.
@example([*FURTHER_ON, ("publish", 0, 1, 1, 0), ("reconnect", 0, 0), ("run", 9)], 1_000)
@example([*FURTHER_ON, ("reconnect", 0, 0), ("run", 9), ("publish", 0, 1, 1, 0), ("run", 9)], 1_000)
def test_members_get_a_shared_list_while_they_are_members(history: list[Any], ring: int) -> None:
    """Added, removed, deleted, added again: everything once, and nothing in between."""
    story = Story(ring)
    story.clients = [Member("ann"), Member("ann")]
    asyncio.run(run_story(story, history))
    check_shared(story)

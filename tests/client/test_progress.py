"""The resume position after a lost connection: no update is lost or delivered twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from tasktape_client.progress import Progress


def test_positions_of_a_reply_count_after_the_missed_updates() -> None:
    """A connection lost among them is resumed from the positions before it."""
    progress = Progress()
    progress.begin(1)
    progress.reply({"0": 10, "1": 5}, 0)
    assert progress.positions == {"0": 10, "1": 5}
    assert progress.update("0:12")
    assert progress.positions == {"0": 12, "1": 5}
    progress.begin(1)
    progress.reply({"0": 20, "1": 9}, 2)
    assert progress.update("0:15")
    assert progress.positions == {"0": 12, "1": 5}
    assert progress.update("1:7")
    assert progress.positions == {"0": 20, "1": 9}


def test_positions_never_go_back() -> None:
    """A reply of another node that is behind does not move them."""
    progress = Progress()
    for positions in ({"0": 10}, {"0": 8, "1": 1}):
        progress.begin(1)
        progress.reply(positions, 0)
    assert progress.positions == {"0": 10, "1": 1}


def test_delivered_updates_are_not_repeated_after_a_reconnection() -> None:
    """Missed updates are sent again after a connection was lost among them."""
    progress = Progress({"0": 1})
    progress.begin(1)
    progress.reply({"0": 9}, 3)
    assert progress.update("0:3")
    assert progress.update("0:5")
    assert progress.positions == {"0": 1}
    progress.begin(1)
    progress.reply({"0": 11}, 4)
    assert [progress.update(f"0:{offset}") for offset in (3, 5, 9, 11)] == [False, False, True, True]
    assert progress.positions == {"0": 11}


def test_positions_count_once_all_channels_are_answered() -> None:
    """Live updates of one channel do not complete the missed updates of another."""
    progress = Progress({"0": 1})
    progress.begin(2)
    progress.reply({"0": 7}, 0)
    assert progress.update("0:8")
    assert progress.positions == {"0": 1}
    progress.reply({"0": 8}, 1)
    assert progress.update("0:2")
    assert progress.positions == {"0": 8}


def test_refused_channel_does_not_delay_positions() -> None:
    """Updates that arrived meanwhile count."""
    progress = Progress({"0": 1})
    progress.begin(2)
    progress.reply({"0": 7}, 0)
    assert progress.update("0:8")
    progress.refused()
    assert progress.positions == {"0": 8}


def test_joined_list_is_delivered_once() -> None:
    """Its history precedes the update of the join. A connection lost in between delivers it again."""
    progress = Progress({"0": 50, "1": 50})
    progress.begin(1)
    progress.reply({"0": 50, "1": 50}, 0)
    progress.reply({"0": 50, "1": 50}, 2, expected=False)
    assert progress.update("0:3")
    assert progress.update("1:4")
    progress.begin(1)
    progress.reply({"0": 51, "1": 50}, 3)
    assert [progress.update(position) for position in ("0:3", "0:51", "1:4")] == [False, True, False]
    assert progress.positions == {"0": 51, "1": 50}


# --- breaks anywhere -------------------------------------------------------------------------------------


@dataclass
class Server:
    """A growing log of two partitions. A socket gets every update once, from its start."""

    log: list[str] = field(default_factory=list)
    ends: dict[str, int] = field(default_factory=lambda: {"0": -1, "1": -1})

    def grow(self, partition: str) -> str:
        self.ends[partition] += 1
        self.log.append(f"{partition}:{self.ends[partition]}")
        return self.log[-1]

    def missed(self, since: dict[str, int]) -> list[str]:
        return sorted(
            position
            for position in self.log
            if int(position.partition(":")[2]) > since.get(position.partition(":")[0], -1)
        )


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 6), st.lists(st.sampled_from("01"), max_size=6)),
        min_size=1,
        max_size=8,
    )
)
def test_any_interruptions_lose_and_repeat_nothing(connections: list[tuple[int, int, list[str]]]) -> None:
    """Any number of updates before a lost connection, and any in between."""
    server, progress, shown = Server(), Progress({"0": -1, "1": -1}), list[str]()
    for taken, live, meanwhile in [*connections, (100, 100, [])]:
        assert progress.positions is not None
        missed = server.missed(progress.positions)
        progress.begin(1)
        progress.reply(server.ends, len(missed))
        arriving = missed[:taken]
        if len(arriving) == len(missed):
            arriving = [*arriving, *(server.grow("0" if n % 2 else "1") for n in range(live % 4))]
        shown += [position for position in islice(arriving, taken + live) if progress.update(position)]
        for partition in meanwhile:
            server.grow(partition)
    assert sorted(shown) == sorted(server.log)
    assert len(shown) == len(set(shown))

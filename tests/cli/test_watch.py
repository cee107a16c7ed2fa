"""Where `watch` goes on after a broken connection."""

from tasktape.cli.watch import Progress


def test_the_positions_of_a_reply_count_once_the_missed_have_come() -> None:
    """A connection that breaks in the middle of them must not lose the rest."""
    progress = Progress()
    progress.take_reply({"0": 10, "1": 5}, 0)
    assert progress.positions == {"0": 10, "1": 5}
    progress.take_update("0:12")
    assert progress.positions == {"0": 12, "1": 5}
    progress.take_reply({"0": 20, "1": 9}, 2)
    assert progress.positions == {"0": 12, "1": 5}
    progress.take_update("0:15")
    assert progress.positions == {"0": 15, "1": 5}
    progress.take_update("1:7")
    assert progress.positions == {"0": 20, "1": 9}


def test_positions_never_go_back() -> None:
    """Not with a reply of another node that is behind either."""
    progress = Progress()
    progress.take_reply({"0": 10}, 0)
    progress.take_reply({"0": 8, "1": 1}, 0)
    assert progress.positions == {"0": 10, "1": 1}

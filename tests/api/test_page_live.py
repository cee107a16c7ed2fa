"""Connection of the page: messages it sends, and its handling of frames with one message or several."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from api.contract import message_examples as examples
from api.protocol.client_messages import Refused
from api.protocol.decoding import read_frame
from api.protocol.server_messages import Authenticated
from api.protocol.update_messages import Update

PAGES = Path(__file__).parents[2] / "api" / "pages"
HELLO = examples.FROM_SERVER[Authenticated][0]
UPDATE = examples.FROM_SERVER[Update][0]


def run(*frames: object) -> dict[str, Any]:
    """Return the messages sent and events emitted by the page for these frames."""
    script = Path(__file__).with_name("live_page.mjs")
    given = json.dumps([json.dumps(frame) for frame in frames])
    done = subprocess.run(
        ["node", script, PAGES / "live.js", given], capture_output=True, text=True, check=True, timeout=60
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def update(position: str) -> dict[str, Any]:
    """Return an update."""
    return UPDATE | {"position": position}


MESSAGES = [
    HELLO | {"positions": {"0": 12}, "missed": 2},
    update("0:11"),
    {"type": "ping"},
    update("0:12"),
    {"type": "of a newer server"},
    {"type": "resync", "channel": "list:L", "reason": "too much was missed"},
    update("0:13"),
    update("0:13"),
]


@pytest.mark.parametrize(
    "frames",
    [MESSAGES, [MESSAGES], [MESSAGES[:2], *MESSAGES[2:5], MESSAGES[5:]]],
    ids=["one", "all", "mixed"],
)
def test_messages_are_emitted_one_by_one(frames: list[object]) -> None:
    """For any division into frames; each update once."""
    found = run(*frames)
    assert found["told"] == [True, "0:11", "0:12", "resync", "0:13"]
    assert found["positions"] == {"0": 13}


def test_messages_of_the_page_are_valid() -> None:
    """And it accepts several messages in a frame."""
    (hello,) = run(HELLO)["said"]
    assert (hello["features"], hello["since"]) == (["batch"], {"0": 10})
    said = run(HELLO, {"type": "ping"})["said"]
    assert [message["type"] for message in said] == ["authenticate", "pong"]
    for message in said:
        (read,) = read_frame(json.dumps(message), batch=False)
        assert not isinstance(read, Refused)

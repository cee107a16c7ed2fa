"""Messages: how the server's are written, and what positions a client may name."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from pydantic import BaseModel

from api.contract import message_examples as examples
from api.contract.message_schemas import FROM_CLIENT, FROM_SERVER, type_of
from api.protocol.client_messages import Incoming, Ping, read_since
from api.protocol.close_codes import CloseReason
from api.protocol.server_messages import (
    Authenticated,
    Presence,
    PresentUser,
    ServerMessage,
    Subscribed,
    SystemReport,
    SystemStats,
    goodbye,
    pong_to,
)
from app.errors import Malformed


@pytest.mark.parametrize("model", FROM_SERVER, ids=lambda model: model.__name__)
def test_what_the_server_writes_is_what_is_shown(model: type[BaseModel]) -> None:
    """An example that is read and written again is the same."""
    for example in examples.FROM_SERVER[model]:
        message = model.model_validate_json(json.dumps(example))
        if isinstance(message, ServerMessage) and type_of(model) != "update":
            assert json.loads(message.encode()) == example


def test_types_tell_messages_apart() -> None:
    """In each direction; every message is in the unions and has an example."""
    for models in (FROM_CLIENT, FROM_SERVER):
        assert len({type_of(model) for model in models}) == len(models)
    assert set(get_args(Incoming)) == set(examples.FROM_CLIENT)
    assert set(examples.FROM_SERVER) == set(FROM_SERVER)
    named = [model for model in FROM_SERVER if issubclass(model, ServerMessage)]
    assert all(model.__subclasses__() == [] for model in named)


def test_presence_says_only_what_it_has() -> None:
    """All who are there, or who came and went."""
    alice = PresentUser(user="alice", connections=1)
    assert json.loads(Presence(channel="task:1", joined=(alice,)).encode()) == {
        "type": "presence",
        "channel": "task:1",
        "joined": [{"user": "alice", "connections": 1, "viewing": False, "typing": False}],
    }


def test_a_lag_that_is_not_known_is_null() -> None:
    """It is the one thing that is not left out."""
    stats = SystemStats(connections=1, subscriptions=2, published=3, delivered=4, lag_ms=None)
    assert json.loads(SystemReport(node="api-1", stats=stats).encode())["stats"]["lag_ms"] is None


def test_limits_are_told() -> None:
    """With the first reply."""
    reply = Authenticated(user="u", session="s", expires_in=1, channels=[], positions={})
    assert json.loads(reply.encode())["limits"] == {
        "message_bytes": 65536,
        "subscriptions": 1000,
        "missed": 10000,
        "messages_per_s": 50,
        "burst": 200,
    }


def test_since_names_partitions_of_the_log() -> None:
    """-1 says "from the beginning", as does leaving a partition out."""
    assert read_since({"0": 7, "1": -1}, 4) == {0: 7}
    for wrong in ({"4": 1}, {"x": 1}, {"-1": 1}, {"0": -2}, {"0": 2**62}):
        with pytest.raises(Malformed):
            read_since(wrong, 4)


def test_what_is_none_is_left_out() -> None:
    """A message without an id has no `id`."""
    reply = Subscribed(channel="list:1", positions={"0": 3})
    assert json.loads(reply.encode()) == {
        "type": "subscribed",
        "channel": "list:1",
        "positions": {"0": 3},
        "missed": 0,
    }
    assert json.loads(pong_to(Ping(id=4)).value) == {"id": 4, "type": "pong"}
    assert json.loads(pong_to(Ping()).value) == {"type": "pong"}


def test_goodbye_says_when_to_come_back() -> None:
    """As a window, so that not all come at once."""
    assert json.loads(goodbye(CloseReason(4001, "restarting", (0, 8000))).value) == {
        "type": "goodbye",
        "code": 4001,
        "reason": "restarting",
        "retry_after_ms": [0, 8000],
    }
    assert CloseReason(4499, "").come_back
    assert not CloseReason(4500, "").come_back

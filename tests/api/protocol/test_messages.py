"""Encoding of the server's messages, and positions that clients may name."""

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
def test_server_messages_equal_their_examples(model: type[BaseModel]) -> None:
    """An example that is decoded and encoded again is the same."""
    for example in examples.FROM_SERVER[model]:
        message = model.model_validate_json(json.dumps(example))
        if isinstance(message, ServerMessage) and type_of(model) not in {"update", "replay"}:
            assert json.loads(message.encode()) == example


def test_types_distinguish_messages() -> None:
    """In each direction; every message is in the unions and has an example."""
    for models in (FROM_CLIENT, FROM_SERVER):
        assert len({type_of(model) for model in models}) == len(models)
    assert set(get_args(Incoming)) == set(examples.FROM_CLIENT)
    assert set(examples.FROM_SERVER) == set(FROM_SERVER)
    named = [model for model in FROM_SERVER if issubclass(model, ServerMessage)]
    assert all(model.__subclasses__() == [] for model in named)


def test_presence_has_only_its_own_fields() -> None:
    """The roster, or the joins and leaves."""
    alice = PresentUser(user="alice", connections=1)
    assert json.loads(Presence(channel="task:1", joined=(alice,)).encode()) == {
        "type": "presence",
        "channel": "task:1",
        "joined": [{"user": "alice", "connections": 1, "viewing": False, "typing": False}],
    }


def test_unknown_lag_is_null() -> None:
    """The only field that is not left out."""
    stats = SystemStats(
        connections=1,
        sockets={},
        subscriptions=2,
        published=3,
        delivered=4,
        deliveries_per_s=None,
        lag_ms=None,
        appended_per_s=None,
        lag=None,
        parked=None,
        batches=None,
    )
    assert json.loads(SystemReport(node="api-1", stats=stats).encode())["stats"]["lag_ms"] is None


def test_limits_are_in_the_first_reply() -> None:
    reply = Authenticated(user="u", session="s", expires_in=1, channels=[], positions={})
    assert json.loads(reply.encode())["limits"] == {
        "message_bytes": 65536,
        "subscriptions": 1000,
        "missed": 10000,
        "messages_per_s": 50,
        "burst": 200,
    }


def test_since_names_partitions_of_the_log() -> None:
    """-1 means "from the beginning", as does leaving a partition out."""
    assert read_since({"0": 7, "1": -1}, 4) == {0: 7}
    for wrong in ({"4": 1}, {"x": 1}, {"-1": 1}, {"0": -2}, {"0": 2**62}):
        with pytest.raises(Malformed):
            read_since(wrong, 4)


def test_none_is_left_out() -> None:
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


def test_goodbye_has_a_time_window_for_reconnecting() -> None:
    """So that not all clients come back at once."""
    assert json.loads(goodbye(CloseReason(4001, "restarting", (0, 8000))).value) == {
        "type": "goodbye",
        "code": 4001,
        "reason": "restarting",
        "retry_after_ms": [0, 8000],
    }
    assert CloseReason(4499, "").come_back
    assert not CloseReason(4500, "").come_back

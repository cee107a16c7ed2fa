"""The JSON of events and updates is made in one module, and every description of it has the same fields."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from api.endpoints.activity import ActivityEvent
from api.endpoints.history import Event
from api.protocol.update_messages import Update, UpdateEvent
from app.log.event_json import RecordedEvent, event_json, update_json
from app.positions import Position
from app.stream_ids import task_stream
from tasktape_client.models import Event as ClientEvent
from tests.sources import PACKAGES, modules
from tests.spec import START

MAKER = "app/log/event_json.py"
DOCUMENTATION = {"api/contract/message_examples.py", "api/contract/openapi_fields.py"}
"""Examples, and sentences about fields; `tests/integration/test_messages_as_described.py` checks them."""
QUESTIONS = {"app/audit/groups.py", "projections/audit_search/conditions.py"}
"""Filters and groups, which have the names of the fields that they are about."""
EVENT = RecordedEvent(
    *("event-1", "task.edited", task_stream("1"), 2, Position(0, 121), "accepted", None, START, START),
    *("alice", "/tasktape/api", None, None, b'{"tags":[]}', b'{"tags":[["a"],[]]}'),
)
ENVELOPE = frozenset(json.loads(event_json(EVENT))) - {"data", "changes"}
TOGETHER = 6
"""So many names of the envelope in one dictionary, or in one text, are an envelope."""
TEMPLATES = ('"type":"update"', '"event":%s,"changes"', '"event":{', ',"data":%s')
"""Pieces of JSON that only a message of an update, or an event, has."""


def test_only_one_module_makes_the_json_of_an_event() -> None:
    texts = dict(modules(*PACKAGES))
    assert len(texts) > 300
    found = {name for name, text in texts.items() if any(_glued(ast.parse(text)))}
    assert found == {MAKER, *DOCUMENTATION, *QUESTIONS}


def _glued(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that put the JSON of an event together."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            names = {key.value for key in node.keys if isinstance(key, ast.Constant)}
            if len(names & ENVELOPE) >= TOGETHER:
                yield node
        elif isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            text = node.value if isinstance(node.value, str) else node.value.decode(errors="replace")
            if any(template in text for template in TEMPLATES):
                yield node


@pytest.mark.parametrize(
    "source",
    [
        '{"id": 1, "type": 2, "stream": 3, "version": 4, "position": 5, "outcome": 6}',
        'b\'{"type":"update","position":"%s"}\' % b"0:1"',
        'f\'{{"event":%s,"changes":{x}}}\'',
    ],
)
def test_each_way_of_gluing_is_found(source: str) -> None:
    assert any(_glued(ast.parse(source)))


@pytest.mark.parametrize("model", [Event, ClientEvent])
def test_an_event_is_described_with_all_its_fields(model: type[BaseModel]) -> None:
    assert list(json.loads(event_json(EVENT))) == list(model.model_fields)


def test_an_update_is_described_with_all_its_fields() -> None:
    message = json.loads(update_json(EVENT, b'{"bob":"assigned"}', b"null"))
    # Only replays have `at`.
    assert {*message, "channel", "at"} == {*Update.model_fields}
    assert list(message["event"]) == list(UpdateEvent.model_fields)


def test_an_event_of_the_feed_has_fields_of_the_envelope() -> None:
    own = {"task_id", "title", "data", "changes"}
    assert set(ActivityEvent.model_fields) - own < ENVELOPE

"""The client's copies of the server's facts are equal: fields, words, positions, the protocol."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

import tasktape.client
import tasktape.client.models
import tasktape_client
from api.contract import openapi
from api.http import headers, query
from api.protocol import client_messages, close_codes, server_messages, update_messages
from app import positions as server_positions
from app import values
from app.statistics import report
from tasktape_client import calls, link, models, operation, positions
from tasktape_client.models import statistics
from tasktape_client.models.tasks import NewTask, TaskChanges
from tasktape_client.tasks import Scope, TaskFilter

DOCUMENT = openapi.document()
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]

SCHEMAS_OF = {
    models.Task: ["Task", "FoundTask", "CommandedTask", "CreatedTask"],
    models.Quick: ["QuickReading"],
    models.QuickPart: ["ReadPart", "UnreadPart"],
    models.Outcome: ["OutcomeOut"],
    models.AuditGroup: ["AuditGroupOut"],
    models.Story: ["StoryOut"],
    models.Imported: ["ImportOut"],
    models.ListRevert: ["RevertOut"],
    models.ListDiff: ["DiffOut"],
    models.Difference: ["DifferenceOut"],
    models.PresentUser: ["PresentOut"],
    models.Present: ["PresenceOut"],
}
"""The schemas of models with another name, or of several schemas."""
LEFT_OUT = {
    models.Notification: {"position"},
    models.Problem: {"type", "correlation_id"},
    models.Readiness: {"parked", "held", "node"},
}
"""Fields for operators and machines. They are in `model_extra`."""
MESSAGES = {
    models.Update: update_messages.Update,
    models.ReplayState: update_messages.Replay,
    models.Resync: server_messages.Resync,
    models.Unsubscribed: server_messages.Unsubscribed,
    models.StatisticsReport: server_messages.StatisticsReport,
}
REPLY_ID = {"id"}
"""The field that relates a reply to its request. Only `Updates` needs it."""

ANSWERS = [
    model
    for model in vars(models).values()
    if isinstance(model, type) and issubclass(model, models.Answered) and model is not models.Answered
]


def fields_of(*names: str) -> set[str]:
    """Return the properties of schemas."""
    return {field for name in names for field in SCHEMAS[name]["properties"]}


def parameters_of(path: str, method: str) -> set[str]:
    """Return the query parameters of an operation."""
    parameters = DOCUMENT["paths"][path][method]["parameters"]
    return {each["name"] for each in parameters if each.get("in") == "query"}


@pytest.mark.parametrize("model", [each for each in ANSWERS if each not in MESSAGES])
def test_model_has_the_fields_of_the_api(model: type[models.Answered]) -> None:
    expected = fields_of(*SCHEMAS_OF.get(model, [model.__name__]))
    left_out = LEFT_OUT.get(model, set())
    assert left_out <= expected
    names = {field.alias or name for name, field in model.model_fields.items()}
    assert names == expected - left_out


@pytest.mark.parametrize(("model", "message"), MESSAGES.items())
def test_model_has_the_fields_of_the_message(model: type[models.Answered], message: type[BaseModel]) -> None:
    assert set(model.model_fields) == set(message.model_fields) - REPLY_ID


def test_fields_that_can_be_set_are_those_of_the_requests() -> None:
    assert set(TaskChanges.__annotations__) == fields_of("TaskPatch")
    assert set(NewTask.__annotations__) == fields_of("NewTask") - {"title"}
    assert set(models.Reminder.__annotations__) == fields_of("NewReminder")
    assert set(models.Stage.__annotations__) == fields_of("Stage")


def test_filters_are_the_parameters_of_the_search() -> None:
    paging = {"limit", "cursor"}
    assert set(TaskFilter.__annotations__) - {"at_most"} == parameters_of("/api/tasks", "get") - paging


@pytest.mark.parametrize("name", ["Priority", "Status", "Role", "Category"])
def test_words_are_those_of_the_domain(name: str) -> None:
    assert get_args(getattr(models, name)) == get_args(getattr(values, name))


def test_groups_of_statistics_are_those_of_the_domain() -> None:
    assert get_args(statistics.GroupBy) == get_args(report.GroupBy)


def test_scopes_are_those_of_the_domain() -> None:
    assert get_args(Scope) == get_args(values.Scope)


def test_outcomes_are_those_of_the_api() -> None:
    assert set(get_args(models.OutcomeName)) == set(SCHEMAS["OutcomeOut"]["properties"]["outcome"]["enum"])


def test_limits_are_within_those_of_the_server() -> None:
    assert calls.PAGE_LIMIT <= query.PAGE_LIMIT
    assert operation.STEP_S <= headers.MAX_WAIT_S


def test_protocol_is_that_of_the_server() -> None:
    assert client_messages.SUBPROTOCOL == link.SUBPROTOCOL
    assert client_messages.PACKED_SUBPROTOCOL == link.PACKED_SUBPROTOCOL
    assert {client_messages.BATCH} == set(link.FEATURES)
    assert close_codes.BAD_TOKEN == link.BAD_TOKEN
    assert close_codes.TOKEN_EXPIRED.code == link.TOKEN_EXPIRED
    assert close_codes.NOT_AUTHENTICATED.code == link.TOO_LATE
    assert close_codes.FORBIDDEN.code == link.FORBIDDEN


@given(st.dictionaries(st.integers(0, 40), st.integers(0, 10**18 - 1)))
def test_positions_are_written_and_read_as_the_server_does(offsets: dict[int, int]) -> None:
    written = positions.format_positions(offsets)
    assert written == server_positions.format_positions(offsets)
    assert positions.parse_positions(written) == server_positions.parse_positions(written) == offsets
    assert positions.positions_to_json(offsets) == server_positions.positions_to_json(offsets)


@pytest.mark.parametrize("text", ["0:1,0:3,0:2", " 0:1 , 2:3 ", "", ","])
def test_odd_positions_are_read_as_the_server_does(text: str) -> None:
    assert positions.parse_positions(text) == server_positions.parse_positions(text)


def test_the_servers_distribution_exports_the_same_names() -> None:
    for name in tasktape_client.__all__:
        assert getattr(tasktape.client, name) is getattr(tasktape_client, name)
    assert tasktape.client.models.Task is models.Task

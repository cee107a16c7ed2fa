"""The AsyncAPI 3.0 document of the WebSocket protocol, generated from its messages."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from api.contract import message_examples as examples
from api.contract.generated_files import keep
from api.contract.message_schemas import FROM_CLIENT, FROM_SERVER, message_schemas, type_of
from api.protocol import client_messages as client
from api.protocol import close_codes, limits
from api.protocol import server_messages as server
from api.protocol.close_codes import TOO_SLOW, CloseReason
from api.protocol.frames import MAX_BATCH_MESSAGES
from api.protocol.update_messages import Replay

COPY = Path("docs/reference/asyncapi.json")
CHANNEL = "socket"

_REPLIES: Mapping[type[BaseModel], tuple[type[BaseModel], ...]] = {
    client.Authenticate: (server.Authenticated, server.Error),
    client.Subscribe: (server.Subscribed, server.Error),
    client.Control: (Replay, server.Error),
    client.Unsubscribe: (server.Unsubscribed, server.Error),
    client.Refresh: (server.Refreshed, server.Error),
    client.Signal: (server.Error,),
    client.Ping: (client.Pong,),
}
_ONLY_REPLIES = {server.Authenticated, server.Refreshed, server.Error, client.Pong}
_CLOSE_REASONS = (
    close_codes.INTERNAL_ERROR,
    close_codes.RESTARTING,
    close_codes.CAN_NOT_RECOVER,
    close_codes.TOKEN_EXPIRED,
    TOO_SLOW,
    close_codes.NO_PONG,
    close_codes.RATE,
    CloseReason(close_codes.BAD_TOKEN, "the token does not verify"),
    CloseReason(close_codes.BAD_MESSAGE, "not a message"),
    close_codes.NOT_AUTHENTICATED,
    close_codes.TOO_MANY,
    close_codes.FORBIDDEN,
)


def document() -> dict[str, Any]:
    """Return the document, as JSON values."""
    models = tuple(dict.fromkeys((*FROM_CLIENT, *FROM_SERVER)))
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tasktape",
            "version": version("tasktape"),
            "description": "Live updates of an event-sourced task service, without loss or duplicates.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "json": _server(client.SUBPROTOCOL, "application/json", "Text frames; also without any."),
            "msgpack": _server(client.PACKED_SUBPROTOCOL, "application/msgpack", "Binary frames."),
        },
        "channels": {CHANNEL: _channel(models)},
        "operations": dict(_operations()),
        "components": {
            "messages": {model.__name__: _message(model) for model in models},
            "schemas": message_schemas(),
        },
    }


def _server(subprotocol: str, content_type: str, description: str) -> dict[str, Any]:
    return {
        "host": "{host}",
        "protocol": "ws",
        "description": f"Subprotocol `{subprotocol}`. {description} Behind TLS it is `wss`.",
        "variables": {"host": {"default": "127.0.0.1:8000", "description": "Where the API listens"}},
        "x-subprotocol": subprotocol,
        "x-content-type": content_type,
    }


def _channel(models: Iterable[type[BaseModel]]) -> dict[str, Any]:
    subprotocols = {"type": "string", "enum": [client.SUBPROTOCOL, client.PACKED_SUBPROTOCOL]}
    headers = {"type": "object", "properties": {"Sec-WebSocket-Protocol": subprotocols}}
    return {
        "address": "/ws",
        "title": "The socket",
        "description": (
            f"A frame is one message, or an array of them when the `features` of `authenticate` have "
            f"`{client.BATCH}`. A client's frame has at most {limits.MAX_MESSAGE_BYTES} bytes and "
            f"{limits.MAX_BATCH} messages, a server's array at most {MAX_BATCH_MESSAGES}."
        ),
        "messages": {model.__name__: {"$ref": f"#/components/messages/{model.__name__}"} for model in models},
        "bindings": {"ws": {"method": "GET", "headers": headers, "bindingVersion": "0.1.0"}},
        "x-close-codes": [_close_code(close_reason) for close_reason in _CLOSE_REASONS],
    }


def _close_code(close_reason: CloseReason) -> dict[str, Any]:
    found = {"code": close_reason.code, "reason": close_reason.reason, "come_back": close_reason.come_back}
    return found | ({"retry_after_ms": list(close_reason.retry_after_ms)} if close_reason.come_back else {})


def _operations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the operations: messages that the API receives, and those that it sends unprompted."""
    for model in FROM_CLIENT:
        replies = {"reply": _operation(_REPLIES[model])} if model in _REPLIES else {}
        yield f"receive{model.__name__}", {"action": "receive", **_operation((model,)), **replies}
    for model in FROM_SERVER:
        if model not in _ONLY_REPLIES:
            yield f"send{model.__name__}", {"action": "send", **_operation((model,))}


def _operation(models: Iterable[type[BaseModel]]) -> dict[str, Any]:
    references = [{"$ref": f"#/channels/{CHANNEL}/messages/{model.__name__}"} for model in models]
    return {"channel": {"$ref": f"#/channels/{CHANNEL}"}, "messages": references}


def _message(model: type[BaseModel]) -> dict[str, Any]:
    shown = (*examples.FROM_CLIENT.get(model, ()), *examples.FROM_SERVER.get(model, ()))
    message = {
        "name": type_of(model),
        "title": model.__name__,
        "summary": " ".join((model.__doc__ or "").split()),
        "payload": {"$ref": f"#/components/schemas/{model.__name__}"},
        "examples": [{"payload": example} for example in shown],
    }
    if "id" in model.model_fields:
        about = "The reply has the same"
        message["correlationId"] = {"location": "$message.payload#/id", "description": about}
    return message


def text() -> str:
    """Return the text of the committed document."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the committed document, or check that it is up to date."""
    return keep("api.contract.asyncapi", COPY, text, arguments)


if __name__ == "__main__":
    sys.exit(main())

"""Encoding of the relay's messages as Socket.IO events, an update as `task:update`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json
from socketio.packet import EVENT, Packet

from api.protocol.frames import Codec
from app.stream_ids import StreamId, task_stream

_UPDATES: Mapping[str, str] = {"task": "task:update", "list": "list:update", "user": "user:update"}
_UPDATE_PREFIXES = tuple(b'2["%s"' % name.encode() for name in _UPDATES.values())
_SUBSCRIBED_PREFIX = b'2["subscribed"'
_REPLAYED = b'{"channel":"replay:'
_REPLAY = b'{"type":"replay",'
_RESERVED = (["connect"], ["disconnect"])


class TextPacket(Packet):  # type: ignore[misc]
    """A packet that clients may send.

    Attachments, which are not used, would be collected without limit. And the handlers of connecting and
    disconnecting would also be called for events of these names.
    """

    def decode(self, encoded_packet: str) -> int:
        """Decode a packet. Raise `ValueError`."""
        attachments: int = super().decode(encoded_packet)
        if attachments or self.packet_type in {5, 6}:
            raise ValueError("there are no binary events here")
        if self.packet_type == EVENT and isinstance(self.data, list) and self.data[:1] in _RESERVED:
            raise ValueError("these events are the server's own")
        return attachments


class _PacketForm(Codec):
    """A message as the text of a Socket.IO packet, encoded once for all clients."""

    def frame(self, payload: bytes) -> bytes:
        """Return the packet."""
        # Messages of replays are many, and not decoded. Their updates are past, so they have another name.
        if payload.startswith(_REPLAYED):
            return b'2["replay:update",%s]' % payload
        if payload.startswith(_REPLAY):
            return b'2["replay",%s]' % payload
        message: dict[str, Any] = from_json(payload)
        name: str = message["type"]
        if name == "update":
            name, message = _update(message)
        return event_packet(name, message)


PACKET = _PacketForm()


def event_packet(name: str, message: Mapping[str, Any]) -> bytes:
    """Return an event of the default namespace, with one argument."""
    return b"2" + to_json([name, message])


def _update(message: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return an update as an event: with type, task, user and time at the top level."""
    event = message["event"]
    stream = StreamId(event.get("stream") or task_stream(""))
    ids = {"task": {"taskId": stream.key}, "list": {"listId": stream.key}}.get(stream.kind, {})
    first = {"type": event.get("type"), **ids, "userId": event.get("actor"), "timestamp": event.get("time")}
    return _UPDATES.get(stream.kind, "task:update"), message | first


class HistoryFilter:
    """Omits a list's updates from before a client joined: it loads them by HTTP, as when it connects."""

    def __init__(self) -> None:
        self._past = 0

    def wants(self, packet: bytes) -> bool:
        """Return True if a packet should be sent."""
        if packet.startswith(_SUBSCRIBED_PREFIX):
            # The last of the following updates is the one of joining.
            self._past = max(0, from_json(packet[1:])[1]["missed"] - 1)
        elif self._past and packet.startswith(_UPDATE_PREFIXES):
            self._past -= 1
            return False
        return True

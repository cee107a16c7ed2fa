"""JSON lines: each event on a line, as in a history."""

from __future__ import annotations

from api.export.encoders import Page
from app.log.event_json import event_json


class JsonLines:
    """The encoder of JSON lines."""

    def encode(self, page: Page) -> bytes:
        """See `Encoder.encode`."""
        return b"".join([event_json(event) + b"\n" for event, _ in page.events()])

    def end(self) -> bytes:
        """See `Encoder.end`."""
        return b""

"""Records on the log that somebody read events of others in the audit."""

from __future__ import annotations

from hashlib import sha256

from api.commands.handler import CommandHandler
from api.commands.idempotency import CommandKey
from api.commands.requests import CommandRequest
from app.audit.access import Means
from app.errors import Unavailable
from app.ids import derived_id
from app.log.ports import Clock
from app.positions import Position
from app.stream_ids import user_stream
from app.users import MAX_QUESTION_CHARS, ReadAudit

WAIT_S = 5.0
"""The time in which a record is usually visible; afterwards it is on the log nevertheless."""


class LoggedAccess:
    """The port `AccessRecorder` on the write path: an event on the stream of the reader.

    The id of the event is derived from the reader, the question and the hour. So the pages of a question,
    and a question that is repeated every few seconds, are one event, whichever nodes answer.
    """

    def __init__(self, commands: CommandHandler, clock: Clock) -> None:
        self._commands = commands
        self._clock = clock

    async def record(self, reader: str, means: Means, question: str) -> Position:
        """See `AccessRecorder.record`."""
        hour = self._clock().strftime("%Y-%m-%dT%H")
        digest = sha256(question.encode()).hexdigest()
        identifier = derived_id("audit-read", reader, means, digest, hour)
        request = CommandRequest(
            ReadAudit(means=means, question=question[:MAX_QUESTION_CHARS]),
            user_stream(reader),
            reader,
            wait_s=WAIT_S,
            key=CommandKey(identifier, identifier, digest[:32]),
        )
        result = await self._commands.handle(request)
        if result.position is None:
            raise Unavailable("the access cannot be recorded")
        return result.position

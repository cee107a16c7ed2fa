"""The errors that a user can meet; only `api/http/problems.py` turns them into HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

MAX_REASON_CHARS = 500
"""Characters of the reason why a record is parked."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """A fault of one field; `field` is a dotted path such as `reminders.0.at`.

    A fault at one place of a text begins at character `at` and is `length` characters long.
    """

    field: str
    message: str
    at: int | None = None
    length: int | None = None


class TaskError(Exception):
    """Base class of the errors that a user can meet. `code` is stable and machine readable."""

    code: ClassVar[str] = "error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Invalid(TaskError):
    """Error for a well-formed command that breaks a rule; `errors` names the fields."""

    code = "invalid"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))
        self.errors = tuple(errors)


class Malformed(TaskError):
    """Error for a request that cannot be parsed: broken JSON, an unknown parameter, a bad position."""

    code = "malformed"


class Unauthenticated(TaskError):
    """Error for a missing token, or a token that fails verification."""

    code = "unauthenticated"


class Forbidden(TaskError):
    """Error for an authenticated caller who may see the resource, but may not give this command."""

    code = "forbidden"


class NotFound(TaskError):
    """Error for a resource that does not exist or that the caller may not see; both give the same answer."""

    code = "not_found"


class Gone(TaskError):
    """Error for a link that has expired."""

    code = "gone"


class Conflict(TaskError):
    """Error for concurrent changes of the same fields, and for commands that the state forbids.

    `base`, `theirs` and `yours` map field names to values. They are empty if no merge was tried.
    """

    code = "conflict"

    def __init__(
        self,
        detail: str,
        *,
        base: Mapping[str, Any] | None = None,
        theirs: Mapping[str, Any] | None = None,
        yours: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.base = dict(base or {})
        self.theirs = dict(theirs or {})
        self.yours = dict(yours or {})


class PreconditionFailed(TaskError):
    """Error for an `If-Match` version that is not the stream's and cannot be merged."""

    code = "precondition_failed"


class KeyReused(TaskError):
    """Error for an `Idempotency-Key` that is used again with a different command."""

    code = "idempotency_key_reused"


class Unavailable(TaskError):
    """Temporary error: a dependency is unavailable or a bound is hit. Nothing was written; retry later."""

    code = "unavailable"

    def __init__(self, detail: str, *, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Undecodable(TaskError):
    """Error for a record of the log that is foreign, or that this version cannot read."""

    code = "undecodable"


class WrongLog(TaskError):
    """Error for a log that the read models were not built from, or that has another number of partitions."""

    code = "wrong_log"


def reason_of(error: Exception) -> str:
    """Return why a record that raises `error` is parked, as text that every read model can store."""
    text = f"{type(error).__name__}: {error}"[:MAX_REASON_CHARS]
    return text.replace("\x00", "\ufffd").encode(errors="replace").decode()

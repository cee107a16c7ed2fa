"""The one family of errors that a user may meet; `api/http/problems.py` alone turns them into HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field; `field` is a dotted path such as `reminders.0.at`.

    If it is wrong in one place of a text, that begins at character `at` and is `length` characters long.
    """

    field: str
    message: str
    at: int | None = None
    length: int | None = None


class TaskError(Exception):
    """Something a caller did, or met, that has a name. `code` is stable and machine readable."""

    code: ClassVar[str] = "error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Invalid(TaskError):
    """The command is well formed but breaks a rule; `errors` names the fields."""

    code = "invalid"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))
        self.errors = tuple(errors)


class Malformed(TaskError):
    """The request cannot be read at all: broken JSON, an unknown parameter, a bad position."""

    code = "malformed"


class Unauthenticated(TaskError):
    """No token, or one that does not verify."""

    code = "unauthenticated"


class Forbidden(TaskError):
    """The caller is known and may see the thing, but may not do this to it."""

    code = "forbidden"


class NotFound(TaskError):
    """There is no such thing, or the caller may not see it: the two answer alike."""

    code = "not_found"


class Conflict(TaskError):
    """The command and a change it did not know of touch the same fields, or the state forbids it.

    `base`, `theirs` and `yours` map field names to values; they are empty when no merge was tried.
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
    """`If-Match` names a version that the stream is not at and that cannot be merged."""

    code = "precondition_failed"


class KeyReused(TaskError):
    """An `Idempotency-Key` came back with another command than its first."""

    code = "idempotency_key_reused"


class Unavailable(TaskError):
    """Not now: a dependency is away or a bound was hit. Nothing was written; try again later."""

    code = "unavailable"

    def __init__(self, detail: str, *, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Undecodable(TaskError):
    """A record of the log is not one of ours, or not one that this version can read."""

    code = "undecodable"


class WrongLog(TaskError):
    """The log is not the one the read models were built from, or has another shape."""

    code = "wrong_log"

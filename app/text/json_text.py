"""JSON with exactly one meaning for every parser: the only parser of input from outside.

It is strict where parsers are known to disagree: it requires valid UTF-8, unique members, no `NaN` or
`Infinity`, a bounded depth, and numbers that every later step can write again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NoReturn

from app.errors import Malformed

MAX_DEPTH = 32


def read_json(text: bytes, subject: str = "the body") -> Any:
    """Parse JSON; `subject` names it in errors. Raise `Malformed`.

    The result may contain U+0000 and lone surrogates, from escapes; the rules of each field reject them.
    """
    try:
        value = _DECODER.decode(text.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise Malformed(f"{subject} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise Malformed(
            f"{subject} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
    except _NotOneThing as error:
        raise Malformed(f"{subject} {error}") from None
    except RecursionError:
        raise Malformed(f"{subject} is nested more than {MAX_DEPTH} deep") from None
    except ValueError:
        raise Malformed(f"{subject} holds a number that is too long") from None
    if not is_shallow(value):
        raise Malformed(f"{subject} is nested more than {MAX_DEPTH} deep")
    return value


def is_shallow(value: object, levels: int = MAX_DEPTH) -> bool:
    """Return whether arrays and objects are nested at most `levels` deep."""
    level: list[object] = [value]
    for _ in range(levels + 1):
        # Level by level, with one pass for all kinds: a body may contain a hundred thousand values.
        if {dict, list}.isdisjoint(map(type, level)):
            return True
        level = [inner for each in level for inner in inside(each)]
    return False


def inside(value: object) -> Iterable[object]:
    """Return the values directly inside an array or object; nothing for any other value."""
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


class _NotOneThing(ValueError):
    """Error for JSON that parsers interpret in different ways."""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _NotOneThing(f"names {twice[:100]!r} twice")
    return members


def _refuse_constant(constant: str) -> NoReturn:
    raise _NotOneThing(f"holds {constant}, which is not JSON")


# `json.loads` with options makes a new one for each call.
_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_refuse_constant)

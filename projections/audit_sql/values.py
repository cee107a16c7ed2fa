"""The values of fields in SQL, as JSON: now, and after each earlier event.

The audit has the former values of the fields that an event changed. So a field's value after an event is the
former value of its next change, or its present value if no later event changed it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from app.lists.state import LIST_FIELDS
from app.tasks.fields import FIELDS
from app.tasks.state import TASK_FIELDS
from projections.postgres.stream_ids import is_stream

Form = Literal["text", "choice", "texts", "number", "objects", "object", "truth", "time"]
"""The form of a value: that of the fields of tasks, and a JSON object, a truth value, and a time."""

TASK_FORMS: Mapping[str, Form] = {
    **{name: field.rules.kind for name, field in FIELDS.items()},
    "status": "choice",
    "series": "object",
    "reminded": "texts",
    "comment_count": "number",
    "rank": "text",
    "completed_at": "time",
    "deleted_at": "time",
}
LIST_FORMS: Mapping[str, Form] = {
    "name": "text",
    "inbox": "truth",
    "members": "object",
    "stages": "objects",
    "deleted_at": "time",
    "time_zone": "text",
}
assert set(TASK_FORMS) == set(TASK_FIELDS)
assert set(LIST_FORMS) == set(LIST_FIELDS)


class Shape(NamedTuple):
    """The SQL type of a form, and the way from JSON to it and back."""

    kind: str
    from_json: Callable[[str], str]
    to_json: Callable[[str], str]


def _time_json(value: str) -> str:
    """Return the expression for a time as the JSON of states has it: a fraction only if there is one."""
    utc = f"{value} AT TIME ZONE 'UTC'"
    fraction = f"nullif(to_char({utc}, '.US'), '.000000')"
    return f"""to_jsonb(concat(to_char({utc}, 'YYYY-MM-DD"T"HH24:MI:SS'), {fraction}, 'Z'))"""


_TEXT = Shape("text", "({0} #>> '{{}}')".format, "to_jsonb({0})".format)
_JSON = Shape("jsonb", "nullif({0}, 'null')".format, "{0}".format)
SHAPES: Mapping[Form, Shape] = {
    "text": _TEXT,
    "choice": _TEXT,
    "texts": Shape("text[]", "ARRAY(SELECT jsonb_array_elements_text({0}))".format, "to_jsonb({0})".format),
    "number": Shape("integer", "({0} #>> '{{}}')::integer".format, "to_jsonb({0})".format),
    "objects": _JSON,
    "object": _JSON,
    "truth": Shape("boolean", "({0} #>> '{{}}')::boolean".format, "to_jsonb({0})".format),
    "time": Shape("timestamptz", "({0} #>> '{{}}')::timestamptz".format, _time_json),
}


def present_json(field: str, form: Form, table: str) -> str:
    """Return the expression for the present value of a field as JSON, in a row of its table."""
    return f"coalesce({SHAPES[form].to_json(f'{table}.{field}')}, 'null')"


def later_json(stream: str, version: str, field: str) -> str:
    """Return the expression for the value of a field after a version, if a later event changed it."""
    return f"""(
        SELECT (later.former -> {field})::jsonb FROM audit AS later
        WHERE {is_stream(stream, "later.stream")} AND later.outcome = 'accepted'
          AND later.version > {version} AND (later.former -> {field}) IS NOT NULL
        ORDER BY later.version LIMIT 1
    )"""  # noqa: S608


def present_of(kind: str, forms: Mapping[str, Form], key: str, field: str) -> str:
    """Return the expression for the present value of a field, an expression, of the stream with this key."""
    cases = " ".join(f"WHEN '{name}' THEN {present_json(name, form, 'now')}" for name, form in forms.items())
    return f"(SELECT CASE {field} {cases} END FROM {kind}s AS now WHERE now.id = {key})"  # noqa: S608

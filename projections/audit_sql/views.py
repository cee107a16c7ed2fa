"""The views that auditors read, made from the tables of a generation.

Each generation has views of its own, in a schema beside that of its tables: a statement reads one generation,
and one that takes long does not delay a swap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from json import dumps

from app.lists.members import OWNER
from app.log.fold import UNSAID
from app.tasks.fields import FIELDS
from projections.audit_sql.values import (
    LIST_FORMS,
    SHAPES,
    TASK_FORMS,
    Form,
    later_json,
    present_json,
    present_of,
)
from projections.postgres import stream_ids as stream_sql
from projections.postgres.id_columns import text_of
from projections.read_models.lists import STATE_COLUMNS as LIST_COLUMNS
from projections.read_models.members import list_members
from projections.read_models.tasks import STATE_COLUMNS as TASK_COLUMNS

VIEWS_VERSION = 1
"""Raised when a column is removed, or has other values or another type. Another column does not need it."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a view: its SQL type, and its expression in each of the view's sources."""

    name: str
    kind: str
    values: Sequence[str]


@dataclass(frozen=True, slots=True)
class View:
    """A view: its columns, and the tables of each source, whose rows it unites."""

    name: str
    columns: Sequence[Column]
    sources: Sequence[str]

    @property
    def query(self) -> str:
        """The query, with plain names of tables."""
        parts = []
        for at, source in enumerate(self.sources):
            values = (f'({each.values[at]})::{each.kind} AS "{each.name}"' for each in self.columns)
            parts.append(f"SELECT {', '.join(values)} {source}")
        return " UNION ALL ".join(parts)


def _columns(*given: tuple[str, str, str]) -> list[Column]:
    return [Column(name, kind, (value,)) for name, kind, value in given]


_ENVELOPE = {
    "id": "text",
    "version": "bigint",
    "created_at": "timestamptz",
    "created_by": "text",
    "updated_at": "timestamptz",
}
_STORED = ("list_id", "due")
"""The fields that the table of past versions has."""
_KIND, _KEY, _IS_TASK = (
    each.replace("stream", "a.stream") for each in (stream_sql.KIND, stream_sql.KEY, stream_sql.IS_TASK)
)
_LOG = (
    ("position", "text", "a.partition || ':' || a.\"offset\""),
    ("log_partition", "integer", "a.partition"),
    ("log_offset", "bigint", 'a."offset"'),
    ("event_id", "text", text_of("event_id", "a")),
    ("type", "text", "a.type"),
    ("stream", "text", "a.stream"),
    ("stream_hash", "bigint", stream_sql.hash_of("a.stream")),
    ("kind", "text", _KIND),
    ("task_id", "text", f"CASE WHEN {_IS_TASK} THEN {_KEY} END"),
    ("version", "bigint", "a.version"),
    ("time", "timestamptz", 'a."time"'),
    ("recorded_at", "timestamptz", "a.recorded_at"),
    ("actor", "text", "a.actor"),
    ("source", "text", "a.source"),
    ("correlation_id", "text", text_of("correlation_id", "a")),
    ("causation_id", "text", text_of("causation_id", "a")),
    ("list_id", "text", text_of("list_id", "a")),
)
EVENTS = View(
    "events",
    _columns(
        *_LOG,
        ("left_list_id", "text", text_of("left_list_id", "a")),
        ("outcome", "text", "a.outcome"),
        ("reason", "text", "a.reason"),
        ("data", "jsonb", "a.data"),
    ),
    ("FROM audit AS a",),
)


def _after(field: str) -> str:
    """Return the value of a field, an expression, after the event of a row `a`."""
    return f"""coalesce(
        {later_json("a.stream", "a.version", field)},
        CASE {_KIND}
            WHEN 'task' THEN {present_of("task", TASK_FORMS, _KEY, field)}
            WHEN 'list' THEN {present_of("list", LIST_FORMS, _KEY, field)}
        END
    )"""


_AFTER = f"CASE WHEN c.is_initial THEN c.initial ELSE {_after('c.field')} END"
_SET = {
    name: field.default
    for name, field in FIELDS.items()
    if not field.required and field.default and field.default != UNSAID.get(name)
}
_CREATED_TASK = f"'{dumps({'status': 'open', **_SET})}'::jsonb || a.data"
_CREATED_LIST = f"jsonb_build_object('members', jsonb_build_object(a.actor, '{OWNER}')) || a.data"
_NAMES = ", ".join(f"'{name}'" for name in {**TASK_FORMS, **LIST_FORMS} if name != "series")
_CHANGED = f"""
    FROM audit AS a CROSS JOIN LATERAL (
        SELECT f.key AS field, f.value::jsonb AS former, NULL::jsonb AS initial, false AS is_initial
        FROM json_each(a.former) AS f
        UNION ALL
        SELECT i.key, NULL, i.value, true
        FROM jsonb_each(CASE a.type WHEN 'task.created' THEN {_CREATED_TASK} ELSE {_CREATED_LIST} END) AS i
        WHERE a.version = 1 AND a.type IN ('task.created', 'list.created')
          AND i.key IN ({_NAMES}) AND i.value NOT IN ('null', '""', '[]', '{{}}', 'false', '0')
        UNION ALL
        -- What follows from the creation, but is not in its event, or has another form there.
        SELECT u.field, NULL, NULL, false
        FROM unnest(ARRAY['rank', 'series', 'reminded']) AS u(field)
        WHERE a.version = 1 AND a.type = 'task.created'
          AND CASE u.field
              WHEN 'rank' THEN NOT a.data ? 'rank'
              WHEN 'series' THEN a.data ?| ARRAY['series', 'recurrence']
              ELSE a.data ? 'reminders' AND {_after("u.field")} <> '[]'
          END
    ) AS c WHERE a.outcome = 'accepted'
"""  # noqa: S608

CHANGES = View(
    "changes",
    _columns(
        *_LOG,
        ("field", "text", "c.field"),
        ("before", "jsonb", "nullif(c.former, 'null')"),
        ("after", "jsonb", f"nullif({_AFTER}, 'null')"),
        ("before_text", "text", "c.former #>> '{}'"),
        ("after_text", "text", f"({_AFTER}) #>> '{{}}'"),
    ),
    (_CHANGED,),
)


def _state_columns(names: Sequence[str], forms: Mapping[str, Form], table: str) -> list[Column]:
    kinds = {name: SHAPES[form].kind for name, form in forms.items()}
    return _columns(*((name, kinds.get(name) or _ENVELOPE[name], f"{table}.{name}") for name in names))


TASKS = View(
    "tasks",
    [*_state_columns(TASK_COLUMNS, TASK_FORMS, "t"), *_columns(("due_at", "timestamptz", "t.due_at"))],
    ("FROM tasks AS t",),
)
LISTS = View("lists", _state_columns(LIST_COLUMNS, LIST_FORMS, "l"), ("FROM lists AS l",))
MEMBERS = View(
    "members",
    _columns(("list_id", "text", "m.list_id"), ("user_id", "text", "m.user_id"), ("role", "text", "m.role")),
    (f"FROM {list_members.name} AS m",),
)


def _past(name: str, form: Form) -> str:
    """Return the value of a field in a past version `v` of a task `t`."""
    later = later_json(stream_sql.stream_of("task", "v.id"), "v.version", f"'{name}'")
    return SHAPES[form].from_json(f"coalesce({later}, {present_json(name, form, 't')})")


TASK_VERSIONS = View(
    "task_versions",
    [
        Column("id", "text", ("v.id", "t.id")),
        Column("version", "bigint", ("v.version", "t.version")),
        Column("since", "timestamptz", ("v.since", "t.since")),
        Column("until", "timestamptz", ("v.until", "NULL")),
        Column("recorded_since", "timestamptz", ("v.known_since", "t.known_since")),
        Column("recorded_until", "timestamptz", ("v.known_until", "NULL")),
        *(
            Column(
                name, SHAPES[form].kind, (f"v.{name}" if name in _STORED else _past(name, form), f"t.{name}")
            )
            for name, form in TASK_FORMS.items()
        ),
    ],
    ("FROM task_versions AS v JOIN tasks AS t ON t.id = v.id", "FROM tasks AS t"),
)
VIEWS = (EVENTS, CHANGES, TASKS, TASK_VERSIONS, LISTS, MEMBERS)
FINGERPRINT = sha256("\0".join(f"{view.name} {view.query}" for view in VIEWS).encode()).hexdigest()
"""A hash of all views: those of another one are made again."""

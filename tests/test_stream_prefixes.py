"""The prefixes of streams and channels are cut and glued in their own modules only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from app.stream_ids import KINDS
from tests.sources import PACKAGES, ROOT, modules

OWN = {"app/prefixed_names.py", "app/stream_ids.py", "app/channels.py", "projections/postgres/stream_ids.py"}
OTHER_COLONS = ("app/positions.py", "tasktape/")
"""Modules that split other texts at colons: positions, addresses of brokers."""
_PREFIX = re.compile(rf"(?:{'|'.join(KINDS)}):")
_SQL = re.compile(
    rf"'(?:{'|'.join(KINDS)}):|(?:substr|substring|split_part|left|right)\(\s*(?:\w+\.)?stream\b"
)
_CUTTING = {"partition", "split"}


def test_prefixes_stay_in_their_modules() -> None:
    offenders = [
        f"{module}:{line}: {text}"
        for module, source in modules(*PACKAGES)
        if module not in OWN
        for line, text in offences(source, others=module.startswith(OTHER_COLONS))
    ]
    assert not offenders, "\n".join(offenders)


def test_prefixes_stay_in_one_script_of_the_page() -> None:
    glued = re.compile(rf"[`\"'](?:{'|'.join(KINDS)}):(?:\$|[`\"'])")
    offenders = [
        f"{script.name}: {found[0]}"
        for script in sorted((ROOT / "api/pages").glob("*.js"))
        if script.name != "streams.js"
        for found in glued.finditer(script.read_text())
    ]
    assert not offenders, "\n".join(offenders)


@pytest.mark.parametrize(
    "source",
    [
        'f"task:{task_id}"',
        '"list:" + list_id',
        'stream.removeprefix("task:")',
        'channel.startswith(("task:", "list:"))',
        'key.startswith(b"user:")',
        'stream.partition(":")[2]',
        'stream.split(":", 1)',
        'f"{kind}:{key}"',
        "stream[5:]",
        "\"SELECT substr(stream, 6) FROM audit WHERE stream = 'task:' || id\"",
    ],
)
def test_each_way_is_found(source: str) -> None:
    assert list(offences(source))


@pytest.mark.parametrize("source", ['"task:update"', '"urn:task:x"', 'f"{host}:{port}"', "value[5:]"])
def test_other_texts_are_no_prefixes(source: str) -> None:
    assert not list(offences(source))


def offences(source: str, *, others: bool = False) -> Iterator[tuple[int, str]]:
    """Yield the line and text of each cut or glued prefix; `others` allows splitting at colons."""
    for node in ast.walk(ast.parse(source)):
        if _is_offence(node, others=others):
            assert isinstance(node, ast.expr)
            yield node.lineno, ast.unparse(node)[:80]


def _is_offence(node: ast.AST, *, others: bool) -> bool:
    match node:
        case ast.Constant(value=str() | bytes() as value):
            text = value if isinstance(value, str) else value.decode(errors="replace")
            return _PREFIX.fullmatch(text) is not None or _SQL.search(text) is not None
        case ast.JoinedStr(values=[ast.FormattedValue(kind), ast.Constant(":"), ast.FormattedValue(key)]):
            return "kind" in ast.unparse(kind) and "key" in ast.unparse(key)
        case ast.Call(func=ast.Attribute(attr=name), args=[ast.Constant(value=":" | b":"), *_]):
            return name in _CUTTING and not others
        case ast.Subscript(value=value, slice=ast.Slice(lower=ast.Constant())):
            return ast.unparse(value).endswith(("stream", "channel"))
        case _:
            return False

"""Tests wait for conditions, with limits that a busy machine can keep, and for messages that they name.

A server sends messages at any time, and updates of different streams in any order. So a test on a real
connection neither takes the next message for its reply nor the next update for the wanted one.
"""

import ast
from collections.abc import Iterator

from tests.sources import modules

LEAST_S = 30
WAITS = {"eventually": 1, "eventually_sync": 1, "wait_for": 1, "timeout": 0}
"""The functions that fail after a time, and the place of that among their arguments."""
ON_CONNECTIONS = ("tests/integration/", "tests/e2e/")
PAIRS_REPLIES = "tests/integration/replay_client.py"
"""A client that relates replies to its messages itself."""
PAUSES = frozenset(
    {
        *("tests/waiting.py", "tests/api/commands/test_commands.py", "tests/client/test_updates.py"),
        "tests/integration/test_rebuild.py",
    }
)
"""The loop behind the waits, random moments, and the absence of further messages."""


def test_tests_wait_for_conditions_and_name_what_they_receive() -> None:
    assert [fault for name, source in modules("tests") for fault in faults(source, name)] == []


def test_each_kind_of_fault_is_found() -> None:
    source = (
        "await asyncio.sleep(0.1)\nawait asyncio.sleep(0)\nasync with asyncio.timeout(5):\n    pass\n"
        "await eventually(f, 20)\nawait eventually(f)\n(await socket.update())['task']\n"
        "await socket.send(id=2, type='subscribe')\n"
    )
    assert [fault.split()[0] for fault in faults(source, "tests/integration/a.py")] == [
        f"tests/integration/a.py:{line}" for line in (1, 3, 5, 7, 8)
    ]
    assert len(faults(source, "tests/waiting.py")) == 2


def faults(source: str, name: str) -> list[str]:
    """Return the places of pauses, of short limits, and of messages that are not named."""
    found = (
        (node.lineno, fault)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.expr)
        for fault in _faults_of(node, name)
    )
    return [f"{name}:{line} {fault}" for line, fault in sorted(found)]


def _faults_of(node: ast.expr, name: str) -> Iterator[str]:
    match node:
        case ast.Call(func=ast.Name(called) | ast.Attribute(attr=called)):
            if called == "sleep" and name not in PAUSES and not _is_zero(node.args[0]):
                yield "pauses"
            if called in WAITS and len(node.args) > WAITS[called] and _is_short(node.args[WAITS[called]]):
                yield f"waits less than {LEAST_S} s"
            if called == "send" and name.startswith(ON_CONNECTIONS) and name != PAIRS_REPLIES:
                yield from ("sends an id by itself" for each in node.keywords if each.arg == "id")
        case ast.Subscript(
            value=ast.Await(ast.Call(func=ast.Attribute(attr="update"), args=[], keywords=[]))
        ):
            if name.startswith(ON_CONNECTIONS):
                yield "takes the next update for the wanted one"


def _is_zero(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value == 0


def _is_short(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and isinstance(value.value, int | float) and value.value < LEAST_S

"""The facts of the write path stay in one place each: its request, its refusals, its appends, its locks."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from tests import sources
from tests.sources import PACKAGES


def modules(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    return ((name, ast.parse(text)) for name, text in sources.modules(*folders))


def with_node(is_found: Callable[[ast.AST], bool], *folders: str) -> set[str]:
    """Return the modules with a node for which `is_found`."""
    return {name for name, tree in modules(*folders) if any(is_found(node) for node in ast.walk(tree))}


def is_call(node: ast.AST, *names: str) -> bool:
    """Return whether the node calls one of these functions or methods, like `log.append`."""
    if not isinstance(node, ast.Call):
        return False
    called = ast.unparse(node.func).lstrip("_").replace("._", ".")
    return any(called == name or called.endswith(f".{name}") for name in names)


def test_only_one_module_asks_again_after_a_refusal() -> None:
    """The rule is in `api.read_consistency`, and `Decisions` applies it for everybody else."""
    decisions = "api/commands/decisions.py"
    assert with_node(lambda node: is_call(node, "rows.moment"), "api") == {decisions}
    imports = with_node(
        lambda node: (
            isinstance(node, ast.ImportFrom)
            and node.module == "api.read_consistency"
            and "retry_refusal" in [each.name for each in node.names]
        ),
        *PACKAGES,
    )
    assert imports == {decisions}
    repeated = with_node(lambda node: is_call(node, "wait_until_recent"), "api/endpoints")
    # These change what was decided elsewhere, and are recent before they begin.
    assert repeated == {"api/endpoints/dead_letters.py", "api/endpoints/imports.py"}


def test_one_kind_of_request_goes_from_the_endpoints_to_the_handler() -> None:
    """Nothing that is imported from the write path holds a command, but `CommandRequest`."""
    made = with_node(lambda node: is_call(node, "CommandRequest"), "api")
    assert made == {
        "api/commands/access_records.py",
        "api/commands/inboxes.py",
        "api/endpoints/bulk.py",
        "api/endpoints/import_target.py",
        "api/http/commands.py",
    }
    holding_commands = {
        node.name
        for _, tree in modules("api/commands", "api/http")
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for field in node.body
        if isinstance(field, ast.AnnAssign) and ast.unparse(field.annotation) == "AnyCommand"
    }
    assert holding_commands == {"CommandRequest"}


def test_only_the_handler_carries_out_commands() -> None:
    """Endpoints reach neither the execution of a command, nor its effects, nor the writer of its event."""
    inner = {"execution", "cascades", "batch_creation", "event_writer", "lock_plan", "load_context"}
    reached = {
        (name, node.module)
        for name, tree in modules("api/endpoints", "api/http")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").rpartition("api.commands.")[2] in inner
        # Their texts of errors are shared.
        if {each.name for each in node.names} != {"NO_TASK"}
    }
    assert not reached


def test_only_the_writer_meets_an_append_that_may_have_happened() -> None:
    """A withdrawal has no result that could be wrong, and an import is repeated as a whole."""
    appends = with_node(lambda node: is_call(node, "log.append"), "api")
    assert appends == {
        "api/commands/event_writer.py",
        "api/commands/withdrawal.py",
        "api/endpoints/dead_letters.py",
        "api/endpoints/imports.py",
    }


def test_locks_between_processes_have_one_protocol() -> None:
    """Commands and repairs take turns, so they use the same locks."""
    protocols = {
        f"{name}:{node.name}"
        for name, tree in modules(*PACKAGES)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and "Protocol" in [ast.unparse(base) for base in node.bases]
        if "acquire" in [each.name for each in node.body if isinstance(each, ast.AsyncFunctionDef)]
    }
    assert protocols == {"app/structure/locks.py:ClusterLocks"}

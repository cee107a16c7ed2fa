"""Members and roles are interpreted in one module for each form: state, permission, SQL, update."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import get_args

import pytest

from app.authorisation import ALLOWED, ReadList, roles_for
from app.values import Role
from tests.sources import modules

PACKAGES = ("app", "projections", "streams", "api")
STATE, PERMISSION = "app/lists/members.py", "app/authorisation.py"
SQL, UPDATE = "projections/read_models/members.py", "api/relay/membership.py"
ROLES = frozenset(get_args(Role))
MAY_NAME_ROLES = {"app/values.py", STATE, PERMISSION}
EXAMPLES = {"api/endpoints/members.py": "editor"}
_SQL = re.compile(r"\blist_members\b|\bmembers\s*(?:@>|->|\?|#)|\(\s*members\b|\bmembers\.role\b")


def test_no_other_module_interprets_members() -> None:
    offenders = [
        f"{module}:{line}: {what}"
        for module, source in modules(*PACKAGES)
        for line, what in offences(source, module)
    ]
    assert not offenders, "\n".join(offenders)


@pytest.mark.parametrize(
    "source",
    [
        "home.members.get(user)",
        "user in task_list.members",
        'role == "owner"',
        'role in ("owner", "editor")',
        '"SELECT list_id FROM list_members WHERE user_id = $1"',
        "\"SELECT id FROM lists WHERE members ->> 'alice' = 'owner'\"",
        'f"lists.members @> ANY({users})"',
        'update["list"]["members"]',
    ],
)
def test_each_way_is_found(source: str) -> None:
    assert list(offences(source, "elsewhere.py"))


def test_all_roles_may_read() -> None:
    """The joins of the read model with a list's members therefore need no condition on the role."""
    assert roles_for(ReadList) == ROLES
    assert all(roles <= ROLES for roles in ALLOWED.values())


def offences(source: str, module: str) -> Iterator[tuple[int, str]]:
    """Yield the line and text of what only the modules of members may do."""
    tree = ast.parse(source)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr="members") if id(node) not in called and module != STATE:
                yield node.lineno, ast.unparse(node)
            case ast.Constant(value=str() as text) if text in ROLES and module not in MAY_NAME_ROLES:
                if EXAMPLES.get(module) != text:
                    yield node.lineno, f"the role {text}"
            case ast.Constant(value=str() as text) if _SQL.search(text) and module != SQL:
                yield node.lineno, " ".join(text.split())[:80]
            case ast.Subscript(slice=ast.Constant(value="members")) if module != UPDATE:
                yield node.lineno, ast.unparse(node)
            case _:
                pass

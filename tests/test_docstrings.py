"""Docstrings and names of tests are plain: no question words, and functions' docstrings begin with a verb."""

import ast
from collections.abc import Iterator

import pytest

from tests.sources import modules

PACKAGES = ("app", "projections", "streams", "api", "tasktape", "client", "benchmarks", "scripts", "tests")
"""The packages whose docstrings are checked."""
QUESTION_WORDS = frozenset({"What", "Whether", "How", "Who", "Whom", "Where", "Why", "Which"})
UNPLAIN = frozenset({"whoever", "whatever", "anew", "beside", "told", "heard", "said", "mend", "mended"})
"""Words that no name of a test has: the field has its own."""
ARTICLES = frozenset({"The", "A", "An"})
DESCRIBED = frozenset({"property", "cached_property"})
"""The decorators of functions that are read as attributes: a noun phrase may describe these."""


@pytest.mark.parametrize("package", PACKAGES)
def test_docstrings_begin_plainly(package: str) -> None:
    sources = dict(modules(package))
    assert sources
    assert [fault for name, source in sources.items() for fault in faults(source, name)] == []


def test_names_of_tests_are_plain() -> None:
    names = {
        f"{name}: {node.name}"
        for name, source in modules("tests")
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and is_riddle(node.name)
    }
    assert names == set()


def is_riddle(name: str) -> bool:
    """Return whether the name of a test begins with a question word, or has an unplain one."""
    first, *words = name.split("_")
    return first == "test" and (words[0].capitalize() in QUESTION_WORDS or not UNPLAIN.isdisjoint(words))


def test_each_kind_of_fault_is_found() -> None:
    source = (
        '"""What it is."""\nN = 1\n"""How many."""\nclass A:\n    """Who does it."""\n'
        '    def f(self):\n        """The result."""\n'
        '    @property\n    def g(self):\n        """The result."""\n'
    )
    assert faults(source, "a.py") == ["a.py:1 What", "a.py:3 How", "a.py:5 Who", "a.py:7 The"]


def faults(source: str, name: str) -> list[str]:
    """Return the places of docstrings that begin with a question word, or a function's with an article.

    The docstring of a test may be any sentence: it states details of the condition or the result.
    """
    return sorted(
        (
            f"{name}:{line} {word}"
            for line, word, is_function in _first_words(ast.parse(source))
            if word in QUESTION_WORDS or (is_function and word in ARTICLES)
        ),
        key=lambda fault: int(fault.split(":")[1].split()[0]),
    )


def _first_words(tree: ast.Module) -> Iterator[tuple[int, str, bool]]:
    for node in ast.walk(tree):
        for statement in _body(node):
            match statement:
                case ast.Expr(value=ast.Constant(value=str() as text)):
                    is_first = statement is _body(node)[0]
                    yield statement.lineno, text.split()[0].rstrip(",:;"), is_first and _is_function(node)


def _body(node: ast.AST) -> list[ast.stmt]:
    body = getattr(node, "body", None)
    return body if isinstance(body, list) else []


def _is_function(node: ast.AST) -> bool:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() if not node.name.startswith("test_"):
            return DESCRIBED.isdisjoint(ast.unparse(each) for each in node.decorator_list)
    return False

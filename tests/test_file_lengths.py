"""Modules stay short: a file of more than 300 lines has more than one subject."""

import pytest

from tests.sources import modules

MOST_LINES = 300
SINGLE_FILES = {"tasktape/offline_verifier.py": 700}
"""Modules that somebody is given as one file, which has to stand alone, and the lines that they may have."""


@pytest.mark.parametrize("package", ["app", "projections", "streams", "api", "tasktape", "client"])
def test_no_module_is_too_long(package: str) -> None:
    lengths = {name: len(text.splitlines()) for name, text in modules(package)}
    assert lengths
    assert {
        name: lines for name, lines in lengths.items() if lines > SINGLE_FILES.get(name, MOST_LINES)
    } == {}

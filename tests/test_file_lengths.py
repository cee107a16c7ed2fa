"""Modules stay short: a file of more than 300 lines has more than one subject."""

import pytest

from tests.sources import modules

MOST_LINES = 300


@pytest.mark.parametrize("package", ["app", "projections", "streams", "api", "tasktape", "client"])
def test_no_module_is_too_long(package: str) -> None:
    lengths = {name: len(text.splitlines()) for name, text in modules(package)}
    assert lengths
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}

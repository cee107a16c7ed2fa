"""Dataclasses that are made quickly are as others."""

from __future__ import annotations

import pickle
from copy import copy
from dataclasses import FrozenInstanceError, dataclass, field, replace
from inspect import signature
from typing import Any

import pytest

from app.quick_dataclasses import quickly_made


@dataclass(frozen=True)
class Base:
    __slots__ = ("first",)
    first: str


@quickly_made
@dataclass(frozen=True, slots=True)
class Quick(Base):
    second: int
    third: tuple[str, ...] = ()
    fourth: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Usual(Base):
    second: int
    third: tuple[str, ...] = ()
    fourth: str = field(default="", compare=False)


QUICK: Any = Quick
MADE = Quick("a", 1, third=("b",))


def test_fields_are_those_of_the_usual_dataclass() -> None:
    usual = Usual("a", 1, third=("b",))
    assert repr(MADE) == repr(usual).replace("Usual", "Quick")
    assert type(MADE) is Quick
    assert signature(Quick) == signature(Usual)


def test_instances_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        MADE.second = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del MADE.second


def test_instances_are_compared_hashed_copied_and_replaced() -> None:
    again = Quick(first="a", second=1, third=("b",), fourth="not compared")
    assert again == MADE
    assert hash(again) == hash(MADE)
    assert copy(MADE) == pickle.loads(pickle.dumps(MADE)) == MADE
    assert replace(MADE, second=2) == Quick("a", 2, ("b",))
    assert replace(MADE, second=2) != MADE


@pytest.mark.parametrize(("values", "named"), [((), {}), (("a",), {}), (("a", 1), {"other": 1})])
def test_wrong_arguments_are_refused(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="argument"):
        QUICK(*values, **named)

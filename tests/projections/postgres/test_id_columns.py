"""Ids in columns of the type `uuid`."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.postgres.id_columns import is_itself, uuid_of


@given(number=st.integers(0, 2**128 - 1), text=st.text())
def test_each_text_has_one_uuid_of_its_own(number: int, text: str) -> None:
    """Those of other texts have version 8, which none has that is stored as itself."""
    canonical = str(UUID(int=number))
    for each in (canonical, text, canonical.upper(), canonical.replace("-", "")):
        if each == canonical and canonical[14] != "8":
            assert is_itself(each)
            assert uuid_of(each) == each
        else:
            assert not is_itself(each)
            assert UUID(uuid_of(each)).version == 8
            assert uuid_of(each) == uuid_of(each) != uuid_of(each + "x")


@pytest.mark.parametrize("id_", [None, "6a02d143-cd62-4539-9aa8-a18019d28146"])
def test_usual_ids_stay_as_they_are(id_: str | None) -> None:
    assert is_itself(id_)
    assert uuid_of(id_) == id_

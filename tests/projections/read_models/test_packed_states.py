"""States in the audit as bytes."""

from __future__ import annotations

import json
from hashlib import sha256
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.stream_ids import StreamId, list_stream, task_stream, user_stream
from projections import read_models
from projections.read_models.packed_states import DICTIONARY_FILE, pack, unpack

TASK_ID, LIST_ID = "0195d0a0-0000-7000-8000-000000000001", "0195d0a0-0000-7000-8000-000000000002"
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(st.text(), inner, max_size=5)),
)


@given(ids=st.tuples(st.text(), st.text()), state=st.dictionaries(st.text(), values, max_size=9))
def test_states_are_unpacked_as_they_were(ids: tuple[str, str], state: dict[str, object]) -> None:
    """Whatever the ids are, and whether the state begins with them."""
    key, list_id = ids
    with_ids = {"id": key, "list_id": list_id, **state}
    for each in (state, with_ids, {"id": key, **state}):
        for text in (json.dumps(each, separators=(",", ":")), json.dumps(each, ensure_ascii=False)):
            for stream in (task_stream(key), list_stream(key), user_stream(key)):
                for of_list in (list_id, None):
                    assert unpack(pack(text.encode(), stream, of_list), stream, of_list) == text.encode()


@pytest.mark.parametrize(
    ("stream", "list_id"), [(task_stream(TASK_ID), LIST_ID), (list_stream(LIST_ID), LIST_ID)]
)
def test_ids_of_other_columns_are_not_repeated(stream: StreamId, list_id: str) -> None:
    """Nor anything that most states have in common."""
    ids = {"id": stream.key, "list_id": list_id} if stream.kind == "task" else {"id": stream.key}
    common: dict[str, object] = {
        "notes": "",
        "priority": "none",
        "due": None,
        "time_zone": None,
        "tags": [],
        "deleted_at": None,
    }
    state = json.dumps({**ids, "title": "Buy milk", **common}, separators=(",", ":")).encode()
    assert len(pack(state, stream, list_id)) < len(state) / 3


def test_another_dictionary_needs_another_version_of_the_audit() -> None:
    """Rows that were packed with one cannot be read with another: raise `VERSION` of `audit` with this."""
    dictionary = files(read_models).joinpath(DICTIONARY_FILE).read_bytes()
    assert sha256(dictionary).hexdigest() == (
        "4d0dccf17604a5d8796c629c7dc812b79e4208f7a4ea389be2d3176699e98757"
    )

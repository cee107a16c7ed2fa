"""Proofs in the form of the API, as the offline verifier reads them."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.backup.records import LogRecord
from tasktape.offline_verifier import Wrong, check_consistency, check_inclusion, leaf_hash, read_keys
from tests.streams.backup_files import PARTITIONS, in_order, write
from tests.thoroughness import examples
from tests.verifier.rfc9162 import consistency, inclusion
from tests.verifier.running import verify
from tests.verifier.signing import Signer, head_text, leaves_of, note
from tests.verifier.test_backups import by_partition, histories

SIGNER = Signer()
KEYS = read_keys([SIGNER.key])


def signed(partitions: Sequence[Sequence[bytes]]) -> str:
    """Return the signed head of these records."""
    body = head_text(partitions)
    return note(body, SIGNER.line(body))


def texts(hashes: Sequence[bytes]) -> list[str]:
    """Return hashes in base64."""
    return [b64encode(each).decode() for each in hashes]


def inclusion_proof(partitions: Sequence[Sequence[bytes]], partition: int, offset: int) -> dict[str, Any]:
    """Return the answer of `GET /api/audit/proof`."""
    return {
        "position": f"{partition}:{offset}",
        "leaf": b64encode(leaf_hash(partitions[partition][offset])).decode(),
        "tree_head": signed(partitions),
        "in_partition": {"proof": texts(inclusion(offset, partitions[partition]))},
        "over_partitions": {"proof": texts(inclusion(partition, leaves_of(partitions)))},
    }


def consistency_proof(old: Sequence[Sequence[bytes]], new: Sequence[Sequence[bytes]]) -> dict[str, Any]:
    """Return the answer of `GET /api/audit/consistency`."""
    paths = [
        consistency(len(before), after) if before else [] for before, after in zip(old, new, strict=True)
    ]
    return {
        "old": signed(old),
        "new": signed(new),
        "partitions": [{"partition": number, "proof": texts(path)} for number, path in enumerate(paths)],
    }


@settings(max_examples=examples(30))
@given(histories, st.data())
def test_proofs_of_any_history_are_accepted(records: list[LogRecord], data: st.DataObject) -> None:
    """And those of another record, or another history, are not."""
    record = data.draw(st.sampled_from(records))
    partitions = by_partition(records)
    proof = inclusion_proof(partitions, record.partition, record.offset)
    _, *position, leaf = check_inclusion(proof, KEYS)
    assert (position, leaf) == (
        [record.partition, record.offset],
        leaf_hash(partitions[record.partition][record.offset]),
    )
    with pytest.raises(Wrong, match="does not lead from the record"):
        check_inclusion({**proof, "leaf": texts([leaf_hash(b"another")])[0]}, KEYS)
    end = data.draw(st.integers(0, len(records)))
    old = by_partition(records[:end])
    assert check_consistency(consistency_proof(old, partitions), KEYS)[0].size == end
    changed = [[b"changed", *each[1:]] if each else each for each in old]
    if end:
        with pytest.raises(Wrong):
            check_consistency({**consistency_proof(old, partitions), "old": signed(changed)}, KEYS)
    if 0 < end < len(records):
        with pytest.raises(Wrong):
            check_consistency(consistency_proof(partitions, partitions) | {"new": signed(old)}, KEYS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a backup, heads, a proof of a record, and a proof of consistency."""
    folder = tmp_path_factory.mktemp("proofs")
    records = nine_records()
    write(folder / "backup", records)
    partitions = by_partition(records)
    (folder / "proof").write_text(json.dumps(inclusion_proof(partitions, 1, 2)))
    (folder / "heads").write_text(signed(partitions))
    growth = consistency_proof(by_partition(records[:5]), partitions)
    (folder / "consistency").write_text(json.dumps(growth))
    return folder


def nine_records(header: bytes = b"x") -> list[LogRecord]:
    """Return three records of each partition."""
    headers: list[tuple[str, bytes | None]] = [("ce_id", header)]
    return in_order([(n % PARTITIONS, n, 1, b"task:1", b'{"n":%d}' % n, headers) for n in range(9)])


def test_proven_record_is_shown(folder: Path) -> None:
    files = f"{folder}/proof", f"{folder}/backup"
    out, faults = verify("inclusion", "--key", SIGNER.key, *files, "--heads", f"{folder}/heads")
    assert not faults
    line, _, record = out.partition("\n")
    assert line.startswith("The record 1:2 is in the head of 9 records")
    assert json.loads(record) == {
        "position": "1:2",
        "recorded_at": "1970-01-01T00:00:00.007+00:00",
        "key": "task:1",
        "headers": [["ce_id", "x"]],
        "value": '{"n":7}',
    }
    out, faults = verify("consistency", "--key", SIGNER.key, f"{folder}/consistency")
    assert out.endswith("unchanged.\n")
    assert not faults


def test_other_record_at_the_proven_position_is_named(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "other", nine_records(b"y"))
    _, faults = verify("inclusion", "--key", SIGNER.key, f"{folder}/proof", f"{tmp_path}/other")
    assert faults == ["WRONG: the record 1:2 is another one than that of the proof"]


VERBS = {
    "proof": ("inclusion", "proof", "backup"),
    "heads": ("heads", "heads"),
    "consistency": ("consistency", "consistency"),
    "backup": ("backup", "--heads", "heads", "backup"),
}


@pytest.mark.parametrize("name", VERBS)
@settings(max_examples=examples(40))
@given(data=st.data())
def test_damaged_file_is_a_line_and_no_traceback(folder: Path, name: str, data: st.DataObject) -> None:
    content = (folder / name).read_bytes()
    at, end = sorted(data.draw(st.tuples(*[st.integers(0, len(content))] * 2)))
    (folder / "damaged").write_bytes(content[:at] + data.draw(st.binary(max_size=4)) + content[end:])
    files = {each: f"{folder}/{each}" for each in VERBS} | {name: f"{folder}/damaged"}
    verb, *arguments = VERBS[name]
    verify(verb, "--key", SIGNER.key, *(files.get(each, each) for each in arguments))

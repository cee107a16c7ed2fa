"""The file of signing keys: made once, private, and refused with a clear reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.merkle.notes import Note
from app.settings import BadSettings
from streams.tree_heads.keys import KeyRing, SigningKey, add_key, make_keys, read_keys, verify

NOW = datetime(2026, 11, 30, tzinfo=UTC)
NAME = "tasktape/cluster/task-events"


def test_file_is_made_once_and_private(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    with pytest.raises(BadSettings, match="cannot be read"):
        read_keys(file)
    made = make_keys(file, NAME, NOW)
    again = make_keys(file, NAME, NOW + timedelta(days=1))
    assert [key.line for key in made.keys] == [key.line for key in again.keys] == [file.read_text()]
    assert file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["keys"]


def test_private_key_is_that_of_another_program(tmp_path: Path) -> None:
    """A pair of keys of the package `golang.org/x/mod/sumdb/note`."""
    file = tmp_path / "keys"
    private = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
    file.write_text(f"# Comment\n\n2026-01-01T00:00:00Z {private}\n")
    found = read_keys(file)
    [key] = found.keys
    assert str(key.public) == "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    note = Note("text\n", (key.sign("text\n"),))
    assert note.signed_by(found.public, verify) == [key.public]


def test_key_is_added_for_a_later_time(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    [first] = make_keys(file, NAME, NOW).keys
    added = add_key(file, NOW + timedelta(days=1))
    assert [key.line for key in read_keys(file).keys] == [first.line, added.line]
    assert added.public.name == NAME
    with pytest.raises(BadSettings, match="name a later time"):
        add_key(file, NOW + timedelta(hours=1))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "contains no key"),
        ("nonsense\n", "a line is a time and a private key"),
        ("2026-01-01T00:00:00Z PRIVATE+KEY+n+00000000+AAAA\n", "not one of Ed25519"),
        ("yesterday PRIVATE+KEY+n+00000000+AAAA\n", "key 1 of"),
    ],
)
def test_unusable_file_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    file = tmp_path / "keys"
    file.write_text(content)
    with pytest.raises(BadSettings, match=reason):
        read_keys(file)


def test_next_key_signs_from_its_time_on_and_first_together_with_the_former() -> None:
    old, new = (SigningKey.generate(NAME, NOW + timedelta(days=days)) for days in (0, 10))
    keys = KeyRing([new, old])
    assert keys.signers(NOW - timedelta(days=1), []) == []
    assert keys.signers(NOW, []) == [old]
    assert keys.signers(NOW + timedelta(days=9), [old.public]) == [old]
    assert keys.signers(NOW + timedelta(days=11), [old.public]) == [new, old]
    assert keys.signers(NOW + timedelta(days=11), [new.public, old.public]) == [new]
    assert keys.signers(NOW + timedelta(days=11), [new.public]) == [new]

"""Ports of an instance, kept while they are free."""

import json
import socket
from pathlib import Path

from tasktape.local.ports import LOOPBACK, is_free, is_listening, pick_ports


def test_ports_are_kept(tmp_path: Path) -> None:
    """A second start has the same ones."""
    first = pick_ports(tmp_path / "ports.json", ("a", "b"))
    assert first["a"] != first["b"]
    assert pick_ports(tmp_path / "ports.json", ("a", "b")) == first


def test_taken_port_is_replaced(tmp_path: Path) -> None:
    """The others stay."""
    first = pick_ports(tmp_path / "ports.json", ("a", "b"))
    with socket.create_server((LOOPBACK, first["a"])):
        assert not is_free(LOOPBACK, first["a"])
        assert is_listening(LOOPBACK, first["a"])
        second = pick_ports(tmp_path / "ports.json", ("a", "b"))
    assert second["a"] != first["a"]
    assert second["b"] == first["b"]
    assert json.loads((tmp_path / "ports.json").read_text()) == second


def test_damaged_file_is_replaced(tmp_path: Path) -> None:
    for text in ("", "[]", '{"a": 0}', '{"a": "x"}', '{"a": 99999}'):
        (tmp_path / "ports.json").write_text(text)
        assert 20_000 <= pick_ports(tmp_path / "ports.json", ("a",))["a"] < 30_000

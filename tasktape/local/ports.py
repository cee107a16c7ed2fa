"""TCP ports of this machine: free ones, and those that a data folder used last."""

import json
import random
import socket
from contextlib import closing
from itertools import islice
from pathlib import Path

from tasktape.local.errors import LocalError

LOOPBACK = "127.0.0.1"


def is_free(host: str, port: int) -> bool:
    """Return whether a server could listen on `host:port` now."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError:
        return False
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError:
            return False
    return True


def is_listening(host: str, port: int, timeout_s: float = 0.5) -> bool:
    """Return whether a program accepts connections on `host:port`."""
    try:
        socket.create_connection((host, port), timeout_s).close()
    except OSError:
        return False
    return True


def pick_ports(remembered: Path, names: tuple[str, ...]) -> dict[str, int]:
    """Return a free loopback port for each name: the one in the file `remembered` if still free, else new."""
    known = _read(remembered)
    kept = {name: known[name] for name in names if name in known and is_free(LOOPBACK, known[name])}
    missing = [name for name in names if name not in kept]
    ports = kept | dict(zip(missing, _new_ports(len(missing)), strict=True))
    if ports != known:
        partial = remembered.with_suffix(".new")
        partial.write_text(json.dumps(ports))
        partial.replace(remembered)
    return ports


def _read(path: Path) -> dict[str, int]:
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {name: port for name, port in known.items() if isinstance(port, int) and 0 < port < 65536}


def _new_ports(count: int) -> list[int]:
    """Choose ports below the range of outgoing connections, so that they stay free."""
    candidates = random.sample(range(20_000, 30_000), 1_000)
    ports = list(islice((port for port in candidates if is_free(LOOPBACK, port)), count))
    if len(ports) < count:
        raise LocalError("No TCP port between 20000 and 30000 is free on the loopback address")
    return ports

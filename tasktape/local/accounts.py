"""Another operating system account to run a child under, because PostgreSQL refuses to run as root."""

import contextlib
import ctypes
import os
import pwd
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_CAPABILITY_VERSION_3 = 0x20080522


@dataclass(frozen=True, slots=True)
class Account:
    """An operating system account."""

    name: str
    uid: int
    gid: int


def account_for(folder: Path) -> Account | None:
    """Return the account that PostgreSQL uses with its data in `folder`, None for the current one.

    For root it is the owner of the data, else `postgres`, else `nobody`.
    """
    if os.geteuid() != 0:
        return None
    owner = folder.stat().st_uid if folder.exists() else 0
    if owner != 0:
        with contextlib.suppress(KeyError):
            return _account(pwd.getpwuid(owner))
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return _account(pwd.getpwnam(name))
    return None


def become(account: Account) -> None:
    """Change this process, a forked child, to `account` permanently.

    On Linux it keeps the capability to walk through folders that are closed to others, such as root's home.
    The data and the virtual environment may be there, and this program must not open them to everyone.
    """
    linux = sys.platform == "linux"
    if linux:
        _LIBC.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(account.gid)
    os.setuid(account.uid)
    if linux and not _keep_capability(_CAP_DAC_READ_SEARCH):
        # Container engines withhold that one by default but grant the wider one.
        _keep_capability(_CAP_DAC_OVERRIDE)


def die_with_parent(signal_number: int, parent_pid: int) -> None:
    """Have the kernel send this process, a forked child, a signal when its parent dies (Linux only)."""
    if sys.platform != "linux":
        return
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before we asked
        os._exit(1)


def _keep_capability(number: int) -> bool:
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    mask = 1 << number
    # Two blocks of (effective, permitted, inheritable); the second holds capabilities from 32 on.
    data = struct.pack("=6I", mask, mask, mask, 0, 0, 0)
    if _LIBC.capset(header, data) != 0:
        return False
    return bool(_LIBC.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number, 0, 0) == 0)


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)

"""A new file that appears under its name only when it is complete and on the disk."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from streams.backup.blocks import BadBackup

BUFFER_BYTES = 1 << 20
DISK_FAILURES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
LINKS_UNSUPPORTED = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


@contextmanager
def new_file(path: Path, *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """Yield a file to write; put it in place if the block succeeds, and remove it otherwise.

    Only its owner may read it. Until then it is beside `path`, with the ending `.partial`. That of a killed
    process is used again. Raise `BadBackup` if `path` exists, or if another process writes it, and `OSError`.
    """
    if not overwrite:
        _refuse_existing(path)
    partial = path.with_name(f"{path.name}.partial")
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb", buffering=BUFFER_BYTES) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BadBackup(f"another process writes {partial}") from error
        try:
            file.truncate(0)
            yield file
            file.flush()
            os.fsync(file.fileno())
            _put_in_place(partial, path, overwrite=overwrite)
        except BaseException as error:
            if isinstance(error, OSError) and error.errno in DISK_FAILURES:
                error.filename = str(path)
            partial.unlink(missing_ok=True)
            with suppress(OSError):  # what is still buffered may not fit on the disk
                file.close()
            raise
    _sync_folder(path.parent)


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise BadBackup(f"{path} exists; give another name, or --force to replace it")


def _put_in_place(partial: Path, path: Path, *, overwrite: bool) -> None:
    if overwrite:
        partial.replace(path)
        return
    try:
        path.hardlink_to(partial)  # it fails if the name was taken meanwhile
    except FileExistsError:
        _refuse_existing(path)
        raise
    except OSError as error:
        if error.errno not in LINKS_UNSUPPORTED:
            raise
        _refuse_existing(path)
        partial.replace(path)
    else:
        partial.unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

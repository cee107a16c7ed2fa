"""Log files of child processes, kept to a bounded size."""

import contextlib
import os
import shutil
from pathlib import Path

LIMIT_BYTES = 8 * 1024 * 1024


def shorten(log: Path, limit_bytes: int = LIMIT_BYTES) -> None:
    """Move a log that has grown too large to `<log>.1`, replacing the previous one.

    The child keeps the file open, so it is copied and truncated. The child appends, so it continues there.
    """
    with contextlib.suppress(OSError):
        if log.stat().st_size > limit_bytes:
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            os.truncate(log, 0)

"""Secret settings in files, because other programs can list environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from app.settings import BadSettings

IN_FILES = (
    "DATABASE_URL",
    "TASKTAPE_API_DATABASE_URL",
    "TASKTAPE_SQL_DATABASE_URL",
    "JWT_SECRET",
    "JWT_PUBLIC_KEY",
)
"""Settings whose value may be in the file that `NAME_FILE` names."""
MAX_BYTES = 64 * 1024


def with_secret_files(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with the content of each `NAME_FILE` as `NAME`. Raise `BadSettings`.

    An empty file counts as unset, like an empty value.
    """
    found = dict(environment)
    for name in IN_FILES:
        file = found.pop(f"{name}_FILE", "")
        if not file:
            continue
        if found.get(name):
            raise BadSettings(f"set {name} or {name}_FILE, not both")
        found[name] = _read(f"{name}_FILE", Path(file))
    return found


def _read(name: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode().strip()
    except OSError as error:
        raise BadSettings(f"{name}: {path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise BadSettings(f"{name}: {path} is not a text in UTF-8") from None
    if len(content) > MAX_BYTES or "\0" in text:
        raise BadSettings(f"{name}: {path} is not a secret: it is too large, or not text")
    return text

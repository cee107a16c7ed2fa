"""The build backend of the server: setuptools, plus the version or place of the required client.

`pyproject.toml` requires `tasktape-client`. Wheels require the version in `client/VERSION`, which is theirs.
Before it builds a source tree, pip asks for its metadata to resolve requirements. That metadata refers to the
folder `client`, so that `pip install -e .` needs no index with the client.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

CLIENT = Path(__file__).resolve().parent.parent / "client"
REQUIREMENT = "Requires-Dist: tasktape-client"
Settings = dict[str, Any] | None


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: Settings = None) -> str:
    """Write the metadata, with the folder of the client as its source. Return the name of its folder."""
    return _prepare(metadata_directory, config_settings, _client_folder())


def prepare_metadata_for_build_editable(metadata_directory: str, config_settings: Settings = None) -> str:
    """Write the metadata of an editable installation, as `prepare_metadata_for_build_wheel` does."""
    return _prepare(metadata_directory, config_settings, _client_folder())


def build_wheel(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """Build the wheel. Return its name."""
    del metadata_directory  # it refers to a folder of this machine
    with TemporaryDirectory() as folder:
        name = _prepare(folder, config_settings, _same_version())
        wheel: str = build_meta.build_wheel(wheel_directory, config_settings, str(Path(folder, name)))
        return wheel


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """Build the wheel of an editable installation. Return its name."""
    del metadata_directory
    with TemporaryDirectory() as folder:
        _prepare(folder, config_settings, _same_version())
        wheel: str = build_meta.build_editable(wheel_directory, config_settings, folder)
        return wheel


def _same_version() -> str:
    return f"=={(CLIENT / 'VERSION').read_text().strip()}"


def _client_folder() -> str:
    """Refer to the folder of the client; a source distribution lacks it, and refers to the version."""
    return f" @ {CLIENT.as_uri()}" if (CLIENT / "pyproject.toml").exists() else _same_version()


def _prepare(folder: str, config_settings: Settings, source: str) -> str:
    name: str = build_meta.prepare_metadata_for_build_wheel(folder, config_settings)
    metadata = Path(folder, name, "METADATA")
    lines = metadata.read_text(encoding="utf-8").splitlines(keepends=True)
    assert lines.count(f"{REQUIREMENT}\n") == 1, "pyproject.toml requires the client, without a version"
    written = "".join(REQUIREMENT + source + "\n" if line == f"{REQUIREMENT}\n" else line for line in lines)
    metadata.write_text(written, encoding="utf-8")
    return name

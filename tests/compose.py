"""docker-compose.yml as Compose reads it, as far as the file needs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
COMPOSE = ROOT / "docker-compose.yml"
OURS = ("api-1", "api-2", "worker-1", "worker-2", "migrate")
REQUIRED = {"KAFKA_CLUSTER_ID": "MkU3OEVBNTcwNTJENDM2Qg", "SITE_ADDRESS": "tasks.example.org"}
SECRETS = {
    "database_url": "postgresql://tasktape:5f5f5f@postgres:5432/tasktape",
    "api_database_url": "postgresql://tasktape_api:6a6a@postgres:5432/tasktape",
    "sql_database_url": "postgresql://tasktape_sql:7b7b@postgres:5432/tasktape",
    "jwt_secret": "0a" * 32,
    "postgres_password": "5f5f5f",
}


def interpolated(text: str, values: dict[str, str]) -> str:
    """Apply Compose's interpolation, as far as the file uses it: `${NAME:-default}`, `${NAME:?message}`,
    `$$`."""

    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        name, operator, rest = match.groups()
        if found := values.get(name):
            return found
        if operator == ":?":
            raise KeyError(rest)
        return rest

    return re.sub(r"\$\$|\$\{(\w+)(:[-?])([^}]*)\}", value, text)


def read_compose(values: dict[str, str] | None = None) -> dict[str, Any]:
    """Return the file with the required variables of `.env`, and more."""
    document: dict[str, Any] = _filled(yaml.safe_load(COMPOSE.read_text()), REQUIRED | (values or {}))
    return document


def _filled(part: Any, values: dict[str, str]) -> Any:
    """Interpolate strings after parsing the YAML, as Compose does: an empty one stays a string."""
    match part:
        case dict():
            return {name: _filled(each, values) for name, each in part.items()}
        case list():
            return [_filled(each, values) for each in part]
        case str():
            return interpolated(part, values)
        case _:
            return part


def environment_of_service(service: dict[str, Any]) -> dict[str, str]:
    """Return the environment of a container."""
    return {name: str(value) for name, value in service.get("environment", {}).items()}


def secret_files(folder: Path, contents: dict[str, str] | None = None) -> dict[str, str]:
    """Create files as in the how-to, and return where each secret would be mounted and where it is here."""
    places = {}
    for name, content in (SECRETS | (contents or {})).items():
        (folder / name).write_text(content + "\n")
        places[f"/run/secrets/{name}"] = str(folder / name)
    return places

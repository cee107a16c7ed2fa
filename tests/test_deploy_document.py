"""Commands of docs/how-to/deploy.md for Compose, run as written with a stand-in for Docker."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from app.settings import Settings
from tasktape.secret_files import with_secret_files
from tests.compose import ROOT, environment_of_service, read_compose

PAGE = (ROOT / "docs" / "how-to" / "deploy.md").read_text()
DOCKER = """#!/bin/sh
echo "$@" >> "$ASKED"
case "$1 $2" in "image inspect") for last; do :; done; echo "${last%%:*}@sha256:0123" ;; esac
"""


def block(of: str) -> str:
    """Return the only shell block with these words."""
    [found] = [
        each for each in re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) if of in each
    ]
    return str(found)


class Host:
    """A folder of the repository, and a `docker` that records its arguments."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tasktape"
        self.folder.mkdir()
        self.asked = folder / "asked"
        (folder / "docker").write_text(DOCKER)
        (folder / "docker").chmod(0o755)
        self._environment = os.environ | {
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
            "ASKED": str(self.asked),
        }

    def follow(self, script: str) -> None:
        """Run a block, up to the first command that fails."""
        subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self._environment,
            check=True,
            timeout=30,
        )

    def env(self) -> dict[str, str]:
        """Return the variables of `.env`."""
        return dict(re.findall(r"^(\w+)=(.*)$", (self.folder / ".env").read_text(), re.MULTILINE))

    def settings(self, name: str) -> Settings:
        """Return the settings of a container."""
        environment = environment_of_service(read_compose(self.env())["services"][name])
        secrets = str(self.folder / "secrets")
        there = {key: value.replace("/run/secrets", secrets) for key, value in environment.items()}
        return Settings.from_environment(with_secret_files(there))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    host = Host(tmp_path)
    host.follow(block("KAFKA_CLUSTER_ID="))
    return host


def test_settings_and_secrets_are_created_as_compose_requires(host: Host) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", host.env()["KAFKA_CLUSTER_ID"])
    settings = host.settings("api-1")
    password = (host.folder / "secrets" / "postgres_password").read_text().strip()
    owner = f"postgresql://tasktape:{password}@postgres:5432/tasktape"
    for url, role in ((settings.api_database_url, "api"), (settings.sql_database_url, "sql")):
        assert re.fullmatch(rf"postgresql://tasktape_{role}:[0-9a-f]{{48}}@postgres:5432/tasktape", url or "")
    assert settings.jwt_secret is not None
    assert len(settings.jwt_secret) == 64
    assert host.settings("worker-1").database_url == host.settings("migrate").database_url == owner
    assert host.asked.read_text() == "compose up --build --detach --wait\n"


def test_secrets_are_readable_in_the_containers_only(host: Host) -> None:
    folder = host.folder / "secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o644}


def test_own_identity_provider_is_configured_as_described(host: Host) -> None:
    host.follow(block("JWT_JWKS_URL="))
    settings = host.settings("api-2")
    assert settings.jwt_secret is None
    assert settings.jwt_jwks_url == "https://id.example.org/.well-known/jwks.json"


def test_images_are_pinned_by_the_digests_of_docker(host: Host) -> None:
    host.follow(block("image inspect"))
    services = read_compose(host.env())["services"]
    images = {name: services[name]["image"] for name in ("proxy", "kafka", "postgres")}
    assert images == {
        "proxy": "caddy@sha256:0123",
        "kafka": "apache/kafka@sha256:0123",
        "postgres": "postgres@sha256:0123",
    }
    assert services["api-1"]["build"]["args"] == {"PYTHON_IMAGE": "python@sha256:0123"}
    unpinned = read_compose()["services"]
    tags = {unpinned[name]["image"] for name in images} | {unpinned["api-1"]["build"]["args"]["PYTHON_IMAGE"]}
    assert set(re.findall(r"^pull --quiet (\S+)$", host.asked.read_text(), re.MULTILINE)) == tags


def test_sign_in_command_and_its_options_exist(host: Host) -> None:
    host.follow(block("token --user"))
    assert host.asked.read_text().endswith("compose exec api-1 tasktape token --user alice --ttl 30d\n")

"""docker-compose.yml is valid, and asks of the product only what it has."""

import json
import re
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml

from app.settings import Settings
from tasktape.cli import main

ROOT = Path(__file__).parent.parent
COMPOSE = ROOT / "docker-compose.yml"
OURS = ("api-1", "api-2", "worker-1", "worker-2", "migrate")
SECRETS = {
    "POSTGRES_PASSWORD": "5f" * 12,
    "JWT_SECRET": "0a" * 32,
    "KAFKA_CLUSTER_ID": "MkU3OEVBNTcwNTJENDM2Qg",
    "SITE_ADDRESS": "tasks.example.org",
}


def interpolated(text: str, values: dict[str, str]) -> str:
    """Compose's interpolation, as far as the file uses it: `${NAME:-default}` and `${NAME:?message}`."""

    def value(match: re.Match[str]) -> str:
        name, operator, rest = match.groups()
        if found := values.get(name):
            return found
        if operator == ":?":
            raise KeyError(rest)
        return rest

    return re.sub(r"\$\{(\w+)(:[-?])([^}]*)\}", value, text)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(interpolated(COMPOSE.read_text(), SECRETS))
    return document


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """The Compose specification's own schema, from a package that ships a copy."""
    path = distribution("check-jsonschema").locate_file(
        "check_jsonschema/builtin_schemas/vendor/compose-spec.json"
    )
    document: dict[str, Any] = json.loads(Path(str(path)).read_text())
    return document


def service_environment(service: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in service.get("environment", {}).items()}


def test_follows_the_compose_specification(compose: dict[str, Any], schema: dict[str, Any]) -> None:
    jsonschema.validate(compose, schema)


def test_the_schema_would_notice_a_mistake(compose: dict[str, Any], schema: dict[str, Any]) -> None:
    broken = compose | {"services": compose["services"] | {"api-1": {"image": "x", "comand": ["tasktape"]}}}
    with pytest.raises(jsonschema.ValidationError, match="comand"):
        jsonschema.validate(broken, schema)


@pytest.mark.parametrize("secret", sorted(SECRETS))
def test_a_missing_secret_stops_it_with_its_name(secret: str) -> None:
    rest = {name: value for name, value in SECRETS.items() if name != secret}
    with pytest.raises(KeyError, match=f"set {secret} in .env"):
        interpolated(COMPOSE.read_text(), rest)


def test_the_example_of_env_names_what_is_required() -> None:
    named = re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert set(named) == set(SECRETS)


@pytest.mark.parametrize("name", OURS)
def test_every_setting_exists_and_has_a_good_value(compose: dict[str, Any], name: str) -> None:
    environment = service_environment(compose["services"][name])
    known = {field.alias for field in Settings.model_fields.values()}
    assert environment
    assert set(environment) <= known
    Settings.from_environment(environment)


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_a_verb(compose: dict[str, Any], name: str) -> None:
    program, verb = compose["services"][name]["command"]
    assert program == "tasktape"
    assert main.get_command(click.Context(main), verb) is not None


def test_each_worker_has_a_slot_of_its_own(compose: dict[str, Any]) -> None:
    workers = [service for name, service in compose["services"].items() if name.startswith("worker-")]
    slots = {service_environment(worker)["TASKTAPE_WORKER_SLOT"] for worker in workers}
    assert len(workers) == len(slots) == 2


def test_nothing_starts_before_the_topics_and_tables_are_there(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name in ("api-1", "api-2", "worker-1", "worker-2"):
        assert services[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert set(services["migrate"]["depends_on"]) == {"kafka", "postgres"}


def test_only_the_proxy_is_reachable_from_outside(compose: dict[str, Any]) -> None:
    assert [name for name, service in compose["services"].items() if service.get("ports")] == ["proxy"]


def test_the_proxy_knows_every_api_node_and_its_port(compose: dict[str, Any]) -> None:
    nodes = [f"{name}:8000" for name in compose["services"] if name.startswith("api-")]
    caddyfile = (ROOT / "deploy" / "Caddyfile").read_text()
    assert f"reverse_proxy {{args[0]}} {' '.join(nodes)} {{" in caddyfile
    assert "import nodes /socket.io/* client_ip_hash" in caddyfile
    assert "import nodes * least_conn" in caddyfile
    assert re.search(r"^EXPOSE 8000$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert re.search(r"\bPORT=8000\b", (ROOT / "Dockerfile").read_text())


def test_data_lives_in_named_volumes(compose: dict[str, Any]) -> None:
    assert "kafka:/var/lib/kafka/data" in compose["services"]["kafka"]["volumes"]
    assert compose["services"]["kafka"]["environment"]["KAFKA_LOG_DIRS"] == "/var/lib/kafka/data"
    assert "postgres:/var/lib/postgresql" in compose["services"]["postgres"]["volumes"]
    assert {"kafka", "postgres"} <= set(compose["volumes"])

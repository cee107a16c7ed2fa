"""docker-compose.yml is valid, sets only existing variables, and gives each container the least it needs."""

import json
import re
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest

from app.settings import Settings
from tasktape.cli import main
from tasktape.secret_files import IN_FILES, with_secret_files
from tests.compose import (
    COMPOSE,
    OURS,
    REQUIRED,
    ROOT,
    SECRETS,
    environment_of_service,
    interpolated,
    read_compose,
    secret_files,
)

KNOWN = {str(field.alias) for field in Settings.model_fields.values()}
FIXED = {
    # Set by the file or the image, as the containers are what they are.
    "KAFKA_BROKERS",
    "HOST",
    "PORT",
    "TASKTAPE_READY_FILE",
    "TASKTAPE_TREE_HEAD_KEYS",
    "TASKTAPE_TRUSTED_PROXIES",
    "TASKTAPE_WORKER_SLOT",
    # In files.
    "DATABASE_URL",
    "TASKTAPE_API_DATABASE_URL",
    "TASKTAPE_SQL_DATABASE_URL",
    "JWT_SECRET",
}
NOT_HERE = {
    "TASKTAPE_DATA",  # of a local instance
    "TASKTAPE_REPLICATION",  # there is one broker
    "TASKTAPE_REUSE_PORT",  # each node has an address of its own
    # Kafka and PostgreSQL are this installation's alone.
    "TASKTAPE_EVENTS_TOPIC",
    "TASKTAPE_UPDATES_TOPIC",
    "TASKTAPE_SIGNALS_TOPIC",
    "TASKTAPE_TREE_HEADS_TOPIC",
    "TASKTAPE_SCHEMA",
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return read_compose()


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """Return the Compose specification's own schema, from a package that ships a copy."""
    path = distribution("check-jsonschema").locate_file(
        "check_jsonschema/builtin_schemas/vendor/compose-spec.json"
    )
    document: dict[str, Any] = json.loads(Path(str(path)).read_text())
    return document


def names(text: str) -> set[str]:
    """Return the variables of a file with `NAME=`, commented out or not."""
    return set(re.findall(r"^#?(\w+)=", text, re.MULTILINE))


# --- the file --------------------------------------------------------------------------------------------


def test_file_follows_the_compose_specification(compose: dict[str, Any], schema: dict[str, Any]) -> None:
    jsonschema.validate(compose, schema)


def test_schema_detects_a_mistake(compose: dict[str, Any], schema: dict[str, Any]) -> None:
    broken = compose | {"services": compose["services"] | {"api-1": {"image": "x", "comand": ["tasktape"]}}}
    with pytest.raises(jsonschema.ValidationError, match="comand"):
        jsonschema.validate(broken, schema)


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_missing_value_stops_compose_with_its_name(name: str) -> None:
    rest = {each: value for each, value in REQUIRED.items() if each != name}
    with pytest.raises(KeyError, match=f"set {name} in .env"):
        interpolated(COMPOSE.read_text(), rest)


def test_env_example_has_every_variable_with_its_default() -> None:
    used = {
        name: default for name, _, default in re.findall(r"\$\{(\w+)(:[-?])([^}]*)\}", COMPOSE.read_text())
    }
    example = (ROOT / ".env.example").read_text()
    assert names(example) == set(used)
    defaults = dict(re.findall(r"^#(\w+)=(.*)$", example, re.MULTILINE))
    for name, default in used.items():
        if default and name in defaults:
            assert defaults[name] == default, name
    assert {name for name in names(example) if f"\n{name}=" in example} == set(REQUIRED)


# --- settings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OURS)
def test_every_setting_of_a_service_exists_and_has_a_valid_value(
    compose: dict[str, Any], name: str, tmp_path: Path
) -> None:
    service = compose["services"][name]
    places = secret_files(tmp_path)
    environment = {each: places.get(value, value) for each, value in environment_of_service(service).items()}
    files = {f"{each}_FILE" for each in IN_FILES}
    assert set(environment) <= KNOWN | files
    mounted = {f"/run/secrets/{secret}" for secret in service["secrets"]}
    assert {value for each, value in service["environment"].items() if each in files} == mounted
    settings = Settings.from_environment(with_secret_files(environment))
    if name.startswith("api-"):
        assert "DATABASE_URL_FILE" not in environment  # the role that owns the tables
    else:
        assert settings.database_url == SECRETS["database_url"]
    if not name.startswith("worker-"):
        assert settings.api_database_url == SECRETS["api_database_url"]
        assert settings.sql_database_url == SECRETS["sql_database_url"]
    assert settings.partitions == 4


def test_every_setting_can_be_set_from_env(compose: dict[str, Any]) -> None:
    """Without a change of the file, for the services that use it."""
    can_be_set = names((ROOT / ".env.example").read_text()) & KNOWN
    assert can_be_set | FIXED | NOT_HERE == KNOWN
    given = {name: f"given-{name}" for name in can_be_set}
    services = read_compose(given)["services"]
    found = {
        name: value
        for service in ("api-1", "worker-1")
        for name, value in environment_of_service(services[service]).items()
    }
    assert {name: found.get(name) for name in can_be_set} == given


@pytest.mark.parametrize("name", OURS)
def test_partitions_are_the_same_for_all(name: str) -> None:
    service = read_compose({"TASKTAPE_PARTITIONS": "12"})["services"][name]
    assert environment_of_service(service)["TASKTAPE_PARTITIONS"] == "12"


def test_own_identity_provider_replaces_the_secret(tmp_path: Path) -> None:
    """With an empty file of the secret, as in the how-to."""
    places = secret_files(tmp_path, {"jwt_secret": ""})
    url = "https://id.example.org/keys"
    service = read_compose({"JWT_JWKS_URL": url, "JWT_ISSUER": "id", "JWT_AUDIENCE": "tasks"})["services"]
    environment = environment_of_service(service["api-1"])
    settings = Settings.from_environment(
        with_secret_files({name: places.get(value, value) for name, value in environment.items()})
    )
    assert (settings.jwt_secret, settings.jwt_jwks_url) == (None, url)
    assert (settings.jwt_issuer, settings.jwt_audience) == ("id", "tasks")


def test_no_secret_is_in_an_environment(compose: dict[str, Any]) -> None:
    assert set(compose["secrets"]) == set(SECRETS)
    for service in compose["services"].values():
        for name in environment_of_service(service):
            assert name.endswith("_FILE") or not re.search("PASSWORD|SECRET|DATABASE_URL", name), name
    assert "/secrets/" in (ROOT / ".gitignore").read_text().split()


# --- processes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_a_verb(compose: dict[str, Any], name: str) -> None:
    program, verb = compose["services"][name]["command"]
    assert program == "tasktape"
    assert main.get_command(click.Context(main), verb) is not None


def test_each_worker_has_a_slot_of_its_own(compose: dict[str, Any]) -> None:
    workers = [service for name, service in compose["services"].items() if name.startswith("worker-")]
    slots = {environment_of_service(worker)["TASKTAPE_WORKER_SLOT"] for worker in workers}
    assert len(workers) == len(slots) == 2


def test_nothing_starts_before_the_topics_and_tables_exist(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name in ("api-1", "api-2", "worker-1", "worker-2"):
        assert services[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    healthy = {"condition": "service_healthy"}
    assert services["migrate"]["depends_on"] == {"kafka": healthy, "postgres": healthy}
    assert all(services[name]["healthcheck"]["test"] for name in ("kafka", "postgres"))


def seconds(duration: str) -> int:
    match = re.fullmatch(r"(\d+)s", duration)
    assert match is not None
    return int(match[1])


def test_nodes_have_the_time_to_say_goodbye(compose: dict[str, Any]) -> None:
    node = compose["services"]["api-1"]
    environment = environment_of_service(node)
    delay_s, drain_s = int(environment["TASKTAPE_SHUTDOWN_DELAY_S"]), int(environment["TASKTAPE_DRAIN_S"])
    assert seconds(node["stop_grace_period"]) >= delay_s + drain_s + 5


def test_stopping_nodes_serve_until_the_proxy_has_noticed(compose: dict[str, Any]) -> None:
    environment = environment_of_service(compose["services"]["api-1"])
    caddyfile = (ROOT / "deploy" / "Caddyfile").read_text()
    looks_s = sum(int(value) for value in re.findall(r"health_(?:interval|timeout) (\d+)s", caddyfile))
    assert int(environment["TASKTAPE_SHUTDOWN_DELAY_S"]) > looks_s > 0


def test_services_are_restarted_and_one_off_commands_are_not(compose: dict[str, Any]) -> None:
    policies = {name: service["restart"] for name, service in compose["services"].items()}
    assert policies.pop("migrate") == "no"
    assert set(policies.values()) == {"unless-stopped"}


def test_every_service_has_a_health_check(compose: dict[str, Any]) -> None:
    """The API nodes that of the image."""
    for name, service in compose["services"].items():
        if name == "migrate":
            assert service["healthcheck"] == {"disable": True}
        elif not name.startswith("api-"):
            assert seconds(service["healthcheck"]["timeout"]) <= 20
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()


# --- confinement -----------------------------------------------------------------------------------------


def every_service() -> list[str]:
    return list(read_compose()["services"])


@pytest.mark.parametrize("name", every_service())
def test_service_has_the_least_privileges(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "proxy" else [])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("read_only", False) == (name != "kafka")
    assert not service.get("privileged")


@pytest.mark.parametrize("name", every_service())
def test_service_is_limited_in_memory_processors_processes_and_logs(
    compose: dict[str, Any], name: str
) -> None:
    service = compose["services"][name]
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory", "pids"}
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}


def test_only_the_proxy_is_reachable_from_outside(compose: dict[str, Any]) -> None:
    assert [name for name, service in compose["services"].items() if service.get("ports")] == ["proxy"]


def test_proxy_cannot_reach_the_log_and_the_database(compose: dict[str, Any]) -> None:
    networks = {name: set(service["networks"]) for name, service in compose["services"].items()}
    assert networks.pop("proxy") == {"front"}
    assert networks.pop("api-1") == networks.pop("api-2") == {"front", "back"}
    assert set(map(frozenset, networks.values())) == {frozenset({"back"})}
    assert compose["networks"]["back"] == {"internal": True}


def test_nodes_trust_the_network_of_the_proxy_only() -> None:
    compose = read_compose({"FRONT_SUBNET": "10.9.8.0/24"})
    assert compose["networks"]["front"]["ipam"]["config"] == [{"subnet": "10.9.8.0/24"}]
    environment = environment_of_service(compose["services"]["api-1"])
    assert Settings.from_environment(
        {"TASKTAPE_TRUSTED_PROXIES": environment["TASKTAPE_TRUSTED_PROXIES"]}
    ).trusted_proxies == ("10.9.8.0/24",)


def test_proxy_has_every_api_node_and_its_port(compose: dict[str, Any]) -> None:
    nodes = " ".join(f"{name}:8000" for name in compose["services"] if name.startswith("api-"))
    assert environment_of_service(compose["services"]["proxy"])["API_NODES"] == nodes
    assert f"{{$API_NODES:{nodes}}}" in (ROOT / "deploy" / "Caddyfile").read_text()
    for node in nodes.split():
        assert (ROOT / "deploy" / "nginx.conf").read_text().count(f"server {node} ") == 2
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^EXPOSE 8000$", dockerfile, re.MULTILINE)
    assert re.search(r"\bPORT=8000\b", dockerfile)


def test_every_image_can_be_pinned_by_its_digest(compose: dict[str, Any]) -> None:
    digest = "@sha256:" + "0" * 64
    variables = ("TASKTAPE_IMAGE", "CADDY_IMAGE", "KAFKA_IMAGE", "POSTGRES_IMAGE")
    pinned = read_compose({name: f"{name.lower()}{digest}" for name in variables})["services"]
    assert {service["image"] for service in pinned.values()} == {
        f"{name.lower()}{digest}" for name in variables
    }
    build = read_compose({"PYTHON_IMAGE": "python" + digest})["services"]["api-1"]["build"]
    assert build["args"] == {"PYTHON_IMAGE": "python" + digest}
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE) == ["${PYTHON_IMAGE}"] * 2
    assert f"ARG PYTHON_IMAGE={compose['services']['api-1']['build']['args']['PYTHON_IMAGE']}\n" in dockerfile


def test_data_is_in_named_volumes(compose: dict[str, Any]) -> None:
    assert "kafka:/var/lib/kafka/data" in compose["services"]["kafka"]["volumes"]
    assert compose["services"]["kafka"]["environment"]["KAFKA_LOG_DIRS"] == "/var/lib/kafka/data"
    assert "postgres:/var/lib/postgresql" in compose["services"]["postgres"]["volumes"]
    assert {"kafka", "postgres"} <= set(compose["volumes"])

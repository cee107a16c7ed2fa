"""The processes of a local instance, and their settings."""

import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http.client import HTTPException

from tasktape.local.data_dir import DataDir
from tasktape.local.kafka import EmbeddedKafka
from tasktape.local.postgres import EmbeddedPostgres
from tasktape.local.processes import Launch
from tasktape.local.supervisor import ProcessSpec

PROBE_LIMIT_S = 2.0
READINESS_LIMIT_S = 6.0
"""`/readyz` gives each store 3 s to answer before it says that it does not."""
TOPICS = (
    ("TASKTAPE_EVENTS_TOPIC", "task-events"),
    ("TASKTAPE_UPDATES_TOPIC", "task-updates"),
    ("TASKTAPE_SIGNALS_TOPIC", "task-signals"),
    ("TASKTAPE_TREE_HEADS_TOPIC", "task-tree-heads"),
)
ALL_INTERFACES = ("0.0.0.0", "::")  # noqa: S104  # recognised, not bound


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `tasktape up`."""

    data: DataDir
    host: str
    port: int
    workers: int
    env: Mapping[str, str]
    external_limit_s: float = 60.0
    """The longest time to wait for a Kafka or a database that the environment names."""
    command: tuple[str, ...] = (sys.executable, "-P", "-m", "tasktape")
    """The command line of a verb; `-P` ignores a folder named `app` in the current one."""
    apis: int = 1
    """The number of API processes that share the port."""


class Stack:
    """The processes of one instance. Kafka and PostgreSQL are embedded unless the environment names them."""

    def __init__(self, options: Options) -> None:
        self.options = options
        data, env = options.data, options.env
        self.external_brokers = env.get("KAFKA_BROKERS") or None
        self.external_database = env.get("DATABASE_URL") or None
        self.kafka = None if self.external_brokers else EmbeddedKafka(data.kafka, log=data.logs / "kafka.log")
        self.postgres = (
            None
            if self.external_database
            else EmbeddedPostgres(data.postgres, log=data.logs / "postgres.log")
        )

    @property
    def brokers(self) -> str:
        """Return Kafka's addresses; that of the embedded one is known after its launch."""
        return self.external_brokers or (self.kafka.brokers if self.kafka else "")

    @property
    def database_url(self) -> str:
        """Return the database's address; that of the embedded one is known after its launch."""
        return self.external_database or (self.postgres.url if self.postgres else "")

    @property
    def topics(self) -> tuple[str, ...]:
        """Return the names of the topics; the first is the log."""
        return tuple(self.options.env.get(variable) or name for variable, name in TOPICS)

    @property
    def schema(self) -> str:
        """Return the control schema of the read models."""
        return self.options.env.get("TASKTAPE_SCHEMA") or "tasktape"

    @property
    def url(self) -> str:
        """Return the address of the API for a browser on this machine."""
        return instance_url(self.options.host, self.options.port)

    def specs(self) -> list[ProcessSpec]:
        """Return all processes in the order of their start."""
        below: list[ProcessSpec] = []
        if self.postgres is not None:
            below.append(ProcessSpec("postgres", self.postgres.launch, self.postgres.is_ready, stop_rank=3))
        if self.kafka is not None:
            below.append(ProcessSpec("kafka", self.kafka.launch, self.kafka.is_ready, stop_rank=2))
        migrate = ProcessSpec(
            "migrate", lambda: self._launch("migrate"), after=tuple(spec.name for spec in below), stop_rank=1
        )
        workers = [self._worker(slot) for slot in range(self.options.workers)]
        return [*below, migrate, *workers, *map(self._api, api_names(self.options.apis))]

    def _worker(self, slot: int) -> ProcessSpec:
        extra = {"TASKTAPE_WORKER_SLOT": str(slot)}
        return self._announced("worker", f"worker-{slot}", extra, stop_timeout_s=1.5, stop_rank=1)

    def _api(self, name: str) -> ProcessSpec:
        # The clients of one machine may all reconnect at once.
        extra = {"TASKTAPE_DRAIN_S": self.options.env.get("TASKTAPE_DRAIN_S") or "1"}
        if self.options.apis > 1:
            extra["TASKTAPE_REUSE_PORT"] = "on"
        return self._announced("api", name, extra, stop_timeout_s=1.0, stop_rank=0)

    def _announced(
        self, verb: str, name: str, extra: Mapping[str, str], *, stop_timeout_s: float, stop_rank: int
    ) -> ProcessSpec:
        """Return a process that creates a file when it is ready: one URL would reach any of several."""
        ready_file = self.options.data.root / f"{name}.ready"

        def prepare() -> Launch:
            ready_file.unlink(missing_ok=True)
            launch = self._launch(verb, name, {**extra, "TASKTAPE_READY_FILE": str(ready_file)})
            return replace(launch, stop_timeout_s=stop_timeout_s)

        return ProcessSpec(name, prepare, ready_file.exists, after=("migrate",), stop_rank=stop_rank)

    def environment(self) -> dict[str, str]:
        """Return the settings of all processes; the embedded stores were launched before."""
        options = self.options
        settings = {
            "KAFKA_BROKERS": self.brokers,
            "DATABASE_URL": self.database_url,
            "HOST": options.host,
            "PORT": str(options.port),
            "TASKTAPE_DATA": str(options.data.root),
            "TASKTAPE_TREE_HEAD_KEYS": options.env.get("TASKTAPE_TREE_HEAD_KEYS")
            or str(options.data.tree_head_keys),
            "PYTHONUNBUFFERED": "1",
        }
        if self.postgres is not None:
            settings["TASKTAPE_API_DATABASE_URL"] = self.postgres.api_url
            settings["TASKTAPE_SQL_DATABASE_URL"] = self.postgres.sql_url
        if signs_tokens(options.env):
            settings["JWT_SECRET"] = signing_secret(options)
        return {**options.env, **settings}

    def _launch(self, verb: str, name: str | None = None, extra: Mapping[str, str] | None = None) -> Launch:
        options = self.options
        return Launch(
            name=name or verb,
            argv=(*options.command, verb),
            log=options.data.logs / f"{name or verb}.log",
            env={**self.environment(), **(extra or {})},
            cwd=options.data.root,
        )


def api_names(count: int) -> list[str]:
    """Return the names of `count` API processes."""
    return ["api"] if count == 1 else [f"api-{number}" for number in range(count)]


def instance_url(host: str, port: int) -> str:
    """Return the address by which this machine reaches a server on `host:port`."""
    reached = "127.0.0.1" if host in ALL_INTERFACES else host
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


def read_ready(url: str) -> bytes | None:
    """Return the answer of an instance's `/readyz` if it is a 200, else None."""
    status, body = ask(f"{url}/readyz")
    return body if status == 200 else None


def ask(
    url: str, headers: Mapping[str, str] | None = None, *, limit_s: float = PROBE_LIMIT_S
) -> tuple[int | None, bytes]:
    """GET a page of this instance; return no status if it does not answer."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy cannot reach this machine
    request = urllib.request.Request(url, headers=dict(headers or {}))  # noqa: S310  # http only
    try:
        with direct.open(request, timeout=limit_s) as answer:
            return answer.status, answer.read(65_536)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(65_536)
    except (OSError, ValueError, HTTPException):
        return None, b""


def signs_tokens(env: Mapping[str, str]) -> bool:
    """Return whether the instance signs tokens itself, instead of trusting another issuer's keys."""
    return bool(env.get("JWT_SECRET")) or not (env.get("JWT_JWKS_URL") or env.get("JWT_PUBLIC_KEY"))


def signing_secret(options: Options) -> str:
    """Return the key that signs tokens: that of the environment, else of the data folder."""
    return options.env.get("JWT_SECRET") or options.data.secret()

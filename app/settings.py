"""Settings, read from the environment once, by the composition roots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from app.merkle.notes import COSIGNATURE, PublicKey


class BadSettings(Exception):
    """Error for an unknown or unusable setting in the environment; the message is one line for users."""


def _comma_list(value: object) -> object:
    return (
        tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
    )


CommaList = Annotated[tuple[str, ...], BeforeValidator(_comma_list)]


class Settings(BaseModel):
    """All settings. A field's alias is the name of its environment variable."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    kafka_brokers: CommaList = Field(("localhost:9092",), alias="KAFKA_BROKERS", min_length=1)
    database_url: str = Field(
        "postgresql://localhost/tasktape", alias="DATABASE_URL", pattern=r"^postgres(ql)?://"
    )
    api_database_url: str | None = Field(
        None, alias="TASKTAPE_API_DATABASE_URL", pattern=r"^postgres(ql)?://"
    )
    sql_database_url: str | None = Field(
        None, alias="TASKTAPE_SQL_DATABASE_URL", pattern=r"^postgres(ql)?://"
    )
    host: str = Field("127.0.0.1", alias="HOST", min_length=1)
    port: int = Field(8000, alias="PORT", ge=0, le=65535)
    cors_origin: CommaList = Field((), alias="CORS_ORIGIN")

    jwt_secret: str | None = Field(None, alias="JWT_SECRET", min_length=32)
    jwt_public_key: str | None = Field(None, alias="JWT_PUBLIC_KEY")
    jwt_jwks_url: str | None = Field(None, alias="JWT_JWKS_URL", pattern=r"^https?://")
    jwt_issuer: str = Field("tasktape", alias="JWT_ISSUER")
    jwt_audience: str = Field("tasktape", alias="JWT_AUDIENCE")

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", alias="LOG_LEVEL")
    log_format: Literal["json", "text"] = Field("text", alias="LOG_FORMAT")

    data: str | None = Field(None, alias="TASKTAPE_DATA")
    partitions: int = Field(4, alias="TASKTAPE_PARTITIONS", ge=1, le=1024)
    replication: int = Field(1, alias="TASKTAPE_REPLICATION", ge=1, le=9)
    flush: Literal["on", "off"] | None = Field(None, alias="TASKTAPE_FLUSH")
    events_topic: str = Field(
        "task-events", alias="TASKTAPE_EVENTS_TOPIC", pattern=r"^[a-zA-Z0-9._-]{1,200}$"
    )
    updates_topic: str = Field(
        "task-updates", alias="TASKTAPE_UPDATES_TOPIC", pattern=r"^[a-zA-Z0-9._-]{1,200}$"
    )
    signals_topic: str = Field(
        "task-signals", alias="TASKTAPE_SIGNALS_TOPIC", pattern=r"^[a-zA-Z0-9._-]{1,200}$"
    )
    tree_heads_topic: str = Field(
        "task-tree-heads", alias="TASKTAPE_TREE_HEADS_TOPIC", pattern=r"^[a-zA-Z0-9._-]{1,200}$"
    )
    tree_head_keys: str | None = Field(None, alias="TASKTAPE_TREE_HEAD_KEYS")
    witnesses: CommaList = Field((), alias="TASKTAPE_WITNESSES", max_length=50)
    exports_folder: str | None = Field(None, alias="TASKTAPE_EXPORTS_FOLDER", min_length=1)
    exports_limit_bytes: int = Field(10 * 2**30, alias="TASKTAPE_EXPORTS_LIMIT_BYTES", ge=2**20, le=2**50)
    schema_name: str = Field("tasktape", alias="TASKTAPE_SCHEMA", pattern=r"^[a-z_][a-z0-9_]{0,40}$")
    worker_slot: str = Field("0", alias="TASKTAPE_WORKER_SLOT", pattern=r"^[a-zA-Z0-9._-]{1,100}$")
    ready_file: str | None = Field(None, alias="TASKTAPE_READY_FILE")
    body_limit_bytes: int = Field(1_048_576, alias="TASKTAPE_BODY_LIMIT_BYTES", ge=1024, le=2**30)
    command_wait_ms: int = Field(5_000, alias="TASKTAPE_COMMAND_WAIT_MS", ge=0, le=60_000)
    reuse_port: Literal["on", "off"] = Field("off", alias="TASKTAPE_REUSE_PORT")
    trusted_proxies: CommaList = Field((), alias="TASKTAPE_TRUSTED_PROXIES")
    shutdown_delay_s: int = Field(0, alias="TASKTAPE_SHUTDOWN_DELAY_S", ge=0, le=600)
    drain_s: int = Field(4, alias="TASKTAPE_DRAIN_S", ge=0, le=600)

    ping_s: int = Field(25, alias="TASKTAPE_PING_S", ge=1, le=600)
    compression: Literal["on", "off"] = Field("off", alias="TASKTAPE_COMPRESSION")
    socket_messages_per_s: int = Field(50, alias="TASKTAPE_SOCKET_MESSAGES_PER_S", ge=1, le=100_000)
    socket_burst: int = Field(200, alias="TASKTAPE_SOCKET_BURST", ge=1, le=1_000_000)
    user_messages_per_s: int = Field(200, alias="TASKTAPE_USER_MESSAGES_PER_S", ge=1, le=100_000)
    user_burst: int = Field(800, alias="TASKTAPE_USER_BURST", ge=1, le=1_000_000)
    connections_per_user: int = Field(100, alias="TASKTAPE_CONNECTIONS_PER_USER", ge=0, le=1_000_000)
    connections_per_address: int = Field(1_000, alias="TASKTAPE_CONNECTIONS_PER_ADDRESS", ge=0, le=1_000_000)

    @field_validator("witnesses")
    @classmethod
    def _are_keys(cls, witnesses: tuple[str, ...]) -> tuple[str, ...]:
        for witness in witnesses:
            if PublicKey.parse(witness).type != COSIGNATURE:
                raise ValueError("the key of a witness is one for cosignatures")
        return witnesses

    @property
    def witness_keys(self) -> list[PublicKey]:
        """The keys of the witnesses."""
        return list(map(PublicKey.parse, self.witnesses))

    @model_validator(mode="after")
    def _one_way_to_verify(self) -> Self:
        given = [self.jwt_secret, self.jwt_public_key, self.jwt_jwks_url]
        if sum(value is not None for value in given) > 1:
            raise ValueError("set one of JWT_SECRET, JWT_PUBLIC_KEY and JWT_JWKS_URL, not several")
        return self

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read settings; empty values count as unset. Raise `BadSettings`."""
        known = {field.alias for field in cls.model_fields.values()} | CLIENT_NAMES
        unknown = sorted(name for name in environment if name.startswith("TASKTAPE_") and name not in known)
        if unknown:
            raise BadSettings(f"unknown setting {unknown[0]}; see the configuration reference")
        try:
            return cls.model_validate({name: value for name, value in environment.items() if value != ""})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = str(first["loc"][0]) if first["loc"] else "the environment"
            raise BadSettings(f"{name}: {first['msg']}") from None


CLIENT_NAMES = frozenset({"TASKTAPE_URL", "TASKTAPE_TOKEN"})
"""Names that the command line reads as a client of the API; the server ignores them."""

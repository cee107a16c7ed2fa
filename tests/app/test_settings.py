"""Settings: read once, from the environment alone, and refused in one clear line."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.settings import BadSettings, Settings


def test_empty_environment_has_defaults() -> None:
    """Empty values count as unset."""
    settings = Settings.from_environment({"PORT": "", "LOG_LEVEL": ""})
    assert settings == Settings.from_environment({})
    assert (settings.host, settings.port, settings.partitions) == ("127.0.0.1", 8000, 4)
    assert (settings.events_topic, settings.updates_topic) == ("task-events", "task-updates")
    assert settings.signals_topic == "task-signals"


def test_every_documented_name_is_read() -> None:
    """Lists are separated by commas."""
    settings = Settings.from_environment(
        {
            "KAFKA_BROKERS": "a:9092, b:9092,",
            "DATABASE_URL": "postgres://db/x",
            "CORS_ORIGIN": "https://a.example,https://b.example",
            "PORT": "0",
            "JWT_SECRET": "s" * 32,
            "LOG_FORMAT": "json",
            "TASKTAPE_PARTITIONS": "8",
        }
    )
    assert settings.kafka_brokers == ("a:9092", "b:9092")
    assert settings.cors_origin == ("https://a.example", "https://b.example")
    assert (settings.port, settings.log_format, settings.partitions) == (0, "json", 8)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "70000"),
        ("DATABASE_URL", "mysql://x"),
        ("KAFKA_BROKERS", ","),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("JWT_SECRET", "short"),
        ("JWT_JWKS_URL", "file:///etc/passwd"),
        ("TASKTAPE_PARTITIONS", "0"),
        ("TASKTAPE_EVENTS_TOPIC", "a b"),
        ("TASKTAPE_SCHEMA", 'x"; drop schema public'),
        ("TASKTAPE_BODY_LIMIT_BYTES", "-1"),
        ("TASKTAPE_REUSE_PORT", "yes"),
        ("TASKTAPE_COMPRESSION", "true"),
        ("TASKTAPE_PING_S", "0"),
        ("TASKTAPE_DRAIN_S", "601"),
        ("TASKTAPE_SHUTDOWN_DELAY_S", "-1"),
        ("TASKTAPE_SOCKET_MESSAGES_PER_S", "0"),
        ("TASKTAPE_USER_BURST", "0"),
        ("TASKTAPE_CONNECTIONS_PER_USER", "-1"),
    ],
)
def test_invalid_values_are_refused(name: str, value: str) -> None:
    """In one line that names the variable, and shows no value (it may be a secret)."""
    with pytest.raises(BadSettings, match=f"^{name}: ") as caught:
        Settings.from_environment({name: value})
    assert "\n" not in str(caught.value)
    assert "short" not in str(caught.value)


def test_unknown_names_are_refused() -> None:
    """A typo in one of our names stops the start; names of the client and of others are ignored."""
    with pytest.raises(BadSettings, match="unknown setting TASKTAPE_PARTITION;"):
        Settings.from_environment({"TASKTAPE_PARTITION": "4"})
    Settings.from_environment({"TASKTAPE_URL": "http://x", "TASKTAPE_TOKEN": "t", "PATH": "/bin"})


def test_only_one_way_to_verify_tokens_is_allowed() -> None:
    """With two, the weaker one would suffice."""
    with pytest.raises(BadSettings, match="set one of JWT_SECRET, JWT_PUBLIC_KEY and JWT_JWKS_URL"):
        Settings.from_environment({"JWT_SECRET": "s" * 32, "JWT_PUBLIC_KEY": "k"})


def test_settings_are_immutable() -> None:
    with pytest.raises(ValidationError):
        Settings.from_environment({}).port = 1  # type: ignore[misc]

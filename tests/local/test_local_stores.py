"""The settings for the stores of a local instance."""

from pathlib import Path

import pytest

from tasktape.local.data_dir import DataDir
from tasktape.local.errors import LocalError
from tasktape.local.stores import running_settings

RUN = {
    "kafka": {"brokers": "127.0.0.1:9"},
    "database": {"url": "postgresql://127.0.0.1/x", "schema": "own"},
    "topics": ["own-events", "own-updates", "own-signals"],
}


def test_settings_of_a_running_instance_have_its_stores_and_log(tmp_path: Path) -> None:
    """One that no longer runs has left its notes behind."""
    data = DataDir(tmp_path)
    data.write_run(RUN)
    assert running_settings(data, {}) is None
    lock = data.lock()
    assert lock is not None
    with lock:
        settings = running_settings(data, {})
        assert settings is not None
        assert (settings.kafka_brokers, settings.events_topic) == (("127.0.0.1:9",), "own-events")
        assert (settings.database_url, settings.schema_name) == ("postgresql://127.0.0.1/x", "own")
        data.write_run({"processes": []})
        with pytest.raises(LocalError, match="is not up yet"):
            running_settings(data, {})

"""Worker process: the order in which its parts end."""

from __future__ import annotations

from typing import Any

import faust
from mode import Service

from streams.worker import _Runner


async def test_worker_is_closed_while_faust_still_has_its_consumer() -> None:
    """The last batch is then finished and its offsets are committed."""
    ended: list[str] = []

    class Part(Service):  # type: ignore[misc]
        async def on_stop(self) -> None:
            ended.append("worker")

    class App(faust.App):  # type: ignore[misc]
        async def on_stop(self) -> None:
            ended.append("faust")

    runner: Any = _Runner(App("x", set_as_current=False), Part(), quiet=True, override_logging=False)
    for service in runner.on_init_dependencies():
        runner.add_dependency(service)
    await runner.stop()
    assert ended == ["worker", "faust"]

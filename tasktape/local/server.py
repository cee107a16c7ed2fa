"""The common part of the embedded servers: children that are started, awaited and stopped."""

import subprocess
from dataclasses import replace
from typing import Protocol

from tasktape.local.processes import Launch, kill, spawn, stop, wait_ready

READY_LIMIT_S = 60.0
STOP_LIMIT_S = 10.0


class Server(Protocol):
    """A server that can be launched and reports when it is ready."""

    def launch(self) -> Launch:
        """Prepare the folder and return how to start the server."""

    def is_ready(self) -> bool:
        """Return whether the server answers."""


class Child:
    """The running child process of a server, if there is one."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._running: tuple[subprocess.Popen[bytes], Launch] | None = None

    @property
    def pid(self) -> int:
        """Return the process id of the server that `start` started."""
        assert self._running is not None
        return self._running[0].pid

    def start(self) -> None:
        """Start the server and wait until it is ready; kill it if that fails."""
        launch = self._server.launch()
        child = spawn(launch)
        try:
            wait_ready(child, launch, self._server.is_ready, READY_LIMIT_S)
        except BaseException:
            kill(child)
            raise
        self._running = (child, launch)

    def stop(self) -> None:
        """Stop the server that `start` started, if any."""
        if self._running is not None:
            child, launch = self._running
            self._running = None
            stop(child, replace(launch, stop_timeout_s=STOP_LIMIT_S))

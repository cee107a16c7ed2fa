"""What the embedded servers have in common: they are started as children, waited for, and stopped."""

import subprocess
from dataclasses import replace
from typing import Protocol

from tasktape.local.processes import Launch, kill, spawn, stop, wait_ready

READY_LIMIT_S = 60.0
STOP_LIMIT_S = 10.0


class Server(Protocol):
    """A server that knows how it is launched and when it is ready."""

    def launch(self) -> Launch:
        """Prepare its folder and say how to start it."""

    def is_ready(self) -> bool:
        """Tell whether it answers."""


class Child:
    """The running child process of a server, if there is one."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._running: tuple[subprocess.Popen[bytes], Launch] | None = None

    @property
    def pid(self) -> int:
        """The process id of what `start` started."""
        assert self._running is not None
        return self._running[0].pid

    def start(self) -> None:
        """Start the server and wait until it is ready; one that does not get there is killed."""
        launch = self._server.launch()
        child = spawn(launch)
        try:
            wait_ready(child, launch, self._server.is_ready, READY_LIMIT_S)
        except BaseException:
            kill(child)
            raise
        self._running = (child, launch)

    def stop(self) -> None:
        """Stop what `start` started, if anything."""
        if self._running is not None:
            child, launch = self._running
            self._running = None
            stop(child, replace(launch, stop_timeout_s=STOP_LIMIT_S))

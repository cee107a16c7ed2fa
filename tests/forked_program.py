"""`forked_program.py SOCKET ARGUMENT…` runs `tasktape` in a process of the fork server at a socket.

The run has the streams, environment, folder and file mode mask of this process, which passes signals to it
and ends as it does.
"""

import json
import os
import signal
import socket
import sys
from contextlib import suppress

PASSED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(address: str, *arguments: str) -> None:
    """Run `tasktape`, and end with its exit status, or by the signal that ended it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED)  # until the run exists
    umask = os.umask(0)
    os.umask(umask)
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    request = json.dumps((arguments, dict(os.environ), os.getcwd(), "", None, umask)).encode() + b"\n"  # noqa: PTH109  # pathlib takes long to import
    socket.send_fds(connection, [request[:1]], [0, 1, 2])
    connection.sendall(request[1:])
    with connection.makefile("rb") as answers:
        pid = int(answers.readline())
        for number in PASSED:
            signal.signal(number, lambda given, _: os.kill(pid, given))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED)
        status = int(answers.readline() or -signal.SIGKILL)
    if status < 0:
        with suppress(OSError):  # SIGKILL has no other action
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    main(*sys.argv[1:])

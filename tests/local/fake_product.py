"""Stand-in for the product's processes: `python fake_product.py migrate|worker|api`."""

import http.server
import json
import os
import signal
import sys
import threading
from pathlib import Path

STOPPED = threading.Event()


class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"ready": True, "lag": 0}).encode()
        path = self.path.partition("?")[0]
        self.send_response(200 if path in ("/readyz", "/api/dead-letters") else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def beat() -> None:
    """Touch the ready file until the stop."""
    Path(os.environ["TASKTAPE_READY_FILE"]).touch()
    while not STOPPED.wait(0.5):
        if not (Path(os.environ["TASKTAPE_DATA"]) / "hangs").exists():
            Path(os.environ["TASKTAPE_READY_FILE"]).touch()


def main(verb: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: STOPPED.set())
    if verb == "worker":
        if (Path(os.environ["TASKTAPE_DATA"]) / "broken").exists():
            sys.exit("the stand-in is broken")
        beat()
    if verb == "api":
        server = http.server.ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Ready)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        beat()
    if verb != "migrate":
        with (Path(os.environ["TASKTAPE_DATA"]) / "order").open("a") as order:
            order.write(f"{verb}\n")


main(sys.argv[1])

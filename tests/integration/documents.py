"""The commands that the documents show, and a shell to follow them in: an empty home, and nothing set."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.ports import free_port

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent
LIMIT_S = 180


def blocks(document: str, heading: str | None = None, language: str = "sh") -> list[str]:
    """The blocks of a document, or of what is under one of its headings and no other."""
    text = (ROOT / document).read_text()
    if heading is not None:
        begin = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
        assert begin is not None, f"{document} has no heading {heading!r}"
        text = re.split(r"^#+ ", text[begin.end() :], maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


class Home:
    """An empty home, in which shells run; `tasktape` is ours, and ports are others than the documents say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {port: str(free_port()) for port in ("8000", "8001")}
        kept = ("PATH", "LANG", "XDG_CACHE_HOME", "PIP_INDEX_URL", "PIP_CONFIG_FILE")
        self.environment = {name: os.environ[name] for name in kept if name in os.environ} | {
            "HOME": str(folder),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PORT": self.ports["8000"],
            # What is fetched once for a machine is not fetched for each test.
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"),
        }

    def run(self, script: str) -> str:
        """Run what a document shows, up to the first command that fails; what it printed."""
        for shown, here in self.ports.items():
            script = re.sub(rf"\b{shown}\b", here, script)
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}"
        return done.stdout

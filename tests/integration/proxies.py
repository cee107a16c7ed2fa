"""Proxies of the documented deployments, as processes with the shipped files."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.places import dying_with_us
from tests.ports import free_port
from tests.waiting import LIMIT_S, eventually_sync

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
LOOPBACK = "127.0.0.1"
STOP_LIMIT_S = 10
COMMAND_LIMIT_S = 30


class Proxy:
    """One proxy in front of some API nodes, for clients at `url`."""

    url: str
    verify: ssl.SSLContext | bool = True

    def __init__(self, folder: Path, nodes: Sequence[str]) -> None:
        self.folder = folder
        self.nodes = [node.removeprefix("http://") for node in nodes]
        self.log = folder / "proxy.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, path: str = "/readyz", status: int = 200) -> None:
        """Start it, and wait until it answers for itself or forwards a node's readiness."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                env=self.environment(),
                stdout=log,
                stderr=log,
                preexec_fn=dying_with_us(),  # noqa: PLW1509  # it takes no lock that another thread could hold
            )
        why = f"{self.log} tells why it does not answer"
        eventually_sync(lambda: self._answers(path, status), LIMIT_S, why)

    def stop(self) -> None:
        """Stop it."""
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:  # Caddy waits for event streams, which never end
            self._process.kill()
            self._process.wait()

    def run(self, *command: str) -> None:
        """Run a command of the proxy, which must succeed."""
        done = subprocess.run(
            command,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def client(self, address: str = LOOPBACK) -> httpx.AsyncClient:
        """Return a client with an address of its own: all of 127.0.0.0/8 is this machine."""
        transport = httpx.AsyncHTTPTransport(local_address=address, verify=self.verify)
        return httpx.AsyncClient(base_url=self.url, transport=transport, timeout=30)

    def environment(self) -> dict[str, str]:
        """Return the environment of the process."""
        return dict(os.environ)

    def command(self) -> list[str]:
        """Return the command that starts it."""
        raise NotImplementedError

    def reload(self) -> None:
        """Reload the configuration."""
        raise NotImplementedError

    def _answers(self, path: str, status: int) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()[-2000:]
        try:
            answer = httpx.get(self.url + path, verify=self.verify, trust_env=False)
        except httpx.HTTPError:
            return False
        return answer.status_code == status


class Caddy(Proxy):
    """Caddy with `deploy/Caddyfile`, configured by the environment as in docker-compose.yml."""

    verify = False  # there is no TLS, and so nothing to read certificates for

    def __init__(self, folder: Path, nodes: Sequence[str]) -> None:
        super().__init__(folder, nodes)
        self.url = f"http://{LOOPBACK}:{free_port()}"
        self._admin = f"{LOOPBACK}:{free_port()}"
        self._program = str(Path(sys.executable).with_name("caddy"))

    def environment(self) -> dict[str, str]:
        """Return its settings, with folders of its own."""
        return {
            **os.environ,
            "SITE_ADDRESS": self.url,
            "API_NODES": " ".join(self.nodes),
            "CADDY_ADMIN": self._admin,
            "XDG_DATA_HOME": str(self.folder),
            "XDG_CONFIG_HOME": str(self.folder),
        }

    def command(self) -> list[str]:
        """Return the command of the image."""
        return [self._program, "run", *self._configuration()]

    def reload(self) -> None:
        """Reload the configuration, even if nothing changed."""
        self.run(self._program, "reload", "--force", "--address", self._admin, *self._configuration())

    @staticmethod
    def _configuration() -> list[str]:
        return ["--config", str(DEPLOY / "Caddyfile"), "--adapter", "caddyfile"]


class Nginx(Proxy):
    """nginx with `deploy/nginx.conf`, whose names, paths and ports are changed as the file says."""

    def __init__(self, folder: Path, nodes: Sequence[str]) -> None:
        super().__init__(folder, nodes)
        port = free_port()
        self.url = f"https://{LOOPBACK}:{port}"
        certificate, key = write_certificate(folder)
        self.verify = ssl.create_default_context(cafile=str(certificate))
        self._configuration = folder / "nginx.conf"
        changes = {
            "server api-1:8000": f"server {self.nodes[0]}",
            "server api-2:8000": f"server {self.nodes[1]}",
            "listen 443 ssl http2": f"listen {LOOPBACK}:{port} ssl http2",
            "listen 80": f"listen {LOOPBACK}:{free_port()}",
            "/etc/nginx/tls/fullchain.pem": str(certificate),
            "/etc/nginx/tls/privkey.pem": str(key),
            "/var/log/nginx/access.log": str(folder / "access.log"),
            "http {\n": "http {\n" + "".join(self._temporary_folders()),
        }
        text = (DEPLOY / "nginx.conf").read_text()
        for shipped, here in changes.items():
            assert shipped in text
            text = text.replace(shipped, here)
        self._configuration.write_text(text)
        self._program = shutil.which("nginx", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
        assert self._program, "nginx is needed: `make test` installs it, or says how"

    def command(self) -> list[str]:
        """Return the command that runs it in the foreground."""
        assert self._program is not None
        main = f"daemon off; pid {self.folder}/nginx.pid; error_log stderr;"
        return [self._program, "-p", str(self.folder), "-c", str(self._configuration), "-g", main]

    def reload(self) -> None:
        """Reload as `systemctl reload nginx` does."""
        self.run(*self.command(), "-s", "reload")

    def _temporary_folders(self) -> list[str]:
        """Return directives with folders that are writable without access to `/var/lib/nginx`."""
        names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        return [f"    {name}_temp_path {self.folder}/{name};\n" for name in names]


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate of this machine, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    began = datetime.now(UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(began)
        .not_valid_after(began + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(LOOPBACK))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "fullchain.pem", folder / "privkey.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_file, key_file


def named_numbers(text: str, unit: str) -> dict[str, int]:
    """Return the directives of a configuration whose value is a number with a unit."""
    return {name: int(value) for name, value in re.findall(rf"^\s*(\w+) (\d+){unit};", text, re.MULTILINE)}

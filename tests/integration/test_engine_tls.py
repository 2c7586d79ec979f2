"""An engine behind TLS: its own CA counts, whatever CA the environment names for everything else."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from updater_core.docker_utils import DockerEngine
from updater_core.errors import EngineUnavailable
from updater_core.host.engine_endpoint import resolve


def certificate(folder: Path) -> Path:
    """A folder as DOCKER_CERT_PATH has it: ca.pem, cert.pem, key.pem, all of one self-signed certificate."""
    folder.mkdir()
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    names = ["-subj", "/CN=engine", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *files, *names]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "ca.pem").write_bytes((folder / "cert.pem").read_bytes())
    return folder


class Version(BaseHTTPRequestHandler):
    """An engine that knows its version and nothing else, and keeps connections open, as a real one."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps(
            {"Version": "28.5.0", "ApiVersion": "1.51", "Os": "linux", "Arch": "amd64"}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return certificate(tmp_path / "engine")


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of an engine that has this certificate, and takes it from a client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(folder / "ca.pem")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Version)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"tcp://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def host(folder: Path) -> Iterator[str]:
    with serving(folder) as address:
        yield address


def engine(host: str, folder: Path) -> DockerEngine:
    return DockerEngine(
        resolve({"DOCKER_HOST": host, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(folder)})
    )


def test_the_engines_own_ca_counts_beside_another_ca_of_the_environment(
    host: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = certificate(tmp_path / "other")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other / "ca.pem"))
    assert engine(host, folder).version() == "28.5.0"


def test_a_certificate_that_is_not_accepted_is_named_and_not_the_socket(
    host: str, folder: Path, tmp_path: Path
) -> None:
    other = certificate(tmp_path / "other")
    (folder / "ca.pem").write_bytes((other / "ca.pem").read_bytes())
    with pytest.raises(EngineUnavailable, match="certificate is not accepted") as refused:
        engine(host, folder).version()
    assert "DOCKER_CERT_PATH" in refused.value.remedy

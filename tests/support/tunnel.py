"""A proxy that connects whoever asks to one server, whatever host they ask for.

    with Tunnel(secure.host) as proxy:
        proxy.host        # 127.0.0.1:<port>, for HTTPS_PROXY

So a server of the tests stands for hosts whose names the program has built in, under a certificate for them.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from tests.support.loopback_server import LoopbackServer


class Tunnel:
    """The proxy."""

    def __init__(self, target: str) -> None:
        self._server = LoopbackServer(_handler(target))

    def __enter__(self) -> Tunnel:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    @property
    def host(self) -> str:
        return self._server.host


def certificate_for(hosts: Sequence[str], folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Return an authority's file that vouches for these hosts, and what a server shows itself by."""
    names = ",".join(f"DNS:{host}" for host in hosts)
    command = [
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=fake",
        "-addext", f"subjectAltName={names}", "-out", str(folder / "ca.pem"), "-keyout",
        str(folder / "key.pem"),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return folder / "ca.pem", context


def _handler(target: str) -> type[BaseHTTPRequestHandler]:
    class TunnelHandler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            address, _, port = target.partition(":")
            with socket.create_connection((address, int(port))) as other:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_pump, args=(other, self.connection), daemon=True)
                back.start()
                _pump(self.connection, other)
                back.join(60)

        def log_message(self, format: str, *args: object) -> None:
            return

    return TunnelHandler


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)

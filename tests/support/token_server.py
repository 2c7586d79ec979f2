"""A token server for a real registry: signs what the distribution project's token authentication accepts.

    with TokenServer(folder, {"jane": "hunter2"}) as server:
        server.realm, server.certificate, server.service, server.issuer     # for the registry's configuration

Everyone listed may do everything; anonymous may pull from `public`.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from tests.support.loopback_server import LoopbackServer


class TokenServer:
    """The server. `requests` counts the tokens asked for."""

    service, issuer = "the registry", "the tests"

    def __init__(self, folder: Path, users: Mapping[str, str], public: Collection[str] = ()) -> None:
        self.users, self.public = dict(users), set(public)
        self.lifetime_seconds = 300
        self.requests = 0
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        own = _certificate(self._key)
        self._chain = [base64.b64encode(own.public_bytes(serialization.Encoding.DER)).decode()]
        self.certificate = folder / "token.pem"
        self.certificate.write_bytes(own.public_bytes(serialization.Encoding.PEM))
        self._server = LoopbackServer(_handler(self))

    def __enter__(self) -> TokenServer:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    @property
    def realm(self) -> str:
        return f"http://{self._server.host}/token"

    def answer(self, query: Mapping[str, list[str]], authorization: str) -> tuple[int, object]:
        """Return a token for the scopes asked for, less what is not allowed."""
        self.requests += 1
        username = self._user(authorization)
        if authorization and username is None:
            return 401, {"details": "incorrect username or password"}
        asked = [scope.split(":") for scope in query.get("scope", []) if scope.count(":") == 2]
        granted = [scope for scope in asked if username or scope[1] in self.public]
        access = [
            {"type": kind, "name": name, "actions": actions.split(",") if username else ["pull"]}
            for kind, name, actions in granted
        ]
        return 200, {"token": self._signed(username or "", access), "expires_in": self.lifetime_seconds}

    def _user(self, authorization: str) -> str | None:
        pair = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        return pair[0] if self.users.get(pair[0]) == pair[2] else None

    def _signed(self, subject: str, access: Sequence[Mapping[str, object]]) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": subject,
            "aud": self.service,
            "exp": now + self.lifetime_seconds,
            "nbf": now - 10,
            "iat": now,
            "jti": secrets.token_hex(8),
            "access": access,
        }
        text = f"{_encoded({'typ': 'JWT', 'alg': 'RS256', 'x5c': self._chain})}.{_encoded(claims)}"
        signature = self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _certificate(key: rsa.RSAPrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "token server of the tests")])
    now = datetime.now(UTC)
    unsigned = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    dated = unsigned.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
    return dated.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(
        key, hashes.SHA256()
    )


def _handler(server: TokenServer) -> type[BaseHTTPRequestHandler]:
    class TokenHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            status, value = server.answer(query, self.headers.get("Authorization", ""))
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    return TokenHandler

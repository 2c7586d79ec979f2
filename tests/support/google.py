"""Google on loopback, at one address.

That is the OAuth token server, the security token service, and the metadata server.

    with FakeGoogle(folder) as google:
        google.key_file()                      # a service account's JSON key whose token_uri is here
        google.federation_file()               # workload identity federation, its token URL here
        google.metadata()                      # the environment of a machine of Google's
        google.on_token = lambda token: ...    # hears of each token given

Assertions are verified against the key as Google does; `google.asked` lists the paths of all requests.
"""

from __future__ import annotations

import base64
import functools
import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.support.fake_registry import Bearer, FakeRegistry
from tests.support.loopback_server import LoopbackServer

ACCOUNT = "updater@shop.iam.gserviceaccount.com"
USERNAME = "oauth2accesstoken"
_FLAVOR = {"Metadata-Flavor": "Google"}
_JSON = {"Content-Type": "application/json"}


@functools.cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_key() -> str:
    """Return the account's key as the key file holds it."""
    form = serialization.PrivateFormat.PKCS8
    return _key().private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


class FakeGoogle:
    """The server. All attributes may be changed while it runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lifetime_seconds = 3600
        self.refusal: Mapping[str, str] | None = None  # the answer of 400 in place of a token
        self.on_token: Callable[[str], None] = lambda token: None
        self.has_metadata = True
        self.asked: list[str] = []
        self.claims: list[Mapping[str, Any]] = []
        self._given = 0
        self._lock = threading.Lock()
        self._server = LoopbackServer(_handler(self))

    def __enter__(self) -> FakeGoogle:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    @property
    def host(self) -> str:
        return self._server.host

    @property
    def tokens_given(self) -> int:
        return self._given

    def guard(self, registry: FakeRegistry) -> None:
        """Let a registry take the latest token and nothing else.

        So does Artifact Registry for a private repository.
        """
        registry.auth = Bearer(USERNAME, "no token was given yet")

        def take(token: str) -> None:
            registry.auth = Bearer(USERNAME, token)
            registry.revoke_tokens()

        self.on_token = take

    def key_file(self, name: str = "key.json", **changed: object) -> Path:
        """Write a service account's key; a field that is None is left out."""
        info: dict[str, object] = {
            "type": "service_account",
            "project_id": "shop",
            "private_key_id": "1",
            "private_key": private_key(),
            "client_email": ACCOUNT,
            "client_id": "1",
            "token_uri": f"http://{self.host}/token",
            **changed,
        }
        return self._written(name, {key: value for key, value in info.items() if value is not None})

    def federation_file(self, **changed: object) -> Path:
        """Write an external account whose own token lies in a file, unless its source says otherwise."""
        subject = self.folder / "subject"
        subject.write_text("the token of another cloud")
        info = {
            "type": "external_account",
            "audience": (
                "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q"
            ),
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"http://{self.host}/sts",
            "credential_source": {"file": str(subject), **changed},
        }
        return self._written("federation.json", info)

    def metadata(self) -> dict[str, str]:
        """Return the variables by which google-auth and we take this server for the metadata server.

        google-auth has to be loaded anew for them.
        """
        return {"GCE_METADATA_HOST": self.host, "GCE_METADATA_IP": self.host}

    def _written(self, name: str, info: Mapping[str, object]) -> Path:
        path = self.folder / name
        path.write_text(json.dumps(info))
        return path

    # -------------------------------------------------------------------------------------------- its answers

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        with self._lock:
            where = urlsplit(path).path
            self.asked.append(where)
            if method == "POST" and where in ("/token", "/sts"):
                return self._token_server(where, parse_qs(body.decode()))
            if self.has_metadata and where == "/":
                return 200, _FLAVOR, b"computeMetadata/\n"
            if self.has_metadata and where.startswith("/computeMetadata/v1/instance/service-accounts/"):
                return self._metadata_server(where)
            return 404, {}, b"not found"

    def _token_server(
        self, where: str, form: Mapping[str, list[str]]
    ) -> tuple[int, Mapping[str, str], bytes]:
        if where == "/token" and not self._is_signed(form["assertion"][0]):
            return 400, _JSON, b'{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}'
        if self.refusal is not None:
            return 400, _JSON, json.dumps(self.refusal).encode()
        extra = (
            {"issued_token_type": "urn:ietf:params:oauth:token-type:access_token"} if where == "/sts" else {}
        )
        return 200, _JSON, json.dumps({**self._token(), **extra}).encode()

    def _metadata_server(self, where: str) -> tuple[int, Mapping[str, str], bytes]:
        if where.endswith("/token"):
            return 200, {**_FLAVOR, **_JSON}, json.dumps(self._token()).encode()
        account = {
            "email": ACCOUNT,
            "scopes": ["https://www.googleapis.com/auth/cloud-platform"],
            "aliases": [],
        }
        return 200, {**_FLAVOR, **_JSON}, json.dumps(account).encode()

    def _token(self) -> dict[str, object]:
        self._given += 1
        token = f"ya29.token-{self._given}"
        self.on_token(token)
        return {"access_token": token, "expires_in": self.lifetime_seconds, "token_type": "Bearer"}

    def _is_signed(self, assertion: str) -> bool:
        head, claims, signature = assertion.split(".")
        self.claims.append(json.loads(_decoded(claims)))
        signed = f"{head}.{claims}".encode()
        try:
            _key().public_key().verify(_decoded(signature), signed, padding.PKCS1v15(), hashes.SHA256())
        except Exception:  # whatever is wrong with it
            return False
        return True


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _handler(google: FakeGoogle) -> type[BaseHTTPRequestHandler]:
    class GoogleHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, data = google.answer(self.command, self.path, body)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _serve

        def log_message(self, format: str, *args: object) -> None:
            return

    return GoogleHandler

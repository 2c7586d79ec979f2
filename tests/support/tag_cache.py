"""A cache in front of a registry that looks upstream for tags only, as pull-through caches do.

    with TagCache(registry.host) as cache:
        cache.host        # 127.0.0.1:<port>, plain http
        cache.is_caching = False

It gives a manifest by its digest only after an engine has asked for a tag that leads to it. If it does not
cache, it never does, and its answers to HEAD name no digest, so that an engine reads the manifest behind the
tag. All else is passed on.
"""

from __future__ import annotations

import hashlib
import json
import urllib.request
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from urllib.error import HTTPError

from tests.support.loopback_server import LoopbackServer

_PASSED_BACK = ("Content-Type", "Docker-Content-Digest", "Content-Range", "Link")
_REFUSAL = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "this cache has no such manifest"}]}


class TagCache:
    """The server. Attributes may be changed while it runs."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.is_caching = True
        self.refusal = 404  # the status for a digest that it does not have
        self.refused: list[str] = []  # such digests, as they were asked for
        self.stale: dict[str, str] = {}  # tags that an engine gets another manifest for: that of this tag
        self._inner: set[str] = set()  # manifests that an index names
        self._known: set[str] = set()
        self._server = LoopbackServer(_handler(self))

    def __enter__(self) -> TagCache:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    @property
    def host(self) -> str:
        return self._server.host

    def answer(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body (of a HEAD the body that a GET would have)."""
        place, _, name = path.rpartition("/")
        if not place.endswith("/manifests"):
            return self._fetched(path, headers)
        if name.startswith("sha256:") and name not in self._known | self._inner:
            self.refused.append(name)
            return self.refusal, {"Content-Type": "application/json"}, json.dumps(_REFUSAL).encode()
        is_engine = headers.get("user-agent", "").startswith("docker/")
        wanted = self.stale.get(name, name) if is_engine else name
        status, kept, body = self._fetched(f"{place}/{wanted}", headers)
        if status == 200:
            self._note(body, is_engine)
        if not self.is_caching and method == "HEAD":
            kept.pop("Docker-Content-Digest", None)
        return status, kept, body

    def _note(self, body: bytes, is_engine: bool) -> None:
        if is_engine and self.is_caching:
            self._known.add(f"sha256:{hashlib.sha256(body).hexdigest()}")
        self._inner |= {entry["digest"] for entry in json.loads(body).get("manifests", ())}

    def _fetched(self, path: str, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        passed = {name: headers[name] for name in ("accept", "range", "authorization") if name in headers}
        asked = urllib.request.Request(f"http://{self.upstream}{path}", headers=passed)
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                kept = {name: answer.headers[name] for name in _PASSED_BACK if answer.headers[name]}
                return answer.status, kept, answer.read()
        except HTTPError as error:
            return error.code, {"Content-Type": error.headers.get("Content-Type", "")}, error.read()


def _handler(cache: TagCache) -> type[BaseHTTPRequestHandler]:
    class TagCacheHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # a TLS hello is answered with a status line, as engines expect of http
        default_request_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = {name.lower(): ", ".join(self.headers.get_all(name, [])) for name in self.headers}
            status, kept, body = cache.answer(self.command, self.path, headers)
            self.send_response(status)
            for name, value in {**kept, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            return

    return TagCacheHandler

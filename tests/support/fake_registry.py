"""A registry on loopback that misbehaves on demand.

Speaks enough of the protocol for a real engine to pull from it.

    with FakeRegistry() as registry:
        pushed = registry.push("team/app", "1.0")                        # a tiny valid image; pushed.digest
        registry.push("team/app", "1.1", Build(platforms=("linux/amd64", "linux/arm64")))   # an index
        registry.behave("manifest_head", Behaviour(status=429, headers={"Retry-After": "7"}), times=1)
        registry.behave("blob", Behaviour(truncate_to=10), path=pushed.layers[0])           # the pull breaks
        half-way ... assert registry.counts() == {"manifest_head": 1}

References to it are `registry.host + "/team/app:1.0"` (plain http, as every client does on loopback). Kinds
of request: `ping`, `token`, `manifest_head`, `manifest_get`, `tags`, `blob`, `hub_tags`, `hub_token`,
`other`. The façade of Docker Hub's API answers at the same address: `HubEndpoints(registry=registry.url,
api=registry.url)`.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import secrets
import ssl
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

OCI_INDEX, OCI_IMAGE = "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG, OCI_LAYER = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.image.layer.v1.tar+gzip",
)
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Build:
    """What an image is made of. More than one platform, or `index=True`, makes an index.

    `files`: path to content (all mode 0755); `config`: the image's `Config` (`Cmd`, `Env`, `Healthcheck`
    ...).
    """

    platforms: tuple[str, ...] = ("linux/amd64",)
    index: bool = False
    docker: bool = False  # Docker's media types instead of OCI's
    created: str | None = "2024-05-01T10:00:00Z"
    files: Mapping[str, bytes] = field(default_factory=lambda: {"hello": b"hello\n"})
    # files of a layer below, the same for many images
    base: Mapping[str, bytes] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    artifact: bool = False  # a manifest of something that is no image
    attestation: bool = False  # with BuildKit's `unknown/unknown` entry in the index


@dataclass(frozen=True)
class Pushed:
    """Digests of what was pushed.

    What the tag names, each platform's manifest, each one's config, the layers of `files`.
    """

    digest: str
    children: Mapping[str, str]
    configs: Mapping[str, str]
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Behaviour:
    """How an answer differs from the right one. A header of None is left out."""

    status: int | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    body: bytes | None = None
    hang: threading.Event | None = None  # answer only once this is set
    truncate_to: int | None = None  # promise the whole body, send so many bytes, hang up
    dribble_seconds: float | None = None  # a pause before each byte of the body
    no_length: bool = False  # no Content-Length: the body ends with the connection
    disconnect: bool = False  # hang up without an answer


@dataclass(frozen=True)
class Basic:
    """Ask for a user name and a password on everything."""

    username: str
    password: str


@dataclass(frozen=True)
class Bearer:
    """Ask for a token. Without `username` the token server gives one to anybody."""

    username: str | None = None
    password: str = ""
    refresh_token: str | None = None  # an identity token that the OAuth2 endpoint takes
    oauth: bool = True  # False: POST answers 404
    expires_in: int | None = 300
    extra: Mapping[str, Any] = field(default_factory=dict)  # further fields of the token's answer
    realm: str | None = None  # None: this server's /token
    challenge: str | None = None  # the whole WWW-Authenticate, with {realm} and {scope}
    field: str = "token"
    bound_by: str = ""  # a token is good only for the repository that this parameter of its request named
    refusal: int = 401  # the status for a token that is not good; other than 401 it comes without a challenge


@dataclass(frozen=True)
class Logged:
    """One request that came in."""

    method: str
    path: str
    kind: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass
class _Rule:
    kind: str
    behaviour: Behaviour
    times: int | None
    path: str
    agent: str


@dataclass
class _Repository:
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pushed_at: dict[str, str | None] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)


class FakeRegistry:
    """The server. All attributes may be changed while it runs."""

    def __init__(self, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1") -> None:
        self.auth: Basic | Bearer | None = None
        self.page_size = 1000  # the most tags on one page, whatever is asked for
        self.next_link = '</v2/{name}/tags/list?{query}>; rel="next"'  # also {url}, this server's
        self.extra_tags: list[Any] | None = []  # entries shown after the real tags; None makes "tags": null
        self.hub_login: tuple[str, str] | None = None  # identifier and secret that the Hub façade takes
        # what its tokens say, in seconds since 1970; nothing by default
        self.hub_token_ends: float | None = None
        self.hub_private: set[str] = set()  # repositories that it shows only after a login
        self.hub_shuffled = False  # oldest first, against what was asked
        self.hub_next: str | None = None  # template for `next`, with {url}, {path} and {query}
        self._repositories: dict[str, _Repository] = {}
        self._rules: list[_Rule] = []
        self._log: list[Logged] = []
        self._sent: Counter[str] = Counter()
        self._tokens: dict[str, float] = {}
        self._bounds: dict[str, list[str]] = {}  # token to the scopes that it is bound to
        self._lock = threading.RLock()
        self._busy = self.most_at_once = 0
        self._server = ThreadingHTTPServer((address, 0), _handler(self))
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients may hang up
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> FakeRegistry:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def host(self) -> str:
        address, port = self._server.server_address[:2]
        return f"{address!s}:{port}"

    @property
    def url(self) -> str:
        return f"{self._scheme}://{self.host}"

    # ------------------------------------------------------------------------------------------- its contents

    def push(
        self, repository: str, tag: str | None, build: Build = Build(), pushed_at: str | None = None
    ) -> Pushed:
        """Build an image, keep it, and let `tag` name it. `pushed_at` is for the Hub façade (ISO 8601)."""
        with self._lock:
            place = self._repositories.setdefault(repository, _Repository())
            made = [(platform, *_image(place, build, platform)) for platform in build.platforms]
            children = {platform: manifest for platform, manifest, _, _ in made}
            digest = made[0][1]
            if build.index or build.attestation or len(made) > 1:
                digest = _index(place, build, children)
            if tag is not None:
                self.tag(repository, tag, digest, pushed_at)
            configs = {platform: config for platform, _, config, _ in made}
            return Pushed(digest, children, configs, tuple(layer for *_, layer in made))

    def tag(self, repository: str, tag: str, digest: str, pushed_at: str | None = None) -> None:
        """Let a tag name what is there already."""
        with self._lock:
            self._repositories[repository].tags[tag] = digest
            self._repositories[repository].pushed_at[tag] = pushed_at

    def delete(self, repository: str, tag: str) -> None:
        with self._lock:
            del self._repositories[repository].tags[tag]

    def put_manifest(self, repository: str, tag: str, media_type: str, body: bytes) -> str:
        """Keep any bytes as a manifest."""
        with self._lock:
            place = self._repositories.setdefault(repository, _Repository())
            place.manifests[digest_of(body)] = (media_type, body)
            place.tags[tag] = digest_of(body)
            return digest_of(body)

    def put_blob(self, repository: str, data: bytes) -> str:
        """Put a blob; its digest."""
        with self._lock:
            self._repositories.setdefault(repository, _Repository()).blobs[digest_of(data)] = data
        return digest_of(data)

    def contents(
        self, repository: str
    ) -> tuple[dict[str, bytes], dict[str, tuple[str, bytes]], dict[str, str]]:
        """Return all of a repository: blobs by digest, manifests by digest, tags.

        A manifest is its media type and body, in the order in which they came.
        """
        with self._lock:
            place = self._repositories[repository]
            return dict(place.blobs), dict(place.manifests), dict(place.tags)

    # ---------------------------------------------------------------------------------------- its bad manners

    def behave(
        self, kind: str, behaviour: Behaviour, times: int | None = None, path: str = "", agent: str = ""
    ) -> None:
        """Answer requests of a kind (`*` = all) differently: the next `times`, or always.

        Only those whose path contains `path` and whose user agent contains `agent`. Earlier rules come first.
        """
        with self._lock:
            self._rules.append(_Rule(kind, behaviour, times, path, agent))

    def well_behaved(self) -> None:
        """Forget all that `behave` said."""
        with self._lock:
            self._rules.clear()

    def revoke_tokens(self) -> None:
        with self._lock:
            self._tokens.clear()

    # ------------------------------------------------------------------------------------------------ its log

    @property
    def log(self) -> list[Logged]:
        with self._lock:
            return list(self._log)

    def counts(self) -> dict[str, int]:
        """How many requests of each kind came in since the start or `clear_log`."""
        return dict(Counter(entry.kind for entry in self.log))

    def sent(self) -> dict[str, int]:
        """Return the bytes of blobs that were sent since the start or `clear_log`, by digest."""
        with self._lock:
            return dict(self._sent)

    def clear_log(self) -> None:
        with self._lock:
            self._log.clear()
            self._sent.clear()
            self.most_at_once = 0

    # -------------------------------------------------------------------------------------------- its answers

    def _note(self, entry: Logged) -> Behaviour:
        with self._lock:
            self._log.append(entry)
            for rule in self._rules:
                is_meant = rule.path in entry.path and rule.agent in entry.headers.get("user-agent", "")
                if rule.kind in (entry.kind, "*") and is_meant and rule.times != 0:
                    rule.times = None if rule.times is None else rule.times - 1
                    return rule.behaviour
        return Behaviour()

    def _note_sent(self, path: str, size: int) -> None:
        with self._lock:
            self._sent[path.rpartition("/")[2]] += size

    def _count_in(self, step: int) -> None:
        with self._lock:
            self._busy += step
            self.most_at_once = max(self.most_at_once, self._busy)

    def _answer(self, entry: Logged) -> tuple[int, dict[str, str], bytes]:
        url = urlsplit(entry.path)
        with self._lock:
            if entry.kind == "token":
                return self._token(entry, dict(parse_qsl(url.query)))
            if entry.kind == "hub_token":
                return self._hub_token(entry)
            if entry.kind == "hub_tags":
                return self._hub_tags(entry, url.path, parse_qs(url.query))
            refusal = self._refusal(entry, url.path)
            if refusal:
                return refusal
            if entry.kind == "ping":
                return 200, {"Content-Type": "application/json"}, b"{}"
            return self._content(entry, url.path, parse_qs(url.query))

    def _content(
        self, entry: Logged, path: str, query: Mapping[str, list[str]]
    ) -> tuple[int, dict[str, str], bytes]:
        parts = path.removeprefix("/v2/").split("/")
        name, what, which = "/".join(parts[:-2]), parts[-2] if len(parts) > 2 else "", parts[-1]
        place = self._repositories.get(name)
        if place is None:
            return _error(404, "NAME_UNKNOWN", "repository name not known to registry")
        if what == "manifests":
            return _manifest(place, which, entry.headers.get("accept", ""))
        if what == "blobs":
            return _blob(place, which, entry.headers.get("range", ""))
        if what == "tags":
            return self._tag_page(name, place, query)
        return _error(404, "UNSUPPORTED", "no such endpoint")

    def _tag_page(
        self, name: str, place: _Repository, query: Mapping[str, list[str]]
    ) -> tuple[int, dict[str, str], bytes]:
        if self.extra_tags is None:
            return _json(200, {"name": name, "tags": None})
        last = query.get("last", [""])[0]
        names = [tag for tag in sorted(place.tags) if tag > last]
        size = min(self.page_size, int(query.get("n", ["1000"])[0]))
        shown, rest = names[:size], names[size:]
        status, headers, body = _json(200, {"name": name, "tags": shown + ([] if rest else self.extra_tags)})
        if rest:
            following = urlencode({"last": shown[-1], "n": size})
            headers["Link"] = self.next_link.format(name=name, query=following, url=self.url)
        return status, headers, body

    # ------------------------------------------------------------------------------------------------- logins

    def _refusal(self, entry: Logged, path: str) -> tuple[int, dict[str, str], bytes] | None:
        header = entry.headers.get("authorization", "")
        if isinstance(self.auth, Basic) and header != _basic(self.auth.username, self.auth.password):
            return _error(
                401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": 'Basic realm="fake"'}
            )
        scope = f"repository:{'/'.join(path.split('/')[2:-2])}:pull"
        if isinstance(self.auth, Bearer) and not self._is_good(
            header.removeprefix("Bearer "), scope, self.auth
        ):
            if header and self.auth.refusal != 401:
                return _error(self.auth.refusal, "DENIED", "requested access to the resource is denied")
            realm = self.auth.realm or f"{self.url}/token"
            form = self.auth.challenge
            form = 'Bearer realm="{realm}",service="fake",scope="{scope}"' if form is None else form
            return _error(
                401,
                "UNAUTHORIZED",
                "authentication required",
                {"WWW-Authenticate": form.format(realm=realm, scope=scope)},
            )
        return None

    def _is_good(self, token: str, scope: str, auth: Bearer) -> bool:
        is_bound_elsewhere = auth.bound_by != "" and scope not in self._bounds.get(token, [])
        return self._tokens.get(token, 0) >= time.monotonic() and not is_bound_elsewhere

    def _token(self, entry: Logged, query: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        auth = self.auth if isinstance(self.auth, Bearer) else Bearer()
        form = dict(parse_qsl(entry.body.decode()))
        if entry.method == "POST" and not auth.oauth:
            return _error(404, "UNSUPPORTED", "no OAuth2 here")
        by_form = auth.refresh_token is not None and form.get("refresh_token") == auth.refresh_token
        by_name = entry.headers.get("authorization") == _basic(auth.username or "", auth.password)
        if auth.username is not None and not by_form and not by_name:
            return _error(401, "UNAUTHORIZED", "incorrect username or password")
        token = secrets.token_urlsafe(16)
        self._tokens[token] = time.monotonic() + (auth.expires_in or 60)
        self._bounds[token] = parse_qs(urlsplit(entry.path).query).get(auth.bound_by, [])
        lifetime = {} if auth.expires_in is None else {"expires_in": auth.expires_in}
        return _json(200, {auth.field: token, **lifetime, **auth.extra})

    # --------------------------------------------------------------------------------------- Docker Hub's API

    def _hub_token(self, entry: Logged) -> tuple[int, dict[str, str], bytes]:
        form = json.loads(entry.body)
        if self.hub_login is None or (form.get("identifier"), form.get("secret")) != self.hub_login:
            return _json(401, {"detail": "Incorrect authentication credentials"})
        claims = (
            base64.urlsafe_b64encode(json.dumps({"exp": self.hub_token_ends}).encode()).decode().rstrip("=")
        )
        token = f"e30.{claims}.{secrets.token_urlsafe(16)}"
        self._tokens[token] = time.monotonic() + 600
        return _json(200, {"access_token": token})

    def _hub_tags(
        self, entry: Logged, path: str, query: Mapping[str, list[str]]
    ) -> tuple[int, dict[str, str], bytes]:
        parts = path.split("/")
        name = f"{parts[3]}/{parts[5]}"
        place = self._repositories.get(name)
        known = (
            self._tokens.get(entry.headers.get("authorization", "").removeprefix("Bearer "), 0)
            > time.monotonic()
        )
        if self.hub_token_ends and "authorization" in entry.headers and not known:
            return _json(401, {"detail": "invalid token"})
        if place is None or (name in self.hub_private and not known):
            return _json(404, {"message": "object not found", "errinfo": {}})
        rows = [_hub_row(tag, digest, place.pushed_at.get(tag)) for tag, digest in place.tags.items()]
        rows.sort(key=lambda row: row["tag_last_pushed"] or "", reverse=not self.hub_shuffled)
        size, page = (
            min(100, int(query.get("page_size", ["10"])[0]), self.page_size),
            int(query.get("page", ["1"])[0]),
        )
        more = len(rows) > page * size
        following = urlencode({**{k: v[0] for k, v in query.items()}, "page": page + 1})
        form = self.hub_next or "{url}{path}?{query}"
        link = form.format(url=self.url, path=path, query=following) if more else None
        return _json(
            200, {"count": len(rows), "next": link, "results": rows[(page - 1) * size : page * size]}
        )


def _hub_row(tag: str, digest: str, pushed_at: str | None) -> dict[str, Any]:
    return {
        "name": tag,
        "digest": digest,
        "tag_last_pushed": pushed_at,
        "last_updated": pushed_at,
        "images": [],
    }


# ----------------------------------------------------------------------------------------------------- images


def _image(place: _Repository, build: Build, platform: str) -> tuple[str, str, str]:
    """Make one platform's image; return the digests of manifest, config and layer."""
    system, architecture, variant = [*platform.split("/"), ""][:3]
    tars = [_tar(files) for files in (build.base, build.files) if files]
    layers = [gzip.compress(tar, mtime=0) for tar in tars]
    config: dict[str, Any] = {
        "os": system,
        "architecture": architecture,
        "config": dict(build.config),
        "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for tar in tars]},
        "history": [{"created_by": "fake registry"}] * len(tars),
    }
    if variant:
        config["variant"] = variant
    if build.created is not None:
        config["created"] = build.created
    config_bytes = json.dumps(config).encode()
    config_type = (
        "application/vnd.example.chart" if build.artifact else DOCKER_CONFIG if build.docker else OCI_CONFIG
    )
    media_type = DOCKER_IMAGE if build.docker else OCI_IMAGE
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": _descriptor(config_type, config_bytes),
        "layers": [_descriptor(DOCKER_LAYER if build.docker else OCI_LAYER, layer) for layer in layers],
    }
    body = json.dumps(manifest).encode()
    place.blobs |= {digest_of(blob): blob for blob in (*layers, config_bytes)}
    place.manifests[digest_of(body)] = (media_type, body)
    return digest_of(body), digest_of(config_bytes), digest_of(layers[-1])


def _index(place: _Repository, build: Build, children: Mapping[str, str]) -> str:
    media_type = DOCKER_LIST if build.docker else OCI_INDEX
    entries = []
    for platform, digest in children.items():
        child_type, child = place.manifests[digest]
        system, architecture, variant = [*platform.split("/"), ""][:3]
        where = {"os": system, "architecture": architecture, **({"variant": variant} if variant else {})}
        entries.append({**_descriptor(child_type, child), "platform": where})
    if build.attestation:
        malformed = {
            **_descriptor(OCI_IMAGE, b"{}"),
            "platform": {"os": "unknown", "architecture": "unknown"},
        }
        entries.insert(0, malformed)
    body = json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": entries}).encode()
    place.manifests[digest_of(body)] = (media_type, body)
    return digest_of(body)


def _tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "size": len(data), "digest": digest_of(data)}


# ---------------------------------------------------------------------------------------------------- answers


def _manifest(place: _Repository, which: str, accept: str) -> tuple[int, dict[str, str], bytes]:
    digest = place.tags.get(which, which)
    found = place.manifests.get(digest)
    if found is None:
        return _error(404, "MANIFEST_UNKNOWN", "manifest unknown")
    media_type, body = found
    # one platform's, as old clients get it
    if media_type in (OCI_INDEX, DOCKER_LIST) and media_type not in accept:
        digest = json.loads(body)["manifests"][0]["digest"]
        media_type, body = place.manifests[digest]
    return 200, {"Content-Type": media_type, "Docker-Content-Digest": digest}, body


def _blob(place: _Repository, which: str, wanted: str) -> tuple[int, dict[str, str], bytes]:
    data = place.blobs.get(which)
    if data is None:
        return _error(404, "BLOB_UNKNOWN", "blob unknown to registry")
    headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": which}
    if wanted.startswith("bytes=") and wanted.endswith("-"):
        start = int(wanted[6:-1])
        headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        return 206, headers, data[start:]
    return 200, headers, data


def _json(status: int, value: object) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()


def _error(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    status, base, body = _json(status, {"errors": [{"code": code, "message": message}]})
    return status, {**base, **(headers or {})}, body


def _basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def kind_of(method: str, path: str) -> str:
    """Return the kind of a request, by method and path."""
    path = urlsplit(path).path
    if path.startswith("/token"):
        return "token"
    if path == "/v2/auth/token":
        return "hub_token"
    if path.startswith("/v2/namespaces/") and path.endswith("/tags"):
        return "hub_tags"
    if path in ("/v2", "/v2/"):
        return "ping"
    if "/manifests/" in path:
        return "manifest_head" if method == "HEAD" else "manifest_get"
    if path.endswith("/tags/list"):
        return "tags"
    return "blob" if "/blobs/" in path else "other"


def _handler(registry: FakeRegistry) -> type[BaseHTTPRequestHandler]:  # noqa: C901 - a class in a closure
    class FakeRegistryHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # a TLS hello is answered with a status line, as engines expect of http
        default_request_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): ", ".join(self.headers.get_all(name, [])) for name in self.headers}
            entry = Logged(self.command, self.path, kind_of(self.command, self.path), headers, body)
            registry._count_in(1)
            try:
                behaviour = registry._note(entry)
                if behaviour.hang is not None:
                    behaviour.hang.wait(300)
                answer = registry._answer(entry)
            finally:
                registry._count_in(-1)
            try:
                self._send(behaviour, *answer)
            except OSError:
                self.close_connection = True

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

        def _send(self, behaviour: Behaviour, status: int, headers: dict[str, str], body: bytes) -> None:
            if behaviour.disconnect:
                self.close_connection = True
                return
            body = body if behaviour.body is None else behaviour.body
            self.send_response(behaviour.status or status)
            wanted: dict[str, str | None] = {} if behaviour.no_length else {"Content-Length": str(len(body))}
            for name, value in {**wanted, **headers, **behaviour.headers}.items():
                if value is not None:
                    self.send_header(name, value)
            if behaviour.no_length or behaviour.truncate_to is not None:
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            if self.command != "HEAD":
                self._send_body(body[: behaviour.truncate_to], behaviour.dribble_seconds)
                if kind_of(self.command, self.path) == "blob":
                    registry._note_sent(self.path, len(body[: behaviour.truncate_to]))

        def _send_body(self, body: bytes, pause: float | None) -> None:
            if pause is None:
                self.wfile.write(body)
                return
            for position in range(len(body)):
                time.sleep(pause)
                self.wfile.write(body[position : position + 1])
                self.wfile.flush()

        def log_message(self, format: str, *args: object) -> None:
            return

    return FakeRegistryHandler

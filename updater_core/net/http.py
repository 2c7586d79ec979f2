"""One HTTP exchange: verified TLS, the proxy of the environment, bounded in time and in size.

Built on requests' transport adapter and its pool of connections, one exchange at a time. A `requests.Session`
above it would do what must not happen here: it reads the whole body of a redirect, even if none is followed;
it keeps cookies; it takes logins from a `.netrc`, and trust from more of the environment than a path.

httpcore has public seams for what our connections do by two private names of urllib3 and Python. A trial with
it was as long, and takes 1.9 MB more of the resident memory, for docker-py loads requests and urllib3 anyway:
so it is not used.
"""

from __future__ import annotations

import http.client
import logging
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool

from updater_core.net import dial
from updater_core.net.failures import (
    PROXY_REMEDY,
    Broken,
    broken_by,
    causes_of,
    is_disconnect,
    redirect_refused,
)
from updater_core.net.proxies import proxy_for
from updater_core.net.tls import Trust
from updater_core.vocabulary.untrusted import on_one_line

__all__ = ["Answer", "Broken", "Connections", "Limits", "Request"]

MOST_AT_ONCE = 8
ERROR_BYTES, QUOTED_CHARACTERS = 64 << 10, 200
CERTIFICATES = Path("/etc/docker/certs.d")
REDIRECTS = frozenset({301, 302, 303, 307, 308})

_HOSTS_KEPT = 32  # so many hosts' idle connections are kept
_CHUNK_BYTES = 64 << 10

# its warnings hold URLs, and those may be signed
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
_here = threading.local()  # `watch`: that of the exchange which this thread is in


@dataclass(frozen=True, slots=True)
class Limits:
    """How long one exchange may take, and the folder of certificates for single registries.

    Seconds to connect, between two bytes, and as a whole, however busily bytes trickle in.
    """

    connect_seconds: float = 5.0
    read_seconds: float = 20.0
    whole_seconds: float = 30.0
    certificates: Path = CERTIFICATES


USUAL_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked.

    `kind` names the question in metrics (`manifest_head`, `token`); `what` names it in messages.

    A body longer than `longest_bytes` is an error; with 0 none is read but the beginning of an error's. A
    refusal of what `is_optional` starts no backoff of the host. `redirected_by`: the address of another host
    that leads here, empty if it is not known; None if none does.
    """

    url: str
    kind: str
    what: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    authorization: str | None = field(default=None, repr=False)
    body: bytes | None = field(default=None, repr=False)
    longest_bytes: int = 8 << 20
    is_optional: bool = False
    redirected_by: str | None = None

    @property
    def host(self) -> str:
        """Return the host that is asked, with its port if the URL has one."""
        return urlsplit(self.url).netloc


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: header names in lower case, the body whole, `url` is its source after redirects.

    `address`: that of the host that answered; empty if a proxy was asked.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    url: str = field(repr=False)
    address: str = field(default="", repr=False)

    def quoted(self) -> str:
        """Return the beginning of the body, fit for a message."""
        beginning = self.body[: QUOTED_CHARACTERS * 4].decode("utf-8", "replace")
        return on_one_line(beginning)[:QUOTED_CHARACTERS]


class Connections:
    """Exchanges requests for answers over connections that stay open; safe to use from many threads."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._adapter = _Adapter(Trust(limits.certificates))

    def exchange(self, request: Request) -> Answer:
        """Send a request once (again if a kept connection turns out to be closed).

        Redirects are answers like any other. Raises Broken if there is no whole answer in time.
        """
        while True:
            try:
                with _Watch(self._limits.whole_seconds, request) as watch:
                    answer = self._send(request)
                if not watch.is_late:  # a body without a length looks complete when it is cut
                    return answer
                failure = broken_by((TimeoutError(),), is_at_proxy=watch.is_at_proxy)
            except (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException, ValueError) as error:
                causes = tuple(causes_of(error))
                if watch.is_on_kept_connection and not watch.is_late and is_disconnect(causes):
                    continue
                failure = broken_by(
                    (TimeoutError(),) if watch.is_late else causes, is_at_proxy=watch.is_at_proxy
                )
            failure.connected = watch.is_connected
            raise failure

    def close(self) -> None:
        """Close what is kept open."""
        self._adapter.close()

    def _send(self, request: Request) -> Answer:
        headers = {"User-Agent": "docker-auto-updater", "Accept-Encoding": "identity", **request.headers}
        if request.authorization:
            headers["Authorization"] = request.authorization
        auth = _as_it_is if request.authorization else None
        asked = requests.Request(request.method, request.url, headers, data=request.body, auth=auth).prepare()
        timeouts = (self._limits.connect_seconds, self._limits.read_seconds)
        proxies = _proxies(request.url)
        _here.watch.is_at_proxy = _here.watch.is_proxied = bool(proxies)
        with self._adapter.send(asked, stream=True, timeout=timeouts, proxies=proxies) as response:
            received = {name.lower(): value for name, value in response.headers.items()}
            body, address = _read(response, request), _here.watch.address
            answer = Answer(response.status_code, received, body, request.url, address)
        if proxies and request.url.startswith("http:"):
            _refuse_proxys_page(answer)
        return answer


def _as_it_is(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    """Leave a request's `Authorization` as it is: a login in its URL must not replace it."""
    return prepared


def _read(response: requests.Response, request: Request) -> bytes:
    """Return the whole body, unpacked if it was packed though nobody asked; of an error its beginning.

    Raises Broken if it is longer than the request allows.
    """
    if not request.longest_bytes:
        return _beginning(response) if response.status_code >= 400 else b""
    longest = request.longest_bytes if response.status_code < 400 else ERROR_BYTES
    body = bytearray()
    while len(body) <= longest and (chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True)):
        body += chunk
    if len(body) > longest and response.status_code < 400:
        raise Broken(f"its answer is longer than {longest >> 20} MiB", lasting=True)
    return bytes(body[:longest])


def _beginning(response: requests.Response) -> bytes:
    """Return what an error begins with, if it is there: that there is one is known without it."""
    with suppress(OSError, urllib3.exceptions.HTTPError, http.client.HTTPException):
        return bytes(response.raw.read1(4 * QUOTED_CHARACTERS, decode_content=True))
    return b""


# ---------------------------------------------------------------------------------------------------- proxies


def _proxies(url: str) -> dict[str, str]:
    """Return the proxy that the environment names for a URL, as requests wants it."""
    parts = urlsplit(url)
    named = proxy_for(url, os.environ)
    if not named:
        return {}
    proxy = urlsplit(named)
    if proxy.scheme != "http" or not proxy.hostname:
        raise Broken(
            f"the {parts.scheme.upper()}_PROXY of the environment is not a http:// proxy", lasting=True
        )
    return {parts.scheme: named}


def _refuse_proxys_page(answer: Answer) -> None:
    """Raise Broken if a proxy most likely wrote this answer; over plain http nothing proves who did."""
    is_page = answer.headers.get("content-type", "").startswith("text/html")
    is_proxys = answer.status == 407 or "x-squid-error" in answer.headers
    if is_proxys or (is_page and answer.status in (403, 502, 503, 504)):
        text = re.sub(
            r"<(script|style)\b.*?</\1>|<[^>]*>", " ", answer.quoted(), flags=re.DOTALL | re.IGNORECASE
        )
        said = " ".join(text.split())
        why = f"the proxy of the environment answers in its place with status {answer.status}"
        why = f"{why} ({said})" if said else why
        raise Broken(why, f"let the proxy allow it; {PROXY_REMEDY}", lasting=answer.status < 500)


# ------------------------------------------------------------------------------------ connections under watch


class _Watch:
    """Ends an exchange that takes too long as a whole, and knows whether its connection was used before."""

    def __init__(self, seconds: float, request: Request) -> None:
        self._request = request
        self.address = ""  # of the host itself
        self.is_proxied = False
        self.is_late = False
        self.is_on_kept_connection = True
        self.is_at_proxy = False  # waiting for the proxy: for its connection, or its answer to CONNECT
        self.is_connected = False  # the host itself was there, TLS and all
        self._opened: socket.socket | None = None
        self._socket: socket.socket | None = None
        self.end = time.monotonic() + seconds
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> _Watch:
        _here.watch = self
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        _here.watch = self._socket = None
        if self._opened is not None:
            self._opened.close()

    def is_connecting(self) -> None:
        """Note that the exchange gets a connection of its own."""
        self.is_on_kept_connection = False

    def has_connected(self, connected: socket.socket | None) -> None:
        """Note that the request goes over this socket."""
        self.is_connected = connected is not None  # a new one connects only as the question is put
        self.is_at_proxy = self.is_at_proxy and not self.is_connected
        if connected is not None and not self.is_proxied:
            self.address = str(connected.getpeername()[0])
            if refused := self.refusal(self.address):
                raise refused
        self.has(connected)

    def refusal(self, address: str) -> Broken | None:
        """Return the error of a question that was redirected and may not be put to this address."""
        origin = None if self.is_proxied else self._request.redirected_by
        return None if origin is None else redirect_refused(self._request.url, address, origin)

    def has_opened(self, opened: socket.socket) -> None:
        """Watch a socket on which a tunnel or TLS may still have to come; close it if the exchange is over.

        A duplicate is watched: TLS takes the socket itself away before it has shaken hands.
        """
        try:
            self._opened = opened.dup()
            self.has(self._opened)
        except OSError:
            opened.close()
            raise

    def has(self, connected: socket.socket | None) -> None:
        """Watch this socket from now on. Raises TimeoutError if the exchange is over."""
        self._socket = connected
        if self.is_late:  # there was nothing to cut yet
            raise TimeoutError

    def _cut(self) -> None:
        self.is_late = True
        connected = self._socket
        if connected is not None:
            with suppress(OSError):  # already closed
                connected.shutdown(socket.SHUT_RDWR)


def _dialled(connection: HTTPConnection) -> socket.socket:
    """Return a socket to the connection's host; urllib3's own tries one address after the other."""
    own_seconds = float(connection.timeout or USUAL_LIMITS.connect_seconds)
    left = lambda: min(own_seconds, max(_here.watch.end - time.monotonic(), 0.0))  # noqa: E731
    options, refusal = connection.socket_options or (), _here.watch.refusal
    opened = dial.connect(connection._dns_host, connection.port, left, options, refusal)
    _here.watch.has_opened(opened)
    opened.settimeout(own_seconds)
    return opened


class _PlainConnection(HTTPConnection):
    """urllib3's connection, telling the watch of this thread about its socket.

    `_new_conn` and `_tunnel` are urllib3's and Python's names; there are no others for the moments that they
    mark."""

    def connect(self) -> None:
        _here.watch.is_connecting()
        super().connect()
        _here.watch.has_connected(self.sock)

    def _new_conn(self) -> socket.socket:
        return _dialled(self)

    def request(self, *args: Any, **options: Any) -> None:
        _here.watch.has_connected(self.sock)
        super().request(*args, **options)


class _SecureConnection(HTTPSConnection):
    """The same with TLS."""

    def connect(self) -> None:
        _here.watch.is_connecting()
        super().connect()
        _here.watch.has_connected(self.sock)

    def _new_conn(self) -> socket.socket:
        return _dialled(self)

    def request(self, *args: Any, **options: Any) -> None:
        _here.watch.has_connected(self.sock)
        super().request(*args, **options)

    def _tunnel(self) -> None:
        super()._tunnel()
        _here.watch.is_at_proxy = _here.watch.is_late  # what was cut passes for an answer's end


class _Adapter(HTTPAdapter):
    """requests' adapter with our trust and our connections.

    Derived because requests takes a TLS context in no other way
    (https://requests.readthedocs.io/en/latest/api/#requests.adapters.HTTPAdapter).
    """

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        super().__init__(pool_connections=_HOSTS_KEPT, pool_maxsize=MOST_AT_ONCE)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        """Return what identifies a pool: the place to connect to, and the TLS context."""
        host, how = super().build_connection_pool_key_attributes(request, verify, cert)
        if host["scheme"] == "https":
            how["ssl_context"] = self._context(urlsplit(str(request.url)).netloc)
        return host, how

    def _context(self, netloc: str) -> ssl.SSLContext:
        try:
            return self._trust.context(netloc)
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise Broken(f"the certificates to verify it with cannot be read ({why})", lasting=True) from None

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Do nothing: the context verifies, against what it holds."""

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        """Return the pool for a request, which makes our connections."""
        pool: Any = super().get_connection_with_tls_context(*args, **options)
        pool.ConnectionCls = _SecureConnection if isinstance(pool, HTTPSConnectionPool) else _PlainConnection
        return pool

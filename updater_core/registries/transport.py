"""One careful HTTP exchange with a registry: verified TLS, bounded in time and size, patient with a host that is busy.

Built on http.client, because every convenience above it does something here that must not happen: a `.netrc` that
replaces our Authorization header, redirects that carry it elsewhere, environment variables that turn TLS verification
off, bodies without an end. Rests are per host and shared by all: one 429 stops every question to that host.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import io
import ipaddress
import os
import re
import socket
import ssl
import threading
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote, unquote, urljoin, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from updater_core import protocols
from updater_core.errors import RateLimited, RegistryError
from updater_core.registries.challenge import is_loopback, redirect_problem, same_origin

MOST_AT_ONCE = 8
TRIES, FIRST_PAUSE_SECONDS, RETRY_BUDGET_SECONDS = 3, 0.2, 45.0
MOST_REDIRECTS = 10
ERROR_BYTES, QUOTED_CHARACTERS = 64 << 10, 200
FAILURES_UNTIL_REST = 3
FIRST_REST, LONGEST_GUESSED_REST = timedelta(seconds=60), timedelta(hours=1)
SHORTEST_REST, LONGEST_REST = timedelta(seconds=1), timedelta(hours=6)  # Docker Hub counts in windows of six hours
CERTIFICATES = Path("/etc/docker/certs.d")

_REDIRECTS = {301, 302, 303, 307, 308}
_BODY_HINT = re.compile(r"retry-after:\s*([0-9.]+)\s*(ns|µs|μs|us|ms|s|m|h)?", re.IGNORECASE)
_UNITS = {"ns": 1e-9, "µs": 1e-6, "μs": 1e-6, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}

OnRequest = Callable[[str, str, str], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """How long one exchange may take: to connect, between two bytes, and as a whole however busily bytes trickle in;
    and where certificates for single registries lie."""

    connect_seconds: float = 5.0
    read_seconds: float = 20.0
    whole_seconds: float = 30.0
    certificates: Path = CERTIFICATES


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. `kind` names the question in metrics (`manifest_head`, `token`); `what` names it in messages."""

    url: str
    kind: str
    what: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    authorization: str | None = field(default=None, repr=False)
    body: bytes | None = field(default=None, repr=False)
    longest_bytes: int = 8 << 20

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: header names in lower case, the body whole, `url` where it came from after redirects."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    url: str = field(repr=False)

    def quoted(self) -> str:
        """The beginning of the body, fit for a message."""
        text = "".join(
            c if c.isprintable() else " " for c in self.body[: QUOTED_CHARACTERS * 4].decode("utf-8", "replace")
        )
        return " ".join(text.split())[:QUOTED_CHARACTERS]


class _Broken(Exception):
    """An exchange that came to no answer; `lasting`: trying again does not help."""

    def __init__(self, why: str, remedy: str = "", lasting: bool = False) -> None:
        super().__init__(why)
        self.remedy = remedy
        self.lasting = lasting


@dataclass(slots=True)
class _Host:
    """What we know of one host."""

    slots: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(MOST_AT_ONCE))
    rest_until: datetime | None = None
    rests_in_a_row: int = 0
    failures_in_a_row: int = 0
    down: str = ""


class Transport:
    """Sends requests. One per process; safe to use from many threads."""

    def __init__(
        self,
        clock: protocols.Clock,
        on_request: OnRequest,
        rests: Mapping[str, datetime],
        limits: Limits = Limits(),
    ) -> None:
        self._clock = clock
        self._on_request = on_request
        self._lock = threading.Lock()
        self._hosts: defaultdict[str, _Host] = defaultdict(_Host)
        self._wires = _Wires(limits)
        for host, until in rests.items():
            self._hosts[host].rest_until = min(until, clock.now() + LONGEST_REST)

    def rests(self) -> Mapping[str, datetime]:
        """The hosts that asked for a rest which is not over yet, and until when."""
        now = self._clock.now()
        with self._lock:
            known = {name: host.rest_until for name, host in self._hosts.items()}
        return {name: until for name, until in known.items() if until and until > now}

    def new_cycle(self) -> None:
        """Give hosts that did not answer in the last cycle another chance."""
        with self._lock:
            for host in self._hosts.values():
                host.failures_in_a_row, host.down = 0, ""

    def send(self, request: Request) -> Answer:
        """Ask, with patience. Every status is an answer but those of a busy or broken host (429, 408, 499, 5xx), which
        are raised as RateLimited or, after some tries, as RegistryError."""
        host = self._host(request.host)
        with host.slots:
            self._refuse_if_resting(request.host, host)
            return self._try(request, host)

    def _host(self, name: str) -> _Host:
        with self._lock:
            return self._hosts[name]

    def _refuse_if_resting(self, name: str, host: _Host) -> None:
        if host.rest_until and host.rest_until > self._clock.now():
            raise RateLimited(name, f"asked for a rest until {host.rest_until:%Y-%m-%d %H:%M:%S} UTC", host.rest_until)
        if host.down:
            raise RegistryError(name, host.down)

    def _try(self, request: Request, host: _Host) -> Answer:
        started, pause, broken = self._clock.monotonic(), FIRST_PAUSE_SECONDS, _Broken("")
        for attempt in range(TRIES):
            try:
                answer = self._follow(request)
                self._rest_if_asked(request, host, answer)
                host.failures_in_a_row = host.rests_in_a_row = 0
                return answer
            except _Broken as error:
                broken = error
            spent = self._clock.monotonic() - started > RETRY_BUDGET_SECONDS
            if broken.lasting or spent or attempt + 1 == TRIES or self._clock.wait(pause):
                break
            pause *= 2
        raise self._given_up(request, host, broken)

    def _given_up(self, request: Request, host: _Host, broken: _Broken) -> RegistryError:
        with self._lock:
            host.failures_in_a_row += 0 if broken.lasting else 1  # a lasting one concerns this question alone
            if host.failures_in_a_row >= FAILURES_UNTIL_REST:
                host.down = f"{broken} ({host.failures_in_a_row} times in a row; not asked again in this cycle)"
        remedy = broken.remedy or f"check that {request.host} can be reached from this machine"
        return RegistryError(request.host, f"{request.what}: {broken}", remedy)

    def _follow(self, request: Request) -> Answer:
        """One try: the request and the redirects it leads to, each judged."""
        host = request.host
        for _ in range(MOST_REDIRECTS + 1):
            answer = self._exchange(request, host)
            target = answer.headers.get("location")
            if answer.status not in _REDIRECTS or not target or request.method not in ("GET", "HEAD"):
                break
            url = urljoin(request.url, target)
            problem = redirect_problem(request.url, url)
            if problem:
                raise _Broken(f"it redirects to a place we do not follow to: {problem}", lasting=True)
            keep = request.authorization if same_origin(request.url, url) else None
            request = replace(request, url=url, authorization=keep)
        else:
            raise _Broken(f"it redirects more than {MOST_REDIRECTS} times", lasting=True)
        if _is_worth_a_retry(answer.status) and not _asks_for_rest(answer):
            raise _Broken(f"it answered with status {answer.status}")
        return answer

    def _exchange(self, request: Request, host: str) -> Answer:
        result = "unreachable"
        try:
            answer = self._wires.exchange(request)
            result = _result(answer.status)
            return answer
        finally:
            self._on_request(host, request.kind, result)

    def _rest_if_asked(self, request: Request, host: _Host, answer: Answer) -> None:
        if not _asks_for_rest(answer):
            return
        now = self._clock.now()
        with self._lock:
            if not (host.rest_until and host.rest_until > now):  # not one of many that were on their way together
                host.rests_in_a_row += 1
            asked = retry_after(answer, now)
            guessed = min(FIRST_REST * 2 ** min(host.rests_in_a_row - 1, 10), LONGEST_GUESSED_REST)
            rest = min(max(guessed if asked is None else asked, SHORTEST_REST), LONGEST_REST)
            host.rest_until = until = max(host.rest_until or now, now + rest)
        message = (
            f"{request.what}: too many requests (status {answer.status}); resting until {until:%Y-%m-%d %H:%M:%S} UTC"
        )
        raise RateLimited(request.host, message, until, "log in to this registry, or check less often")


def retry_after(answer: Answer, now: datetime) -> timedelta | None:
    """How long the answer asks us to wait (RFC 9110, 10.2.3), or None. GHCR writes it into the body.

    >>> retry_after(Answer(429, {"retry-after": "7"}, b"", ""), datetime(2025, 1, 1, tzinfo=UTC))
    datetime.timedelta(seconds=7)
    """
    text = answer.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
        return timedelta(seconds=float(text))
    if text:
        try:
            moment = parsedate_to_datetime(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
        except ValueError:
            return None
    found = _BODY_HINT.search(answer.body[:ERROR_BYTES].decode("utf-8", "replace"))
    try:
        return timedelta(seconds=float(found[1]) * _UNITS[(found[2] or "").lower()]) if found else None
    except (ValueError, OverflowError):
        return None


def _asks_for_rest(answer: Answer) -> bool:
    return answer.status == 429 or (answer.status == 503 and "retry-after" in answer.headers)


def _is_worth_a_retry(status: int) -> bool:
    return status >= 500 or status in (408, 499)


def _result(status: int) -> str:
    if status < 400:
        return "ok"
    words = {401: "unauthorized", 403: "denied", 404: "not_found", 429: "rate_limited"}
    return words.get(status, "error")


# --------------------------------------------------------------------------------------------------------- the wires


@dataclass(slots=True)
class _Wire:
    connection: http.client.HTTPConnection
    prefix: str = ""  # what stands before the path in the request line: the origin, where a plain proxy relays
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # for that proxy
    used: bool = False


class _Wires:
    """Connections, kept open between exchanges, at most MOST_AT_ONCE idle ones per origin."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._idle: defaultdict[str, list[_Wire]] = defaultdict(list)
        self._contexts: dict[str, ssl.SSLContext] = {}

    def exchange(self, request: Request) -> Answer:
        """Send a request once (a second time where a kept connection turns out to be closed); raise _Broken."""
        try:
            while True:
                wire = self._take(request.url)
                reused = wire.used
                try:
                    return self._talk(wire, request)
                except (ConnectionError, http.client.RemoteDisconnected):
                    if not reused:
                        raise
        except (OSError, http.client.HTTPException, ValueError, EOFError, zlib.error) as error:
            raise _broken(error) from None

    def _talk(self, wire: _Wire, request: Request) -> Answer:
        keep, late = False, threading.Event()
        watch: threading.Timer | None = None
        try:
            connected = _connected(wire.connection, self._limits.read_seconds)
            watch = _watch(connected, self._limits.whole_seconds, late)
            answer, keep = _converse(wire, request)
        except Exception:
            if late.is_set():
                raise TimeoutError from None
            raise
        finally:
            if watch is not None:
                watch.cancel()
            self._give_back(wire, request.url, keep and not late.is_set())
        if late.is_set():  # a body without a length looks complete when it is cut
            raise TimeoutError
        return answer

    def _take(self, url: str) -> _Wire:
        with self._lock:
            idle = self._idle[_origin(url)]
            if idle:
                return idle.pop()
        return self._new(url)

    def _give_back(self, wire: _Wire, url: str, keep: bool) -> None:
        wire.used = True
        if keep:
            with self._lock:
                idle = self._idle[_origin(url)]
                if len(idle) < MOST_AT_ONCE:
                    idle.append(wire)
                    return
        wire.connection.close()

    def _new(self, url: str) -> _Wire:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        proxy = _proxy(parts.scheme, host, port)
        near_host, near_port = (proxy.host, proxy.port) if proxy else (host, port)
        if parts.scheme == "http":
            plain = http.client.HTTPConnection(near_host, near_port, timeout=self._limits.connect_seconds)
            return _Wire(plain, f"http://{parts.netloc}", proxy.headers) if proxy else _Wire(plain)
        secure = http.client.HTTPSConnection(
            near_host, near_port, timeout=self._limits.connect_seconds, context=self._tls(parts.netloc)
        )
        if proxy:
            secure.set_tunnel(host, port, proxy.headers)
        return _Wire(secure)

    def _tls(self, netloc: str) -> ssl.SSLContext:
        own = self._limits.certificates / netloc
        key = netloc if own.is_dir() else ""
        with self._lock:
            if key not in self._contexts:
                try:
                    self._contexts[key] = _context(own if key else None)
                except OSError as error:
                    why = error.strerror or type(error).__name__
                    raise _Broken(f"the certificates to verify it with cannot be read ({why})", lasting=True) from None
            return self._contexts[key]


@dataclass(frozen=True, slots=True)
class _Proxy:
    host: str
    port: int
    headers: Mapping[str, str] = field(repr=False)


def _context(own: Path | None) -> ssl.SSLContext:
    """Verified TLS: the system's authorities, or those of $REQUESTS_CA_BUNDLE, $CURL_CA_BUNDLE or $SSL_CERT_FILE; and
    for a registry with a folder under /etc/docker/certs.d its own (`*.crt`, and `*.cert` with `*.key` as our side),
    as Docker reads them (https://docs.docker.com/engine/security/certificates/)."""
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    if bundle:
        is_folder = Path(bundle).is_dir()
        context = ssl.create_default_context(cafile=None if is_folder else bundle, capath=bundle if is_folder else None)
    else:
        context = ssl.create_default_context()
    for authority in sorted(own.glob("*.crt")) if own else ():
        context.load_verify_locations(authority)
    for certificate in sorted(own.glob("*.cert")) if own else ():
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    return context


def _proxy(scheme: str, host: str, port: int) -> _Proxy | None:
    """The proxy that the environment names for a host; never one for this machine itself, as in Docker."""
    url = getproxies_environment().get(scheme)
    if not url or is_loopback(host) or _is_bypassed(host, port):
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise _Broken(f"the {scheme.upper()}_PROXY of the environment is not a http:// proxy", lasting=True)
    return _Proxy(parts.hostname, parts.port or 80, _proxy_headers(parts.username, parts.password))


def _proxy_headers(username: str | None, password: str | None) -> Mapping[str, str]:
    if username is None:
        return {}
    pair = f"{unquote(username)}:{unquote(password or '')}".encode()
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair).decode()}


def _is_bypassed(host: str, port: int) -> bool:
    if proxy_bypass(host) or proxy_bypass(f"{host}:{port}"):
        return True
    try:
        address = ipaddress.ip_address(host)
        entries = getproxies_environment().get("no", "").split(",")
        return any(address in ipaddress.ip_network(e.strip(), strict=False) for e in entries if "/" in e)
    except ValueError:
        return False


def _headers(request: Request) -> dict[str, str]:
    headers = {"User-Agent": "docker-auto-updater", "Accept-Encoding": "identity", **request.headers}
    if request.authorization:
        headers["Authorization"] = request.authorization
    return headers


def _joined(response: http.client.HTTPResponse) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in response.getheaders():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


def _read(response: http.client.HTTPResponse, request: Request) -> bytes:
    """The whole body; of an error only the beginning matters."""
    longest = request.longest_bytes if response.status < 400 else ERROR_BYTES
    body = bytearray()
    while len(body) <= longest and (chunk := response.read1(65536)):
        body += chunk
    if len(body) > longest:
        response.will_close = True
        if response.status < 400:
            raise _Broken(f"its answer is longer than {longest >> 20} MiB", lasting=True)
    elif response.length and request.method != "HEAD":
        raise _Broken("its answer broke off before its end")
    return bytes(body[:longest])


def _decoded(body: bytes, headers: Mapping[str, str], request: Request) -> bytes:
    """Undo a compression that we did not ask for, within the same bound."""
    if headers.get("content-encoding", "identity").lower() not in ("gzip", "x-gzip") or not body:
        return body
    with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
        plain = file.read(request.longest_bytes + 1)
    if len(plain) > request.longest_bytes:
        raise _Broken("its answer is too long once unpacked", lasting=True)
    return plain


def _connected(connection: http.client.HTTPConnection, read_seconds: float) -> socket.socket:
    """The connection's socket, opened now where it is not open."""
    if connection.sock is None:
        connection.connect()
    connected: socket.socket = connection.sock
    connected.settimeout(read_seconds)
    return connected


def _converse(wire: _Wire, request: Request) -> tuple[Answer, bool]:
    """Send, and read the answer whole; also say whether the connection can be used again."""
    connection = wire.connection
    headers = {**_headers(request), **wire.headers}
    connection.request(request.method, wire.prefix + _target(request.url), request.body, headers)
    with connection.getresponse() as response:
        body = _read(response, request)
    received = _joined(response)
    return Answer(response.status, received, _decoded(body, received, request), request.url), not response.will_close


def _watch(connected: socket.socket, seconds: float, late: threading.Event) -> threading.Timer:
    """End an exchange that takes too long as a whole, however busily its bytes trickle in."""

    def cut() -> None:
        late.set()
        try:
            connected.shutdown(socket.SHUT_RDWR)
        except OSError:  # already closed
            return

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    return timer


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _target(url: str) -> str:
    parts = urlsplit(url)
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    return f"{path}?{quote(parts.query, safe='/%:@!$&()*+,;=~-._?[]')}" if parts.query else path


def _broken(error: Exception) -> Exception:
    """A sentence for whatever went wrong below; it never holds the URL, which may be signed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        remedy = "put its authority's certificate into /etc/docker/certs.d/<host>/ca.crt, or name it in SSL_CERT_FILE"
        return _Broken(f"its TLS certificate is not trusted ({error.verify_message})", remedy, lasting=True)
    if isinstance(error, ssl.SSLError):
        return _Broken(f"TLS failed ({error.reason or 'no reason given'})")
    if isinstance(error, TimeoutError):
        return _Broken("it did not answer in time")
    if isinstance(error, socket.gaierror):
        return _Broken(f"its name cannot be resolved ({error.strerror})")
    if isinstance(error, ConnectionRefusedError):
        return _Broken("the connection was refused")
    if isinstance(error, ConnectionError | http.client.RemoteDisconnected | http.client.IncompleteRead):
        return _Broken("the connection broke off")
    if isinstance(error, OSError):
        return _Broken(f"it cannot be reached ({error.strerror or type(error).__name__})")
    return _Broken(f"it answered with something that is not HTTP ({type(error).__name__})")

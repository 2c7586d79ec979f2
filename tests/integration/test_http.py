"""One exchange against servers of the worst kind: what it believes, how long it listens, and what it sends to
whom.
"""

from __future__ import annotations

import base64
import gzip
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_registry import Behaviour, FakeRegistry
from tests.support.lab import until
from updater_core.net import dial
from updater_core.net.http import (
    MOST_AT_ONCE,
    USUAL_LIMITS,
    Broken,
    Connections,
    Limits,
    Request,
    _here,
    _Watch,
)
from updater_core.net.tls import Trust

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Server:
    """A listener that hands each connection to a function; `heads` are the requests' heads that it read."""

    talk: Callable[[Server, socket.socket], None]
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    heads: list[bytes] = field(default_factory=list)
    connections: int = 0
    sent_bytes: int = 0
    was_cut_off: threading.Event = field(default_factory=threading.Event)
    was_reached: threading.Event = field(default_factory=threading.Event)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    def request(self) -> Request:
        return Request(f"http://{self.host}/v2/", "ping", "a question")

    def head(self, connected: socket.socket) -> bytes:
        """The next request's head; empty at the end."""
        data = b""
        while not data.endswith(b"\r\n\r\n") and (more := connected.recv(1)):
            data += more
        if data:
            self.heads.append(data)
        return data

    def accept(self) -> None:
        with suppress(OSError):
            while True:
                connected, _ = self.listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connected,), daemon=True).start()

    def _serve(self, connected: socket.socket) -> None:
        with suppress(OSError), connected:
            self.talk(self, connected)


@contextmanager
def serving(talk: Callable[[Server, socket.socket], None]) -> Iterator[Server]:
    server = Server(talk)
    threading.Thread(target=server.accept, daemon=True).start()
    try:
        yield server
    finally:
        with suppress(OSError):
            server.listener.shutdown(socket.SHUT_RDWR)
        server.listener.close()


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


# ---------------------------------------------------------------------------------------------- time and size


def _trickle_a_head(server: Server, connected: socket.socket) -> None:
    server.head(connected)
    connected.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        connected.sendall(b"x")
        time.sleep(0.02)


def test_a_head_that_trickles_in_is_cut_off_too() -> None:
    with serving(_trickle_a_head) as server, pytest.raises(Broken, match="did not answer in time"):
        Connections(Limits(read_seconds=60, whole_seconds=0.6)).exchange(server.request())


def _redirect_without_end(server: Server, connected: socket.socket) -> None:
    server.head(connected)
    connected.sendall(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n")
    while True:
        server.sent_bytes += connected.send(b"x" * 65536)


def test_the_body_of_a_redirect_has_a_bound_as_well() -> None:
    with serving(_redirect_without_end) as server:
        with pytest.raises(Broken, match="longer than 8 MiB") as broken:
            Connections(USUAL_LIMITS).exchange(server.request())
        assert broken.value.lasting
        assert server.sent_bytes < 64 << 20


def test_what_is_small_only_while_it_is_packed_is_too_long() -> None:
    with FakeRegistry() as fake:
        packed = gzip.compress(b"x" * (64 << 20))
        fake.behave("ping", Behaviour(headers={"Content-Encoding": "gzip"}, body=packed))
        with pytest.raises(Broken, match="longer than 8 MiB"):
            Connections(USUAL_LIMITS).exchange(Request(f"{fake.url}/v2/", "ping", "a question"))


def test_a_body_that_does_not_matter_is_not_read() -> None:
    with serving(_redirect_without_end) as server:
        asked = Request(f"http://{server.host}/", "webhook", "webhook", "POST", body=b"", longest_bytes=0)
        answer = Connections(USUAL_LIMITS).exchange(asked)
        assert (answer.status, answer.headers["location"], answer.body) == (302, "/elsewhere", b"")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"220 mail.example ESMTP\r\n", "not HTTP"),
        (b"", "broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", "broke off before its end"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok", "broke off before its end"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok", "not HTTP"),
    ],
)
def test_what_is_no_answer_is_said_in_words(text: bytes, words: str) -> None:
    def talk(server: Server, connected: socket.socket) -> None:
        server.head(connected)
        connected.sendall(text)

    with serving(talk) as server:
        with pytest.raises(Broken, match=words) as broken:
            Connections(USUAL_LIMITS).exchange(server.request())
        assert server.host not in str(broken.value)
    assert not broken.value.__cause__
    assert not broken.value.__context__


@pytest.mark.parametrize("url", ["http://[::1/v2/", "http://.example/v2/", "v2", "gopher://127.0.0.1/"])
def test_an_address_that_is_none_breaks_for_good_and_stays_unsaid(url: str) -> None:
    with pytest.raises(Broken, match="no request can be made") as broken:
        Connections(USUAL_LIMITS).exchange(Request(url, "ping", "a question"))
    assert broken.value.lasting
    assert url not in str(broken.value)


# ------------------------------------------------------------------------------------------------ connections


def _talk_on(server: Server, connected: socket.socket) -> None:
    while server.head(connected):
        connected.sendall(OK)


def test_a_connection_is_kept_for_the_next_exchange() -> None:
    with serving(_talk_on) as server:
        connections = Connections(USUAL_LIMITS)
        assert [connections.exchange(server.request()).body for _ in range(20)] == [b"ok"] * 20
        assert server.connections == 1
        connections.close()


def _hang_up_in_the_second_request(server: Server, connected: socket.socket) -> None:
    server.head(connected)
    connected.sendall(OK)
    server.head(connected)


def test_every_kept_connection_that_was_closed_meanwhile_is_replaced() -> None:
    """Each answer comes over a new connection, after the kept one failed; none of it is a failure."""
    with serving(_hang_up_in_the_second_request) as server:
        connections = Connections(USUAL_LIMITS)
        assert [connections.exchange(server.request()).status for _ in range(MOST_AT_ONCE)] == [
            200
        ] * MOST_AT_ONCE
        assert server.connections == MOST_AT_ONCE


# ----------------------------------------------------------------------------------------- what is sent along


def test_no_cookie_is_kept() -> None:
    with FakeRegistry() as fake:
        fake.behave("ping", Behaviour(headers={"Set-Cookie": "who=we; Path=/"}))
        connections = Connections(USUAL_LIMITS)
        for _ in range(2):
            connections.exchange(Request(f"{fake.url}/v2/", "ping", "a question"))
        assert "cookie" not in fake.log[1].headers


def test_a_name_in_the_address_does_not_replace_the_authorization() -> None:
    with FakeRegistry() as fake:
        url = f"http://thief:secret@{fake.host}/v2/"
        Connections(USUAL_LIMITS).exchange(Request(url, "ping", "a question", authorization="Bearer ours"))
        assert fake.log[0].headers["authorization"] == "Bearer ours"


# --------------------------------------------------------------------------------------------- trust, proxies


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as under certs.d, with a certificate for registry.example and 127.0.0.1; its key is in
    key.pem.
    """
    return make_identity(tmp_path_factory.mktemp("certs") / "registry.example")


def make_identity(folder: Path) -> Path:
    """The same in a folder that is not there yet; no two are alike."""
    folder.mkdir()
    names = ("-subj", "/CN=fake", "-addext", "subjectAltName=DNS:registry.example,IP:127.0.0.1")
    files = ("-out", str(folder / "ca.crt"), "-keyout", str(folder / "key.pem"))
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *files, *names]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def _put_in_place(source: Path, target: Path) -> None:
    """As careful programs do it: the new file takes the old one's name, and has its size and time."""
    staged = target.with_name("staged")
    shutil.copy(source, staged)
    if target.exists():
        os.utime(staged, ns=(target.stat().st_atime_ns, target.stat().st_mtime_ns))
    staged.replace(target)


@pytest.fixture
def secure(identity: Path) -> Iterator[FakeRegistry]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity / "ca.crt", identity / "key.pem")
    with FakeRegistry(context) as fake:
        yield fake


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_no_empty_variable_switches_verification_off(
    name: str, secure: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "")
    with pytest.raises(Broken, match="certificate is not trusted"):
        Connections(Limits(certificates=tmp_path)).exchange(
            Request(f"{secure.url}/v2/", "ping", "a question")
        )


@pytest.mark.parametrize("replace", [shutil.copy, _put_in_place])
def test_a_certificate_that_is_renewed_counts_at_once_for_new_connections(
    replace: Callable[[Path, Path], object], secure: FakeRegistry, identity: Path, tmp_path: Path
) -> None:
    own = tmp_path / "certs.d" / secure.host
    own.mkdir(parents=True)
    other = make_identity(tmp_path / "other")
    ping, connections = (
        Request(f"{secure.url}/v2/", "ping", "a question"),
        Connections(Limits(certificates=own.parent)),
    )
    with pytest.raises(Broken, match="certificate is not trusted"):
        connections.exchange(ping)
    replace(other / "ca.crt", own / "ca.crt")
    with pytest.raises(Broken, match="certificate is not trusted"):
        connections.exchange(ping)
    replace(identity / "ca.crt", own / "ca.crt")
    assert [connections.exchange(ping).status for _ in range(2)] == [200, 200]
    replace(other / "ca.crt", own / "ca.crt")  # the connection that is kept is not used any more
    with pytest.raises(Broken, match="certificate is not trusted"):
        connections.exchange(ping)


def test_authorities_that_the_environment_names_are_read_again_too(
    secure: FakeRegistry, identity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = tmp_path / "named.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(named))
    shutil.copy(make_identity(tmp_path / "other") / "ca.crt", named)
    ping, connections = (
        Request(f"{secure.url}/v2/", "ping", "a question"),
        Connections(Limits(certificates=tmp_path)),
    )
    with pytest.raises(Broken, match="certificate is not trusted"):
        connections.exchange(ping)
    shutil.copy(identity / "ca.crt", named)
    assert connections.exchange(ping).status == 200


def test_certificates_that_stay_are_read_once(tmp_path: Path) -> None:
    trust = Trust(tmp_path)
    (tmp_path / "own.example").mkdir()
    shutil.copy(make_identity(tmp_path / "other") / "ca.crt", tmp_path / "own.example" / "ca.crt")
    for netloc in ("own.example", "other.example"):
        assert trust.context(netloc) is trust.context(netloc)
    assert trust.context("own.example") is not trust.context("other.example")
    (tmp_path / "own.example" / "ca.crt").write_text("no certificate")
    with pytest.raises(OSError, match="NO_CERTIFICATE|PEM"):
        trust.context("own.example")


def _tunnel_to(target: str) -> Callable[[Server, socket.socket], None]:
    """A proxy that connects whoever asks to `target`, whatever they ask for."""

    def talk(server: Server, connected: socket.socket) -> None:
        server.head(connected)
        host, _, port = target.partition(":")
        with socket.create_connection((host, int(port))) as other:
            connected.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            threading.Thread(target=_pump, args=(other, connected), daemon=True).start()
            _pump(connected, other)

    return talk


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)


PING = Request("https://registry.example/v2/", "ping", "a question", authorization="Bearer ours")


def test_tls_goes_through_a_proxy_that_sees_nothing_of_it(
    secure: FakeRegistry, identity: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(_tunnel_to(secure.host)) as proxy:
        monkeypatch.setenv("https_proxy", f"http://me:pa%3Ass@{proxy.host}")
        connections = Connections(Limits(certificates=identity.parent))
        assert [connections.exchange(PING).status for _ in range(2)] == [200, 200]
        (head,) = proxy.heads
        assert head.startswith(b"CONNECT registry.example:443 HTTP/1.")
        assert b"Proxy-Authorization: Basic " + base64.b64encode(b"me:pa:ss") in head
        assert b"ours" not in head
    for asked in secure.log:
        assert asked.headers["authorization"] == "Bearer ours"
        assert "proxy-authorization" not in asked.headers


def test_behind_a_proxy_the_registrys_own_certificate_counts(
    secure: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(_tunnel_to(secure.host)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.host}")
        with pytest.raises(Broken, match="certificate is not trusted"):
            Connections(Limits(certificates=tmp_path)).exchange(PING)
    assert secure.log == []


def _refuse(server: Server, connected: socket.socket) -> None:
    server.head(connected)
    connected.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")


def test_a_proxy_that_refuses_is_to_blame_and_not_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(_refuse) as proxy:
        monkeypatch.setenv("https_proxy", f"http://me:secret@{proxy.host}")
        with pytest.raises(Broken, match="the proxy of the environment") as broken:
            Connections(USUAL_LIMITS).exchange(PING)
    assert "HTTPS_PROXY" in broken.value.remedy
    assert "secret" not in str(broken.value)


# Only the whole exchange's end comes soon; nothing has to come about before it.
IMPATIENT = Limits(connect_seconds=60.0, read_seconds=60.0, whole_seconds=2.0)


def cut_off(server: Server, request: Request) -> Broken:
    """How an exchange ends whose other side is silent.

    Only the end of the whole exchange comes soon; if it came before the silent side was reached (the machine
    may be slow), it is tried with more time.
    """
    for whole_seconds in (0.3, 1.0, 3.0, 10.0, 30.0, 100.0):
        limits = Limits(connect_seconds=600.0, read_seconds=600.0, whole_seconds=whole_seconds)
        with pytest.raises(Broken) as broken:
            Connections(limits).exchange(request)
        if server.was_reached.wait(whole_seconds):
            return broken.value
    raise AssertionError("the server was never reached")


def _say_nothing(server: Server, connected: socket.socket) -> None:
    if server.head(connected):
        server.was_reached.set()
    _wait_to_be_cut_off(server, connected)


def _never_shake_hands(server: Server, connected: socket.socket) -> None:
    _wait_to_be_cut_off(server, connected)


def _wait_to_be_cut_off(server: Server, connected: socket.socket) -> None:
    connected.settimeout(120)
    while connected.recv(65536):  # the greeting of TLS
        server.was_reached.set()
    server.was_cut_off.set()


def _let_through_and_say_nothing(server: Server, connected: socket.socket) -> None:
    server.head(connected)
    connected.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    _wait_to_be_cut_off(server, connected)


@pytest.mark.parametrize(
    ("talk", "words", "remedy"),
    [
        (_say_nothing, "^the proxy of the environment did not answer in time$", "HTTPS_PROXY"),
        (_let_through_and_say_nothing, "^it did not answer in time$", ""),
    ],
)
def test_a_proxy_that_accepts_and_hangs_is_cut_off(
    talk: Callable[[Server, socket.socket], None], words: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(talk) as proxy:
        monkeypatch.setenv("https_proxy", f"http://me:secret@{proxy.host}")
        broken = cut_off(proxy, PING)
        assert proxy.was_cut_off.wait(120)
    assert proxy.heads[0].startswith(b"CONNECT ")
    assert re.search(words, str(broken))
    assert remedy in broken.remedy


def test_a_host_that_accepts_and_never_shakes_hands_is_cut_off() -> None:
    with serving(_never_shake_hands) as server:
        broken = cut_off(server, Request(f"https://{server.host}/v2/", "ping", "a question"))
        assert str(broken) == "it did not answer in time"
        assert server.was_cut_off.wait(120)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "https://127.0.0.1:1", "http://"])
def test_a_proxy_of_another_kind_is_named_by_its_variable(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(Broken, match="HTTPS_PROXY of the environment is not a http:// proxy") as broken:
        Connections(USUAL_LIMITS).exchange(PING)
    assert broken.value.lasting


def _say(text: bytes) -> Callable[[Server, socket.socket], None]:
    def talk(server: Server, connected: socket.socket) -> None:
        server.head(connected)
        connected.sendall(text)

    return talk


PAGE = b"<html><body>Access denied by <b>policy</b></body></html>"


@pytest.mark.parametrize(
    ("head", "is_proxys"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\n", True),
        (b"HTTP/1.1 503 No\r\nContent-Type: text/html; charset=utf-8\r\n", True),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n", True),
        (b"HTTP/1.1 404 Not Found\r\nX-Squid-Error: ERR_DNS_FAIL 0\r\n", True),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\n", False),
        (b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n", False),
    ],
)
def test_a_proxys_own_page_is_not_taken_for_the_registrys(
    head: bytes, is_proxys: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(_say(head + b"Content-Length: %d\r\n\r\n" % len(PAGE) + PAGE)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://me:secret@{proxy.host}")
        asked = Request("http://registry.example/v2/", "ping", "a question")
        if not is_proxys:
            assert Connections(USUAL_LIMITS).exchange(asked).status in (403, 404)
            return
        with pytest.raises(Broken, match="proxy of the environment answers.*Access denied by policy") as no:
            Connections(USUAL_LIMITS).exchange(asked)
    assert "NO_PROXY" in no.value.remedy


def test_a_proxy_that_refuses_a_tunnel_is_quoted_with_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(_say(b"HTTP/1.1 403 Forbidden by policy\r\nContent-Length: 0\r\n\r\n")) as proxy:
        monkeypatch.setenv("https_proxy", f"http://me:secret@{proxy.host}")
        with pytest.raises(Broken, match=r"refuses to connect us \(status 403 Forbidden by policy\)"):
            Connections(USUAL_LIMITS).exchange(PING)


@contextmanager
def swallowing() -> Iterator[int]:
    """A port of this machine that swallows packets: its listener's queue is full. Yield the port."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = []
        for _ in range(8):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            waiting.append(one)
        yield port
        for one in waiting:
            one.close()


class _LateSocket(socket.socket):
    """A socket that is duplicated at the very moment at which the time of its exchange is over."""

    watch: _Watch

    def dup(self) -> _LateSocket:
        self.watch._cut()
        return super().dup()


def _is_over_before(watch: _Watch, opened: _LateSocket) -> None:
    watch._cut()
    watch.has_opened(opened)


def _is_over_meanwhile(watch: _Watch, opened: _LateSocket) -> None:
    watch.has_opened(opened)


@pytest.mark.parametrize("ends", [_is_over_before, _is_over_meanwhile])
def test_a_socket_that_is_connected_too_late_is_closed_at_once(
    ends: Callable[[_Watch, _LateSocket], None],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        opened = _LateSocket()
        opened.connect(listener.getsockname())
        other, _ = listener.accept()
        with other:
            with _Watch(600.0, PING) as watch:
                opened.watch = watch
                with pytest.raises(TimeoutError):
                    ends(watch, opened)
                assert opened.fileno() == -1
            other.settimeout(120)
            assert other.recv(1) == b""  # its duplicate is closed, too


def test_a_socket_that_is_watched_is_cut_when_the_time_is_over() -> None:
    ours, other = socket.socketpair()
    with ours, other, _Watch(600.0, PING) as watch:
        watch.has_opened(ours)
        watch._cut()
        other.settimeout(120)
        assert other.recv(1) == b""


def _under_way(port: int) -> set[str]:
    """The local ends of this machine's sockets that lead to a port (proc(5), /proc/net/tcp)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return {local for _, local, remote, *_ in rows if int(remote.split(":")[1], 16) == port}


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_connect_that_takes_too_long_leaves_no_socket(scheme: str) -> None:
    with swallowing() as port:
        before = _under_way(port)
        with pytest.raises(Broken, match="^it did not answer in time$"):
            Connections(IMPATIENT).exchange(Request(f"{scheme}://127.0.0.1:{port}/v2/", "ping", "a question"))
        assert _under_way(port) <= before


def test_the_time_to_connect_is_what_is_left_when_the_name_is_resolved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = list[str]()
    resolve = socket.getaddrinfo
    with serving(_say_nothing) as server:
        port = server.listener.getsockname()[1]

        def slowly(*_: Any) -> Any:
            steps.append("resolved")
            return resolve("127.0.0.1", port, 0, socket.SOCK_STREAM)

        def left() -> float:
            steps.append("asked what is left")
            return 60.0

        monkeypatch.setattr(socket, "getaddrinfo", slowly)
        dial.connect("registry.example", port, left).close()
    assert steps == ["resolved", "asked what is left"]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("is_proxied", "words"),
    [
        (False, "^it did not answer in time$"),
        (True, "^the proxy of the environment did not answer in time$"),
    ],
)
def test_a_name_that_is_resolved_too_late_is_that_of_the_host_or_of_the_proxy(
    scheme: str, is_proxied: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo
    with serving(_say_nothing) as server:
        port = server.listener.getsockname()[1]
        if is_proxied:
            monkeypatch.setenv(f"{scheme}_proxy", f"http://proxy.example:{port}")

        def too_late(*_: Any) -> Any:
            until(lambda: _here.watch.is_late, what="the end of the exchange")
            return resolve("127.0.0.1", port, 0, socket.SOCK_STREAM)

        monkeypatch.setattr(socket, "getaddrinfo", too_late)
        limits = Limits(connect_seconds=600.0, read_seconds=600.0, whole_seconds=0.2)
        with pytest.raises(Broken, match=words) as broken:
            Connections(limits).exchange(Request(f"{scheme}://registry.example/v2/", "ping", "a question"))
        assert ("HTTPS_PROXY" in broken.value.remedy) is is_proxied
        assert not server.heads


def _trickle_an_answer_to_connect(server: Server, connected: socket.socket) -> None:
    server.head(connected)
    connected.sendall(b"HTTP/1.1 200 Connection established\r\nX: ")
    server.was_reached.set()
    with suppress(OSError):
        while not server.was_cut_off.wait(0.02):
            connected.sendall(b"x")


def test_a_proxy_whose_answer_to_connect_has_no_end_is_named_as_the_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(_trickle_an_answer_to_connect) as proxy:
        monkeypatch.setenv("https_proxy", f"http://{proxy.host}")
        broken = cut_off(proxy, PING)
        proxy.was_cut_off.set()
    assert str(broken) == "the proxy of the environment did not answer in time"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_takes_no_connection_is_named_as_the_cause(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with swallowing() as port:
        monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{port}")
        with pytest.raises(Broken, match="the proxy of the environment did not answer in time"):
            Connections(IMPATIENT).exchange(Request(f"{scheme}://registry.example/v2/", "ping", "a question"))


def test_addresses_that_swallow_packets_do_not_keep_the_good_one_waiting() -> None:
    with swallowing() as port, socket.create_server(("127.0.0.1", 0)) as good:
        tcp = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
        dead: list[dial.Address] = [(*tcp, ("127.0.0.1", port))] * 8
        connected = dial.first_of([*dead, (*tcp, good.getsockname())], 30)
        with connected:
            assert connected.getpeername() == good.getsockname()
            assert connected.gettimeout() is None


def test_the_families_of_addresses_take_turns() -> None:
    six, four = socket.AF_INET6, socket.AF_INET
    addresses = [
        (family, socket.SOCK_STREAM, 0, "", str(n)) for n, family in enumerate([six, six, six, four, four])
    ]
    assert [place for *_, place in dial.in_turn(addresses)] == ["0", "3", "1", "4", "2"]
    assert dial.in_turn([]) == []


def test_addresses_that_all_fail_end_with_the_last_ones_error() -> None:
    tcp = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
    with pytest.raises(ConnectionRefusedError):
        dial.first_of([(*tcp, ("127.0.0.1", 9))] * 3, 30)
    with swallowing() as port, pytest.raises(TimeoutError):
        dial.first_of([(*tcp, ("127.0.0.1", port))], 0.3)
    with pytest.raises(OSError, match="no address"):
        dial.first_of([], 1)


def test_plain_http_if_https_was_asked_for_is_said_as_such() -> None:
    answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"

    def talk(_: Server, connected: socket.socket) -> None:
        connected.recv(10)
        connected.sendall(answer)

    with serving(talk) as server, pytest.raises(Broken, match="speaks plain http") as broken:
        Connections(USUAL_LIMITS).exchange(Request(f"https://{server.host}/v2/", "ping", "a question"))
    assert "insecure_http" in broken.value.remedy
    assert broken.value.lasting

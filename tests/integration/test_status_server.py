"""The status server over real connections: what it answers, what it refuses, and that nobody can hold it
up.
"""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.lab import until
from tests.support.ports import free_port
from tests.support.sample_status import NOW, mixed, well
from tests.support.set_clock import SetClock
from updater_core.app.context import AppContext, StateStore
from updater_core.app.publisher import Watch
from updater_core.compose_utils import DockerCompose
from updater_core.deploy.journal import JournalFolder
from updater_core.deploy.target import Host
from updater_core.docker_utils import DockerEngine
from updater_core.errors import UpdaterError
from updater_core.host import files, times
from updater_core.host.engine_endpoint import EngineEndpoint
from updater_core.metrics_utils import Metrics
from updater_core.models import Step
from updater_core.registries import Registries
from updater_core.status import server as status_server
from updater_core.status.markup import STYLE_HASH
from updater_core.status.server import MOST_CONNECTIONS, Endpoints, Response, StatusServer
from updater_core.targets import read_plan

HOST = "127.0.0.1"


def broken() -> Response:
    raise RuntimeError("a mistake")


PAGES = Endpoints(
    metrics=lambda accept: Response(f"metrics for {accept}\n"),
    html=lambda is_refreshing: Response(
        "<!DOCTYPE html>" + "x" * 2000 + str(is_refreshing), "text/html; charset=utf-8"
    ),
    json=broken,
    health=lambda: Response("too late\n", status=503),
)


@pytest.fixture(scope="module")
def server() -> Iterator[StatusServer]:
    made = StatusServer(HOST, 0, PAGES)
    yield made
    made.close()


def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    try:
        connection.request(method, path, headers=headers)
        reply = connection.getresponse()
        return reply, reply.read()
    finally:
        connection.close()


# ------------------------------------------------------------------------------------------------- the server


@pytest.mark.parametrize(
    ("path", "status", "start"),
    [
        ("/", 200, b"<!DOCTYPE html>"),
        ("/metrics", 200, b"metrics for text/plain"),
        ("/healthz", 503, b"too late"),
        ("/status.json", 500, b"this page could not be made"),
        ("/favicon.ico", 404, b"there is /,"),
        ("/../etc/passwd", 404, b"there is /,"),
        ("/metrics/", 404, b"there is /,"),
        ("http://elsewhere/metrics", 404, b"there is /,"),
    ],
)
def test_each_path_has_its_answer(server: StatusServer, path: str, status: int, start: bytes) -> None:
    reply, body = ask(server.port, path, Accept="text/plain")
    assert (reply.status, body[: len(start)]) == (status, start)
    assert int(reply.headers["Content-Length"]) == len(body)


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", "/status.json", "/nothing"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_every_answer_keeps_browsers_from_loading_framing_or_keeping_anything(
    server: StatusServer, path: str, method: str
) -> None:
    headers = ask(server.port, path, method)[0].headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith(f"default-src 'none'; style-src '{STYLE_HASH}';")
    assert "frame-ancestors 'none'" in policy
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Server"] == "docker-updater"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"])
def test_it_can_only_be_read(server: StatusServer, method: str) -> None:
    reply, body = ask(server.port, "/", method)
    assert reply.status == 405
    assert reply.headers["Allow"] == "GET, HEAD"
    assert b"x" * 10 not in body


def test_head_is_get_without_a_body(server: StatusServer) -> None:
    with socket.create_connection((HOST, server.port), timeout=60) as client:
        client.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b"\r\nContent-Length: 2020\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_a_long_page_is_compressed_if_that_is_understood(server: StatusServer) -> None:
    reply, body = ask(server.port, "/", **{"Accept-Encoding": "gzip"})
    assert reply.headers["Content-Encoding"] == "gzip"
    assert len(body) < 200
    assert gzip.decompress(body).endswith(b"xFalse")
    assert ask(server.port, "/healthz", **{"Accept-Encoding": "gzip"})[1] == b"too late\n"


def test_a_page_reloads_itself_only_if_it_is_asked_to(server: StatusServer) -> None:
    assert ask(server.port, "/?refresh")[1].endswith(b"True")
    assert ask(server.port, "/?refresh=1&other")[1].endswith(b"False")


def test_a_mistake_of_ours_is_logged_and_not_shown(
    server: StatusServer, caplog: pytest.LogCaptureFixture
) -> None:
    assert b"mistake" not in ask(server.port, "/status.json")[1]
    assert "RuntimeError: a mistake" in caplog.text


@pytest.mark.parametrize(
    "sent", [b"GET\r\n\r\n", b"\x00\xff\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"A" * 70000]
)
def test_what_is_no_http_is_refused(
    server: StatusServer, sent: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection((HOST, server.port), timeout=60) as client:
        try:
            client.sendall(sent)
            answer = client.recv(100)
        except ConnectionError:
            answer = b""
    assert b" 200 " not in answer
    assert ask(server.port, "/")[0].status == 200
    assert capfd.readouterr().err == "", "the log is the only voice"


def test_more_readers_than_there_is_space_for_are_turned_away_and_space_comes_back(
    monkeypatch: pytest.MonkeyPatch, server: StatusServer
) -> None:
    # none of the idle ones is hung up on meanwhile
    monkeypatch.setattr(status_server._Handler, "timeout", 600)
    monkeypatch.setattr(status_server, "LONGEST_CONNECTION_SECONDS", 600)
    idle = [socket.create_connection((HOST, server.port), timeout=60) for _ in range(MOST_CONNECTIONS)]
    try:
        until(lambda: not is_served(server.port), what="one more is turned away")
    finally:
        for client in idle:
            client.close()
    until(lambda: is_served(server.port), what="there is space again")


def is_served(port: int) -> bool:
    try:
        return ask(port, "/healthz")[0].status == 503
    except ConnectionError:
        return False


def test_a_reader_that_drips_is_hung_up_on(monkeypatch: pytest.MonkeyPatch, server: StatusServer) -> None:
    """It has its time, and no more, however busily it sends."""
    with socket.create_connection((HOST, server.port), timeout=0.05) as client:
        assert not is_hung_up(client)
        monkeypatch.setattr(status_server, "LONGEST_CONNECTION_SECONDS", 0.0)
        until(lambda: is_hung_up(client), what="it is hung up on")


def is_hung_up(client: socket.socket) -> bool:
    """Send one more byte of a request that never ends, and see whether anybody is there."""
    try:
        client.sendall(b"G")
        return client.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_an_address_that_is_taken_is_an_error_with_a_remedy(server: StatusServer) -> None:
    with pytest.raises(UpdaterError, match="METRICS_PORT") as caught:
        StatusServer(HOST, server.port, PAGES)
    assert "another METRICS_PORT" in caught.value.remedy
    with pytest.raises(UpdaterError, match="METRICS_PORT"):
        StatusServer("no-such-host.invalid", 0, PAGES)


def test_a_closed_server_gives_its_port_back(server: StatusServer) -> None:
    first = StatusServer(HOST, free_port(), PAGES)
    first.close()
    second = StatusServer(HOST, first.port, PAGES)
    second.close()
    assert second.port == first.port


def test_it_listens_on_ipv6_too() -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        made = StatusServer("::1", 0, PAGES)
    except UpdaterError as error:
        pytest.skip(f"this machine has no IPv6 loopback: {error}")
    with urllib.request.urlopen(f"http://[::1]:{made.port}/metrics", timeout=60) as reply:
        assert reply.status == 200
    made.close()


# ------------------------------------------------------------------------------------------ of a whole daemon


@pytest.fixture
def context(tmp_path: Path) -> AppContext:
    """A daemon's context without an engine; nothing here asks for one."""
    given, clock = mixed(), SetClock(NOW)
    settings = replace(given.config.settings, metrics_port=free_port())
    parts = DockerEngine(EngineEndpoint("unix:///nowhere")), DockerCompose({}, 10), files, clock
    host = Host(*parts, tmp_path / "locks", 1.0)
    return AppContext(
        config=replace(given.config, settings=settings),
        store=StateStore(given.state, tmp_path / "state.json", settings),
        host=host,
        targets={},
        identities=lambda services: {},
        registries=Registries(docker_config_dir=tmp_path, clock=clock),
        journal=JournalFolder(tmp_path / "journal", read_plan),
        channels=(),
        metrics=Metrics(enabled=True),
        clock=clock,
    )


@pytest.fixture
def watch(context: AppContext) -> Iterator[Watch]:
    made = Watch(context)
    made.open()
    yield made
    made.close()


def of(context: AppContext, path: str) -> tuple[int, str]:
    reply, body = ask(context.config.settings.metrics_port or 0, path)
    return reply.status, body.decode()


def test_all_four_pages_tell_the_truth(context: AppContext, watch: Watch) -> None:
    watch.cycle_begins()
    watch.cycle_ended(is_engine_down=False)
    watch.sleeps(60)
    assert (
        "docker_updater_last_check" in of(context, "/metrics")[1]
        or "docker_updater_build_info" in of(context, "/metrics")[1]
    )
    assert "see to the service by hand" in of(context, "/")[1]
    twin = json.loads(of(context, "/status.json")[1])
    assert twin["pulse"]["next_cycle"] == times.rfc3339(NOW + timedelta(seconds=60))
    assert of(context, "/healthz") == (200, "the last cycle ended at 2026-11-23 08:00:00 UTC\n")
    context.change(lambda _: well().state)
    assert "see to the service by hand" not in of(context, "/")[1]


def test_a_stale_cycle_is_seen_by_a_probe_and_by_people(context: AppContext, watch: Watch) -> None:
    watch.cycle_begins()
    watch.cycle_ended(is_engine_down=False)
    context.change(lambda state: replace(state, services={}))
    clock = context.clock
    assert isinstance(clock, SetClock)
    clock.advance(2 * 3600 + 120 + 190)
    assert of(context, "/healthz")[0] == 200
    clock.advance(1)
    status, text = of(context, "/healthz")
    assert status == 503
    assert text.startswith("no cycle has ended for ")
    assert "the updater makes no progress" in of(context, "/")[1]


def test_an_update_under_way_is_shown_step_by_step(context: AppContext, watch: Watch) -> None:
    watch.cycle_begins()
    for step, text in ((Step.PULL, "pulling nginx"), (Step.GATE, "web-1 is starting")):
        context.steps.heard("web", step, text, context.clock.now())
        assert json.loads(of(context, "/status.json")[1])["at_hand"]["step"] == step.value
        assert text in of(context, "/")[1]
    context.steps.end("web")
    assert json.loads(of(context, "/status.json")[1])["at_hand"] is None


def test_a_changed_address_is_moved_to_and_a_taken_one_is_said(
    context: AppContext, watch: Watch, server: StatusServer, caplog: pytest.LogCaptureFixture
) -> None:
    before = context.config.settings.metrics_port or 0
    for port in (free_port(), server.port, None):
        context.config = replace(context.config, settings=replace(context.config.settings, metrics_port=port))
        watch.open()
        with pytest.raises(ConnectionError):
            ask(before, "/healthz")
    assert f"METRICS_PORT: {HOST}:{server.port} cannot be listened on" in caplog.text


def test_what_is_left_open_is_counted_at_the_end_of_a_cycle(
    tmp_path: Path, context: AppContext, watch: Watch
) -> None:
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "1.json").write_text("{}")
    watch.cycle_begins()
    watch.cycle_ended(is_engine_down=True)
    pulse = watch.facts().pulse
    assert (pulse.open_updates, pulse.is_engine_down, pulse.cycle_begun) == (1, True, None)

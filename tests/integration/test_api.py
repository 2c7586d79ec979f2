"""The HTTP API over real connections: orders and their answers, rights, what gets nobody in, links, and a
flood.
"""

from __future__ import annotations

import http.client
import json
import logging
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.support.lab import until
from tests.support.ports import free_port
from updater_core import config_utils, targets
from updater_core.app import requests
from updater_core.app.api import access, openapi
from updater_core.app.api.access import MOST_ADDRESSES, MOST_FAILURES, FailureLimit
from updater_core.app.context import AppContext
from updater_core.app.orders import approval_link
from updater_core.app.publisher import Watch
from updater_core.app.wiring import wire
from updater_core.errors import ConfigError
from updater_core.host.clock import SystemClock
from updater_core.models import ApiToken, Secret
from updater_core.policy.operator import decisions
from updater_core.reference import parse
from updater_core.state import orders, records
from updater_core.state.records import ServiceState
from updater_core.status.server import LONGEST_BODY_BYTES, LONGEST_HEAD_BYTES

TOKEN, PHONE, READER = "a" * 32, "b" * 32, "c" * 32
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
DOCUMENT = openapi.document()
SERVICE = {"image": "acme/web:1", "compose_file": "/srv/c.yml", "compose_service": "web"}


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Running:
    """The API on a port, and a thread in the daemon's place that takes the orders as they come."""

    context: AppContext
    clock: SystemClock
    port: int
    is_taking: bool = True
    is_over: bool = False
    thread: threading.Thread = field(default_factory=threading.Thread)

    def take(self) -> None:
        while not self.is_over:
            if self.is_taking:
                requests.take_requests(self.context)
                self.context.workers.take_ended()
            self.clock.wait(0.01)

    def ask(
        self, method: str, path: str, body: Any = None, token: str | None = TOKEN, **headers: str
    ) -> Answer:
        data = json.dumps(body).encode() if body is not None else None
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        sent |= {"Content-Type": "application/json"} if method == "POST" else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, data, {name: value for name, value in sent.items() if value})
            reply = connection.getresponse()
            return Answer(reply.status, dict(reply.getheaders()), reply.read())
        finally:
            connection.close()

    def order(self, kind: str, body: Any = None, name: str = "web", **more: Any) -> Answer:
        return self.ask("POST", f"/api/v1/services/{name}/{kind}", body, **more)

    def known(self) -> ServiceState:
        return records.service_of(self.context.state, "web")


@contextmanager
def running(tmp_path: Path, **settings: Any) -> Iterator[Running]:
    raw = {
        "services": [{"name": "web", "mode": "approve", **SERVICE},
                     {"name": "off", "enabled": False, **SERVICE,
                                                                     "compose_service": "off"}],
        "state_file": str(tmp_path / "state.json"),
        "metrics_port": free_port(),
        "api_token": TOKEN,
        "api_tokens": {"phone": {"token": PHONE, "may": ["approve", "pause"]},
                       "reader": {"token": READER, "may": []}},
        **settings,
    }  # fmt: skip
    raw = {key: value for key, value in raw.items() if value is not None}
    clock = SystemClock()
    context = wire(config_utils.parse(raw, {}, str(tmp_path / "config.json")), clock)
    known = ServiceState(
        reference="acme/web:1",
        available=f"acme/web:2@{A}",
        update_group=targets.identities(context.config.services)["web"],
    )
    context.change(lambda state: records.with_service(state, "web", known))
    watch = Watch(context, clock.signals.check_now)
    watch.open()
    api = Running(context, clock, raw["metrics_port"])
    api.thread = threading.Thread(target=api.take)
    api.thread.start()
    try:
        yield api
    finally:
        api.is_over = True
        api.thread.join()
        watch.close()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path) as made:
        yield made


def holds_to(answer: Answer, path: str, method: str) -> Answer:
    """The answer, held to what the document says of it."""
    responses = DOCUMENT["paths"][path][method]["responses"]
    schema = responses[str(answer.status)]["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(answer.json)
    return answer


# ----------------------------------------------------------------------------------------- orders and answers


def test_the_document_is_served_without_a_token_and_is_one_of_openapi(api: Running) -> None:
    served = api.ask("GET", "/api/v1/openapi.json", token=None)
    assert (served.status, served.json) == (200, json.loads(json.dumps(DOCUMENT)))
    assert DOCUMENT["openapi"].startswith("3.1")
    for name, schema in DOCUMENT["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema({**schema, "$id": f"https://example.com/{name}"})


def test_each_order_is_carried_out_as_on_the_command_line_and_recorded_with_the_tokens_name(
    api: Running,
) -> None:
    effects = {
        "pause": (True, False, False),
        "resume": (False, False, False),
        "skip": (False, True, False),
        "approve": (False, False, True),
        "retry": (False, False, True),
    }
    bodies = {"pause": {"for": "3d"}, "skip": {"digest": A}}
    for kind in effects:
        body = bodies.get(kind)
        answer = holds_to(api.order(kind, body), f"/api/v1/services/{{name}}/{kind}", "post")
        assert (answer.status, answer.json["state"], answer.json["by"]) == (200, "done", "api"), answer.body
        decided = api.known().decisions
        counts = (decided.pause is not None, decided.skip_of(A) is not None, decided.approval is not None)
        assert counts == effects[kind]
        seen = holds_to(api.ask("GET", f"/api/v1/orders/{answer.json['id']}"), "/api/v1/orders/{id}", "get")
        assert seen.json == answer.json
    assert [each.kind for each in api.known().orders] == ["retry", "approve", "skip", "resume", "pause"]
    refused = holds_to(api.order("rollback"), "/api/v1/services/{name}/rollback", "post")
    assert (refused.status, "no earlier image" in refused.json["detail"]) == (409, True)
    every = holds_to(api.ask("GET", "/api/v1/services"), "/api/v1/services", "get").json["services"]
    assert [each["name"] for each in every] == ["web", "off"]
    one = holds_to(api.ask("GET", "/api/v1/services/web"), "/api/v1/services/{name}", "get").json
    assert one == every[0]
    assert one["approval"]["who"] == "api"


def test_a_pause_of_all_and_a_check_are_for_all(api: Running) -> None:
    assert api.order("pause", {"for": 3600}, name="all").status == 200
    pause = api.context.state.pause
    assert pause is not None
    assert (pause.who, pause.until) == ("api", pause.since + timedelta(hours=1))
    assert holds_to(api.ask("POST", "/api/v1/check"), "/api/v1/check", "post").status == 200
    assert api.order("resume", name="all").status == 200
    assert api.context.state.pause is None


def test_an_order_that_has_to_wait_says_where_to_look(api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    api.is_taking = False
    answer = holds_to(api.order("retry"), "/api/v1/services/{name}/retry", "post")
    assert (answer.status, answer.json["state"]) == (202, "waiting")
    assert answer.headers["Location"] == f"/api/v1/orders/{answer.json['id']}"
    again = api.order("retry")
    assert (again.status, again.json["id"]) == (202, answer.json["id"])  # the same order, once
    assert (
        holds_to(api.ask("GET", answer.headers["Location"]), "/api/v1/orders/{id}", "get").json["state"]
        == "waiting"
    )
    api.is_taking = True
    until(lambda: api.ask("GET", answer.headers["Location"]).json["state"] == "done", what="the order")
    assert api.ask("GET", f"/api/v1/orders/{'0' * 32}").status == 404


@pytest.mark.parametrize(
    ("kind", "body", "name", "status", "words"),
    [
        ("approve", {"digest": B}, "web", 409, "is not what waits for web any more"),
        ("approve", {"digest": "latest"}, "web", 400, "digest"),
        ("resume", None, "web", 409, "is not paused"),
        ("update", None, "off", 409, "disabled"),
        ("update", None, "nobody", 404, "no service"),
        ("update", None, "all", 404, "no service"),
        ("pause", {"for": "soon"}, "web", 400, "3d"),
        ("pause", {"for": -1}, "web", 400, "out of range"),
        ("pause", {"for": True}, "web", 400, "no length"),
        ("pause", {"until": "3d"}, "web", 400, "unknown key"),
        ("update", [], "web", 400, "no object"),
        ("remove", None, "web", 404, "nothing here"),
    ],
)
def test_what_cannot_be_done_says_why_and_changes_nothing(
    api: Running, kind: str, body: Any, name: str, status: int, words: str
) -> None:
    before = api.context.state
    answer = api.order(kind, body, name)
    assert (answer.status, set(answer.json)) == (status, {"error", "remedy"}), answer.body
    assert words in answer.json["error"] + answer.json["remedy"]
    now = api.context.state
    if status == 404:
        assert now is before, "there is no service whose history it could be in"
        return
    (taken,) = records.service_of(now, name).orders
    assert (taken.kind, taken.who, taken.is_done, answer.json["error"] in taken.detail) == (
        kind,
        "api",
        False,
        True,
    )
    assert replace(records.service_of(now, name), orders=()) == records.service_of(before, name)


def test_a_refused_order_is_remembered_once_a_minute_and_drives_out_few(api: Running, tmp_path: Path) -> None:
    for _ in range(3):
        assert api.order("pause", token=READER).status == 403
    assert [(each.kind, each.who, each.is_done) for each in api.known().orders] == [
        ("pause", "reader", False)
    ]
    assert "may not pause" in api.known().orders[0].detail
    assert '"reader"' in (tmp_path / "state.json").read_text(), "it is on the disk"
    assert api.order("pause").status == 200
    for kind in ("update", "approve", "skip", "retry", "rollback", "resume"):
        for name in ("phone", "reader"):
            api.order(kind, token={"phone": PHONE, "reader": READER}[name])
    kept = api.known().orders
    assert sum(not each.is_done for each in kept) == orders.REFUSED_KEPT
    assert "pause" in [each.kind for each in kept if each.is_done], "what was done is not driven out"
    shown = api.ask("GET", "/api/v1/services/web").json["orders"]
    assert {each["state"] for each in shown} == {"done", "refused"}


# ------------------------------------------------------------------------------------------------ who gets in


def test_a_token_does_what_it_may_and_nothing_else(api: Running) -> None:
    assert api.order("pause", token=PHONE).json["by"] == "phone"
    for token, kind in ((PHONE, "update"), (PHONE, "resume"), (READER, "pause")):
        answer = api.order(kind, token=token)
        assert (answer.status, kind in answer.json["error"]) == (403, True)
    assert api.ask("POST", "/api/v1/check", token=PHONE).status == 403
    assert api.ask("GET", "/api/v1/services", token=READER).status == 200


@pytest.mark.parametrize(
    "given", [None, "", "x", "a" * 31, "a" * 33, TOKEN.upper(), f"{TOKEN} {TOKEN}", "ä" * 32]
)
def test_a_wrong_token_opens_nothing(api: Running, given: str | None) -> None:
    sent = f"Bearer {given}".encode().decode("latin-1") if given is not None else ""
    for method, path in (
        ("POST", "/api/v1/services/web/pause"),
        ("GET", "/api/v1/services"),
        ("GET", "/api/v1/x"),
    ):
        answer = api.ask(method, path, token=None, Authorization=sent)
        assert (answer.status, answer.headers["WWW-Authenticate"].partition(" ")[0]) == (401, "Bearer")
    assert api.known().decisions.pause is None


@pytest.mark.parametrize("scheme", ["Basic", "Token", ""])
def test_a_token_counts_as_bearer_only(api: Running, scheme: str) -> None:
    assert (
        api.ask("GET", "/api/v1/services", token=None, Authorization=f"{scheme} {TOKEN}".strip()).status
        == 401
    )
    assert (
        api.ask("GET", f"/api/v1/services?access_token={TOKEN}", token=None, Cookie=f"token={TOKEN}").status
        == 401
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:9100"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost@evil.example"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
    ],
    ids=str,
)
def test_another_page_can_do_nothing_even_with_the_token(api: Running, headers: dict[str, str]) -> None:
    answer = api.order("pause", **headers)
    assert answer.status in (403, 421), answer.body
    assert api.ask("GET", "/api/v1/services", **headers).status == answer.status
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert api.known().decisions.pause is None


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_a_form_of_another_page_is_no_order(api: Running, kind: str) -> None:
    assert api.order("pause", Content_Type=kind).status == 415
    assert api.ask("OPTIONS", "/api/v1/services/web/pause", Origin="https://evil.example").status == 403
    assert api.ask("GET", "/api/v1/services/web/pause").status == 405
    assert api.known().decisions.pause is None


def test_our_own_page_and_our_own_names_get_in(api: Running) -> None:
    own = f"127.0.0.1:{api.port}"
    assert api.order("pause", Origin=f"http://{own}", Sec_Fetch_Site="same-origin").status == 200
    for host in (own, f"localhost:{api.port}", f"[::1]:{api.port}", socket.gethostname()):
        assert api.ask("GET", "/api/v1/services", Host=host).status == 200, host


def test_guesses_are_slowed_down_for_their_address_and_for_a_time(api: Running) -> None:
    for _ in range(MOST_FAILURES):
        assert api.order("pause", token="x" * 32).status == 401
    refused = api.order("pause")
    assert (refused.status, 0 < int(refused.headers["Retry-After"]) <= 61) == (429, True)
    assert api.known().decisions.pause is None
    assert api.ask("GET", "/healthz", token=None).status == 200  # probes are not held up


def test_the_memory_of_failures_is_bounded_and_ends() -> None:
    limit = FailureLimit()
    for _ in range(MOST_FAILURES - 1):
        limit.failed("192.0.2.1", 0.0)
    assert limit.wait_seconds("192.0.2.1", 1.0) == 0
    limit.failed("192.0.2.1", 50.0)
    assert limit.wait_seconds("192.0.2.1", 51.0) > 50
    assert limit.wait_seconds("192.0.2.2", 51.0) == 0
    assert limit.wait_seconds("192.0.2.1", 50.0 + access.SPAN_SECONDS) == 0
    for number in range(3 * MOST_ADDRESSES):
        limit.failed(f"2001:db8:{number:x}::1", 60.0)
    assert len(limit._failures.items()) == MOST_ADDRESSES


# ---------------------------------------------------------------------------------------- bounds of a request


def raw(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        with suppress(ConnectionError):  # it may be answered, and closed, before all of it is sent
            connection.sendall(data)
        answer = b""
        with suppress(ConnectionError):
            while part := connection.recv(65536):
                answer += part
        return answer


START = b"POST /api/v1/services/web/pause HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BEARER = f"Authorization: Bearer {TOKEN}\r\n".encode()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (START + BEARER + b"Content-Length: %d\r\n\r\n" % (LONGEST_BODY_BYTES + 1), b" 413 "),
        (START + BEARER + b"Content-Length: 9999999999999999\r\n\r\n", b" 413 "),
        (START + BEARER + b"Content-Length: -1\r\n\r\n", b" 400 "),
        (START + BEARER + b"Content-Length: 2\r\nContent-Length: 0\r\n\r\n{}", b" 400 "),
        (START + BEARER + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b" 400 "),
        (START + BEARER + BEARER + b"\r\n", b" 400 "),
        (START + BEARER + b"Host: evil.example\r\n\r\n", b" 400 "),
        (START + b"X: " + b"x" * LONGEST_HEAD_BYTES + b"\r\n\r\n", b" 431 "),
        (START + b"".join(b"X%d: x\r\n" % number for number in range(200)) + b"\r\n", b" 431 "),
    ],
    ids=["long", "longer", "negative", "twice", "chunked", "tokens", "hosts", "line", "lines"],
)
def test_a_request_beyond_its_bounds_is_refused_before_it_does_anything(
    api: Running, request_bytes: bytes, status: bytes
) -> None:
    assert status in raw(api.port, request_bytes).split(b"\r\n")[0]
    assert api.known().decisions.pause is None
    assert api.ask("GET", "/api/v1/services").status == 200


def test_a_client_that_sends_nothing_more_is_let_go(api: Running) -> None:
    assert raw(api.port, START + BEARER + b"Content-Length: 5\r\n\r\n{") == b""
    assert api.known().decisions.pause is None


# ------------------------------------------------------------------------------------------------------ links


def link(api: Running, seconds: float = 3600.0) -> str:
    """The path of the link that a message would carry for what waits."""
    asked = decisions.question(parse(f"acme/web:2@{A}"), (), api.clock.now(), seconds)
    question, address = approval_link.with_link(asked, api.context.config.settings)
    api.context.change(lambda state: orders.asked(state, "web", question))
    return address.removeprefix("https://updates.example.com")


@pytest.fixture
def linked(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path, api_public_url="https://updates.example.com") as made:
        yield made


def test_a_link_asks_acts_once_and_is_then_used_up(linked: Running) -> None:
    path = link(linked)
    own = {"Content_Type": "", "Host": "updates.example.com"}
    for method in ("GET", "HEAD", "GET"):
        asking = linked.ask(method, path, token=None, **own, Sec_Fetch_Site="cross-site")
        assert (asking.status, "form-action 'self'" in asking.headers["Content-Security-Policy"]) == (
            200,
            True,
        )
    assert b"acme/web:2" in asking.body
    assert path.encode() not in asking.body
    approval = linked.known().decisions.approval
    assert approval is not None
    assert approval.given_at is None
    assert path.rpartition("/")[2] not in repr(linked.context.state)
    assert linked.ask("POST", path, token=None, **own, Origin="https://evil.example").status == 403
    done = linked.ask(
        "POST", path, token=None, **own, Origin="https://updates.example.com", Sec_Fetch_Site="same-origin"
    )
    assert (done.status, b"Approved" in done.body) == (200, True)
    (taken,) = linked.known().orders
    assert (taken.kind, taken.who, taken.digest, taken.is_done) == ("approve", "approval link", A, True)
    for method in ("GET", "POST"):
        replayed = linked.ask(method, path, token=None, **own)
        assert (replayed.status, b"not good any more" in replayed.body) == (410, True)
    assert len(linked.known().orders) == 1


def test_of_two_that_press_at_once_one_is_first(linked: Running) -> None:
    path, answers = link(linked), []
    ask = lambda: answers.append(linked.ask("POST", path, token=None, Content_Type="").status)  # noqa: E731
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(answers) == [200, 410, 410, 410]


def test_a_link_ends_with_its_time_its_image_and_any_other_answer(linked: Running) -> None:
    def is_gone(path: str) -> bool:
        return linked.ask("GET", path, token=None).status == 410

    assert is_gone(link(linked, seconds=0.0))
    path = link(linked)
    assert linked.ask("GET", path, token=None).status == 200
    other = decisions.question(parse(f"acme/web:3@{B}"), (), linked.clock.now(), 3600.0)
    linked.context.change(lambda state: orders.asked(state, "web", other))
    assert is_gone(path)
    for kind in ("approve", "skip"):
        path = link(linked)
        assert linked.order(kind).status == 200
        assert is_gone(path)
    assert is_gone("/approve/")


# --------------------------------------------------------------------------------- whether it is there at all


def test_without_a_token_there_is_no_api_and_no_button(tmp_path: Path) -> None:
    with running(tmp_path, api_token=None, api_tokens=None) as api:
        for method, path in (("GET", "/api/v1/services"), ("GET", "/orders.js"), ("GET", "/approve/x")):
            assert api.ask(method, path).status == 404
        assert api.order("pause").status == 405
        assert b"<script" not in api.ask("GET", "/", token=None).body


def test_with_a_token_the_page_has_its_script_and_nothing_else_may_run(api: Running) -> None:
    page = api.ask("GET", "/", token=None)
    assert b'<script src="/orders.js" defer></script>' in page.body
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self'; connect-src 'self'" in policy
    assert "unsafe" not in policy
    assert TOKEN.encode() not in page.body + api.ask("GET", "/orders.js", token=None).body


def test_a_port_that_is_open_without_tls_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "updater"), running(tmp_path, metrics_host="0.0.0.0"):
        pass
    assert "without TLS" in caplog.text
    caplog.clear()
    with (
        caplog.at_level(logging.WARNING, "updater"),
        running(tmp_path, metrics_host="0.0.0.0", api_public_url="https://updates.example.com"),
    ):
        pass
    assert "TLS" not in caplog.text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"api_token": TOKEN}, "api_token: nothing listens; set metrics_port"),
        ({"api_public_url": "https://a"}, "api_public_url: nothing listens"),
        (
            {"metrics_port": 1, "api_token": "hunter2"},
            "api_token: it is not a token for the API; .*openssl rand",
        ),
        (
            {"metrics_port": 1, "api_public_url": "https://a/b"},
            "api_public_url: .*https://updates.example.com",
        ),
        ({"metrics_port": 1, "api_tokens": {"ci": {"may": []}}}, "api_tokens.ci.token: missing"),
        (
            {"metrics_port": 1, "api_tokens": {"ci": {"token": TOKEN, "may": ["remove"]}}},
            "api_tokens.ci.may: .*update",
        ),
        ({"metrics_port": 1, "api_tokens": {"c i": {"token": TOKEN}}}, "api_tokens: "),
        (
            {"metrics_port": 1, "api_token": TOKEN, "api_tokens": {"ci": {"token": TOKEN}}},
            "api_tokens.ci: .*same as",
        ),
    ],
)
def test_a_configuration_that_opens_nothing_or_too_much_is_refused(
    settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        config_utils.parse({"services": [], **settings}, {})
    assert TOKEN not in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_rights_and_comparison_of_tokens() -> None:
    tokens = (ApiToken("a", Secret("a" * 20)), ApiToken("b", Secret("b" * 20)))
    found = access.token_of({"authorization": f"bearer  {'b' * 20}"}, tokens)
    assert found == tokens[1]
    assert access.token_of({}, tokens) is None
    assert access.token_of({"authorization": "Bearer "}, ()) is None
    assert replace(tokens[0], may=frozenset()).may == frozenset()

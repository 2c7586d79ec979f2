"""The webhook and its outbox against a real HTTP listener: at least once, in order per service, signed,
discreet.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import docker_updater
from tests.support.listener import Listener, listening
from updater_core import config_utils, models, notifiers
from updater_core.app import cycle
from updater_core.app.wiring import wire
from updater_core.errors import StateError, Unreachable, UpdaterError
from updater_core.host.clock import SystemClock
from updater_core.models import Container, Event, Secret, Settings
from updater_core.notifiers import active, events, webhook
from updater_core.notifiers.outbox import Delivery, Outbox

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
TOKEN = "T0K3N"
DOCS = Path(__file__).resolve().parents[2] / "docs"
GUIDE = (DOCS / "webhook.md").read_text(encoding="utf-8")
SCHEMA = json.loads((DOCS / "webhook.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def event(number: int, service: str = "web", time: datetime = NOW) -> Event:
    return Event(
        id=f"e{number}",
        kind="update",
        service=service,
        time=time,
        host="box",
        from_reference="app:1",
        from_digest=None,
        to_reference="app:2",
        to_digest="sha256:" + "2" * 64,
        reason="newer",
        detail="ü",
        duration_seconds=1.5,
    )


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as found:
        yield found


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox")


def url_of(listener: Listener) -> Secret:
    return Secret(f"{listener.url}/hook/{TOKEN}?key={TOKEN}")


def deliver(outbox: Outbox, listener: Listener, seconds: float = 0) -> Delivery:
    return outbox.deliver(lambda each: webhook.send(each, url_of(listener)), NOW + timedelta(seconds=seconds))


def received(listener: Listener) -> list[str]:
    return [json.loads(each.body)["id"] for each in listener.requests]


# ---------------------------------------------------------------------------------------------------- webhook


def test_an_event_is_posted_as_json_with_all_it_says(listener: Listener) -> None:
    webhook.send(event(1), url_of(listener))
    (request,) = listener.requests
    assert (request.method, request.path) == ("POST", f"/hook/{TOKEN}?key={TOKEN}")
    assert request.headers["Content-Type"] == "application/json"
    assert webhook.SIGNATURE not in request.headers
    assert json.loads(request.body) == {
        "id": "e1",
        "event": "update",
        "service": "web",
        "time": "2026-11-23T08:00:00Z",
        "host": "box",
        "from": {"reference": "app:1", "digest": None},
        "to": {"reference": "app:2", "digest": "sha256:" + "2" * 64},
        "reason": "newer",
        "detail": "ü",
        "remedy": "",
        "duration_seconds": 1.5,
        "release": {
            "from_version": None,
            "to_version": None,
            "size": None,
            "same_tag": False,
            "built": None,
            "notes": None,
        },
        "evidence": [],
        "by": None,
        "approve_url": None,
        "test": False,
    }


def test_the_signature_is_the_hmac_of_the_body(listener: Listener) -> None:
    webhook.send(event(1), url_of(listener), Secret("key"))
    (request,) = listener.requests
    expected = hmac.new(b"key", request.body, hashlib.sha256).hexdigest()
    assert request.headers[webhook.SIGNATURE] == f"sha256={expected}"


def test_a_name_and_a_password_in_the_address_are_sent_as_basic_and_a_netrc_is_not(
    listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login thief password wrong\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    webhook.send(event(1), Secret(listener.url.replace("//", "//me:secret@")))
    webhook.send(event(2), url_of(listener))
    first, second = listener.requests
    assert first.headers["Authorization"] == "Basic bWU6c2VjcmV0"
    assert "Authorization" not in second.headers


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_is_success(listener: Listener, status: int) -> None:
    listener.fail(1, status)
    webhook.send(event(1), url_of(listener))
    assert received(listener) == ["e1"]


@pytest.mark.parametrize("status", [304, 400, 401, 404, 410, 429, 500, 503])
def test_everything_else_is_an_error_that_keeps_the_address_to_itself(
    listener: Listener, status: int
) -> None:
    listener.fail(1, status)
    with pytest.raises(UpdaterError, match=str(status)) as caught:
        webhook.send(event(1), url_of(listener))
    assert caught.value.remedy
    assert TOKEN not in "".join(traceback.format_exception(caught.value))


def test_the_receivers_own_words_are_quoted_without_the_address(listener: Listener) -> None:
    said = f"no_text at /hook/{TOKEN}, key {TOKEN}"
    listener.words = said.encode()
    listener.fail(2, 400)
    with pytest.raises(UpdaterError, match=r'status 400: "no_text at /\*\*\*') as caught:
        webhook.send(event(1), url_of(listener))
    assert TOKEN not in str(caught.value)
    assert "NOTIFY_URLS in place of WEBHOOK_URL" in caught.value.remedy


def test_a_receiver_has_time_to_do_its_work_before_it_answers() -> None:
    assert webhook.LIMITS.read_seconds >= 30
    assert webhook.LIMITS.whole_seconds > webhook.LIMITS.read_seconds


@pytest.mark.parametrize(
    "url",
    [
        f"http://127.0.0.1:1/{TOKEN}",
        f"http://{TOKEN}.invalid/",
        f"{TOKEN}",
        f"http://[{TOKEN}/",
        f"http://.{TOKEN}/",
    ],
    ids=["nobody listens", "no such host", "no scheme", "bad brackets", "bad label"],
)
def test_an_address_that_cannot_be_reached_is_not_reported(url: str) -> None:
    with pytest.raises(UpdaterError) as caught:
        webhook.send(event(1), Secret(url))
    assert TOKEN.lower() not in "".join(traceback.format_exception(caught.value)).lower()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_on_the_same_host_gets_the_event_itself(listener: Listener, status: int) -> None:
    listener.redirect("/moved", status)
    webhook.send(event(1), url_of(listener), Secret("key"))
    first, second = listener.requests
    assert (second.method, second.path, second.body) == ("POST", "/moved", first.body)
    assert second.headers[webhook.SIGNATURE] == first.headers[webhook.SIGNATURE]


@pytest.mark.parametrize("location", ["http://localhost:{port}/", "//localhost:{port}/", "ftp://127.0.0.1/"])
def test_a_redirect_to_another_host_is_not_followed(listener: Listener, location: str) -> None:
    listener.redirect(location.format(port=listener.url.rpartition(":")[2]))
    with pytest.raises(UpdaterError, match="another host"):
        webhook.send(event(1), url_of(listener))
    assert len(listener.requests) == 1


def test_a_redirect_without_end_is_an_error(listener: Listener) -> None:
    for _ in range(20):
        listener.redirect("/again")
    with pytest.raises(UpdaterError, match="without end"):
        webhook.send(event(1), url_of(listener))


def test_only_a_webhook_that_is_configured_is_active(listener: Listener) -> None:
    assert active(Settings()) == ()
    assert active(Settings(webhook_secret=Secret("key"))) == ()
    (notifier,) = active(Settings(webhook_url=url_of(listener), webhook_secret=Secret("key")))
    notifier.send(event(1))
    assert notifier.name == "webhook"
    assert webhook.SIGNATURE in listener.requests[0].headers


# ---------------------------------------------------------------------------------------- what docs/ promises


def examples() -> list[dict[str, Any]]:
    return [
        json.loads(block)
        for block in re.findall(r"^```json\n(.*?)^```$", GUIDE, flags=re.MULTILINE | re.DOTALL)
    ]


def test_the_schema_is_one_and_every_example_of_the_guide_keeps_it() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert [example["event"] for example in examples()] == list(models.KINDS)
    for example in examples():
        VALIDATOR.validate(example)
        assert list(example) == list(webhook.body_of(event(1))), "the guide shows every key in its order"


def test_a_message_that_is_not_as_promised_is_turned_down_by_the_schema() -> None:
    good = examples()[0]
    wrong: list[dict[str, Any]] = [
        {"event": "other"},
        {"from": {}},
        {"id": ""},
        {"time": "yesterday"},
        {"test": 1},
        {"duration_seconds": -1},
    ]
    wrong += [
        {"to": {"reference": None, "digest": None}},
        {"reason": "Bad words"},
        {"duration_seconds": None},
    ]
    assert [each for each in wrong if VALIDATOR.is_valid({**good, **each})] == []
    assert [key for key in good if VALIDATOR.is_valid({k: v for k, v in good.items() if k != key})] == []


@pytest.mark.parametrize("kind", models.KINDS)
def test_what_is_delivered_keeps_the_schema(listener: Listener, kind: str) -> None:
    (sample,) = [each for each in events.samples(events.Moment("box", NOW)) if each.kind == kind]
    for each in (sample, replace(sample, is_test=False)):
        webhook.send(each, url_of(listener))
        body = json.loads(listener.requests[-1].body)
        VALIDATOR.validate(body)
        assert (body["event"], body["test"]) == (kind, each.is_test)


def test_the_guide_tells_how_to_check_the_signature(listener: Listener, tmp_path: Path) -> None:
    webhook.send(event(1), url_of(listener), Secret("key"))
    (request,) = listener.requests
    (python,) = re.findall(r"^```python\n(.*?)^```$", GUIDE, flags=re.MULTILINE | re.DOTALL)
    place: dict[str, Any] = {}
    exec(python, place)  # noqa: S102 - the guide's own words, to be copied by people
    header = request.headers[webhook.SIGNATURE]
    assert place["is_ours"](b"key", request.body, header)
    assert not place["is_ours"](b"another", request.body, header)
    assert not place["is_ours"](b"key", request.body + b" ", header)
    (shell,) = re.findall(r"^printf .*openssl.*$", GUIDE, flags=re.MULTILINE)
    (tmp_path / "body.json").write_bytes(request.body)
    environment = {**os.environ, "WEBHOOK_SECRET": "key"}
    said = subprocess.run(
        ["bash", "-c", shell], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert said.stdout.strip() == header


# ----------------------------------------------------------------------------------------------- whole cycles


class NoContainers:
    """An engine that answers, and runs nothing."""

    def version(self) -> str:
        return "1"

    def compose_containers(self) -> tuple[Container, ...]:
        return ()

    def known_image(self, image_id: str) -> None:
        return None

    def container(self, container_id: str) -> None:
        return None

    def retained(self, prefix: str) -> dict[str, str]:
        return {}

    def forget_images(self, keep: frozenset[str]) -> None:
        return


@dataclass
class Host:
    """Cycles over one service, each by an updater that has just been started."""

    folder: Path
    url: str
    settings: dict[str, Any]

    def cycle(self, *, engine_is_down: bool) -> None:
        raw = {
            "services": [{"name": "web", "image": "acme/web:1", "compose_file": "c.yml",
                          "compose_service": "web"}],
            "state_file": str(self.folder / "state.json"), "webhook_url": self.url, **self.settings,
        }  # fmt: skip
        context = wire(config_utils.parse(raw, {}, str(self.folder / "config.json")), SystemClock())
        if not engine_is_down:
            context.host.engine = NoContainers()  # type: ignore[assignment]
        cycle.run(context)


@pytest.fixture
def host(tmp_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    (tmp_path / "c.yml").write_text("services: {web: {image: acme/web:1}}\n")
    return Host(tmp_path, listener.url, {"notify_events": "failed,recovered"})


def reported(listener: Listener) -> list[tuple[str, str]]:
    bodies = [json.loads(request.body) for request in listener.requests]
    for body in bodies:
        VALIDATOR.validate(body)
    return [(body["event"], body["reason"]) for body in bodies]


def test_an_incident_and_its_end_are_reported_once_across_restarts(host: Host, listener: Listener) -> None:
    for engine_is_down in (True, True, True, False, False):
        host.cycle(engine_is_down=engine_is_down)
    assert reported(listener) == [("failed", "engine_error"), ("recovered", "engine_error")]
    host.cycle(engine_is_down=True)
    assert len(set(received(listener))) == 3


def test_incidents_are_not_reported_unasked(host: Host, listener: Listener) -> None:
    host.settings.clear()
    for engine_is_down in (True, False):
        host.cycle(engine_is_down=engine_is_down)
    assert reported(listener) == []


def test_an_outbox_that_refuses_puts_an_incident_off(host: Host, listener: Listener) -> None:
    host.cycle(engine_is_down=False)
    (host.folder / "outbox").write_text("not a folder")
    host.cycle(engine_is_down=True)
    (host.folder / "outbox").unlink()
    assert reported(listener) == []
    host.cycle(engine_is_down=True)
    assert reported(listener) == [("failed", "engine_error")]


def test_a_cycle_in_which_nothing_happens_says_nothing_above_debug(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    """The one line says that the cycle has ended."""
    for engine_is_down in (False, True):
        host.cycle(engine_is_down=engine_is_down)
        caplog.clear()
        with caplog.at_level(logging.INFO):
            host.cycle(engine_is_down=engine_is_down)
        assert [record.__dict__["log_event"] for record in caplog.records] == ["cycle_ended"]


# ---------------------------------------------------------------------------------------------- --notify-test


@pytest.fixture
def entry_point(tmp_path: Path) -> Callable[..., int]:
    """`docker-updater --notify-test` with these settings."""

    def run(**settings: Any) -> int:
        (tmp_path / "config.json").write_text(json.dumps({"services": [], **settings}))
        environment = {
            "CONFIG_FILE": str(tmp_path / "config.json"),
            "STATE_FILE": str(tmp_path / "state.json"),
        }
        return docker_updater.main(["--notify-test"], environment)

    return run


def test_the_test_sends_one_of_each_kind_to_everyone_and_says_so(
    entry_point: Callable[..., int], listener: Listener, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    chat = listener.url.replace("http", "json")
    assert entry_point(webhook_url=listener.url, webhook_secret="key", notify_urls=[chat]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"ok    {name}: {kind}" for name in ("webhook", "apprise") for kind in models.KINDS
    ]
    bodies = [json.loads(request.body) for request in listener.requests]
    assert [body["event"] for body in bodies[: len(models.KINDS)]] == list(models.KINDS)
    assert all(body["test"] is True for body in bodies[: len(models.KINDS)])
    assert all(body["title"].startswith("[TEST]") for body in bodies[len(models.KINDS) :])
    assert all(webhook.SIGNATURE in request.headers for request in listener.requests[: len(models.KINDS)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json"], (
        "nothing is queued or remembered"
    )


def test_the_test_ends_with_1_if_one_was_not_reported(
    entry_point: Callable[..., int], listener: Listener, capsys: pytest.CaptureFixture[str]
) -> None:
    listener.fail(1)
    assert entry_point(webhook_url=f"{listener.url}/{TOKEN}") == 1
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith(
        "FAIL  webhook: update: the webhook answered with HTTP status 500 -> Check WEBHOOK_URL"
    )
    assert [line[:4] for line in others] == ["ok  "] * (len(models.KINDS) - 1)


def test_the_test_without_anyone_to_tell_says_what_to_set(
    entry_point: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry_point() == 1
    assert "WEBHOOK_URL or NOTIFY_URLS" in capsys.readouterr().err


def test_an_address_that_cannot_work_is_a_problem_of_the_configuration(
    entry_point: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert entry_point(notify_urls=f"nosuchscheme://{TOKEN}") == 2
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert entry_point(notify_urls="json://a") == 2
    unknown, missing = capsys.readouterr().err.splitlines()
    assert "Apprise cannot use address 1" in unknown
    assert TOKEN not in unknown
    assert "-m pip install -r" in missing


CHATS = {
    f"https://hooks.slack.com/services/T0/B0/{TOKEN}": "slack://",
    f"https://discord.com/api/webhooks/1/{TOKEN}": "discord://",
    f"https://canary.discord.com/api/v10/webhooks/1/{TOKEN}/slack?wait=true": "discord://",
    f"https://acme.webhook.office.com/webhookb2/{TOKEN}": "msteams://",
    f"https://CHAT.googleapis.com./v1/spaces/A/messages?token={TOKEN}": "gchat://",
    f"https://api.telegram.org/bot1:{TOKEN}/sendMessage?chat_id=1": "tgram://",
}


@pytest.mark.parametrize("address", CHATS)
def test_a_chat_in_the_place_of_the_webhook_is_refused_and_its_place_is_named(
    address: str, entry_point: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry_point(webhook_url=address) == 2
    said = capsys.readouterr().err
    assert "NOTIFY_URLS" in said
    assert CHATS[address] in said
    assert TOKEN not in said


@pytest.mark.parametrize(
    "address",
    [
        f"https://hooks.slack.com/triggers/T0/1/{TOKEN}",  # a workflow takes any JSON
        f"https://chat.example/hooks/{TOKEN}",
        "https://discord.com/",
        "https://ntfy.sh/updates",
    ],
)
def test_a_receiver_that_may_take_an_event_is_no_problem(address: str) -> None:
    assert notifiers.problems(Settings(webhook_url=Secret(address))) == ()


# ----------------------------------------------------------------------------------------------------- outbox


def test_if_nobody_is_there_one_event_is_tried_and_the_others_wait(outbox: Outbox) -> None:
    """Each that was tried would wait ten seconds for nothing, and all of the updater with it."""
    tried: list[str] = []

    def send(event: Event) -> None:
        tried.append(event.id)
        if not is_there:
            raise Unreachable("nobody is there")

    is_there = False
    for number in range(1, 4):
        outbox.put(event(number, service=f"service{number}"))
    assert outbox.deliver(send, NOW).failed == ("e1",)
    assert outbox.next_try() == NOW + timedelta(seconds=5)
    assert outbox.deliver(send, NOW + timedelta(seconds=4)) == Delivery()
    assert outbox.deliver(send, NOW + timedelta(seconds=5)).failed == ("e1",)
    assert tried == ["e1", "e1"]
    assert outbox.next_try() == NOW + timedelta(seconds=15)
    is_there = True
    assert outbox.deliver(send, NOW + timedelta(seconds=15)).delivered == ("e1", "e2", "e3")


def test_if_nobody_is_there_for_a_day_all_are_given_up_for_one_try(outbox: Outbox) -> None:
    tried: list[str] = []

    def send(event: Event) -> None:
        tried.append(event.id)
        raise Unreachable("nobody is there")

    for number in range(1, 4):
        outbox.put(event(number, service=f"service{number}"))
    assert outbox.deliver(send, NOW + timedelta(days=2)).given_up == ("e1", "e2", "e3")
    assert (tried, outbox.pending()) == (["e1"], 0)


def test_a_pass_ends_when_it_is_to_end(outbox: Outbox, listener: Listener) -> None:
    for number in range(1, 4):
        outbox.put(event(number, service=f"service{number}"))
    ends = iter([False, True, True])
    sent = outbox.deliver(lambda each: webhook.send(each, url_of(listener)), NOW, lambda: next(ends))
    assert sent.delivered == ("e1",)
    assert deliver(outbox, listener).delivered == ("e2", "e3")


def test_a_receiver_that_is_not_there_is_distinguished_from_one_that_refuses(listener: Listener) -> None:
    with pytest.raises(Unreachable):
        webhook.send(event(1), Secret("http://127.0.0.1:9/"))
    listener.fail(1)
    with pytest.raises(UpdaterError) as error:
        webhook.send(event(1), url_of(listener))
    assert not isinstance(error.value, Unreachable)


def test_events_are_delivered_in_their_order_and_then_gone(outbox: Outbox, listener: Listener) -> None:
    for number in (3, 1, 2):
        outbox.put(event(number))
    assert deliver(outbox, listener).delivered == ("e3", "e1", "e2")
    assert received(listener) == ["e3", "e1", "e2"]
    assert outbox.pending() == 0
    assert outbox.next_try() is None


def test_the_same_event_is_queued_once(outbox: Outbox, listener: Listener) -> None:
    for _ in range(3):
        outbox.put(event(1))
    assert outbox.pending() == 1


def test_an_event_survives_a_restart_word_for_word(tmp_path: Path) -> None:
    Outbox(tmp_path).put(event(1))
    reported: list[Event] = []
    Outbox(tmp_path).deliver(reported.append, NOW)
    assert reported == [event(1)]


def test_a_failing_service_waits_in_order_and_others_go_on(outbox: Outbox, listener: Listener) -> None:
    for number, service in enumerate(["web", "web", "db", "web"], start=1):
        outbox.put(event(number, service))
    listener.fail(1)
    assert deliver(outbox, listener) == Delivery(delivered=("e3",), failed=("e1",))
    assert deliver(outbox, listener, 4.9) == Delivery()
    assert deliver(outbox, listener, 5).delivered == ("e1", "e2", "e4")
    assert received(listener) == ["e1", "e3", "e1", "e2", "e4"]


def test_an_event_comes_again_if_the_answer_was_lost(outbox: Outbox, listener: Listener) -> None:
    def send_and_die(each: Event) -> None:
        webhook.send(each, url_of(listener))
        raise KeyboardInterrupt

    outbox.put(event(1))
    with pytest.raises(KeyboardInterrupt):
        outbox.deliver(send_and_die, NOW)
    deliver(outbox, listener)
    assert received(listener) == ["e1", "e1"]


def test_the_pause_doubles_from_five_seconds_to_a_quarter_of_an_hour(
    outbox: Outbox, listener: Listener
) -> None:
    outbox.put(event(1))
    listener.fail(99)
    seconds, pauses = 0.0, []
    for _ in range(11):
        assert deliver(outbox, listener, seconds).failed
        due = outbox.next_try()
        assert due
        pauses.append((due - NOW).total_seconds() - seconds)
        seconds += pauses[-1]
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900]


def test_an_event_is_given_up_after_a_day_and_said_so(
    outbox: Outbox, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    outbox.put(event(1))
    outbox.put(event(2, time=NOW + timedelta(hours=23)))
    listener.fail(2, 400)
    assert deliver(outbox, listener, 3600).failed == ("e1",)
    delivery = deliver(outbox, listener, 24 * 3600)
    assert delivery == Delivery(delivered=("e2",), given_up=("e1",))
    warning = caplog.records[-1]
    assert "given up" in warning.getMessage()
    assert "e1" in warning.getMessage()
    first = next(record for record in caplog.records if "not delivered" in record.getMessage())
    for said in (first, warning):  # with what to do about it
        assert "put its address into NOTIFY_URLS" in said.getMessage()
    assert TOKEN not in caplog.text


def test_an_event_that_cannot_be_delivered_is_a_warning_once(
    outbox: Outbox, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    outbox.put(event(1))
    listener.fail(9)
    with caplog.at_level(logging.DEBUG, "updater_core"):
        for seconds in (0, 60, 600):
            assert deliver(outbox, listener, seconds).failed
    ours = [record for record in caplog.records if record.name.startswith("updater_core")]
    assert [record.levelname for record in ours] == ["WARNING", "DEBUG", "DEBUG"]
    assert "HTTP status 500" in ours[0].getMessage()


def test_a_folder_that_cannot_be_read_holds_nothing_and_is_reported_by_the_delivery(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("not a folder")
    outbox = Outbox(tmp_path / "outbox")
    assert (outbox.pending(), outbox.next_try(), outbox.is_due()) == (0, None, True)
    with pytest.raises(StateError):
        outbox.deliver(lambda each: None, NOW)


def test_an_old_event_has_one_more_chance_after_a_long_stop(outbox: Outbox, listener: Listener) -> None:
    outbox.put(event(1, time=NOW - timedelta(days=9)))
    assert deliver(outbox, listener).delivered == ("e1",)


def test_a_bug_in_a_notifier_is_only_a_failure(outbox: Outbox) -> None:
    def buggy(each: Event) -> None:
        raise ZeroDivisionError

    outbox.put(event(1))
    assert outbox.deliver(buggy, NOW).failed == ("e1",)


@pytest.mark.parametrize("data", [b"", b"\0" * 50, b"{}", b'{"event": {"id": 1}}', b"[" * 100_000])
def test_a_damaged_file_is_moved_aside_and_the_rest_delivered(
    outbox: Outbox, listener: Listener, tmp_path: Path, data: bytes
) -> None:
    outbox.put(event(1))
    outbox.put(event(2))
    (tmp_path / "outbox" / "0000000001-e1.json").write_bytes(data)
    assert deliver(outbox, listener).delivered == ("e2",)
    assert [each.name for each in (tmp_path / "outbox").iterdir()] == ["0000000001-e1.json.damaged"]


def test_when_to_come_again_is_reported_by_the_first_event_of_each_service(
    outbox: Outbox, listener: Listener
) -> None:
    for number in (1, 2):
        outbox.put(event(number))
    listener.fail(1)
    deliver(outbox, listener)
    assert outbox.next_try() == NOW + timedelta(seconds=5)
    outbox.put(event(3, "db"))
    assert outbox.next_try() == NOW


@pytest.mark.parametrize("event_id", ["../../etc/passwd", "a b", "ü", "x" * 300])
def test_a_malformed_id_stays_in_the_folder(outbox: Outbox, tmp_path: Path, event_id: str) -> None:
    malformed = Event(event_id, "update", "web", NOW, "h", "a", None, "b", None, "r")
    outbox.put(malformed)
    outbox.put(malformed)
    reported: list[Event] = []
    assert outbox.deliver(reported.append, NOW).delivered == (event_id,)
    assert reported == [malformed]


def test_files_are_for_their_owner_only_and_hold_no_address(
    outbox: Outbox, listener: Listener, tmp_path: Path
) -> None:
    outbox.put(event(1))
    (path,) = (tmp_path / "outbox").iterdir()
    before = path.read_bytes()
    for count in (0, 1):
        assert path.stat().st_mode & 0o777 == 0o600
        assert TOKEN.encode() not in path.read_bytes()
        assert (path.read_bytes() != before) == bool(count), "a failure is written down"
        listener.fail(1)
        assert deliver(outbox, listener, 60 * count).failed == ("e1",)

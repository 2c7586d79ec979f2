"""Chat, mail and push by the real Apprise library, whose json:// scheme speaks to a real HTTP listener."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.listener import Listener, listening
from updater_core import config_utils
from updater_core.app.context import AppContext, deliver, queue
from updater_core.app.wiring import rewire, wire
from updater_core.errors import ConfigError, Unanswered, UpdaterError
from updater_core.host.clock import SystemClock
from updater_core.models import ALWAYS_SENT, KINDS, Config, Discover, Event, Secret, Settings
from updater_core.notifiers import active, apprise, events, problems
from updater_core.notifiers.message import Message, message_of
from updater_core.notifiers.outbox import Delivery, Outbox
from updater_core.policy import windows

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
TOKEN = "T0K3N-in-the-path"
SAMPLES = {event.kind: event for event in events.samples(events.Moment("box", NOW))}


def real(kind: str, **changes: Any) -> Event:
    """An event that is no test."""
    return replace(SAMPLES[kind], is_test=False, detail="because", remedy="", **changes)


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as found:
        yield found


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the log's own handler gets, under the names of the loggers."""
    stream, root = io.StringIO(), logging.getLogger()
    handler, before = logging.StreamHandler(stream), root.level
    handler.setFormatter(logging.Formatter("%(name)s %(message)s"))
    root.addHandler(handler)
    yield stream
    root.removeHandler(handler)
    root.setLevel(before)


def chat(listener: Listener) -> Secret:
    return Secret(f"{listener.url.replace('http', 'json')}/{TOKEN}")


def said(listener: Listener) -> list[dict[str, str]]:
    return [json.loads(request.body) for request in listener.requests]


# -------------------------------------------------------------------------------------------------- the words


@pytest.mark.parametrize("kind", KINDS)
def test_people_are_notified_what_why_what_was_done_and_what_to_do(kind: str, listener: Listener) -> None:
    apprise.send(real(kind), chat(listener))
    (reported,) = said(listener)
    assert reported["title"].startswith("example: ")
    assert reported["title"].endswith(" on box")
    names = [line.partition(": ")[0] for line in reported["message"].splitlines()]
    assert {"Why", "Done", "To do", "When"} <= set(names)
    assert {"From", "To"} <= set(names) or "Runs" in names
    assert "because" in reported["message"]


@pytest.mark.parametrize(
    ("event", "title", "mood"),
    [
        (real("update"), "example: updated to api:v1.5.0 on box", "success"),
        (real("update", reason="owner_rollback"), "example: back to api:v1.5.0 as asked on box", "success"),
        (real("rollback"), "example: rolled back to api:v1.4.2 on box", "warning"),
        (real("rollback", reason="rollback_failed"), "example: update AND rollback failed on box", "failure"),
        (real("available"), "example: api:v1.5.0 is available on box", "info"),
        (real("failed"), "example: check failed (registry_error) on box", "failure"),
        (real("failed", to_reference="a/api:v2"), "example: update to api:v2 failed on box", "failure"),
        (real("recovered"), "example: well again on box", "success"),
        (real("approval"), "example: api:v1.5.0 waits for your approval on box", "info"),
        (real("order", who="ann"), "example: pause, asked for by ann on box", "info"),
    ],
)
def test_the_title_alone_says_what_has_happened_and_whether_to_worry(
    event: Event, title: str, mood: str, listener: Listener
) -> None:
    apprise.send(event, chat(listener))
    (reported,) = said(listener)
    assert (reported["title"], reported["type"]) == (title, mood)


def test_the_whole_message_of_a_rollback() -> None:
    event = real("rollback", duration_seconds=31.44)
    assert message_of(replace(event, remedy="look at it")) == Message(
        "example: rolled back to api:v1.4.2 on box",
        "From: registry.example.com/shop/api:v1.5.0 (sha256:555555555555…)\n"
        "To: registry.example.com/shop/api:v1.4.2 (sha256:444444444444…)\n"
        "Tried: v1.4.2 -> v1.5.0 (minor)\n"
        "Why: unhealthy: because\n"
        "Done: registry.example.com/shop/api:v1.5.0 was taken down; "
        "registry.example.com/shop/api:v1.4.2 runs again, "
        "seen well\n"
        "To do: look at it\n"
        "Took: 31 s\n"
        "When: 2026-11-23 08:00:00 UTC on box",
        "warning",
    )


def test_a_service_has_time_to_do_its_work_before_it_answers(listener: Listener) -> None:
    """Apprise's own time limit is four seconds; who is cut off would get the message again."""
    listener.before = lambda: time.sleep(5)
    apprise.send(real("update"), chat(listener))
    assert len(listener.requests) == 1


def test_a_test_says_first_that_it_is_one() -> None:
    message = message_of(SAMPLES["rollback"])
    assert message.title.startswith("[TEST] ")
    assert message.body.startswith("This is a test: nothing has happened.\n")


def test_nothing_in_a_text_is_read_as_a_template_or_markup(listener: Listener) -> None:
    malformed = "{{ x }} ${HOME} <b>&amp; \\n *ü*"
    apprise.send(replace(real("update"), detail=malformed), chat(listener))
    assert malformed in said(listener)[0]["message"]


# --------------------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize("status", [400, 401, 404, 500, 503])
def test_what_was_not_reported_is_an_error_that_keeps_the_address_to_itself(
    listener: Listener, status: int
) -> None:
    listener.fail(1, status)
    with pytest.raises(UpdaterError, match=f"json was not notified: .*{status}") as caught:
        apprise.send(real("update"), chat(listener))
    assert caught.value.remedy
    assert TOKEN not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("level", [logging.DEBUG, logging.ERROR])
def test_apprise_says_nothing_in_our_log_and_the_reason_is_known_at_every_level(
    listener: Listener, level: int, log: io.StringIO
) -> None:
    logging.getLogger().setLevel(level)
    listener.fail(1)
    with pytest.raises(UpdaterError, match="500"):
        apprise.send(real("update"), chat(listener))
    assert "apprise" not in log.getvalue()


@pytest.mark.parametrize(
    "url",
    [
        f"json://user:{TOKEN}@127.0.0.1:1/path",
        f"json://127.0.0.1:1/{TOKEN}?key={TOKEN}",
        f"json://{TOKEN}.invalid/",
        "json://127.0.0.1:1/",
    ],
)
def test_nobody_listening_is_an_error_without_the_address(url: str) -> None:
    with pytest.raises(UpdaterError, match="onnection error") as caught:
        apprise.send(real("update"), Secret(url))
    words = "".join(traceback.format_exception(caught.value)).lower()
    assert TOKEN.lower() not in words
    assert "127.0.0.1" not in words


# ----------------------------------------------------------------------------------------------- the settings


def test_each_address_is_a_notifier_of_its_own_after_the_webhook(listener: Listener) -> None:
    settings = Settings(webhook_url=Secret(listener.url), notify_urls=(chat(listener), Secret("json://b")))
    assert [notifier.name for notifier in active(settings)] == ["webhook", "apprise", "apprise-2"]


def test_a_good_address_is_no_problem_and_one_that_apprise_does_not_know_is(listener: Listener) -> None:
    assert problems(Settings()) == ()
    assert problems(Settings(notify_urls=(chat(listener),))) == ()
    urls = (chat(listener), Secret(f"nosuchscheme://{TOKEN}"), Secret(f"slack://{TOKEN}"))
    second, third = problems(Settings(notify_urls=urls))
    assert "address 2 (nosuchscheme://…)" in second
    assert "address 3 (slack://…)" in third
    assert TOKEN not in second + third


FROM_WATCHTOWER = (ROOT / "docs/from-watchtower.md").read_text(encoding="utf-8")
# What stands for the words in capitals of its table.
FILLED = {
    "TOKEN": "azGDORePK8gMaC0QOYAMyEEuzJnyUi", "CHAT": "-1001234567890", "ID": "123456789012345678",
    "A-B-C": "T1JJ3T3L2-A1BRTD4JD-TIiajkdnlazkcOXrIdevi7FQ",
    "A/B/C": "T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
    "1-2-3": "123456789012-1234567890123-4mt0t4l1YL3g1T5L4cK70k3N", "A/B": "web1/hook2", "USER": "jane",
    "PASSWORD": "hunter2", "HOST": "chat.example.org", "FROM": "a@example.org", "TO": "b@example.org",
    "TOPIC": "updates", "CHANNEL": "C001CH4NN3L", "SPACE": "space",
    "KEY": "key1",
}  # fmt: skip
BOTH_KNOW = {"gotify", "ntfy", "matrix", "bark"}


def filled(address: str) -> str:
    words = sorted(FILLED, key=len, reverse=True)
    for_telegram = re.sub(r"(tgram|telegram)://TOKEN", r"\1://123456789:TOKEN", address)
    return re.sub("|".join(map(re.escape, words)), lambda found: FILLED[found[0]], for_telegram)


def addresses_of_the_table() -> list[tuple[list[str], list[str]]]:
    """Of each row of the page's table: the addresses of Watchtower, and those for NOTIFY_URLS."""
    part = FROM_WATCHTOWER.split("## Notifications")[1].split("\n## ")[0]
    rows = [line.split(" | ") for line in part.splitlines() if line.startswith("| ") and "://" in line]
    both = [[re.findall(r"`(\w+://[^`]*)`", cell) for cell in row[1:3]] for row in rows]
    return [(before, after) for before, after in both if after]


def test_each_address_for_one_who_comes_from_watchtower_is_one_that_is_taken() -> None:
    rows = addresses_of_the_table()
    assert len(rows) == 14
    for _, after in rows:
        urls = tuple(Secret(filled(address)) for address in after)
        assert (after, problems(Settings(notify_urls=urls))) == (after, ())


def test_an_address_of_watchtowers_is_refused_but_for_those_that_the_page_warns_of() -> None:
    before = [Secret(filled(address)) for addresses, _ in addresses_of_the_table() for address in addresses]
    refused = "\n".join(problems(Settings(notify_urls=tuple(before))))
    assert "docs/from-watchtower.md#notifications" in refused
    taken = {url.reveal().partition("://")[0] for url in before} - set(re.findall(r"\((\w+)://", refused))
    assert taken == BOTH_KNOW
    assert all(f"`{word}://`" in FROM_WATCHTOWER for word in BOTH_KNOW)


def test_the_translated_configuration_is_read_as_the_page_says(tmp_path: Path) -> None:
    (written,) = re.findall(r"```bash\n(TIMEZONE=.*?)```", FROM_WATCHTOWER, re.DOTALL)
    dotenv = tmp_path / ".env"
    dotenv.write_text(filled(written))
    config = config_utils.parse({"services": []}, config_utils.read_environment({}, dotenv))
    assert (config.settings.discover.mode, len(config.settings.notify_urls)) == (Discover.LABELLED, 1)
    assert problems(config.settings) == ()
    friday, saturday = (datetime(2026, 11, day, 3, 30, tzinfo=UTC) for day in (27, 28))
    hours = config.settings.hours
    assert (windows.is_open(hours, friday), windows.is_open(hours, saturday)) == (True, False)


def test_a_missing_library_is_said_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    (problem,) = problems(Settings(notify_urls=(Secret("json://a"),)))
    assert f"{sys.executable} -m pip install -r {ROOT / 'requirements-apprise.txt'}" in problem
    assert (ROOT / "requirements-apprise.txt").exists()
    with pytest.raises(UpdaterError, match="not installed"):
        apprise.send(real("update"), Secret("json://a"))


def test_if_the_installer_put_the_program_the_installer_adds_the_library() -> None:
    placed = Path("/opt/docker-auto-updater/releases/0.1.0-1/requirements-apprise.txt")
    assert "sudo ./install.sh --with-apprise" in apprise.install_remedy(placed)
    assert "pip" not in apprise.install_remedy(placed)


def test_the_library_is_imported_only_for_an_address() -> None:
    code = "import docker_updater, sys; from updater_core import notifiers, models; "
    code += "notifiers.problems(models.Settings()); print('apprise' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("variable", "addresses"),
    [
        ("slack://a/b/c", ["slack://a/b/c"]),
        ("  slack://a/b/c  mailto://u:p@x.org?to=a@x.org,b@x.org\n", ["slack://a/b/c",
                                                                       "mailto://u:p@x.org?to=a@x.org,b@x.org"]),
        ("tgram://T/C,discord://I/S", ["tgram://T/C", "discord://I/S"]),
        ("tgram://T/C1,C2;discord://I/S, slack://a/b/c ;",
         ["tgram://T/C1,C2", "discord://I/S", "slack://a/b/c"]),
        ("discord://I/S?avatar_url=https://x.org/a.png,json://h",
         ["discord://I/S?avatar_url=https://x.org/a.png",
                                                                   "json://h"]),
    ],
)  # fmt: skip
def test_a_variable_holds_several_addresses_parted_as_apprise_parts_them(
    variable: str, addresses: list[str]
) -> None:
    found = config_utils.parse({"services": []}, {"NOTIFY_URLS": variable.strip("\n")}).settings
    assert [each.reveal() for each in found.notify_urls] == addresses


def test_addresses_in_one_entry_of_a_list_are_parted_too() -> None:
    found = config_utils.parse({"services": [], "notify_urls": ["tgram://T/C,discord://I/S", "json://h"]}, {})
    assert [each.reveal() for each in found.settings.notify_urls] == [
        "tgram://T/C",
        "discord://I/S",
        "json://h",
    ]


@pytest.mark.parametrize(
    "glued",
    ["tgram://T/C|discord://I/S3CRET", "tgram://T/Cdiscord://I/S3CRET", '"tgram://T/C","discord://I/S3CRET"',
     "tgram://T/C=discord://I/S3CRET", "json://h?a=https://b|discord://I/S3CRET",
     "tgram://T/C,\\discord://I/S3CRET", "tgram://T/C,gotify:h/S3CRET", "tgram://T/C;ntfys:/h/S3CRET",
     "mailto://u:p@h?to=a,Discord//I/S3CRET"],
)  # fmt: skip
def test_no_token_of_one_service_is_sent_to_another(glued: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_utils.parse({"services": []}, {"NOTIFY_URLS": glued})
    (problem,) = caught.value.problems
    assert "S3CRET" not in problem


def test_addresses_that_are_glued_together_get_a_remedy_that_leads_out() -> None:
    with pytest.raises(ConfigError, match="inner :// as %3A%2F%2F"):
        config_utils.parse({"services": []}, {"NOTIFY_URLS": "json://h/https://x"})
    found = config_utils.parse({"services": []}, {"NOTIFY_URLS": "json://h/https%3A%2F%2Fx"}).settings
    assert problems(found) == ()


@pytest.mark.parametrize(
    "address",
    [
        "mailtos://u:p@h?to=a@b.c,slack@b.c,d@e.f",
        "matrixs://u:p@h/#discord:h,#slack:h",
        "signal://h/+491,+492",
        "tgram://T/C,D",
        "mqtt://h/line,topic:a",
    ],
)
def test_a_comma_within_an_address_parts_nothing(address: str) -> None:
    found = config_utils.parse({"services": []}, {"NOTIFY_URLS": address}).settings
    assert [each.reveal() for each in found.notify_urls] == [address]


@pytest.mark.parametrize("wrong", ["chat", "slack:/a", "a://b c", ["slack://a", "slack://a"], ["://a"]])
def test_what_is_no_address_is_refused_unseen(wrong: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        config_utils.parse({"services": [], "notify_urls": wrong}, {})
    (problem,) = caught.value.problems
    assert problem.startswith("notify_urls: ")
    assert "slack://a" not in problem


@pytest.mark.parametrize("written", ["failed, recovered", "failed recovered", ["failed", "recovered"]])
def test_the_kinds_of_events_are_a_text_or_a_list(written: Any) -> None:
    settings = config_utils.parse({"services": [], "notify_events": written}, {}).settings
    assert settings.notify_events == ("failed", "recovered")
    assert config_utils.parse({"services": []}, {}).settings.notify_events == ALWAYS_SENT


@pytest.mark.parametrize("wrong", ["everything", "failed,failed", [], 1])
def test_an_unknown_kind_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="notify_events: "):
        config_utils.parse({"services": [], "notify_events": wrong}, {})


# ----------------------------------------------------------------------------------------------- side by side


class _Still(SystemClock):
    """However long a delivery takes, the next try of one that failed is not due."""

    def now(self) -> datetime:
        return datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def test_a_dead_chat_delays_neither_the_webhook_nor_the_chat_beside_it(tmp_path: Path) -> None:
    with listening() as dead, listening() as alive, listening() as hook:
        urls = (chat(dead), chat(alive))
        settings = Settings(
            state_file=str(tmp_path / "s.json"), webhook_url=Secret(hook.url), notify_urls=urls
        )
        context = wire(Config(settings, ()), _Still())
        dead.fail(9)
        for number in (1, 2):
            queue(context, real("update", id=f"e{number}", time=context.clock.now()))
        deliver(context)
        deliver(context)
        assert [json.loads(each.body)["id"] for each in hook.requests] == ["e1", "e2"]
        assert len(alive.requests) == 1, "both in one message"
        assert len(dead.requests) == 1, "it waits for its time"
        assert {each.name: each.outbox.pending() for each in context.channels} == {
            "webhook": 0, "apprise": 2, "apprise-2": 0,
        }  # fmt: skip


def both(tmp_path: Path, hook: Listener, talk: Listener, grouping: str = "cycle") -> AppContext:
    """A program with a webhook and a chat."""
    settings = Settings(
        state_file=str(tmp_path / "s.json"),
        webhook_url=Secret(hook.url),
        notify_urls=(chat(talk),),
        notify_grouping=grouping,
    )
    return wire(Config(settings, ()), SystemClock())


def test_a_cycle_is_one_message_for_people_and_each_event_one_for_the_webhook(tmp_path: Path) -> None:
    with listening() as hook, listening() as talk:
        context = both(tmp_path, hook, talk)
        for number in range(5):
            queue(context, real("update", id=f"e{number}", service=f"s{number}", time=context.clock.now()))
            deliver(context, is_cycle_over=False)
        assert len(hook.requests) == 5, "the webhook has all of them while the cycle goes on"
        assert talk.requests == [], "nobody is needed: it waits for the end of the cycle"
        deliver(context)
        (reported,) = said(talk)
        assert reported["title"] == "5 updated on box"
        assert [f"s{number}: updated to api:v1.5.0" in reported["message"] for number in range(5)] == [
            True
        ] * 5
        assert len(hook.requests) == 5
        assert [each.outbox.pending() for each in context.channels] == [0, 0]


@pytest.mark.parametrize("kind", ["rollback", "failed", "approval"])
def test_what_needs_a_person_leaves_while_the_cycle_goes_on_with_all_that_waits(
    kind: str, tmp_path: Path
) -> None:
    with listening() as hook, listening() as talk:
        context = both(tmp_path, hook, talk)
        context.config = replace(
            context.config, settings=replace(context.config.settings, notify_events=("failed", "rollback"))
        )
        queue(context, real("update", id="e1", service="calm", time=context.clock.now()))
        deliver(context, is_cycle_over=False)
        assert talk.requests == []
        queue(context, real(kind, id="e2", service="loud", time=context.clock.now()))
        deliver(context, is_cycle_over=False)
        (reported,) = said(talk)
        assert reported["message"].startswith("loud: ")
        assert "calm: updated" in reported["message"]


def test_with_each_people_get_a_message_for_each_event(tmp_path: Path) -> None:
    with listening() as hook, listening() as talk:
        context = both(tmp_path, hook, talk, grouping="each")
        for number in range(3):
            queue(context, real("update", id=f"e{number}", time=context.clock.now()))
        deliver(context, is_cycle_over=False)
        assert [each["title"] for each in said(talk)] == ["example: updated to api:v1.5.0 on box"] * 3


def test_a_group_that_was_refused_comes_again_as_one(tmp_path: Path) -> None:
    outbox, sent = Outbox(tmp_path), list[list[str]]()
    now = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)

    def send(events: Sequence[Event]) -> None:
        sent.append([event.id for event in events])
        if len(sent) == 1:
            raise UpdaterError("refused")

    for number in range(3):
        outbox.put(real("update", id=f"e{number}", service=f"s{number}", time=now))
    assert outbox.deliver_together(send, now).failed == ("e0", "e1", "e2")
    assert outbox.deliver_together(send, now + timedelta(seconds=4)) == Delivery()
    outbox.put(real("update", id="e3", service="s0", time=now))
    assert outbox.deliver_together(send, now + timedelta(seconds=5)).delivered == ("e0", "e1", "e2", "e3")
    assert sent == [["e0", "e1", "e2"], ["e0", "e1", "e2", "e3"]]


def test_what_waits_for_the_end_of_a_cycle_waits_five_minutes_at_most(tmp_path: Path) -> None:
    outbox, sent = Outbox(tmp_path), list[Sequence[Event]]()
    now = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
    outbox.put(real("update", id="e1", time=now))
    for seconds, count in ((0, 0), (299, 0), (300, 1)):
        outbox.deliver_together(sent.append, now + timedelta(seconds=seconds), is_cycle_over=False)
        assert len(sent) == count
    outbox.put(real("update", id="e2", time=now + timedelta(hours=1)))
    outbox.deliver_together(sent.append, now, is_cycle_over=False)
    assert len(sent) == 2, "a clock that was set back keeps nothing"


def test_who_may_have_it_already_gets_it_once_more_and_not_at_once(tmp_path: Path) -> None:
    now = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)

    def send(_: object) -> None:
        tried.append(now)
        raise Unanswered("no answer in time")

    for name in ("deliver", "deliver_together"):
        outbox, tried = Outbox(tmp_path / name), list[datetime]()
        deliver_all = getattr(outbox, name)
        outbox.put(real("update", id="e1", time=now))
        for seconds in (0, 5, 82, 899):
            deliver_all(send, now + timedelta(seconds=seconds))
        assert len(tried) == 1
        deliver_all(send, now + timedelta(seconds=900))
        assert len(tried) == 2


def test_everyone_is_notified_at_the_same_time(tmp_path: Path) -> None:
    """Each of two listeners answers only when both were asked."""
    with listening() as hook, listening() as talk:
        hook.before = talk.before = threading.Barrier(2, timeout=60).wait
        settings = Settings(
            state_file=str(tmp_path / "s.json"), webhook_url=Secret(hook.url), notify_urls=(chat(talk),)
        )
        context = wire(Config(settings, ()), SystemClock())
        queue(context, real("update", time=context.clock.now()))
        deliver(context)
        assert [each.outbox.pending() for each in context.channels] == [0, 0]


def events_for(listener: Listener) -> list[str]:
    return [json.loads(each.body)["title"].partition(":")[0] for each in listener.requests]


def test_what_waits_for_an_address_is_reported_to_it_wherever_it_stands_in_the_list(tmp_path: Path) -> None:
    with listening() as dead, listening() as alive:
        settings = Settings(state_file=str(tmp_path / "s.json"), notify_urls=(chat(dead), chat(alive)))
        context = wire(Config(settings, ()), SystemClock())
        dead.fail(1)
        queue(context, real("update", service="first", time=context.clock.now()))
        deliver(context)
        assert (events_for(dead), events_for(alive)) == (["first"], ["first"])
        rewire(context, Config(replace(settings, notify_urls=(chat(alive), chat(dead))), ()), SystemClock())
        assert [each.outbox.pending() for each in context.channels] == [0, 1]
        queue(context, real("update", service="second", time=context.clock.now()))
        deliver(context)
        assert events_for(alive) == ["first", "second"]


@pytest.mark.parametrize("is_restart", [True, False])
def test_what_waits_for_an_address_that_left_the_list_is_dropped_and_reported_to_nobody(
    is_restart: bool, tmp_path: Path, log: io.StringIO
) -> None:
    with listening() as dead, listening() as alive:
        settings = Settings(state_file=str(tmp_path / "s.json"), notify_urls=(chat(dead),))
        context = wire(Config(settings, ()), SystemClock())
        dead.fail(1)
        for number in (1, 2):
            queue(context, real("update", id=f"e{number}", service="private", time=context.clock.now()))
        deliver(context)
        changed = Config(replace(settings, notify_urls=(chat(alive),)), ())
        if is_restart:
            context = wire(changed, SystemClock())
        else:
            rewire(context, changed, SystemClock())
        deliver(context)
        assert alive.requests == []
        line = "2 message(s) waited for an address that is not in NOTIFY_URLS any more, and are dropped"
        assert [each.partition(" ")[2] for each in log.getvalue().splitlines() if "dropped" in each] == [line]
        assert [path.name for path in (tmp_path / "outbox").glob("*")] == []
        rewire(context, changed, SystemClock())
        assert log.getvalue().count("dropped") == 1, "it is said once"


def test_who_only_reads_drops_nothing(tmp_path: Path) -> None:
    settings = Settings(state_file=str(tmp_path / "s.json"), notify_urls=(Secret("json://127.0.0.1:1/"),))
    context = wire(Config(settings, ()), SystemClock())
    queue(context, real("update", time=context.clock.now()))
    wire(Config(replace(settings, notify_urls=()), ()), SystemClock(), is_reading=True)
    assert [each.outbox.pending() for each in context.channels] == [1]


def test_no_address_is_on_the_disk_in_clear(tmp_path: Path) -> None:
    address = f"json://jane:hunter2@127.0.0.1:1/{TOKEN}"
    settings = Settings(state_file=str(tmp_path / "s.json"), notify_urls=(Secret(address),))
    context = wire(Config(settings, ()), SystemClock())
    queue(context, real("update", time=context.clock.now()))
    deliver(context)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len([path for path in files if "outbox" in path.parts]) == 1
    written = " ".join(f"{path} {path.read_text()}" for path in files).lower()
    for piece in (TOKEN.lower(), "hunter2", "jane", "127.0.0.1"):
        assert piece not in written

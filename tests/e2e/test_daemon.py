"""The daemon as a process of its own on the real engine: when it checks, how it takes signals, whom it
tells.
"""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support import lab
from tests.support.failures import fresh, let_go, slow
from tests.support.fake_registry import Bearer
from tests.support.lab import Shop
from tests.support.listener import Listener, listening
from tests.support.ports import free_port

pytestmark = pytest.mark.engine

WEB = """\
services:
  web:
    image: {image}
    restart: unless-stopped
    stop_grace_period: 1s
    network_mode: none
"""


@pytest.fixture(autouse=True)
def _open(shop: Shop) -> None:
    """The shop's service runs, and the updater's log can be read by a program."""
    shop.policy = {"health_stable": 1}
    shop.settings = {"log_format": "json"}
    shop.push("latest", lab.good("one"))
    shop.write(text=WEB)
    shop.up()


@contextmanager
def daemon(shop: Shop) -> Iterator[subprocess.Popen[str]]:
    child = shop.updater()
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.communicate(timeout=150)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()


def lines(shop: Shop, event: str, **fields: object) -> list[Mapping[str, Any]]:
    """What the log says of one kind of event so far. Every line has to be JSON."""
    path = shop.folder / "updater.log"
    text = path.read_text() if path.exists() else ""
    found = [json.loads(line) for line in text.split("\n")[:-1]]
    return [one for one in found if one["event"] == event and fields.items() <= one.items()]


def await_line(shop: Shop, event: str, count: int = 1, **fields: object) -> Mapping[str, Any]:
    found = lab.until(
        lambda: lines(shop, event, **fields)[count - 1 :], what=f"line {count} of {event} {fields}"
    )
    return dict(found[0])


def reconfigure(shop: Shop, text: str | None = None) -> None:
    (shop.folder / "config.json").write_text(json.dumps(shop.config()) if text is None else text)


# ----------------------------------------------------------------------------------------- checks and signals


def test_it_checks_at_its_start_and_on_usr1_and_ends_at_once_when_it_is_idle(shop: Shop) -> None:
    shop.push("latest", lab.good("two"))
    with daemon(shop) as child:
        await_line(shop, "cycle_ended")
        assert shop.releases() == [("two", "running")]
        shop.push("latest", lab.good("three"))
        child.send_signal(signal.SIGUSR1)
        await_line(shop, "cycle_ended", 2)
        assert shop.releases() == [("three", "running")]
        child.terminate()
        assert child.wait(timeout=150) == 0, "it does not sit the interval of an hour out"
    assert len(lines(shop, "stopped")) == 1
    assert len(lines(shop, "cycle_ended")) == 2, "between checks it rests for the whole interval"


def test_a_daemon_to_which_nothing_happens_says_one_line_a_cycle(shop: Shop) -> None:
    shop.settings |= {"check_interval": 1, "pause_updates": True}
    shop.push("latest", lab.good("two"))
    with daemon(shop):
        await_line(shop, "cycle_ended", 4)
        text = (shop.folder / "updater.log").read_text()
    events = [json.loads(line)["event"] for line in text.split("\n")[:-1]]
    first = events.index("cycle_ended")
    assert {"started", "checked"} <= set(events[:first])
    assert ", on Docker Engine " in lines(shop, "started")[0]["message"]
    assert set(events[first:]) == {"cycle_ended"}


def test_a_storm_of_signals_neither_hangs_nor_kills_it(shop: Shop) -> None:
    with daemon(shop) as child:
        await_line(shop, "cycle_ended")
        for count in range(20_000):
            child.send_signal(signal.SIGHUP if count % 2 else signal.SIGUSR1)
        shop.push("latest", lab.good("two"))
        child.send_signal(signal.SIGUSR1)
        lab.until(lambda: shop.releases() == [("two", "running")], what="the update after the storm")
        await_line(shop, "config_loaded")
        child.terminate()
        for _ in range(1000):
            child.send_signal(signal.SIGHUP)
            child.send_signal(signal.SIGUSR1)
        assert child.wait(timeout=150) == 0


def test_hup_says_when_the_log_can_no_longer_go_to_its_file(shop: Shop) -> None:
    with daemon(shop) as child:
        await_line(shop, "cycle_ended")
        shop.settings["log_file"] = str(shop.compose_file / "updater.log")
        reconfigure(shop)
        child.send_signal(signal.SIGHUP)
        assert child.stdout is not None
        until_said = next(line for line in child.stdout if "LOG_FILE" in line)
        assert "cannot be written" in json.loads(until_said)["message"]


def _end_at_the_gate(shop: Shop, child: subprocess.Popen[str]) -> None:
    """TERM while the new release is neither proven nor bad.

    It becomes so only after the daemon has the signal.
    """
    await_line(shop, "update_step", step="gate")
    child.terminate()
    assert shop.releases() == [("two", "running")]
    assert not lines(shop, "updated") + lines(shop, "rolled_back")
    let_go(shop)
    assert child.wait(timeout=120) == 0


def test_term_during_the_gate_finishes_the_update(shop: Shop) -> None:
    shop.push("latest", slow("two", "exit 0"))
    with daemon(shop) as child:
        _end_at_the_gate(shop, child)
    assert len(lines(shop, "updated")) == 1
    assert shop.releases() == [("two", "running")]
    assert shop.state()["status"] == "updated"
    assert shop.strays() == []


def test_term_during_the_gate_of_a_bad_release_still_goes_back(shop: Shop) -> None:
    shop.push("latest", slow("two", "exit 1"))
    with daemon(shop) as child:
        _end_at_the_gate(shop, child)
    assert len(lines(shop, "rolled_back")) == 1
    assert shop.releases() == [("one", "running")]
    assert shop.state()["status"] == "rolled_back"
    assert shop.strays() == []


def test_hup_takes_a_good_configuration_over_and_keeps_the_old_one_when_it_is_bad(shop: Shop) -> None:
    shop.settings["pause_updates"] = True
    shop.push("latest", lab.good("two"))
    with daemon(shop) as child:
        await_line(shop, "cycle_ended")
        good = json.dumps(shop.config())
        reconfigure(
            shop, good.replace('"pause_updates": true', '"pause_updates": "perhaps", "colour": "blue"')
        )
        child.send_signal(signal.SIGHUP)
        refused = await_line(shop, "config_refused")
        assert refused["level"] == "ERROR"
        assert "pause_updates" in refused["message"]
        assert "colour" in refused["message"]
        await_line(shop, "cycle_ended", 2)
        assert shop.releases() == [("one", "running")], "the old configuration says to wait"
        shop.settings["pause_updates"] = False
        reconfigure(shop)
        child.send_signal(signal.SIGHUP)
        await_line(shop, "config_loaded")
        await_line(shop, "updated")
        assert shop.releases() == [("two", "running")]


# ---------------------------------------------------------------------------------------------- one at a time


def test_a_second_updater_of_the_same_state_ends_with_4(shop: Shop) -> None:
    with daemon(shop) as child:
        await_line(shop, "cycle_ended")
        for words in ((), ("--once",)):
            status, said = shop.run(*words)
            assert status == 4
            assert "Traceback" not in said
            assert str(child.pid) in said or "another" in said.lower()
        assert child.poll() is None


def test_what_an_operator_asks_for_is_handed_to_the_daemon_that_runs(shop: Shop) -> None:
    shop.push("latest", lab.good("two"))
    with daemon(shop):
        await_line(shop, "cycle_ended")
        status, said = shop.run("--rollback", shop.name)
        assert status == 0, said
        await_line(shop, "updated", 2)
        assert shop.releases() == [("one", "running")]
        await_line(shop, "cycle_ended", 2)
        assert shop.releases() == [("one", "running")]
        status, said = shop.run("--retry", shop.name)
        assert status == 0, said
        await_line(shop, "updated", 3)
        assert shop.releases() == [("two", "running")]


# ---------------------------------------------------------------------------------------------- whom it tells


def bodies(listener: Listener) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in list(listener.requests)]


def test_updates_and_rollbacks_are_reported_with_ids_that_stay(shop: Shop) -> None:
    with listening() as listener:
        shop.settings["webhook_url"] = f"{listener.url}/hook"
        listener.fail(1)
        two = shop.push("latest", lab.good("two"))
        with daemon(shop) as child:
            first, again = lab.until(
                lambda: bodies(listener)[1:] and bodies(listener)[:2], what="reported twice"
            )
            assert first == again
            assert (first["event"], first["service"]) == ("update", shop.name)
            assert first["to"]["digest"] == two.digest
            three = shop.push("latest", lab.exits("three"))
            child.send_signal(signal.SIGUSR1)
            (reported,) = lab.until(lambda: bodies(listener)[2:], what="the rollback is reported")
        assert (reported["event"], reported["reason"]) == ("rollback", "restarting")
        assert (reported["from"]["digest"], reported["to"]["digest"]) == (three.digest, two.digest)
        assert reported["id"] != first["id"]
        assert len(listener.requests) == 3


def test_what_could_not_be_reported_is_reported_after_a_restart(shop: Shop) -> None:
    shop.settings["webhook_url"] = "http://127.0.0.1:1/nobody-listens"
    shop.push("latest", lab.good("two"))
    with daemon(shop) as child:
        await_line(shop, "updated")
        await_line(shop, "cycle_ended")
        failed = await_line(shop, "notify_failed")
        assert failed["level"] == "WARNING"
        assert "nobody-listens" not in failed["message"]
        child.kill()
        child.wait()
    with listening() as listener:
        shop.settings["webhook_url"] = listener.url
        with daemon(shop):
            lab.until(lambda: listener.requests, what="the update is reported")
            await_line(shop, "cycle_ended", 2)
        assert [(body["event"], body["service"]) for body in bodies(listener)] == [("update", shop.name)]


def test_an_outbox_that_cannot_be_written_harms_nobody(shop: Shop) -> None:
    (shop.folder / "state").mkdir()
    (shop.folder / "state" / "outbox").write_text("not a folder")
    with listening() as listener:
        shop.settings["webhook_url"] = listener.url
        shop.push("latest", lab.good("two"))
        with daemon(shop) as child:
            lab.until(lambda: shop.releases() == [("two", "running")], what="the update")
            await_line(shop, "cycle_ended")
            shop.push("latest", lab.good("three"))
            child.send_signal(signal.SIGUSR1)
            await_line(shop, "cycle_ended", 2)
            assert shop.releases() == [("three", "running")]
            assert child.poll() is None
        said = (shop.folder / "updater.log").read_text()
        assert "outbox" in said
        (shop.folder / "state" / "outbox").unlink()
        with daemon(shop):
            lab.until(
                lambda: len(listener.requests) >= 2, what="both updates are reported once that is possible"
            )


def test_metrics_answer_and_every_log_line_is_json(shop: Shop) -> None:
    port = free_port()
    shop.settings["metrics_port"] = port
    shop.push("latest", lab.good("two"))
    with daemon(shop) as child:
        await_line(shop, "cycle_ended")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as reply:
            shown = reply.read().decode()
        assert f'docker_updater_updates_total{{service="{shop.name}"}} 1.0' in shown
        assert f'docker_updater_service_state{{service="{shop.name}",state="updated"}} 1.0' in shown
        assert "sha256:" not in shown, "no digest is a label"
        child.terminate()
        out, _ = child.communicate(timeout=120)
    printed = [json.loads(line) for line in out.splitlines()]
    assert [line["event"] for line in printed][-1] == "stopped"
    assert {"ts", "level", "event", "service", "message"} <= set.intersection(*map(set, printed))
    updated = next(line for line in printed if line["event"] == "updated")
    assert updated["service"] == shop.name
    assert updated["duration_seconds"] > 0


# -------------------------------------------------------------------------------------------- a private image


def test_a_private_image_is_checked_and_pulled_with_the_credentials(shop: Shop) -> None:
    shop.registry.auth = Bearer("jane", "hunter2")
    shop.registry.clear_log()
    two = shop.push("latest", fresh("two"))
    shop.policy["registry_config"] = {"username": "jane", "password": "hunter2"}
    with daemon(shop):
        await_line(shop, "updated")
    assert shop.releases() == [("two", "running")]
    fetched = [entry for entry in shop.registry.log if entry.kind == "blob" and two.layers[0] in entry.path]
    assert fetched
    assert all(entry.headers.get("authorization", "").startswith("Bearer ") for entry in fetched[-1:])


def test_a_private_image_without_credentials_is_unknown_and_says_so(shop: Shop) -> None:
    shop.registry.auth = Bearer("jane", "hunter2")
    shop.push("latest", fresh("two"))
    with daemon(shop):
        failed = await_line(shop, "check_failed")
    assert (failed["level"], failed["reason"]) == ("WARNING", "auth_error")
    assert shop.releases() == [("one", "running")]
    assert shop.state()["status"] == "unknown"

"""The operator's orders at the command line, with the real engine: with no daemon, and handed to one that
runs.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support import lab
from tests.support.failures import opened
from tests.support.lab import Shop, until
from tests.support.listener import Listener, listening

pytestmark = pytest.mark.engine

WHO = os.environ.get("SUDO_USER") or "root"


def events(listener: Listener) -> list[tuple[str, str]]:
    bodies: list[dict[str, Any]] = [json.loads(request.body) for request in listener.requests]
    listener.requests.clear()
    return [(body["event"], body["reason"]) for body in bodies]


def standing(shop: Shop) -> tuple[str, str | None]:
    """What runs, and why nothing else does."""
    assert shop.run("--once")[0] == 0
    return shop.releases()[0][0], shop.state()["reason"]


@contextmanager
def daemon(shop: Shop) -> Iterator[subprocess.Popen[str]]:
    child = shop.updater()
    try:
        until(lambda: "all well" in log(shop) or "waits" in log(shop), what="the daemon's first cycle")
        yield child
    finally:
        child.terminate()
        child.communicate(timeout=150)


def log(shop: Shop) -> str:
    path = shop.folder / "updater.log"
    return path.read_text() if path.exists() else ""


def test_an_image_waits_for_a_yes_to_exactly_this_digest(shop: Shop) -> None:
    shop.policy = {"mode": "approve"}
    opened(shop)
    with listening() as listener:
        shop.settings = {"webhook_url": listener.url}
        assert shop.run("--approve", shop.name)[0] == 1  # nothing waits yet
        two = shop.push("latest", lab.good("two"))
        assert standing(shop) == ("one", "awaiting_approval")
        assert standing(shop) == ("one", "awaiting_approval")
        assert events(listener) == [("approval", "awaiting_approval")]
        status, out = shop.run("--approve", shop.name)
        assert (status, "may be taken" in out) == (0, True), out
        shop.push("latest", lab.good("three"))
        assert standing(shop) == ("one", "awaiting_approval")
        assert events(listener) == [("order", "approve"), ("approval", "awaiting_approval")]
        assert shop.run("--approve", shop.name)[0] == 0
        assert standing(shop) == ("three", None)
        assert events(listener) == [("order", "approve"), ("update", "update")]
    assert shop.state()["changes"][0]["detail"].endswith(f"; approved by {WHO}")
    assert [(each["kind"], each["who"], each["is_done"]) for each in shop.state()["orders"]] == [
        ("approve", WHO, True), ("approve", WHO, True), ("approve", WHO, False)]  # fmt: skip
    assert shop.state()["orders"][1]["digest"] == two.digest
    status, out = shop.run("--status", "--service", shop.name)
    assert (status, f"approve by {WHO}" in out) == (0, True), out


def test_update_passes_window_mode_and_age_and_never_a_quarantine(shop: Shop) -> None:
    shop.policy = {"mode": "notify", "min_age": "3d", "maintenance_window": "03:00-03:01"}
    opened(shop, lab.healthy("one"))
    assert shop.run("--update", shop.name)[0] == 0  # it is up to date
    shop.push("latest", lab.healthy("two"))
    assert standing(shop) == ("one", "too_young")
    status, out = shop.run("--update", shop.name)
    assert (status, shop.releases()) == (0, [("two", "running")]), out
    assert shop.state()["changes"][0]["detail"].endswith(f"; asked for by {WHO}")
    shop.push("latest", lab.unhealthy("bad"))
    assert shop.run("--update", shop.name)[0] == 1
    status, out = shop.run("--update", shop.name)
    assert (status, "quarantined" in out, "--retry" in out) == (1, True, True), out
    assert shop.releases() == [("two", "running")]
    assert len(shop.state()["changes"]) == 2  # it was not tried once more


def test_skip_holds_one_digest_under_any_tag_until_a_newer_one(shop: Shop) -> None:
    shop.policy = {"semver_pattern": "*"}
    opened(shop, lab.good("1.0.0"), tag="1.0.0")
    shop.policy |= {"pause_updates": True}
    bad = lab.good("1.1.0")
    shop.push("1.1.0", bad)
    assert standing(shop) == ("1.0.0", "paused")
    assert shop.run("--skip", shop.name)[0] == 0
    shop.policy |= {"pause_updates": False}
    shop.push("1.2.0", bad)
    assert standing(shop) == ("1.0.0", "skipped")
    status, out = shop.run("--update", shop.name)
    assert (status, f"--approve {shop.name}" in out) == (1, True), out
    shop.push("1.3.0", lab.good("1.3.0"))
    assert standing(shop) == ("1.3.0", None)


def test_a_skip_is_taken_back_by_the_command_that_its_remedy_names(shop: Shop) -> None:
    opened(shop)
    shop.policy |= {"mode": "approve"}
    shop.push("latest", lab.good("two"))
    assert standing(shop) == ("one", "awaiting_approval")
    assert shop.run("--skip", shop.name)[0] == 0
    status, out = shop.run("--once")
    assert (status, "waits for an approval" in out) == (0, False), (
        "a skip is an answer: nothing more is asked"
    )
    assert standing(shop) == ("one", "skipped")
    assert "--approve" in shop.state()["remedy"]
    assert shop.run("--approve", shop.name)[0] == 0
    shop.policy |= {"mode": "auto"}
    assert standing(shop) == ("two", None)


def test_a_pause_of_all_is_seen_ends_by_itself_and_outlives_restart_and_reload(shop: Shop) -> None:
    opened(shop)
    with listening() as listener:
        shop.settings = {"webhook_url": listener.url}
        assert shop.run("--resume", "all")[0] == 1
        assert shop.run("--pause", "all", "--for", "3d")[0] == 0
        shop.push("latest", lab.good("two"))
        assert standing(shop) == ("one", "paused")
        assert f"all: paused by {WHO}" in shop.run("--status")[1]
        status, out = shop.run("--resume", shop.name)
        assert (status, "--resume all" in out) == (1, True), out
        status, out = shop.run("--update", shop.name)
        assert (status, "--resume all" in out) == (1, True), out
        assert shop.run("--pause", "all", "--for", "10s")[0] == 0
        with daemon(shop):
            until(lambda: shop.releases() == [("two", "running")], what="the update after the pause")
            until(lambda: len(listener.requests) == 3, what="the message of the update")
        assert [kind for kind, _ in events(listener)] == ["order", "order", "update"]
    assert "paused" not in shop.run("--status")[1]


def test_orders_are_handed_to_a_daemon_that_runs(shop: Shop) -> None:
    shop.policy = {"mode": "approve"}
    opened(shop)
    two = shop.push("latest", lab.good("two"))
    with daemon(shop):
        until(lambda: _state(shop).get("reason") == "awaiting_approval", what="the question")
        status, out = shop.run("--resume", shop.name)
        assert (status, "is not paused" in out) == (1, True), out
        until(lambda: _kinds(shop) == ["resume"], what="the record of the refused order")
        assert (shop.state()["orders"][0]["is_done"], bool(shop.state()["orders"][0]["who"])) == (False, True)
        assert "is not paused" in shop.state()["orders"][0]["detail"]
        status, out = shop.run("--pause", "nobody")
        assert (status, "no service is called" in out) == (2, True), out
        status, out = shop.run("--pause", shop.name)
        assert (status, "handed to the updater that is running" in out) == (0, True), out
        until(lambda: _kinds(shop) == ["pause", "resume"], what="the pause")
        assert shop.run("--approve", shop.name)[0] == 0
        until(lambda: _kinds(shop) == ["approve", "pause", "resume"], what="the approval")
        assert shop.releases() == [("one", "running")]
        assert shop.run("--resume", shop.name)[0] == 0
        until(lambda: shop.releases() == [("two", "running")], what="the update")
    assert shop.state()["orders"][1]["digest"] == two.digest


def _state(shop: Shop) -> Mapping[str, Any]:
    return shop.state() if (shop.folder / "state" / "state.json").exists() else {}


def _kinds(shop: Shop) -> list[str]:
    return [each["kind"] for each in _state(shop).get("orders", ())]


def test_a_disabled_service_and_a_name_that_is_not_there_have_clear_answers(shop: Shop) -> None:
    opened(shop)
    shop.policy |= {"enabled": False}
    for kind in ("--update", "--pause", "--skip", "--approve"):
        status, out = shop.run(kind, shop.name)
        assert (status, "is disabled" in out) == (1, True), out
    assert shop.run("--update", "nobody")[0] == 2
    assert shop.run("--update", "all")[0] == 2

"""Hooks on the real engine: on the host and in the service's containers, and what a failure of each leads
to.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.support import lab
from tests.support.lab import Shop, until
from updater_core.models import Committed, NotStarted, RolledBack

pytestmark = pytest.mark.engine

_SAY = "echo $DAU_HOOK $DAU_SERVICE $DAU_FROM $DAU_TO $DAU_REASON ${DAU_OUTCOME:-} >> {log}"
_FACTS = 'cat /release; echo " $DAU_HOOK of $DAU_SERVICE"'


def two_releases(shop: Shop) -> Path:
    """v1 runs, v2 is there; a folder for what hooks write."""
    for tag in ("v1", "v2"):
        shop.push(tag, lab.good(tag))
    shop.write("v1")
    shop.up()
    return shop.folder / "said"


def said(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def test_each_hook_runs_at_its_turn_and_knows_what_it_is_about(shop: Shop) -> None:
    log = two_releases(shop)
    say = _SAY.replace("{log}", str(log))
    in_container = {"in": "container", "run": _FACTS}
    shop.policy = {
        "semver_pattern": "v*",
        "pre_update": in_container,
        "post_update": in_container,
        "on_success": say,
    }
    assert isinstance(shop.cycle().outcomes[0], Committed)
    old, new = f"{shop.repository}:v1", f"{shop.repository}:v2"
    assert said(log) == [f"on_success {shop.name} {old} {new} update committed"]
    runs = {run["kind"]: run for run in shop.state()["changes"][0]["hooks"]}
    assert runs["pre_update"]["output"] == f"v1 pre_update of {shop.name}", "in the old container"
    assert runs["post_update"]["output"] == f"v2 post_update of {shop.name}", "in the new one"
    assert {run["result"] for run in runs.values()} == {"done"}
    _, shown = shop.run("--status", "--service", shop.name)
    assert f"| v1 pre_update of {shop.name}" in shown


def test_a_failed_backup_stops_the_update_and_a_failed_smoke_test_takes_it_back(shop: Shop) -> None:
    log = two_releases(shop)
    say = _SAY.replace("{log}", str(log))
    identity = shop.containers()[0].id
    shop.policy = {"semver_pattern": "v*", "pre_update": "echo the disk is full; exit 4", "on_failure": say}
    outcome = shop.cycle().outcomes[0]
    assert isinstance(outcome, NotStarted)
    assert outcome.cause.message == "the hook pre_update ended with 4: the disk is full"
    assert shop.containers()[0].id == identity
    state = shop.state()
    assert (state["status"], state["reason"], state["quarantine"]) == ("failed", "pre_update_failed", [])
    assert state["retry_at"] is not None
    assert said(log)[0].endswith("pre_update_failed not_started")

    shop.run("--retry", shop.name)
    shop.policy = {
        "semver_pattern": "v*",
        "post_update": ["sh", "-c", "echo 500 >&2; exit 22"],
        "on_failure": say,
    }
    outcome = shop.cycle().outcomes[0]
    assert isinstance(outcome, RolledBack)
    assert shop.releases() == [("v1", "running")]
    state = shop.state()
    assert (state["status"], state["quarantine"][0]["reason"]) == ("rolled_back", "post_update_failed")
    assert said(log)[1].endswith("post_update_failed rolled_back")
    assert shop.strays() == []


def test_a_kill_in_each_hook_leaves_the_service_whole(shop: Shop) -> None:
    """By SIGKILL of the real updater; what follows an outcome runs once at most."""
    log = two_releases(shop)
    waits = f"echo $$ > {shop.folder}/at; while :; do sleep 1; done"

    def killed_in(kind: str, **others: str) -> None:
        (shop.folder / "at").unlink(missing_ok=True)
        shop.policy = {"semver_pattern": "v*", kind: waits, **others}
        updater = shop.updater("--once")
        until(lambda: (shop.folder / "at").exists(), what=f"the hook {kind} has begun")
        updater.send_signal(signal.SIGKILL)
        updater.wait()
        until(
            lambda: not Path(f"/proc/{(shop.folder / 'at').read_text().strip()}").exists(),
            what="the hook is gone",
        )
        shop.policy = {"mode": "notify", **others}  # the next start recovers, and begins nothing

    say = _SAY.replace("{log}", str(log))
    identity = shop.containers()[0].id
    killed_in("pre_update", on_failure=say)
    outcome = shop.cycle().outcomes[0]
    assert isinstance(outcome, NotStarted)
    assert shop.containers()[0].id == identity
    assert said(log)[-1].endswith("interrupted not_started"), (
        "what a pre_update has stopped can be started again"
    )

    shop.run("--retry", shop.name)
    killed_in("post_update")
    outcome = shop.cycle().outcomes[0]
    assert isinstance(outcome, RolledBack)
    assert not outcome.quarantine
    assert shop.releases() == [("v1", "running")]

    shop.run("--retry", shop.name)
    killed_in("on_success")
    assert shop.releases() == [("v2", "running")]
    shop.policy = {"semver_pattern": "v*", "on_success": say}
    before = said(log)
    assert shop.cycle().outcomes == ()
    assert said(log) == before, "it is not run a second time"
    assert shop.state()["changes"][0]["hooks"][-1]["result"] == "begun"
    assert shop.strays() == []


def test_hooks_that_cannot_be_run_are_named_before_the_night(shop: Shop) -> None:
    two_releases(shop)
    shop.policy = {"semver_pattern": "v*", "post_update": ["/nowhere/smoke-test"]}
    status, out = shop.run("--test")
    assert status != 0
    assert f"FAIL  hook post_update of {shop.name}: /nowhere/smoke-test is not found" in out
    outcome = shop.cycle().outcomes[0]
    assert isinstance(outcome, NotStarted)
    assert shop.state()["reason"] == "hook_missing"


def test_a_configuration_that_others_may_write_may_hold_no_hook(shop: Shop) -> None:
    two_releases(shop)
    shop.policy = {"on_success": "true"}
    (shop.folder / "config.json").write_text(json.dumps(shop.config()))
    (shop.folder / "config.json").chmod(0o666)
    status, out = shop.run("--status")
    assert status == 2
    assert "it has hooks, which run as this user" in out
    remedy = out.rpartition("Run `sudo ")[2].partition("`")[0].split()
    assert remedy[:2] == ["chmod", "go-w"]
    (shop.folder / "config.json").chmod(0o644)
    assert shop.run("--status")[0] == 0

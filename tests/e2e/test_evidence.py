"""What a release that failed has left is kept with its rollback: the end of its log, exit status, last
probe.
"""

from __future__ import annotations

import json

import pytest

from tests.support import lab
from tests.support.lab import Shop, until
from tests.support.listener import listening
from updater_core.models import RolledBack

pytestmark = pytest.mark.engine

_COMPOSE = """\
services:
  web:
    image: {image}
    restart: unless-stopped
    stop_grace_period: 1s
    network_mode: none
    environment:
      DB_PASSWORD: correct-horse-9
      DATABASE: postgres://shop:staple-battery@db/shop
"""
# The command writes 61 lines, the last of them with its passwords, and is unhealthy for as long as it runs.
# All of them go to standard error: the engine copies the two streams side by side and promises no order
# between them.
_SCRIPT = (
    "exec >&2; i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo line $i; done; "
    "echo connecting as $DB_PASSWORD to $DATABASE; while :; do sleep 1; done"
)


def test_log_and_last_probe_of_an_unhealthy_release_are_kept_without_its_passwords(shop: Shop) -> None:
    shop.push("v1", lab.healthy("one"))
    shop.write("v1", _COMPOSE)
    shop.up()
    shop.push("v2", lab.build("two", _SCRIPT, healthcheck="echo no route to $DB_PASSWORD; exit 1"))
    shop.policy = {"semver_pattern": "v*"}
    with listening() as receiver:
        shop.settings = {"webhook_url": receiver.url}
        outcome = shop.cycle().outcomes[0]
        assert isinstance(outcome, RolledBack)
        message = json.loads(until(lambda: receiver.requests, what="the message is there")[0].body)
    assert shop.releases() == [("one", "running")]
    (kept,) = shop.state()["changes"][0]["evidence"]
    assert (kept["status"], kept["exit_code"], kept["oom_killed"], kept["health"]) == (
        "running", None, False, "unhealthy",
    )  # fmt: skip
    assert kept["last_probe"] == "no route to ***"
    assert len(kept["log"]) == 50
    assert kept["log"][-2:] == ["line 60", "connecting as *** to ***"]
    assert message["evidence"] == [kept]
    _, said = shop.run("--status", "--service", shop.name)
    assert "| connecting as *** to ***" in said
    assert "running, unhealthy; last probe: no route to ***" in said
    everywhere = "".join(path.read_text() for path in (shop.folder / "state").rglob("*.json")) + said
    assert "correct-horse" not in everywhere
    assert "staple-battery" not in everywhere


def test_exit_status_and_log_of_a_release_that_ends_are_kept(shop: Shop) -> None:
    shop.push("v1", lab.good("one"))
    shop.write("v1")
    shop.up()
    shop.push("v2", lab.exits("two"))
    shop.policy = {"semver_pattern": "v*"}
    assert isinstance(shop.cycle().outcomes[0], RolledBack)
    (kept,) = shop.state()["changes"][0]["evidence"]
    assert kept["exit_code"] == 3
    assert set(kept["log"]) == {"no config"}

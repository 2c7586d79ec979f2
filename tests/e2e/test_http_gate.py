"""A release has to answer at `health_url`: one that does not is taken back, and its answer kept."""

from __future__ import annotations

import pytest

from tests.support import lab
from tests.support.lab import Shop
from tests.support.ports import free_port
from updater_core.models import Committed, RolledBack

pytestmark = pytest.mark.engine

_PUBLISHED = """\
services:
  web:
    image: {{image}}
    stop_grace_period: 1s
    ports: ["127.0.0.1:{port}:80"]
"""


def test_a_release_that_does_not_answer_as_wanted_is_taken_back(shop: Shop) -> None:
    """None of these images has a healthcheck, and all of them run well."""
    port = free_port()
    shop.push("v1", lab.answers("one"))
    shop.write("v1", _PUBLISHED.format(port=port))
    shop.up()
    address = f"http://127.0.0.1:{port}/release"
    shop.policy = {"semver_pattern": "v*", "health_url": address, "health_timeout": 30}
    shop.push("v2", lab.answers("two"))
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert shop.releases() == [("two", "running")]

    shop.push("v3", lab.answers("three"))
    shop.policy |= {"health_url": f"{address}/gone", "health_timeout": 3}
    outcome = shop.cycle().outcomes[0]
    assert isinstance(outcome, RolledBack)
    assert shop.releases() == [("two", "running")]
    state = shop.state()
    assert (state["reason"], state["quarantine"][0]["reason"]) == ("probe_failed", "probe_failed")
    assert "/gone answered 404" in state["detail"]
    assert "200-399 is wanted within 3 s" in state["detail"]
    assert "/gone answered 404" in state["changes"][0]["evidence"][0]["last_probe"]

    shop.push("v4", lab.build("four", "echo begun; sleep 5; exit 9", base=lab.busybox()))
    shop.policy |= {"health_url": address, "health_timeout": 600}
    outcome = shop.cycle().outcomes[0]
    assert isinstance(outcome, RolledBack), (
        "a container that ends fails at once, whatever the address has yet to say"
    )
    assert outcome.cause.reason in ("exited", "restarting", "not_running")
    assert shop.releases() == [("two", "running")]

    status, out = shop.run("--test")
    assert f"ok    health_url of {shop.name}: {address} answered 200" in out
    assert status == 0

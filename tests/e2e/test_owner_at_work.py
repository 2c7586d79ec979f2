"""The owner is at work beside an update, or left things half done: no good release is blamed for it."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Mapping
from typing import Any

import pytest

from tests.support import lab
from tests.support.fake_registry import Build
from tests.support.lab import Shop, until
from tests.support.trouble import during_the_gate, gates, let_go, runs, slow
from updater_core.models import Committed, Reason, RolledBack

pytestmark = pytest.mark.engine

_COMMON = "    stop_grace_period: 1s\n    restart: unless-stopped\n"
WEB = "services:\n  web:\n    image: {image}\n    network_mode: none\n" + _COMMON


def companion(shop: Shop, name: str, mode: str) -> str:
    return f"  {name}:\n    image: {shop.repository}:agent\n    {mode}\n{_COMMON}"


def opened(shop: Shop, *more: str, agent: Build | None = None, web: str = "") -> None:
    """The shop with its first release and companions running."""
    shop.policy = {"health_stable": 1}
    shop.push("latest", lab.good("one"))
    shop.push("agent", agent or lab.good("agent"))
    shop.write(text=WEB + web + "".join(more))
    shop.up()


def host_config(shop: Shop, service: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = shop.containers(service)[0].attrs["HostConfig"]
    return found


def test_companions_of_companions_go_along(shop: Shop) -> None:
    opened(
        shop,
        companion(shop, "agent", "network_mode: service:web"),
        companion(shop, "probe", "network_mode: none\n    pid: service:agent"),
    )
    shop.push("latest", lab.good("two"))
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert shop.releases() == [("two", "running")]
    assert host_config(shop, "agent")["NetworkMode"] == f"container:{shop.containers()[0].id}"
    assert host_config(shop, "probe")["PidMode"] == f"container:{shop.containers('agent')[0].id}"
    assert shop.releases("probe") == [("agent", "running")]


def test_a_companion_that_joins_by_the_containers_name_goes_along(shop: Shop) -> None:
    vpn = f"{shop.name}-vpn"
    agent = companion(shop, "agent", f"network_mode: container:{vpn}\n    depends_on: [web]")
    opened(shop, agent, web=f"    container_name: {vpn}\n")
    shop.push("latest", lab.good("two"))
    assert isinstance(shop.cycle().outcomes[0], Committed)
    shop.containers("agent")[0].restart(timeout=1)  # which a dead namespace would refuse
    assert shop.releases("agent") == [("agent", "running")]


def test_a_companion_that_its_owner_has_stopped_stays_stopped(shop: Shop) -> None:
    opened(shop, companion(shop, "agent", "network_mode: service:web"))
    shop.compose("stop", "agent")
    shop.push("latest", lab.good("two"))
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert [status for _, status in shop.releases("agent")] == ["exited"]


def test_a_companion_that_was_sick_before_is_not_held_against_a_good_release(shop: Shop) -> None:
    opened(shop, companion(shop, "agent", "network_mode: service:web"), agent=lab.unhealthy("agent"))
    until(lambda: shop.containers("agent")[0].health == "unhealthy", what="a sick companion")
    shop.push("latest", lab.good("two"))
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert shop.releases() == [("two", "running")]


def test_a_companions_undeployed_edit_is_not_deployed_by_us(shop: Shop) -> None:
    opened(shop, companion(shop, "agent", "network_mode: service:web"))
    with shop.compose_file.open("a") as file:
        file.write("    command: [/bin/sh, -c, 'exit 9']  # half done\n")
    shop.push("latest", lab.good("two"))
    before = shop.containers()[0].id, shop.containers("agent")[0].id
    assert shop.cycle().outcomes == ()
    assert shop.state()["reason"] == Reason.DRIFT.value
    assert "agent differs from its file" in shop.state()["detail"]
    assert (shop.containers()[0].id, shop.containers("agent")[0].id) == before
    assert shop.releases() == [("one", "running")]
    assert shop.releases("agent") == [("agent", "running")]


def test_a_new_index_with_the_same_image_is_no_restart_of_the_release(shop: Shop) -> None:
    once = "[ -f /once ] || { echo > /once; exit 1; }; "
    image = lab.build("one", once + lab._FOREVER)
    shop.policy = {"health_stable": 1}
    shop.push("latest", dataclasses.replace(image, index=True))
    shop.write(text=WEB)
    shop.up()
    until(lambda: shop.containers()[0].attrs["RestartCount"] == 1, what="a restart before the update")
    until(lambda: shop.releases() == [("one", "running")], what="the release after it")
    shop.push("latest", dataclasses.replace(image, platforms=("linux/amd64", "linux/arm64")))
    assert isinstance(shop.cycle().outcomes[0], Committed)


def test_a_stop_by_the_owner_during_the_gate_is_not_held_against_the_release(shop: Shop) -> None:
    opened(shop)
    shop.push("latest", slow("two", "true"))
    (outcome,) = during_the_gate(shop, "two", lambda: shop.compose("stop")).outcomes
    assert isinstance(outcome, RolledBack)
    assert (outcome.cause.reason, outcome.quarantine) == (Reason.NOT_RUNNING, False)
    assert shop.state()["quarantine"] == []


def test_a_ctrl_c_does_not_tear_a_rollback(shop: Shop) -> None:
    shop.policy = {"semver_pattern": "*", "health_stable": 1}
    shop.push("1.0.0", slow("1.0.0", "exit 0"))
    shop.write("1.0.0", text=WEB)
    shop.up()
    let_go(shop)
    until(lambda: shop.containers()[0].health == "healthy", what="a healthy start")
    shop.push("1.1.0", lab.good("1.1.0"))
    assert isinstance(shop.cycle().outcomes[0], Committed)
    child = shop.updater("--rollback", shop.name)
    until(lambda: gates(shop), what="the gate of the way back")
    child.send_signal(signal.SIGINT)
    assert child.poll() is None, "it waits for the release, which is told to go on only now"
    let_go(shop)
    out, _ = child.communicate(timeout=150)
    assert child.returncode == 0, out
    assert shop.releases() == [("1.0.0", "running")]
    assert shop.state()["status"] == "updated"
    assert shop.strays() == []


def test_a_request_that_meets_a_single_run_is_carried_out_by_it(shop: Shop) -> None:
    shop.policy = {"semver_pattern": "*", "health_stable": 1}
    shop.push("1.0.0", lab.good("1.0.0"))
    shop.write("1.0.0", text=WEB)
    shop.up()
    shop.push("1.1.0", slow("1.1.0", "exit 0"))
    child = shop.updater("--once")
    until(lambda: runs(shop, "1.1.0"), what="the update")
    status, said = shop.run("--rollback", shop.name)
    assert (status, "handed" in said) == (0, True)
    let_go(shop)
    out, _ = child.communicate(timeout=150)
    assert child.returncode == 0, out
    assert shop.releases() == [("1.0.0", "running")]

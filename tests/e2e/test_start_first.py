"""Start-first on the real engine, with real Compose: the new containers beside the old, which go when the new
are proven, and are never touched before.
"""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.support import lab, newer_docker
from tests.support.fake_registry import Build
from tests.support.lab import Shop
from updater_core.models import Committed, Reason, RolledBack

pytestmark = pytest.mark.engine

WEB = """\
services:
  web:
    image: {image}
    restart: unless-stopped
    stop_grace_period: 1s
    volumes: [./shared:/shared]
"""
START_FIRST = {"update_order": "start-first", "health_stable": 1, "health_timeout": 60}


@pytest.fixture(autouse=True)
def _start_first(shop: Shop) -> None:
    shop.policy = dict(START_FIRST)
    (shop.folder / "shared").mkdir()


def begin(shop: Shop, text: str = WEB, image: Build | None = None) -> dict[str, str]:
    """Start the first release; the id of each container with the time of its start."""
    shop.push("latest", image or lab.healthy("one"))
    shop.write(text=text)
    shop.up()
    return started(shop)


def started(shop: Shop) -> dict[str, str]:
    return {each.id: each.attrs["State"]["StartedAt"] for each in shop.containers()}


@pytest.fixture(params=["2.26", "2.40"])
def compose_version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "2.40":
        newer_docker.use_compose(monkeypatch)
    return str(request.param)


@pytest.mark.usefixtures("compose_version")
def test_new_containers_take_the_place_of_the_old_and_an_up_changes_nothing(shop: Shop) -> None:
    begin(shop, text=WEB.replace("restart:", "deploy: {{replicas: 2}}\n    restart:"))
    for number, release in enumerate(("two", "three"), start=1):
        shop.push("latest", lab.healthy(release))
        (outcome,) = shop.cycle().outcomes
        assert isinstance(outcome, Committed)
        assert shop.releases() == [(release, "running")] * 2
        numbers = sorted(int(name.rpartition("-")[2]) for name in shop.names())
        assert numbers == [2 * number + 1, 2 * number + 2]
        assert shop.operator_up_changes() == []
    status, _ = shop.run("--rollback", shop.name)
    assert status == 0
    assert shop.releases() == [("two", "running")] * 2
    assert shop.strays() == []


@pytest.mark.parametrize("image", [lab.unhealthy, lab.exits, lab.no_entry])
def test_a_release_that_fails_leaves_the_old_container_as_it_was(shop: Shop, image: Any) -> None:
    before = begin(shop)
    shop.push("latest", image("two"))
    (outcome,) = shop.cycle().outcomes
    if image is lab.no_entry:  # it has no healthcheck, so it is not even started
        assert outcome.cause.reason is Reason.CANNOT_START_FIRST  # type: ignore[union-attr]
    else:
        assert isinstance(outcome, RolledBack)
        assert outcome.quarantine
    assert started(shop) == before
    assert shop.operator_up_changes() == []
    assert shop.strays() == []


OBSTACLES = {
    "container_name": ("    container_name: {name}-x\n", "container_name"),
    "a port": ("    ports: ['127.0.0.1:18973:80']\n", "port 18973"),
    "a range of ports": ("    ports: ['127.0.0.1:18974-18975:80']\n", "port 18974"),
    "the host's network": ("    network_mode: host\n", "network_mode host"),
    "a fixed address": ("    mac_address: 02:42:ac:11:65:43\n", "fixed address"),
    "no healthcheck": ("    healthcheck: {{disable: true}}\n", "healthcheck"),
    "a volume without a name": (
        "    tmpfs: [/tmp]\n    volumes: [/data]\n",
        "volume without a name at /data",
    ),
}


@pytest.mark.parametrize("kind", OBSTACLES)
def test_what_does_not_allow_it_is_named_and_nothing_is_created(shop: Shop, kind: str) -> None:
    added, said = OBSTACLES[kind]
    text = WEB.replace("    volumes: [./shared:/shared]\n", added.replace("{name}", shop.name))
    before = begin(shop, text=text)
    shop.push("latest", lab.healthy("two"))
    assert shop.cycle().outcomes == ()
    state = shop.state()
    assert (state["status"], state["reason"]) == ("waiting", "cannot_start_first")
    assert said in state["detail"]
    assert "stop-first" in state["remedy"]
    assert started(shop) == before
    status, out = shop.run("--test")
    assert (status, said in out) == (3, True)
    shop.policy["update_order"] = "stop-first"  # the remedy leads out
    (outcome,) = shop.cycle().outcomes
    assert isinstance(outcome, Committed)


def test_the_order_of_the_compose_file_counts_unless_the_service_says_another(shop: Shop) -> None:
    del shop.policy["update_order"]
    order = "deploy: {{update_config: {{order: start-first}}}}\n    restart:"
    begin(shop, text=WEB.replace("restart:", order))
    shop.push("latest", lab.healthy("two"))
    _, out = shop.run("--plan")
    assert "start-first" in out
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert [name.rpartition("-")[2] for name in shop.names()] == ["2"]
    shop.policy["update_order"] = "stop-first"
    shop.push("latest", lab.healthy("three"))
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert [name.rpartition("-")[2] for name in shop.names()] == ["2"], "a recreate keeps the name"


def test_the_old_container_is_drained_before_it_is_stopped(shop: Shop) -> None:
    shop.policy["drain_command"] = ["sh", "-c", "cat /release > /shared/drained"]
    shop.policy["drain_seconds"] = 1
    begin(shop)
    shop.push("latest", lab.healthy("two"))
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert (shop.folder / "shared/drained").read_text() == "one"
    assert shop.releases() == [("two", "running")]


def test_killed_while_it_drains_the_next_start_carries_on(shop: Shop) -> None:
    shop.policy |= {"drain_command": "echo >> /shared/drained", "drain_seconds": 600}
    before = begin(shop)
    shop.push("latest", lab.healthy("two"))
    child = shop.updater("--once")
    lab.until((shop.folder / "shared/drained").exists, what="the old container is drained")
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert sorted(release for release, _ in shop.releases()) == ["one", "two"]
    assert started(shop).items() >= before.items()
    shop.policy["drain_seconds"] = 0  # the plan in the journal has its own
    child = shop.updater("--once")
    lab.until(
        lambda: (shop.folder / "shared/drained").read_text().count("\n") == 2, what="it is drained once more"
    )
    child.send_signal(signal.SIGTERM)
    child.wait()
    assert len(shop.strays()) == 1, "a stop leaves the journal open"


def is_switching(shop: Shop) -> bool:
    records = (shop.folder / "state/journal").glob("*.json")
    return any('"switching"' in record.read_text() for record in records)


def test_a_release_that_dies_while_the_old_one_drains_gives_way_to_it(shop: Shop) -> None:
    shop.policy |= {"drain_seconds": 600}
    begin(shop)
    shop.push(
        "latest", lab.build("two", "until [ -f /shared/go ]; do sleep 0.1; done; exit 7", "test -f /release")
    )
    child = shop.updater("--once")
    lab.until(lambda: is_switching(shop), what="the old container drains")
    (shop.folder / "shared/go").write_text("")
    child.wait(timeout=300)
    assert [release for release, _ in shop.releases()] == ["one"]
    assert shop.state()["status"] == "rolled_back"


def test_killed_while_it_drains_and_its_new_container_removed_the_old_one_goes_on(shop: Shop) -> None:
    shop.policy["drain_seconds"] = 600
    before = begin(shop)
    shop.push("latest", lab.healthy("two"))
    child = shop.updater("--once")
    lab.until(lambda: is_switching(shop), what="the old container drains")
    child.send_signal(signal.SIGKILL)
    child.wait()
    for container in shop.containers():
        if container.id not in before:
            container.remove(force=True)
    shop.policy["pause_updates"] = True
    shop.run("--once")
    assert started(shop) == before
    assert shop.state()["status"] != "rollback_failed"
    assert shop.strays() == []


def test_hooks_and_the_address_are_asked_and_a_failed_test_costs_the_old_container_nothing(
    shop: Shop,
) -> None:
    """The smoke test runs in the new container while the old one still serves: going back is to remove the
    new one.
    """
    said = shop.folder / "said"
    in_container = {"in": "container", "run": "cat /release"}
    beside = f"docker ps -q --filter label=com.docker.compose.project={shop.name} | wc -l >> {said}"
    shop.policy |= {
        "pre_update": in_container,
        "post_update": beside,
        "health_url": f"{shop.registry.url}/v2/",
    }
    begin(shop)
    shop.push("latest", lab.healthy("two"))
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert said.read_text().split() == ["2"], "the old and the new one"
    assert {run["kind"]: run["output"].strip() for run in shop.state()["changes"][0]["hooks"]}[
        "pre_update"
    ] == "one"

    before = started(shop)
    shop.policy |= {"post_update": {**in_container, "run": "cat /release; exit 3"}}
    shop.push("latest", lab.healthy("three"))
    outcome = shop.cycle().outcomes[0]
    assert isinstance(outcome, RolledBack)
    assert outcome.cause.message == "the hook post_update ended with 3: three"
    assert started(shop) == before
    assert shop.strays() == []

"""Docker Swarm as it is: one manager on a real engine, a stack with its file, and the updater as a
process.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import lab, newer_docker
from tests.support.fake_registry import Basic, Behaviour, Build
from tests.support.lab import until
from tests.support.swarm_lab import SwarmLab, SwarmShop, swarm
from updater_core.host.engine_endpoint import EngineEndpoint
from updater_core.swarm_utils import SwarmManagers

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("swarm")]


@pytest.fixture(scope="module")
def manager() -> Iterator[SwarmLab]:
    with swarm() as running:
        yield running


@pytest.fixture
def shop(tmp_path: Path, manager: SwarmLab, monkeypatch: pytest.MonkeyPatch) -> Iterator[SwarmShop]:
    newer_docker.use_client(monkeypatch)
    made = SwarmShop(tmp_path, manager.registry, policy={"follow": "minor"}, lab=manager)
    yield made
    made.down()


def test_a_new_version_lands_and_the_operators_next_deploy_changes_no_task(shop: SwarmShop) -> None:
    shop.push("1.0", lab.healthy("old"))
    shop.write()
    shop.up()
    new = shop.push("1.1", lab.healthy("new"))
    listed = shop.run("--discover", "--json")[1]
    assert f'"name": "{shop.name}"' in listed
    assert "a task of a Swarm service" not in listed
    before = shop.spec()
    status, said = shop.run("--once")
    assert status == 0, said
    assert shop.image() == shop.pinned("1.1", new)
    running = shop.running()
    assert set(running.values()) == {shop.pinned("1.1", new)}
    assert len(running) == 2
    after = shop.spec()
    assert after["Labels"]["com.docker.stack.image"] == f"{shop.repository}:1.1"
    assert after["UpdateConfig"] == before["UpdateConfig"]
    assert f"image: {shop.repository}:1.1  # kept" in shop.compose_file.read_text()
    for how in ("always", "changed", "never"):
        shop.up("--resolve-image", how)
        assert shop.running() == running, how
    assert shop.strays() == []


@pytest.mark.parametrize(
    ("make", "reason", "untouched"),
    [
        (lab.unhealthy, "unhealthy", 2),
        (lab.no_entry, "up_failed", 2),
        (lambda name: lab.build(name, "sleep 1; exit 3"), "exited", 1),
        (lambda name: lab.build(name, "sleep 3; exit 3", healthcheck="test -f /release"), "exited", 1),
    ],
    ids=["unhealthy", "cannot start", "ends after a second", "healthy and then ends"],
)
def test_a_bad_release_stops_at_its_first_task_and_is_not_tried_again(
    shop: SwarmShop, make: Callable[[str], Build], reason: str, untouched: int
) -> None:
    old = shop.push("1.0", lab.healthy("old"))
    shop.write()
    shop.up()
    before, tasks, text = shop.spec(), shop.running(), shop.compose_file.read_bytes()
    shop.push("1.1", make("bad"))
    status, said = shop.run("--once")
    assert status == 1, said
    assert shop.image() == shop.pinned("1.0", old)
    assert len(set(shop.running()) & set(tasks)) >= untouched, said
    assert shop.spec() == before
    assert shop.compose_file.read_bytes() == text
    state = shop.state()
    assert state["status"] == "rolled_back", said
    assert [entry["reason"] for entry in state["quarantine"]] == [reason], said
    version = shop.service()["Version"]["Index"]
    shop.run("--once")
    assert shop.service()["Version"]["Index"] == version
    assert shop.strays() == []


def test_a_release_that_dies_late_is_watched_for_as_long_as_health_stable(shop: SwarmShop) -> None:
    """The engine's own 5 s would call it completed, and it would crash for ever."""
    shop.policy = {**shop.policy, "health_stable": 14}
    old = shop.push("1.0", lab.healthy("old"))
    shop.write()
    shop.up()
    shop.push("1.1", lab.build("late", "sleep 9; exit 3"))
    status, said = shop.run("--once")
    assert status == 1, said
    assert shop.image() == shop.pinned("1.0", old)
    assert shop.state()["status"] == "rolled_back"
    assert shop.spec()["UpdateConfig"].get("Monitor") is None


def test_a_node_that_cannot_pull_says_nothing_about_the_release(shop: SwarmShop) -> None:
    """The login goes with the update: no node has one of its own.

    Then the node's pull is refused, and nobody is blamed; with a login that works the very same digest lands.
    """
    registry = shop.lab.registry
    registry.auth = Basic("robot", "s3cret")
    shop.policy = {**shop.policy, "registry_config": {"username": "robot", "password": "s3cret"}}
    try:
        shop.push("1.0", lab.healthy("old"))
        shop.write()
        login = shop.lab.manager.docker("login", "-u", "robot", "-p", "s3cret", registry.host)
        assert login.returncode == 0
        shop.up("--with-registry-auth")
        shop.lab.manager.docker("logout", registry.host)
        new = shop.push("1.1", lab.healthy("new"))
        registry.behave("blob", Behaviour(status=401), agent="docker")
        status, said = shop.run("--once")
        assert status == 1, said
        state = shop.state()
        assert (state["status"], state["reason"], state["quarantine"]) == (
            "rolled_back",
            "pull_failed",
            [],
        ), said
        assert "login" in state["detail"]
        registry.well_behaved()
        assert shop.run("--retry", shop.name)[0] == 0
        status, said = shop.run("--once")
        assert status == 0, said
        assert set(shop.running().values()) == {shop.pinned("1.1", new)}
    finally:
        registry.auth = None
        registry.well_behaved()


def test_an_image_for_no_node_and_what_is_at_work_are_held_before_any_write(shop: SwarmShop) -> None:
    shop.policy = {**shop.policy, "platform": "linux/arm64"}
    shop.push("1.0", lab.healthy("old"))
    shop.write()
    shop.up()
    shop.push("1.1", lab.build("arm", platforms=("linux/arm64",)))
    version = shop.service()["Version"]["Index"]
    status, said = shop.run("--once")
    assert status == 1, said
    assert shop.state()["reason"] == "platform_missing", said
    assert shop.service()["Version"]["Index"] == version
    del shop.policy["platform"]
    shop.lab.manager.docker("service", "update", "-d", "--update-failure-action", "continue", shop.swarm_name)
    shop.push("1.2", lab.healthy("new"))
    status, said = shop.run("--plan")
    assert "failure_action" in said
    assert "failure_action: rollback" in said


def test_a_new_digest_behind_the_tag_of_a_global_service_lands(shop: SwarmShop) -> None:
    shop.policy = {}
    shop.deploy = {"mode": "global", "update_config": {"order": "stop-first"}}
    shop.push("1.0", lab.healthy("old"))
    shop.write()
    shop.up()
    text = shop.compose_file.read_bytes()
    new = shop.push("1.0", lab.healthy("new"))
    status, said = shop.run("--once")
    assert status == 0, said
    assert set(shop.running().values()) == {shop.pinned("1.0", new)}
    assert shop.compose_file.read_bytes() == text
    tasks = shop.running()
    shop.up()
    assert shop.running() == tasks, "the operator's next deploy"

    managers, found = SwarmManagers([EngineEndpoint(str(shop.engine_host))]), shop.service()
    stale = found["Version"]["Index"] - 1
    assert managers.update(found["ID"], stale, {**found["Spec"], "Labels": {}}, None) is False, (
        "out of sequence"
    )
    assert shop.service()["Version"] == found["Version"]


def test_orders_hooks_and_the_address_count_as_for_compose(shop: SwarmShop) -> None:
    """A hook `in` the container runs in a task of this node, the others on this host."""
    said, place = shop.folder / "said", {"in": "container", "run": "cat /release"}
    shop.deploy = {"replicas": 1}
    shop.policy |= {
        "mode": "approve", "health_stable": 2, "health_url": f"{shop.lab.registry.url}/v2/",
        "pre_update": place, "post_update": place, "on_success": f"echo $DAU_HOOK $DAU_REASON >> {said}",
    }  # fmt: skip
    old = shop.push("1.0", lab.healthy("old"))
    shop.write()
    shop.up()
    new = shop.push("1.1", lab.healthy("new"))
    assert shop.run("--once")[0] == 0
    assert shop.state()["reason"] == "awaiting_approval"
    assert shop.run("--approve", shop.name)[0] == 0
    assert shop.run("--pause", shop.name)[0] == 0
    assert shop.run("--once")[0] == 0
    assert (shop.state()["reason"], shop.image()) == ("paused", shop.pinned("1.0", old))
    assert shop.run("--resume", shop.name)[0] == 0
    status, text = shop.run("--once")
    assert status == 0, text
    assert set(shop.running().values()) == {shop.pinned("1.1", new)}
    runs = {run["kind"]: run["output"].strip() for run in shop.state()["changes"][0]["hooks"]}
    assert (runs["pre_update"], runs["post_update"]) == ("old", "new"), text

    status, text = shop.run("--rollback", shop.name)
    assert status == 0, text
    assert set(shop.running().values()) == {shop.pinned("1.0", old)}
    assert f"image: {shop.repository}:1.0 " in shop.compose_file.read_text()
    assert shop.run("--once")[0] == 0, "what was gone back from is not taken again"
    assert shop.image() == shop.pinned("1.0", old)

    shop.push("1.2", lab.healthy("newer"))
    shop.policy |= {"health_url": f"{shop.lab.registry.url}/gone", "health_timeout": 3}
    status, text = shop.run("--update", shop.name)
    assert status == 1, text
    assert (shop.state()["reason"], shop.image()) == ("probe_failed", shop.pinned("1.0", old)), text
    assert said.read_text().splitlines() == ["on_success update", "on_success owner_rollback"]


def test_a_job_is_run_by_its_update_and_only_if_that_is_allowed(shop: SwarmShop) -> None:
    manager, name = shop.lab.manager, f"{shop.name}job"
    old = shop.push("1.0", lab.build("old", "exit 0"))
    image = f"{shop.repository}:1.0@{old.digest}"
    manager.docker(
        "service", "create", "-d", "--name", name, "--mode", "replicated-job", "--replicas", "2", image
    )
    until(lambda: completed(shop, name, 0) == [image] * 2, 120, "the job has run")
    shop.of_no_stack = name
    new = shop.push("1.1", lab.build("new", "exit 0"))
    said = shop.run("--plan")[1]
    assert "notify_only" in said
    assert '"run_jobs": true' in said
    shop.policy = {**shop.policy, "run_jobs": True}
    status, said = shop.run("--once")
    assert status == 0, said
    assert completed(shop, name, 1) == [shop.pinned("1.1", new)] * 2

    shop.push("1.2", lab.build("bad", "exit 3"))
    status, said = shop.run("--once")
    assert status == 1, said
    assert "what the run has done stays done" in said
    assert [entry["reason"] for entry in shop.state()["quarantine"]] == ["exited"], said
    until(
        lambda: completed(shop, name, 3) == [shop.pinned("1.1", new)] * 2, 120, "the one before ran once more"
    )
    assert shop.run("--once")[0] == 0
    assert manager.get(f"/services/{name}")["JobStatus"]["JobIteration"] == {"Index": 3}


def completed(shop: SwarmShop, job: str, run: int) -> list[str]:
    """The images of the tasks that have completed in one run of a job; runs count from 0."""
    filters = json.dumps({"service": [job]})
    found = [
        each
        for each in shop.lab.manager.get("/tasks", filters=filters)
        if each["Status"]["State"] == "complete"
    ]
    return [
        each["Spec"]["ContainerSpec"]["Image"]
        for each in found
        if each["JobIteration"].get("Index", 0) == run
    ]


def test_an_engine_that_is_no_manager_is_named(shop: SwarmShop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.write()
    shop.engine_host = None
    monkeypatch.setenv("DOCKER_HOST", "unix:///var/run/docker.sock")
    status, said = shop.run("--test")
    assert status == 3, said
    assert "not_a_manager" in said
    assert "run the updater on a manager" in said


def test_killed_in_a_rollout_the_next_start_ends_it_and_says_which_release_runs(shop: SwarmShop) -> None:
    shop.push("1.0", lab.healthy("old"))
    shop.write()
    shop.up()
    new = shop.push("1.1", lab.healthy("new"))
    child = shop.updater("--once")
    until(lambda: shop.image() == shop.pinned("1.1", new), 120, "the spec is written")
    child.kill()
    child.communicate()
    status, said = shop.run("--once")
    assert status == 0, said
    assert set(shop.running().values()) == {shop.pinned("1.1", new)}
    assert shop.state()["changes"][0]["outcome"] == "committed", said
    until(shop.is_steady, 60, "nothing is at work")

    shop.push("1.2", lab.unhealthy("bad"))
    child = shop.updater("--once")
    until(lambda: ":1.2@" in shop.image(), 120, "the bad one is written")
    child.kill()
    child.communicate()
    until(lambda: shop.image() == shop.pinned("1.1", new), 120, "the engine goes back by itself")
    status, said = shop.run("--once")
    assert set(shop.running().values()) == {shop.pinned("1.1", new)}
    assert shop.state()["changes"][0]["outcome"] == "rolled_back", said
    assert [entry["reason"] for entry in shop.state()["quarantine"]] == ["unhealthy"], said
    assert f"image: {shop.repository}:1.1 " in shop.compose_file.read_text()
    assert shop.strays() == []

"""Three managers in namespaces of their own: any of them will do, one may die, and most may be gone for a
while.

The updater asks them over TLS, by `engines`."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import lab, newer_docker
from tests.support.lab import until
from tests.support.swarm_lab import SwarmLab, SwarmShop, swarm

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("swarm")]


@pytest.fixture
def managers(tmp_path: Path) -> Iterator[SwarmLab]:
    with swarm(3, tmp_path / "certificates") as running:
        yield running


@pytest.fixture
def shop(tmp_path: Path, managers: SwarmLab, monkeypatch: pytest.MonkeyPatch) -> Iterator[SwarmShop]:
    newer_docker.use_client(monkeypatch)
    made = SwarmShop(
        tmp_path, managers.registry, policy={"follow": "minor", "health_timeout": 60}, lab=managers
    )
    made.deploy = {"replicas": 3, "update_config": {"order": "start-first"}}
    made.cert_path = tmp_path / "certificates"
    made.engine_host = None
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    yield made
    made.down()


def begun(shop: SwarmShop, tag: str) -> subprocess.Popen[str]:
    """The updater, in the middle of the rollout of `tag`."""
    child = shop.updater("--once")
    until(lambda: f":{tag}@" in shop.image(), 120, f"{tag} is written")
    until(lambda: any(f":{tag}@" in image for image in shop.running().values()), 120, f"a task of {tag} runs")
    return child


def test_a_dead_leader_and_a_lost_quorum_end_on_the_new_release_or_on_the_old(shop: SwarmShop) -> None:
    shop.push("1.0", lab.healthy("old"))
    shop.write()
    shop.up()

    status, said = shop.run("--test")  # no engine and no Compose of this machine's own is needed
    assert status == 0, said
    assert "as Swarm service" in said

    new = shop.push("1.1", lab.healthy("new"))
    child = begun(shop, "1.1")
    leader = shop.lab.leader()
    leader.end(signal.SIGKILL)
    said, _ = child.communicate(timeout=600)
    ends_whole(shop, child.returncode, said, shop.pinned("1.1", new))
    leader.start()

    newer = shop.push("1.2", lab.healthy("newer"))
    shop.run("--retry", shop.name)
    child = begun(shop, "1.2")
    lost = shop.lab.nodes[1:]
    for node in lost:
        node.end(signal.SIGKILL)
    for node in lost:
        node.start()
    said, _ = child.communicate(timeout=600)
    ends_whole(shop, child.returncode, said, shop.pinned("1.2", newer))


def ends_whole(shop: SwarmShop, status: int, said: str, new: str) -> None:
    """All tasks run one image, which the file and the state name, too; a release that was well is never
    blamed.
    """
    until(shop.is_steady, 180, "the service is steady")
    state = shop.state()
    assert (state["status"] == "updated") is (shop.image() == new) is (status == 0), said
    assert f"image: {shop.image().partition('@')[0]} " in shop.compose_file.read_text(), said
    assert state["quarantine"] == [], said
    assert shop.spec()["UpdateConfig"].get("Monitor") is None, said
    assert shop.strays() == []

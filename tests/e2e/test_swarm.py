"""Docker Swarm as it is: one manager on a real engine, a stack with its file, and the updater as a process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import lab, newer_docker
from tests.support.swarm_lab import SwarmLab, SwarmShop, swarm

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

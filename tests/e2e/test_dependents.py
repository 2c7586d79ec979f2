"""Containers of other projects that share a namespace with the one that is updated, or have its volumes, on the real
engine: they are recreated behind it, forward and back, or hold the update."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import lab
from tests.support.lab import Shop
from updater_core.models import Committed, Outcome, Reason, RolledBack

pytestmark = pytest.mark.engine

COMMON = "    restart: unless-stopped\n    stop_grace_period: 0s\n"
HOST = "services:\n  web:\n    image: {image}\n    ipc: shareable\n    volumes: [/data]\n" + COMMON


@dataclass
class Project:
    """A project of another operator's, whose containers run an image of the shop's registry."""

    shop: Shop
    name: str
    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "compose.yml"

    def compose(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        argv = ["docker", "compose", "-p", self.name, *words]
        return subprocess.run(argv, cwd=self.folder, check=check, capture_output=True, text=True)

    def write(self, text: str) -> None:
        image = f"{self.shop.repository}:tool"
        self.file.write_text(text.replace("{host}", self.shop.names()[0]).replace("{image}", image))

    def one(self, service: str = "app") -> dict[str, str]:
        """Identity, status and ties of the only container of a service."""
        (found,) = Shop(self.folder, self.shop.registry, name=self.name).containers(service)
        host = found.attrs["HostConfig"]
        ties = (host["NetworkMode"], host["IpcMode"], host["PidMode"], *(host["VolumesFrom"] or ()))
        return {
            "id": found.id,
            "image": found.attrs["Image"],
            "status": found.status,
            "health": found.attrs["State"].get("Health", {}).get("Status", ""),
            "ties": " ".join(ties),
        }

    def owner_up_changes(self) -> list[str]:
        return Shop(self.folder, self.shop.registry, name=self.name).owner_up_changes()


@pytest.fixture
def other(shop: Shop) -> Iterator[Callable[[str, str], Project]]:
    """Start a further project that runs as a text says."""
    made: list[Project] = []

    def start(name: str, text: str) -> Project:
        folder = shop.folder / name
        folder.mkdir()
        made.append(Project(shop, f"{shop.name}-{name}", folder))
        made[-1].write(text)
        made[-1].compose("up", "-d")
        return made[-1]

    yield start
    for each in reversed(made):
        client = shop.client
        for container in client.containers.list(
            all=True, ignore_removed=True, filters={"label": f"com.docker.compose.project={each.name}"}
        ):
            container.remove(force=True, v=True)
        client.close()
        each.compose("down", "-t", "0", "-v", check=False)


def begin(shop: Shop, text: str = HOST) -> None:
    """The first release runs; an image for other projects is there."""
    shop.policy = {"health_stable": 1, **shop.policy}
    shop.push("tool", lab.good("tool"))
    client = shop.client
    client.images.pull(f"{shop.repository}:tool")
    client.close()
    shop.push("latest", lab.healthy("one"))
    shop.write(text=text)
    shop.up()


def outcome_of(shop: Shop) -> Outcome:
    report = shop.cycle()
    assert len(report.outcomes) == 1, shop.state()
    return report.outcomes[0]


def app(*lines: str) -> str:
    return "services:\n  app:\n    image: {image}\n" + COMMON + "".join(f"    {line}\n" for line in lines)


NETWORK = 'network_mode: "container:{host}"'


def test_all_that_share_are_recreated_forward_and_back_in_whatever_project(
    shop: Shop, other: Callable[[str, str], Project]
) -> None:
    begin(shop)
    network = other("b", app(NETWORK, "volumes: [/own]"))
    shared = other("c", app("network_mode: none", 'ipc: "container:{host}"', 'volumes_from: ["container:{host}:ro"]'))
    texts = [each.file.read_bytes() for each in (network, shared)]
    chain = other("d", app("network_mode: none", f'pid: "container:{network.name}-app-1"'))
    before = [each.one() for each in (network, shared, chain)]

    def assert_together(release: str) -> None:
        (web,) = shop.containers()
        assert shop.releases() == [(release, "running")]
        now = [each.one() for each in (network, shared, chain)]
        assert [each["status"] for each in now] == ["running"] * 3
        assert [each["image"] for each in now] == [each["image"] for each in before]
        assert f"container:{web.id}" in now[0]["ties"]
        assert f"container:{web.id}" in now[1]["ties"]
        assert f"container:{now[0]['id']}" in now[2]["ties"]
        assert shop.owner_up_changes() == network.owner_up_changes() == shared.owner_up_changes() == []
        assert shop.strays() == []

    assert_together("one")
    shop.push("latest", lab.healthy("two"))
    status, plan = shop.run("--plan")
    assert f"app of project {network.name}" in plan, (status, plan)
    status, said = shop.run("--test")
    assert status == 0, said
    assert isinstance(outcome_of(shop), Committed)
    assert all(
        new["id"] != old["id"] for new, old in zip(map(Project.one, (network, shared, chain)), before, strict=True)
    )
    assert_together("two")
    assert [each.file.read_bytes() for each in (network, shared)] == texts
    shop.push("latest", lab.unhealthy("three"))
    outcome = outcome_of(shop)
    assert isinstance(outcome, RolledBack)
    assert outcome.cause.reason is Reason.UNHEALTHY
    assert outcome.quarantine
    assert_together("two")

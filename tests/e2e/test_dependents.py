"""Containers of other projects that share a namespace with the one that is updated, or have its volumes, on
the real engine: they are recreated behind it, forward and back, or hold the update.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import lab
from tests.support.lab import Shop
from updater_core.app import cycle
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

    def operator_up_changes(self) -> list[str]:
        return Shop(self.folder, self.shop.registry, name=self.name).operator_up_changes()


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
    shared = other(
        "c", app("network_mode: none", 'ipc: "container:{host}"', 'volumes_from: ["container:{host}:ro"]')
    )
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
        assert (
            shop.operator_up_changes() == network.operator_up_changes() == shared.operator_up_changes() == []
        )
        assert shop.strays() == []

    assert_together("one")
    shop.push("latest", lab.healthy("two"))
    status, plan = shop.run("--plan")
    assert f"app of project {network.name}" in plan, (status, plan)
    status, said = shop.run("--test")
    assert status == 0, said
    assert isinstance(outcome_of(shop), Committed)
    assert all(
        new["id"] != old["id"]
        for new, old in zip(map(Project.one, (network, shared, chain)), before, strict=True)
    )
    assert_together("two")
    assert [each.file.read_bytes() for each in (network, shared)] == texts
    shop.push("latest", lab.unhealthy("three"))
    outcome = outcome_of(shop)
    assert isinstance(outcome, RolledBack)
    assert outcome.cause.reason is Reason.UNHEALTHY
    assert outcome.quarantine
    assert_together("two")


def held(shop: Shop, *words: str) -> str:
    """The cycle leaves everything as it is and names the reason, and so does `--test`; return the remedy."""
    before = [(each.id, each.status) for each in shop.containers()]
    assert cycle.run(shop.context()).outcomes == ()
    state = shop.state()
    assert state["reason"] == Reason.NAMESPACE_SHARED, state
    for word in words:
        assert word in state["detail"], state
    assert [(each.id, each.status) for each in shop.containers()] == before
    assert state["remedy"] in said_by_test(shop, *words)
    return str(state["remedy"])


def said_by_test(shop: Shop, *words: str) -> str:
    """What `--test` says of a hold, on one line, with these words."""
    status, out = shop.run("--test")
    assert status != 0
    said = " ".join(out.split())
    assert f"held, {Reason.NAMESPACE_SHARED}" in said, said
    assert all(word in said for word in words), said
    return said


def test_what_would_not_come_back_as_it_was_holds_the_update_until_its_remedy_is_followed(
    shop: Shop, other: Callable[[str, str], Project]
) -> None:
    begin(shop)
    guest = other("b", app(NETWORK, "volumes: [./conf:/conf:ro]"))
    name, good = f"{guest.name}-app-1", guest.file.read_text()
    first = guest.one()["id"]
    shop.push("latest", lab.healthy("two"))

    guest.file.rename(guest.folder / "away.yml")
    held(shop, name, str(guest.file), "not there")
    guest.file.write_text("services: [")
    said_by_test(shop, name)
    guest.file.write_text(good + "    environment: {MORE: 1}\n")
    assert f"docker compose -p {guest.name} up -d app" in said_by_test(shop, name, "edited")
    guest.file.write_text(good.replace("  app:", "  renamed:"))
    said_by_test(shop, name, "no service app")
    guest.file.write_text(good)
    (guest.folder / "conf").rmdir()
    said_by_test(shop, name, f"{guest.folder / 'conf'} is not on this host")
    (guest.folder / "conf").mkdir()
    guest.compose("pause", "app")
    said_by_test(shop, name, "paused", f"docker unpause {name}")
    subprocess.run(["docker", "unpause", name], check=True, capture_output=True)
    assert guest.one()["id"] == first

    host = shop.containers()[0]
    guest.file.write_text(good.replace(f"container:{host.name}", f"container:{host.id}"))
    guest.compose("up", "-d")
    said_by_test(shop, name, "by its id", f"`container:{host.name}`")
    guest.file.write_text(good)
    guest.compose("up", "-d")

    plain = f"{shop.name}-plain"
    words = ["--name", plain, "--network", f"container:{host.name}", "--stop-timeout", "0"]
    image = [f"{shop.repository}:tool"]
    subprocess.run(["docker", "run", "-d", *words, *image], check=True, capture_output=True)
    try:
        remedy = held(shop, plain, "no compose file made it")
    finally:
        subprocess.run(["docker", "rm", "-f", plain], check=True, capture_output=True)
    assert f"docker rm -f {plain}" in remedy
    assert isinstance(outcome_of(shop), Committed)
    assert f"container:{shop.containers()[0].id}" in guest.one()["ties"]


def test_what_is_stopped_stays_stopped_and_start_first_is_held(
    shop: Shop, other: Callable[[str, str], Project]
) -> None:
    shop.policy = {"update_order": "start-first"}
    begin(shop, HOST.replace("    volumes: [/data]\n", ""))
    guest = other("b", app(NETWORK))
    shop.push("latest", lab.healthy("two"))
    cycle.run(shop.context())
    assert shop.state()["reason"] == Reason.CANNOT_START_FIRST, shop.state()
    assert f"app of project {guest.name}" in shop.state()["detail"]
    shop.policy["update_order"] = "stop-first"
    guest.compose("stop", "-t", "0", "app")
    before = guest.one()
    _, plan = shop.run("--plan")
    assert f"{guest.name}-app-1 does not run" in plan
    (again,) = re.findall(r"`(docker compose [^`]*)`", plan)
    assert isinstance(outcome_of(shop), Committed)
    assert guest.one() == before
    subprocess.run(again.split(), cwd=guest.folder, check=True, capture_output=True)
    assert guest.one()["status"] == "running"


# The real Compose, but the `up` of a project whose name ends in `-b` kills it together with the updater,
# once: before Compose begins, or when it has ended.
KILLING = """\
#!{python}
import os, signal, subprocess, sys
mark = {mark!r}
is_mine = "up" in sys.argv and "--dry-run" not in sys.argv and any(word.endswith("-b") for word in sys.argv)
if is_mine and not os.path.exists(mark):
    open(mark, "w").close()
    if {after!r}:
        subprocess.run([{real!r}, *sys.argv[1:]])
    os.kill(int(open({pid!r}).read()), signal.SIGKILL)
    sys.exit(137)
os.execv({real!r}, [{real!r}, *sys.argv[1:]])
"""


@pytest.mark.parametrize("after", [False, True])
def test_killed_before_or_behind_the_dependents_the_next_start_leaves_none_without_its_network(
    shop: Shop,
    other: Callable[[str, str], Project],
    monkeypatch: pytest.MonkeyPatch,
    after: bool,
) -> None:
    begin(shop)
    guest = other("b", app(NETWORK))
    shop.push("latest", lab.healthy("two"))
    pid = shop.folder / "pid"
    words = {
        "mark": str(shop.folder / "killed"),
        "real": str(shutil.which("docker")),
        "pid": str(pid),
        "after": after,
    }
    wrapper = shop.folder / "bin" / "docker"
    wrapper.parent.mkdir()
    wrapper.write_text(KILLING.format(python=sys.executable, **words))
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    child = shop.updater("--once")
    pid.write_text(str(child.pid))
    child.communicate(timeout=300)
    assert child.returncode == -9
    shop.policy["pause_updates"] = True
    (outcome,) = shop.cycle().outcomes
    assert isinstance(outcome, RolledBack), outcome
    assert outcome.cause.reason is Reason.INTERRUPTED
    assert shop.releases() == [("one", "running")]
    assert f"container:{shop.containers()[0].id}" in guest.one()["ties"]
    assert guest.one()["status"] == "running"
    assert shop.strays() == []
    assert guest.operator_up_changes() == shop.operator_up_changes() == []


def test_a_dependent_that_has_an_update_of_its_own_gets_it_and_stays_with_its_host(
    shop: Shop, other: Callable[[str, str], Project]
) -> None:
    """Two updates of one cycle want the same container: one goes after the other, forward and back."""
    begin(shop)
    shop.push("app", lab.healthy("app one"))
    text = app(NETWORK).replace("{image}", f"{shop.repository}:app")
    dependent = other("b", text)
    (own,) = shop.config()["services"]
    its = {"name": dependent.name, "image": f"{shop.repository}:app", "compose_service": "app"}
    shop.settings = {"services": [own, {**own, **its, "compose_file": str(dependent.file)}]}
    context = shop.context()
    for host, release, expected in ((lab.healthy, "two", Committed), (lab.unhealthy, "three", RolledBack)):
        shop.push("latest", host(release))
        new = shop.push("app", lab.healthy(f"app {release}"))
        found = {outcome.plan.name: outcome for outcome in cycle.run(context).outcomes}
        assert {name: type(each) for name, each in found.items()} == {
            shop.name: expected,
            dependent.name: Committed,
        }
        assert found[dependent.name].plan.image.digest == new.digest
        assert shop.releases() == [("two", "running")]
        (web,) = shop.containers()
        now = dependent.one()
        assert (now["status"], now["health"]) == ("running", "healthy")
        assert f"container:{web.id}" in now["ties"]
    assert shop.operator_up_changes() == dependent.operator_up_changes() == []
    assert shop.strays() == []

"""Stacks that a manager's container started, on the real engine: its paths are not the host's.

The manager's Compose runs in a mount namespace of its own, in which its stacks lie elsewhere, as in its
container.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import lab
from tests.support.lab import Shop
from updater_core.app import cycle
from updater_core.app.report import Report
from updater_core.models import Committed, Hold, Outcome, Reason, RolledBack

pytestmark = pytest.mark.engine

COMPOSE = """\
services:
  web:
    image: @REPO:${TAG}
    env_file: [web.env] # beside it
    network_mode: none
    stop_grace_period: 1s
    volumes: [@MORE"data:/data"]
volumes: {data: {}}
"""


@dataclass
class Manager:
    """`inner`: where its container has the stacks; `outer`: where these are on this host."""

    shop: Shop
    inner: Path
    outer: Path

    @property
    def stack(self) -> Path:
        return self.outer / "compose" / "3"

    @property
    def env_file(self) -> Path:
        return self.stack / ".env"

    def deploy(self, tag: str = "v1.0.0", more: str = "") -> None:
        file = "docker-compose.yml"
        self.stack.mkdir(parents=True, exist_ok=True)
        text = COMPOSE.replace("@REPO", self.shop.repository).replace("@MORE", more)
        (self.stack / file).write_text(text)
        (self.stack / "web.env").write_text("A=1\n")
        self.env_file.write_text(f"# of the stack\nTAG={tag}\n")
        stack = self.inner / "compose" / "3"
        up = f"cd {stack} && docker compose -p {self.shop.name} -f {stack / file} up -d"
        script = f"mount --bind '{self.outer}' {self.inner} && {up}"
        done = subprocess.run(
            ["unshare", "-m", "sh", "-ec", script], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def run_container(self, source: str, name: str = "manager", at: Path | None = None) -> str:
        """Make the manager's own container, which no Compose project has; it need not run to have its
        mounts.
        """
        made = f"{self.shop.name}-{name}"
        words = ["docker", "create", "--name", made, "-v", f"{source}:{at or self.inner}"]
        subprocess.run([*words, f"{self.shop.repository}:v1.0.0"], check=True, capture_output=True)
        return made


@pytest.fixture
def manager(shop: Shop) -> Iterator[Manager]:
    inner = Path("/mnt") / shop.name
    inner.mkdir()
    outer = shop.folder / "of the manager"
    outer.mkdir()
    shop.policy = {"health_stable": 1, "semver_pattern": "v*"}
    shop.push("v1.0.0", lab.good("one"))
    yield Manager(shop, inner, outer)
    for name in ("manager", "another"):
        subprocess.run(["docker", "rm", "-f", f"{shop.name}-{name}"], capture_output=True, check=False)
    subprocess.run(["docker", "volume", "rm", f"{shop.name}-stacks"], capture_output=True, check=False)
    shop.down()
    for path in sorted(inner.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    inner.rmdir()


def checked(manager: Manager) -> Report:
    manager.shop.policy["compose_file"] = str(manager.stack / "docker-compose.yml")
    return manager.shop.cycle()


def outcome_of(manager: Manager) -> Outcome:
    report = checked(manager)
    assert len(report.outcomes) == 1, [one.decision for one in report.checked]
    return report.outcomes[0]


def hold_of(manager: Manager) -> Hold:
    manager.shop.policy["compose_file"] = str(manager.stack / "docker-compose.yml")
    context = manager.shop.context()
    report = cycle.run(context)
    assert report.outcomes == ()
    decision = cycle.planned(context, report.checked[0])
    assert isinstance(decision, Hold)
    return decision


def test_the_managers_folder_is_found_by_its_mount_and_the_stack_is_updated(manager: Manager) -> None:
    shop = manager.shop
    manager.deploy()
    manager.run_container(str(manager.outer))
    shop.settings = {"services": []}
    _, said = shop.run("--discover", "--json")
    (found,) = [each for each in json.loads(said)["services"] if each["name"].startswith(shop.name)]
    assert found["entry"]["compose_file"] == str(manager.stack / "docker-compose.yml")
    assert found["obstacles"] == []
    shop.settings = {}
    shop.push("v1.1.0", lab.good("two"))
    assert isinstance(outcome_of(manager), Committed)
    assert shop.releases() == [("two", "running")]
    assert manager.env_file.read_text() == "# of the stack\nTAG=v1.1.0\n"
    assert list(manager.inner.iterdir()) == []  # nothing was made at the path that is only the manager's
    assert checked(manager).outcomes == ()
    shop.push("v1.2.0", lab.exits("bad"))
    assert isinstance(outcome_of(manager), RolledBack)
    assert shop.releases() == [("two", "running")]
    container = shop.containers()[0].id
    manager.deploy("v1.1.0")  # the manager's own next deployment changes nothing
    assert [each.id for each in shop.containers()] == [container]


def test_a_volume_of_the_managers_is_found_too(manager: Manager) -> None:
    name = f"{manager.shop.name}-stacks"
    subprocess.run(["docker", "volume", "create", name], check=True, capture_output=True)
    made = subprocess.run(
        ["docker", "volume", "inspect", "-f", "{{.Mountpoint}}", name],
        check=True,
        capture_output=True,
        text=True,
    )
    manager.outer = Path(made.stdout.strip())
    manager.deploy()
    manager.run_container(name)
    manager.shop.push("v1.1.0", lab.good("two"))
    assert isinstance(outcome_of(manager), Committed)
    assert manager.env_file.read_text() == "# of the stack\nTAG=v1.1.0\n"


def test_what_no_mount_tells_is_held_and_path_map_leads_out(manager: Manager) -> None:
    shop = manager.shop
    manager.deploy()
    shop.push("v1.1.0", lab.good("two"))
    hold = hold_of(manager)
    assert hold.reason is Reason.FILE_UNREADABLE
    assert "path_map" in hold.remedy
    shop.settings = {"path_map": {f"{manager.inner}/": str(manager.outer)}}
    assert shop.run("--test")[0] == 0
    assert isinstance(outcome_of(manager), Committed)
    assert shop.releases() == [("two", "running")]


def test_two_managers_that_lead_to_different_files_are_not_guessed_between(manager: Manager) -> None:
    shop = manager.shop
    manager.deploy()
    manager.run_container(str(manager.outer))
    copy = shop.folder / "another" / "compose" / "3"
    copy.mkdir(parents=True)
    (copy / "docker-compose.yml").write_text("services: {}\n")
    manager.run_container(str(shop.folder / "another"), "another")
    shop.push("v1.1.0", lab.good("two"))
    assert hold_of(manager).reason is Reason.FILE_UNREADABLE
    shop.settings = {"path_map": {str(manager.inner / "compose"): str(manager.outer / "compose")}}
    assert isinstance(outcome_of(manager), Committed)
    assert manager.env_file.read_text() == "# of the stack\nTAG=v1.1.0\n"


def test_a_relative_mount_is_held_and_its_remedy_leads_out(manager: Manager) -> None:
    shop = manager.shop
    manager.deploy(more='"./state:/state", ')
    manager.run_container(str(manager.outer))
    (manager.stack / "state").mkdir()  # the same text from the host's folder: another place
    was = manager.inner / "compose" / "3" / "state"  # the engine made it
    (was / "kept").write_text("data")
    shop.push("v1.1.0", lab.good("two"))
    hold = hold_of(manager)
    assert hold.reason is Reason.RELATIVE_BIND
    assert str(was) in hold.detail
    status, said = shop.run("--test")
    assert status == 3
    assert "relative_bind" in said or str(was) in said
    manager.deploy(more=f'"{was}:/state", ')
    assert isinstance(outcome_of(manager), Committed)
    web = shop.containers()[0]
    assert str(was) in {mount["Source"] for mount in web.attrs["Mounts"]}

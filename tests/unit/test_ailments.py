"""What the host or a dependency lacks when a container has failed, on made-up engines and small disks."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from updater_core.host.engine.space import scarce
from updater_core.models import Container, ContainerSettings
from updater_core.targets.compose.reading import ailments

WEB = Container("w", "shop-web-1", "shop", "web", "sha256:1", "app:1", "exited", "", 0, exit_code=1)
DB = replace(WEB, id="d", name="shop-db-1", service="db", exit_code=3)
DEPENDS = {"com.docker.compose.depends_on": "db:service_healthy:false,cache:service_started:true"}
ON_NET = ContainerSettings(networks=frozenset({"shop_default"}))


@dataclass
class Engine:
    """Containers, each with its settings."""

    known: list[tuple[Container, ContainerSettings]]

    def containers(self, project: str, service: str) -> tuple[Container, ...]:
        return tuple(one for one, _ in self.known if (one.project, one.service) == (project, service))

    def all_containers(self) -> tuple[Container, ...]:
        return tuple(one for one, _ in self.known)

    def container(self, key: str) -> Container | None:
        return next((one for one, _ in self.known if key in (one.id, one.name)), None)

    def settings(self, key: str) -> ContainerSettings | None:
        return next((settings for one, settings in self.known if one.id == key), None)

    def data_root(self) -> str:
        return "/proc"  # has no blocks: never full

    def log_tail(self, key: str, lines: int) -> str:
        return ""


def found(web: Container, settings: ContainerSettings, *others: Container, is_back: bool) -> str:
    engine = Engine([(web, settings), *((other, ON_NET) for other in others)])
    move = SimpleNamespace(service="web", container_ids=("w",))
    project = SimpleNamespace(name="shop")
    detail = SimpleNamespace(project=project, moves=(move,), everyone=(move,), dependent_projects=())
    plan: Any = SimpleNamespace(detail=detail)
    tools: Any = SimpleNamespace(engine=engine)
    return ailments.found(plan, tools, is_back=is_back)


RUNS = replace(DB, status="running", health="healthy", exit_code=0)
CACHE = replace(RUNS, id="c", name="shop-cache-1", service="cache", health=None)


@pytest.mark.parametrize(
    ("others", "forward", "back"),
    [
        ((RUNS, CACHE), "", ""),
        ((CACHE,), "db, which web depends on, is not there", "db, which web depends on, is not there"),
        ((replace(RUNS, health="unhealthy"), CACHE), "is unhealthy", "is unhealthy"),
        ((DB, CACHE), "db, which web depends on, is exited", "is exited"),
        ((RUNS,), "", "cache, which web depends on, is not there"),
        (
            (RUNS, replace(CACHE, status="exited", exit_code=137)),
            "",
            "cache, which web depends on, is exited",
        ),
        ((RUNS, replace(CACHE, status="restarting")), "is restarting", "is restarting"),
    ],
)
def test_a_declared_dependency_that_is_not_ready(
    others: tuple[Container, ...], forward: str, back: str
) -> None:
    """One that was stopped by hand, or was never made, may have been so before: it excuses no new release."""
    web = replace(WEB, labels=DEPENDS)
    for is_back, wanted in ((False, forward), (True, back)):
        said = found(web, ON_NET, *others, is_back=is_back)
        assert wanted in said if wanted else said == ""


def test_a_one_shot_that_has_done_its_work_is_ready() -> None:
    web = replace(WEB, labels={"com.docker.compose.depends_on": "db:service_completed_successfully:false"})
    assert found(web, ON_NET, replace(DB, exit_code=0), is_back=True) == ""
    assert "db" in found(web, ON_NET, DB, is_back=True)


@pytest.mark.parametrize(
    ("value", "is_named"),
    [
        ("postgres://u:p@db:5432/x", False),
        ("shop-db-1:5432", True),
        ("http://database", False),
        ("dbx", False),
    ],
)
def test_a_neighbour_that_the_environment_names(value: str, is_named: bool) -> None:
    """Names of two characters stand in values by chance."""
    settings = replace(ON_NET, environment={"URL": value})
    assert (found(WEB, settings, DB, is_back=True) != "") is is_named
    assert found(WEB, settings, DB, is_back=False) == "", "a new release has to do without that excuse"
    assert found(WEB, replace(settings, networks=frozenset({"other"})), DB, is_back=True) == ""


@pytest.mark.parametrize(
    ("code", "is_out_of_memory", "has_limit", "is_killed"),
    [(137, False, False, True), (137, True, False, True), (137, True, True, False), (1, False, False, False)],
)
def test_a_kill_from_outside(code: int, is_out_of_memory: bool, has_limit: bool, is_killed: bool) -> None:
    web = replace(WEB, exit_code=code, oom_killed=is_out_of_memory)
    settings = ContainerSettings(has_memory_limit=has_limit)
    assert ("killed from outside" in found(web, settings, is_back=True)) is is_killed
    assert found(web, settings, is_back=False) == ""


def test_an_owner_of_a_namespace_that_is_gone_or_stopped() -> None:
    vpn = replace(WEB, id="v", name="vpn", project="other", service="vpn")
    web = replace(WEB, joined=("v",))
    assert "vpn, whose namespace shop-web-1 lives in, is exited" in found(web, ON_NET, vpn, is_back=False)
    assert found(web, ON_NET, replace(vpn, status="running"), is_back=False) == ""
    assert "is gone" in found(web, ON_NET, is_back=False)
    assert found(replace(WEB, joined=("w",)), ON_NET, is_back=False) == "", "one of the group is no excuse"


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    options = "size=256k,nr_inodes=4"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_disk_without_space_and_one_without_inodes(tiny: Path) -> None:
    assert scarce(str(tiny)) == ""
    for name in "abc":
        (tiny / name).touch()
    assert "takes no more files" in scarce(str(tiny))
    (tiny / "b").unlink()
    (tiny / "a").write_bytes(b"x" * 256 * 1024)
    assert "is full (0 KiB are left)" in scarce(str(tiny))
    subprocess.run(["mount", "-o", "remount,ro", str(tiny)], check=True)
    assert scarce(str(tiny)) == "", "nothing was ever written to it"


def test_what_has_no_blocks_or_is_not_there_is_never_full(tmp_path: Path) -> None:
    assert scarce("/proc") == ""
    assert scarce(str(tmp_path / "nowhere")) == ""


def test_a_full_disk_excuses_a_new_release_only_by_its_own_words(tiny: Path) -> None:
    (tiny / "a").write_bytes(b"x" * 256 * 1024)
    settings = ContainerSettings(binds=frozenset({(str(tiny), "/data")}))
    assert found(WEB, settings, is_back=False) == ""
    assert "is full" in found(WEB, settings, is_back=True)
    for said in ("write error: No space left on device", "dd: Disk quota exceeded", "Error: ENOSPC: write"):
        assert "is full" in found(replace(WEB, health_log=said), settings, is_back=False)

"""Compose v1 (1.29): found if there is no plugin, and used for the whole way, forward and back; and what
one that was killed in the middle of a recreate leaves is put in order.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import lab
from tests.support.lab import Shop
from updater_core.compose_utils import detect
from updater_core.models import Committed, Reason, RolledBack

pytestmark = pytest.mark.engine

COMPOSE = """\
version: "3.8"
services:
  web:
    image: {image}  # kept
    networks: [front]
    volumes: ["store:/store"]
    labels: {{a: "1"}}
    stop_grace_period: 1s
networks:
  front: {{}}
volumes:
  store: {{}}
"""


def _says_v1(command: str | None) -> bool:
    if command is None:
        return False
    said = subprocess.run([command, "version", "--short"], capture_output=True, text=True, check=False)
    return said.stdout.strip().lstrip("v").startswith("1.")


def _packaged_v1() -> bool:
    """Whether this machine's own packages hold Compose v1 (Debian 12 and Ubuntu do, Debian 13 does not)."""
    if shutil.which("apt-cache") is None:
        return False
    said = subprocess.run(
        ["apt-cache", "policy", "docker-compose"], capture_output=True, text=True, check=False
    )
    return re.search(r"Candidate: 1\.", said.stdout) is not None


@pytest.fixture(scope="module")
def v1_command() -> str:
    """The path of Compose v1."""
    found = shutil.which("docker-compose")
    if _says_v1(found):
        return str(found)
    if os.environ.get("DAU_REQUIRE_ENGINE") == "1" and _packaged_v1():
        pytest.fail(
            "apt has docker-compose 1.x here, but it is not installed: scripts/setup --with-compose-v1"
        )
    pytest.skip("Compose v1 is not to be had on this machine")


@pytest.fixture
def v1_path(v1_command: str, tmp_path: Path) -> Path:
    """A folder that is a PATH with Compose v1 and without a docker command, so that there is no plugin."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "docker-compose").symlink_to(v1_command)
    return folder


@pytest.fixture
def shop_v1(shop: Shop, v1_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A service that v1 started, and an updater that finds v1 only."""
    shop.policy = {"health_stable": 1, "semver_pattern": "v*"}
    shop.push("v1.0.0", lab.healthy("one"))
    shop.write("v1.0.0", COMPOSE)
    operators_up(shop, v1_path)
    assert shop.names() == [f"{shop.name}_web_1"]
    monkeypatch.setenv("PATH", str(v1_path))
    return shop


def operators_up(shop: Shop, v1_path: Path) -> str:
    argv = [str(v1_path / "docker-compose"), "-p", shop.name, "up", "-d"]
    done = subprocess.run(argv, cwd=shop.folder, capture_output=True, text=True, check=True)
    return done.stderr


def assert_whole(shop: Shop, v1_path: Path, release: str) -> None:
    """One container of this release under its own name, and the operator's next `up` finds nothing to do."""
    assert shop.releases() == [(release, "running")]
    assert shop.names() == [f"{shop.name}_web_1"]
    assert shop.strays() == []
    identity = shop.containers()[0].id
    operators_up(shop, v1_path)
    assert shop.containers()[0].id == identity


def test_v1_is_found_if_there_is_no_plugin(v1_path: Path) -> None:
    found = detect({"PATH": str(v1_path)})
    assert found.words == ("docker-compose",)
    assert found.is_v1


def test_v1_carries_an_update_and_a_rollback(shop_v1: Shop, v1_path: Path) -> None:
    shop = shop_v1
    before = shop.compose_file.read_text()
    shop.push("v1.1.0", lab.healthy("two"))
    assert [type(outcome) for outcome in shop.cycle().outcomes] == [Committed]
    assert shop.compose_file.read_text() == before.replace("v1.0.0", "v1.1.0")
    assert_whole(shop, v1_path, "two")

    proven = shop.compose_file.read_bytes()
    shop.push("v1.2.0", lab.unhealthy("three"))
    (outcome,) = shop.cycle().outcomes
    assert isinstance(outcome, RolledBack)
    assert outcome.cause.reason is Reason.UNHEALTHY
    assert shop.compose_file.read_bytes() == proven
    assert_whole(shop, v1_path, "two")


def test_v1_goes_back_from_a_release_that_cannot_start(shop_v1: Shop, v1_path: Path) -> None:
    """v1 ends in the middle of its recreate then: the old container is renamed, the new one created under its
    name.
    """
    shop = shop_v1
    before = shop.compose_file.read_bytes()
    shop.push("v1.1.0", lab.no_entry("two"))
    (outcome,) = shop.cycle().outcomes
    assert isinstance(outcome, RolledBack), outcome
    assert outcome.cause.reason is Reason.UP_FAILED
    assert shop.compose_file.read_bytes() == before
    assert_whole(shop, v1_path, "one")


# Stands in for a v1 that is killed in the middle of a recreate, together with the updater: it does v1's own
# calls in v1's own order (compose/service.py of 1.29.2: stop, rename the OLD one to `<own id>_name`, create,
# start, remove) as far as the one that is named, and then both are gone. The second time, and always but for
# `up`, it is the real v1.
KILLED = """\
#!{python}
import os, signal, sys, docker
mark = {mark!r}
if "up" in sys.argv and not os.path.exists(mark):
    open(mark, "w").close()
    api = docker.APIClient(version="auto")
    old = api.inspect_container({name!r})
    api.stop(old["Id"], timeout=1)
    api.rename(old["Id"], old["Id"][:12] + "_" + {name!r})
    if {upto!r} != "rename":
        labels = old["Config"]["Labels"]
        host = api.create_host_config(network_mode="none")
        new = api.create_container({image!r}, name={name!r}, labels=labels, host_config=host)
        if {upto!r} == "start":
            api.start(new["Id"])
    os.kill(os.getppid(), signal.SIGKILL)
    sys.exit(137)
os.execv({real!r}, [{real!r}, *sys.argv[1:]])
"""


@pytest.mark.parametrize("upto", ["rename", "create", "start"])
def test_what_a_killed_v1_leaves_is_put_in_order(
    shop_v1: Shop, v1_command: str, v1_path: Path, upto: str
) -> None:
    shop = shop_v1
    before = shop.compose_file.read_bytes()
    shop.push("v1.1.0", lab.healthy("two"))
    words = {
        "python": sys.executable,
        "mark": str(shop.folder / "killed-once"),
        "name": f"{shop.name}_web_1",
        "upto": upto,
        "image": f"{shop.repository}:v1.1.0",
        "real": v1_command,
    }
    wrapper = v1_path / "docker-compose"
    wrapper.unlink()
    wrapper.write_text(KILLED.format(**words))
    wrapper.chmod(0o755)

    status, _ = shop.run("--once")
    assert status == -9
    left = sorted(shop.names())
    assert any(re.fullmatch(rf"[0-9a-f]{{12}}_{shop.name}_web_1", name) for name in left)
    assert len(left) == (1 if upto == "rename" else 2)
    assert shop.compose_file.read_bytes() != before

    shop.policy["pause_updates"] = True  # so that what is seen is the recovery alone
    (outcome,) = shop.cycle().outcomes
    assert isinstance(outcome, RolledBack)
    assert outcome.cause.reason is Reason.INTERRUPTED
    assert shop.compose_file.read_bytes() == before
    assert_whole(shop, v1_path, "one")

    shop.policy["pause_updates"] = False
    status, said = shop.run("--retry", shop.name)
    assert status == 0, said
    assert [type(found) for found in shop.cycle().outcomes] == [Committed]
    assert_whole(shop, v1_path, "two")


def test_v1_updates_start_first_and_leaves_the_old_container_alone_if_the_release_fails(
    shop_v1: Shop, v1_path: Path
) -> None:
    shop = shop_v1
    shop.policy["update_order"] = "start-first"
    (old,) = (each.id for each in shop.containers())
    shop.push("v1.1.0", lab.unhealthy("two"))
    (outcome,) = shop.cycle().outcomes
    assert isinstance(outcome, RolledBack)
    assert [each.id for each in shop.containers()] == [old]
    shop.push("v1.2.0", lab.healthy("three"))
    (outcome,) = shop.cycle().outcomes
    assert isinstance(outcome, Committed)
    (new,) = shop.containers()
    assert (new.name, new.labels["release"]) == (f"{shop.name}_web_2", "three")
    operators_up(shop, v1_path)
    assert [each.id for each in shop.containers()] == [new.id]

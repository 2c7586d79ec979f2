"""A release fails, and the old one too, for want of what the host or a dependency lacks: nobody is blamed for
that, the rollback stays open, and is proven once the host has healed.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import lab
from tests.support.failures import Later, during_the_gate, opened, runs, slow
from tests.support.lab import Shop
from updater_core.app import cycle
from updater_core.host.clock import SystemClock
from updater_core.models import Reason, RollbackFailed, RolledBack

pytestmark = pytest.mark.engine

# Compose names what lacks; what the two share is a file, so that it fails at once and not by a time-out.
NEEDS_IT = lab.build("one", healthcheck="test -f /data/ok")
FRAIL = """\
services:
  web:
    image: {image}
    network_mode: none
    volumes: ["./data:/data"]
"""
BACKED = """\
services:
  web:
    image: {{image}}
    volumes: ["./data:/data"]
    {needs}
  storage:
    image: {storage}
    stop_grace_period: 1s
    volumes: ["./data:/data"]
"""
NEEDS = {
    "declared": "depends_on: [storage]",
    "known by its name": "environment: ['DATABASE_URL=db://storage:5432/shop']",
}


def _prevented(shop: Shop) -> str:
    """The detail of a rollback that stays open because of the host."""
    state = shop.state()
    assert (state["status"], state["reason"]) == ("failed", Reason.HOST_FAILURE.value), state
    assert "prevented by the host" in state["detail"]
    assert shop.strays() != [], "the journal is open"
    return str(state["detail"])


def _healed(shop: Shop) -> RolledBack:
    (outcome,) = shop.cycle().outcomes
    assert isinstance(outcome, RolledBack), outcome
    assert shop.releases() == [("one", "running")]
    assert shop.strays() == []
    return outcome


@pytest.fixture
def small_disk(shop: Shop) -> Iterator[Path]:
    """The folder that the service mounts, on a file system of its own."""
    folder = shop.folder / "data"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], check=True)
    yield folder
    shop.down()
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_a_release_fills_is_a_failure_of_the_host(shop: Shop, small_disk: Path) -> None:
    """What the release has written stays: no probe of it ever gives space back."""
    # a new file each time, for an old one has its page already
    writes = "read up _ < /proc/uptime; echo x > /data/$up && busybox rm /data/$up || exit 1"
    opened(shop, lab.build("one", healthcheck=writes), text=FRAIL)
    lab.until(lambda: shop.containers()[0].attrs["State"]["Health"]["Status"] == "healthy", what="a probe")
    full = f"cat /dev/zero >> /data/fill; {writes}"
    shop.push("latest", lab.build("two", healthcheck=full))
    assert shop.cycle().outcomes == ()
    assert f"the disk of {small_disk} is full" in _prevented(shop)

    (small_disk / "fill").unlink()
    outcome = _healed(shop)
    assert (outcome.cause.reason, outcome.quarantine) == (Reason.HOST_FAILURE, False)
    assert "No space left on device" in outcome.cause.message
    assert shop.state()["quarantine"] == []


@pytest.mark.parametrize("kind", NEEDS)
def test_without_a_dependency_the_old_release_is_not_given_up(shop: Shop, kind: str) -> None:
    shop.push("storage", lab.build("storage", "test -f /data/ok || exit 1; sleep 9999"))
    (shop.folder / "data").mkdir()
    ready = shop.folder / "data" / "ok"
    ready.touch()
    text = BACKED.format(needs=NEEDS[kind], storage=f"{shop.repository}:storage")
    opened(shop, NEEDS_IT, text=text)
    shop.push("latest", slow("two", "exit 1"))

    def lose_the_storage() -> None:
        (storage,) = shop.containers("storage")
        storage.kill()
        ready.unlink()

    assert during_the_gate(shop, "two", lose_the_storage).outcomes == ()
    assert "storage" in _prevented(shop)
    assert "is exited" in _prevented(shop)

    shop.compose("start", "storage")
    ready.touch()
    outcome = _healed(shop)
    assert (outcome.cause.reason, outcome.quarantine) == (Reason.UNHEALTHY, True), "it failed by itself"


@dataclass
class _AtEachSleep(Later):
    """A clock on which something happens whenever the updater sleeps."""

    act: Callable[[], object] = bool

    def sleep(self, seconds: float) -> None:
        self.act()
        SystemClock.sleep(self, seconds)


def test_a_kill_from_outside_is_not_held_against_the_old_release(shop: Shop) -> None:
    opened(shop, text=FRAIL)
    shop.push("latest", lab.unhealthy("two"))
    journal = shop.folder / "state" / "journal"
    killed: list[str] = []

    def kill_the_old() -> None:
        is_back = any("rolling_back" in path.read_text() for path in journal.glob("*.json"))
        if is_back and runs(shop, "one"):
            (container,) = shop.containers()
            container.kill()
            killed.append(container.id)

    report = cycle.run(shop.context(_AtEachSleep(act=kill_the_old)))
    assert len(killed) > 1, "it was brought up again"
    assert not any(isinstance(each, RollbackFailed) for each in report.outcomes)
    assert "killed from outside" in _prevented(shop)
    assert _healed(shop).quarantine

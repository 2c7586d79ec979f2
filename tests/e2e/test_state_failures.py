"""The updater's own places that fail.

Full disks, damaged memory, two instances, a rollback that fails too.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support import lab
from tests.support.failures import (
    during_the_gate,
    during_the_pull,
    fresh,
    later,
    opened,
    pull_held_up,
    runs,
    said,
    slow,
)
from tests.support.fake_registry import Build, FakeRegistry
from tests.support.lab import Shop, until
from updater_core.models import Committed, NotStarted, Reason, RollbackFailed, RolledBack, Step

pytestmark = pytest.mark.engine


# ------------------------------------------------------------------------------------------------- full disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def _fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return


def _free(disk: Path) -> None:
    (disk / "filler").unlink()


@pytest.fixture
def stateful(shop: Shop, small_disk: Path) -> Shop:
    """A shop whose state is on the small disk."""
    shop.settings = {"state_file": str(small_disk / "state" / "state.json")}
    return shop


def _journals(disk: Path) -> list[str]:
    return [path.name for path in (disk / "state" / "journal").glob("*.json")]


def _errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "not saved" in record.getMessage()]


def test_what_cannot_be_remembered_is_not_begun(
    stateful: Shop, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop = stateful
    identity = opened(shop)
    assert shop.cycle().needs_look == frozenset()
    said(caplog, shop)
    shop.push("latest", lab.good("two"))
    _fill(small_disk)
    shop.registry.clear_log()
    report = shop.cycle()
    assert (report.outcomes, report.needs_look) == ((), frozenset({shop.name}))
    lines = said(caplog, shop)
    assert len(lines) == 1
    assert lines[0].startswith("state_error: ")
    assert "space" in lines[0]
    assert shop.registry.counts() == {"manifest_head": 1, "manifest_get": 1}, (
        "it was looked at, and not pulled"
    )
    assert (shop.containers()[0].id, shop.containers()[0].status) == (identity, "running")
    assert json.loads((small_disk / "state" / "state.json").read_text())["services"]  # the old one, whole
    _free(small_disk)
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert shop.releases() == [("two", "running")]
    assert _journals(small_disk) == []


def test_a_disk_that_fills_during_the_pull_stops_the_update_before_anything_is_changed(
    stateful: Shop, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop = stateful
    identity = opened(shop)
    shop.push("latest", fresh("two"))
    (outcome,) = during_the_pull(shop, lambda: _fill(small_disk)).outcomes
    assert isinstance(outcome, NotStarted)
    assert (outcome.cause.reason, outcome.quarantine) == (Reason.STATE_ERROR, False)
    assert outcome.cause.remedy
    assert len(_errors(caplog)) >= 1
    assert len(said(caplog, shop)) == 1
    assert (shop.containers()[0].id, shop.containers()[0].status) == (identity, "running")
    assert shop.operator_up_changes() == []
    _free(small_disk)
    assert isinstance(later(shop).outcomes[-1], Committed)
    assert shop.releases() == [("two", "running")]
    assert _journals(small_disk) == []


def test_a_disk_that_fills_during_the_gate_ends_on_the_old_release(
    stateful: Shop, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A commit that cannot be written down is none."""
    shop = stateful
    opened(shop)
    shop.push("latest", slow("two", "exit 0"))
    (outcome,) = during_the_gate(shop, "two", lambda: _fill(small_disk)).outcomes
    assert isinstance(outcome, RolledBack)
    assert (outcome.cause.step, outcome.cause.reason, outcome.quarantine) == (
        Step.COMMIT,
        Reason.STATE_ERROR,
        False,
    )
    assert len(said(caplog, shop)) == 1
    assert shop.releases() == [("one", "running")]
    assert shop.operator_up_changes() == []
    identity = shop.containers()[0].id
    _free(small_disk)
    (recovered,) = shop.cycle().outcomes  # the journal is still open: looked at once more, and closed
    assert isinstance(recovered, RolledBack)
    assert shop.containers()[0].id == identity
    assert _journals(small_disk) == []
    assert isinstance(during_the_gate(shop, "two", ahead=timedelta(hours=2)).outcomes[0], Committed)
    assert shop.releases() == [("two", "running")]


@pytest.fixture
def small_shop(small_disk: Path, tmp_path: Path, registry: FakeRegistry, engine: str) -> Iterator[Shop]:
    """A shop whose compose file is on the small disk, and long enough to need space.

    Its state is elsewhere.
    """
    shop = Shop(small_disk, registry, policy={"semver_pattern": "v*"})
    shop.settings = {
        "state_file": str(tmp_path / "state" / "state.json"),
        "log_file": str(tmp_path / "updater.log"),
    }
    yield shop
    shop.down()


LONG = "services:\n  web:\n    image: {image}\n    network_mode: none\n" + "# padding\n" * 2000


def _memory(shop: Shop) -> dict[str, object]:
    record: dict[str, object] = json.loads(Path(shop.settings["state_file"]).read_text())["services"][
        shop.name
    ]
    return record


def test_a_full_disk_under_the_compose_file_leaves_file_and_service_alone(
    small_shop: Shop, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop = small_shop
    identity = opened(shop, tag="v1.0.0", text=LONG)
    before = shop.compose_file.read_bytes()
    shop.push("v1.1.0", lab.good("two"))
    _fill(small_disk)
    (outcome,) = shop.cycle().outcomes
    assert isinstance(outcome, NotStarted)
    assert not outcome.quarantine
    memory = _memory(shop)
    assert memory["status"] == "failed"
    assert "docker-compose.yml" in str(memory["detail"])
    assert "space" in f"{memory['detail']} {memory['remedy']}"
    assert memory["remedy"]
    assert len(said(caplog, shop)) == 1
    assert (shop.containers()[0].id, shop.containers()[0].status) == (identity, "running")
    assert shop.compose_file.read_bytes() == before
    assert sorted(path.name for path in small_disk.iterdir()) == ["docker-compose.yml", "filler"]
    _free(small_disk)
    assert isinstance(later(shop).outcomes[0], Committed)
    assert shop.compose_file.read_bytes() == before.replace(b"app:v1.0.0", b"app:v1.1.0")
    assert shop.releases() == [("two", "running")]


def test_the_way_back_needs_no_free_disk(
    small_shop: Shop, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop = small_shop
    opened(shop, tag="v1.0.0", text=LONG)
    before = shop.compose_file.read_bytes()
    shop.push("v1.1.0", slow("two", "exit 1"))
    (outcome,) = during_the_gate(shop, "two", lambda: _fill(small_disk)).outcomes
    assert isinstance(outcome, RolledBack), outcome
    assert outcome.cause.reason is Reason.UNHEALTHY
    assert shop.releases() == [("one", "running")]
    assert shop.compose_file.read_bytes() == before
    assert len(said(caplog, shop)) == 1


# --------------------------------------------------------------------------------------------- damaged memory


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def _zeroed(path: Path) -> None:
    path.write_bytes(b"\0" * path.stat().st_size)


def _newer(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 99}))


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_truncated, "damaged"),
        (_zeroed, "damaged"),
        (_empty, "damaged"),
        (_newer, "newer program (version 99"),
    ],
)
def test_a_state_that_cannot_be_used_gives_way_to_its_backup(
    shop: Shop, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], None], words: str
) -> None:
    opened(shop, lab.healthy("one"))
    bad = shop.push("latest", lab.exits("two"))
    assert isinstance(shop.cycle().outcomes[0], RolledBack)
    path = shop.folder / "state" / "state.json"
    spoil(path)
    caplog.clear()
    shop.registry.clear_log()
    report = shop.cycle()
    restored = [r.getMessage() for r in caplog.records if getattr(r, "log_event", "") == "state_restored"]
    assert len(restored) == 1, restored
    assert words in restored[0]
    assert ".bak is used instead" in restored[0]
    # what failed is remembered: not tried again
    assert (report.outcomes, report.needs_look) == ((), frozenset())
    assert shop.releases() == [("one", "running")]
    assert [entry["digest"] for entry in shop.state()["quarantine"]] == [bad.digest]
    assert json.loads(path.read_text())["counters"]["state_restores"] == 1
    assert len(list(path.parent.glob("state.json.corrupt-*"))) == 1
    shop.push("latest", lab.good("three"))
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert json.loads(path.read_text())["counters"]["state_restores"] == 1
    assert shop.strays() == []


def test_without_a_good_backup_the_memory_starts_from_what_runs(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    opened(shop)
    shop.push("latest", lab.good("two"))
    assert isinstance(shop.cycle().outcomes[0], Committed)
    identity = shop.containers()[0].id
    for path in (shop.folder / "state").glob("state.json*"):
        if path.is_file() and not path.name.endswith(".lock"):
            _truncated(path)
    caplog.clear()
    report = shop.cycle()
    restored = [r.getMessage() for r in caplog.records if getattr(r, "log_event", "") == "state_restored"]
    assert len(restored) == 1
    assert "starts afresh from what runs" in restored[0]
    assert (report.outcomes, report.needs_look) == ((), frozenset())
    assert shop.containers()[0].id == identity
    assert (shop.state()["status"], shop.state()["reason"]) == ("up_to_date", "same_digest")


# ------------------------------------------------------------------------------------------------ two at once


def test_a_second_instance_ends_with_status_4_and_harms_nothing(shop: Shop) -> None:
    opened(shop)
    shop.push("latest", fresh("two"))
    with pull_held_up(shop) as pull:
        first = shop.updater("--once")
        pull.begun(first)
        status, out = shop.run("--once")
        assert status == 4
        assert f"process {first.pid}" in out
        assert "Traceback" not in out
        assert shop.run("--status")[0] == 0  # reading is always allowed
    said_by_first, _ = first.communicate(timeout=150)
    assert first.returncode == 0, said_by_first
    assert shop.releases() == [("two", "running")]
    assert shop.strays() == []
    assert shop.run("--once")[0] == 0


FRAIL = """\
services:
  web:
    image: {image}
    network_mode: none
    volumes: ["./data:/data"]
"""


def _needs_data(name: str) -> Build:
    return lab.build(name, healthcheck="[ -f /data/ok ]")


def test_a_retry_is_handed_to_the_daemon_that_runs(shop: Shop) -> None:
    (shop.folder / "data").mkdir()
    opened(shop, text=FRAIL)
    shop.push("latest", _needs_data("two"))
    assert isinstance(shop.cycle().outcomes[0], RolledBack)
    daemon = shop.updater()
    try:
        log = shop.folder / "updater.log"
        until(
            lambda: log.exists() and "1 checked, 0 updated" in log.read_text(),
            what="the daemon's first cycle",
        )
        (shop.folder / "data" / "ok").touch()  # what the release lacked
        status, out = shop.run("--retry", shop.name)
        assert status == 0, out
        assert "handed to the updater that is running" in out
        until(lambda: runs(shop, "two") and shop.state()["status"] == "updated", what="the release")
    finally:
        daemon.terminate()
        daemon.communicate(timeout=150)
    assert daemon.returncode == 0
    assert shop.state()["quarantine"] == []
    assert shop.strays() == []
    assert list((shop.folder / "state" / "requests").glob("*")) == []


# ------------------------------------------------------------------------------------------ no way on or back


BREAKS_ALL = lab.build("two", healthcheck="busybox rm -f /data/ok; exit 1")


def _frozen(shop: Shop) -> None:
    """The shop after an update whose release broke what the old one needs."""
    (shop.folder / "data").mkdir()
    (shop.folder / "data" / "ok").touch()
    opened(shop, _needs_data("one"), text=FRAIL)
    until(
        lambda: shop.containers()[0].attrs["State"]["Health"]["Status"] == "healthy", what="a healthy start"
    )
    shop.push("latest", BREAKS_ALL)
    (outcome,) = shop.cycle().outcomes
    assert isinstance(outcome, RollbackFailed)
    assert outcome.cause.reason is Reason.UNHEALTHY
    assert outcome.rollback.reason is Reason.UNHEALTHY


def test_if_the_old_release_fails_too_it_is_said_and_left_alone_until_a_person_says_retry(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    _frozen(shop)
    detail = shop.state()["detail"]
    assert (shop.state()["status"], shop.state()["reason"]) == ("rollback_failed", "unhealthy")
    assert "the rollback failed too" in detail
    assert "--retry" in shop.state()["remedy"]
    assert len([r for r in caplog.records if getattr(r, "log_event", "") == "rollback_failed"]) == 1
    assert shop.strays() == []
    left = [container.id for container in shop.containers()]
    assert shop.releases() == [("one", "running")]
    shop.push("latest", lab.good("three"))
    report = shop.cycle()
    assert (report.outcomes, report.needs_look) == ((), frozenset({shop.name}))
    assert [container.id for container in shop.containers()] == left
    assert (shop.state()["status"], shop.state()["detail"]) == ("rollback_failed", detail)
    assert shop.run("--once")[0] == 1
    assert [container.id for container in shop.containers()] == left
    status, out = shop.run("--retry", shop.name)
    assert status == 0, out
    assert "stays in quarantine" in out
    shop.push("latest", BREAKS_ALL)
    assert shop.cycle().outcomes == (), "the release that broke everything is not tried again"
    assert shop.state()["reason"] == "quarantined"
    shop.push("latest", lab.good("three"))
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert shop.releases() == [("three", "running")]
    assert shop.state()["status"] == "updated"


def test_a_failure_of_one_service_does_not_stop_the_others(
    shop: Shop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The first is frozen by the very cycle before, the second cannot be read, the third gets its update."""
    shops = [shop]
    try:
        for name in ("second", "third"):
            (tmp_path / name).mkdir()
            shops.append(Shop(tmp_path / name, shop.registry))
        _, second, third = shops
        _frozen(shop)
        opened(second)
        opened(third)
        shop.settings = {"services": [one.config()["services"][0] for one in shops]}
        second.compose_file.write_text("services: [")
        third.push("latest", lab.good("three"))
        caplog.clear()
        report = shop.cycle()
        assert [(type(o), o.plan.name) for o in report.outcomes] == [(Committed, third.name)]
        assert report.needs_look == {shop.name, second.name}
        assert third.releases() == [("three", "running")]
        assert second.releases() == [("one", "running")]
        services = json.loads((shop.folder / "state" / "state.json").read_text())["services"]
        assert {one.name: services[one.name]["status"] for one in shops} == {
            shop.name: "rollback_failed",
            second.name: "unknown",
            third.name: "updated",
        }
    finally:
        for one in shops[1:]:
            one.down()

"""The volumes of a service on the real engine, with real Compose: every one that it had is mounted again,
forward and back, or nothing is stopped.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support import lab
from tests.support.fake_registry import Build
from tests.support.lab import Shop
from updater_core.app import cycle
from updater_core.models import (
    Cause,
    Committed,
    Hold,
    NotStarted,
    Outcome,
    Reason,
    RollbackFailed,
    RolledBack,
)

pytestmark = pytest.mark.engine

ALONE = "    restart: unless-stopped\n    stop_grace_period: 1s\n    network_mode: none\n"
WEB = "services:\n  web:\n    image: {image}\n" + ALONE


@pytest.fixture(autouse=True)
def _quick(shop: Shop) -> None:
    shop.policy = {"health_stable": 1}


def declaring(image: Build, *places: str) -> Build:
    return replace(image, config={**image.config, "Volumes": {place: {} for place in places}})


def begin(shop: Shop, image: Build, text: str = WEB, *words: str) -> None:
    shop.push("latest", image)
    shop.write(text=text)
    shop.up(*words)


def mounted(shop: Shop, service: str = "web") -> set[tuple[str, str]]:
    """Place and name of each volume that the containers of a service have."""
    found = (mount for each in shop.containers(service) for mount in each.attrs["Mounts"])
    return {(mount["Destination"], mount["Name"]) for mount in found if mount["Type"] == "volume"}


def name_at(shop: Shop, place: str, service: str = "web") -> str:
    (name,) = (name for at, name in mounted(shop, service) if at == place)
    return name


def write_data(shop: Shop, path: str, service: str = "web") -> None:
    for container in shop.containers(service):
        assert container.exec_run(["sh", "-c", f"echo precious > {path}"]).exit_code == 0


def data(shop: Shop, path: str, service: str = "web") -> set[str]:
    return {each.exec_run(["cat", path]).output.decode().strip() for each in shop.containers(service)}


def outcome_of(shop: Shop) -> Outcome:
    (outcome,) = shop.cycle().outcomes
    return outcome


def hold_of(shop: Shop) -> Hold:
    context = shop.context()
    report = cycle.run(context)
    assert report.outcomes == ()
    found = cycle.planned(context, report.checked[0])
    assert isinstance(found, Hold)
    return found


MOVED = {
    "another place": ("/data", "/var/data", WEB),
    "its parent": ("/var/lib/db/data", "/var/lib/db", WEB),
    "its child": ("/var/lib/db", "/var/lib/db/data", WEB),
    "nowhere": ("/data", None, WEB),
    "the same place, which Compose does not see": ("/data/", "/data/", WEB),
    "a named volume at the old place": (
        "/var/lib/db/data",
        "/var/lib/db",
        WEB + "    volumes: [data:/var/lib/db/data]\n",
    ),
    "a path of the host at the old place": ("/data", "/db", WEB + "    volumes: [./data:/data]\n"),
    "below a named volume": ("/db", "/db/sub", WEB + "    volumes: [data:/db]\n"),
    "below a path of the host that holds data": ("/db", "/db/sub", WEB + "    volumes: [./data:/db]\n"),
}


@pytest.mark.parametrize("kind", MOVED)
def test_an_image_that_keeps_its_data_elsewhere_is_held_before_anything_is_stopped(
    shop: Shop, kind: str
) -> None:
    old, new, text = MOVED[kind]
    (shop.folder / "data" / "sub").mkdir(parents=True)
    (shop.folder / "data" / "sub" / "rows").touch()
    text += "volumes:\n  data:\n" if "[data:" in text else ""
    begin(shop, declaring(lab.good("one"), old), text)
    write_data(shop, f"{old}/file")
    before = [each.id for each in shop.containers()]
    shop.push("latest", declaring(lab.good("two"), *([new] if new else [])))
    outcome = outcome_of(shop)
    assert isinstance(outcome, NotStarted)
    assert outcome.cause.reason is Reason.VOLUME_MOVED
    assert old.rstrip("/") in outcome.cause.message
    assert "allow_volume_change" in outcome.cause.remedy
    assert shop.state()["status"] == "held"
    shop.registry.clear_log()
    hold = hold_of(shop)
    assert hold.reason is Reason.VOLUME_MOVED
    assert hold.detail == outcome.cause.message
    assert shop.blobs_pulled() == [], "the image is not pulled again"
    assert [each.id for each in shop.containers()] == before
    assert data(shop, f"{old}/file") == {"precious"}


def test_a_new_volume_below_a_path_hides_nothing_once_that_is_mounted_there_or_is_empty(shop: Shop) -> None:
    rows = shop.folder / "data" / "sub" / "rows"
    rows.parent.mkdir(parents=True)
    rows.write_text("precious")
    text = WEB + "    volumes: [./data:/db]\n"
    begin(shop, lab.good("one"), text)
    shop.push("latest", declaring(lab.good("two"), "/db/sub"))
    remedy = cause_of(shop).remedy
    assert f"`{rows.parent}:/db/sub`" in remedy
    shop.write(text=text.replace("[./data:/db]", f"[./data:/db, {rows.parent}:/db/sub]"))
    shop.up("--pull", "never", "web")
    assert isinstance(outcome_of(shop), Committed)
    assert data(shop, "/db/sub/rows") == {"precious"}
    shop.push("latest", declaring(lab.good("three"), "/db/sub", "/db/new"))
    assert isinstance(outcome_of(shop), Committed), "there is nothing at /db/new"


def test_a_volume_that_was_renamed_in_the_file_is_named_before_anything_is_pulled(shop: Shop) -> None:
    """A top-level `name` is no part of what Compose compares: its dry run says that nothing would change."""
    text = WEB + "    volumes: [data:/data]\nvolumes:\n  data:\n"
    begin(shop, lab.good("one"), text)
    write_data(shop, "/data/file")
    shop.push("latest", lab.good("two"))
    shop.write(text=text + f"    name: {shop.name}_other\n")
    found = hold_of(shop)
    assert found.reason is Reason.DRIFT
    assert f"{shop.name}_data at /data, where its file mounts volume {shop.name}_other" in found.detail
    assert "copy the data" in found.remedy
    shop.policy["allow_drift"] = True
    assert f"where its file mounts volume {shop.name}_other" in cause_of(shop).message
    assert data(shop, "/data/file") == {"precious"}


def cause_of(shop: Shop) -> Cause:
    outcome = outcome_of(shop)
    assert isinstance(outcome, NotStarted), outcome
    assert outcome.cause.reason is Reason.VOLUME_MOVED
    return outcome.cause


def test_a_service_that_allows_it_starts_anew_and_the_old_volume_stays(shop: Shop) -> None:
    begin(shop, declaring(lab.good("one"), "/data"))
    write_data(shop, "/data/file")
    old = name_at(shop, "/data")
    shop.push("latest", declaring(lab.good("two"), "/db"))
    shop.policy["allow_volume_change"] = True
    assert isinstance(outcome_of(shop), Committed)
    assert [place for place, _ in mounted(shop)] == ["/db"]
    client = shop.client
    assert client.volumes.get(old).name == old
    client.close()


def test_the_way_back_from_a_release_without_the_volume_brings_the_very_volume_back(shop: Shop) -> None:
    begin(shop, declaring(lab.healthy("one"), "/data", "/cache"))
    write_data(shop, "/data/file")
    before = mounted(shop)
    shop.push("latest", declaring(lab.unhealthy("two"), "/db", "/cache"))
    shop.policy["allow_volume_change"] = True
    outcome = outcome_of(shop)
    assert isinstance(outcome, RolledBack), outcome
    assert mounted(shop) == before
    assert data(shop, "/data/file") == {"precious"}
    assert shop.releases() == [("one", "running")]
    assert shop.operator_up_changes() == []
    client = shop.client
    left = [volume.name for volume in client.volumes.list() if volume.name in outcome.cause.message]
    client.close()
    assert len(left) == 1, "the empty volume of the failed release is named, and is still there"


CARRIED: dict[str, tuple[Any, str, list[str]]] = {
    "declared by both images": (lambda image: declaring(image, "/data"), WEB, []),
    "without a name in the file": (lambda image: image, WEB + "    volumes: [/data]\n", []),
    "written with a slash in the file": (lambda image: image, WEB + "    volumes: [/data/]\n", []),
    "with a name": (lambda image: image, WEB + "    volumes: [data:/data]\nvolumes:\n  data:\n", []),
    "of three containers": (lambda image: declaring(image, "/data"), WEB, ["--scale", "web=3"]),
}


@pytest.mark.parametrize("kind", CARRIED)
def test_a_volume_that_stays_is_carried_over_forward_and_back(shop: Shop, kind: str) -> None:
    made, text, words = CARRIED[kind]
    begin(shop, made(lab.healthy("one")), text, *words)
    write_data(shop, "/data/file")
    before = mounted(shop)
    shop.push("latest", made(lab.healthy("two")))
    assert isinstance(outcome_of(shop), Committed)
    assert mounted(shop) == before
    shop.push("latest", made(lab.unhealthy("three")))
    assert isinstance(outcome_of(shop), RolledBack)
    assert mounted(shop) == before
    assert data(shop, "/data/file") == {"precious"}


def test_a_service_that_borrows_volumes_keeps_them(shop: Shop) -> None:
    borrower = f"  worker:\n    image: {{image}}\n    volumes_from: [web]\n{ALONE}"
    shop.compose_service = ["web", "worker"]
    begin(shop, declaring(lab.good("one"), "/data"), WEB + borrower)
    write_data(shop, "/data/file")
    before = mounted(shop)
    assert mounted(shop, "worker") == before
    shop.push("latest", declaring(lab.good("two"), "/data"))
    assert isinstance(outcome_of(shop), Committed)
    assert mounted(shop) == mounted(shop, "worker") == before


def test_a_volume_that_cannot_be_brought_back_is_named_and_nothing_is_called_well(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compose is asked to renew volumes without a name (as `up -V` does) by a wrapper of it, in both
    directions.
    """
    begin(shop, declaring(lab.healthy("one"), "/data"))
    old = name_at(shop, "/data")
    wrapper = shop.folder / "bin" / "docker"
    wrapper.parent.mkdir()
    wrapper.write_text(
        '#!/bin/sh\nfor word; do shift; set -- "$@" "$word"; [ "$word" = up ] && set -- "$@" -V; done\n'
        'exec /usr/bin/docker "$@"\n'
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:/usr/bin:/bin:/usr/sbin:/sbin")
    shop.push("latest", declaring(lab.healthy("two"), "/data"))
    outcome = outcome_of(shop)
    assert isinstance(outcome, RollbackFailed), outcome
    assert outcome.cause.reason is Reason.VOLUME_LOST
    assert outcome.rollback.reason is Reason.VOLUME_LOST
    assert old in outcome.rollback.message
    assert shop.state()["status"] == "rollback_failed"
    client = shop.client
    assert client.volumes.get(old).name == old
    client.close()


NEW_PLACES = {"its parent": "/var/lib/db", "elsewhere": "/db"}


@pytest.mark.parametrize("kind", NEW_PLACES)
def test_the_remedy_for_data_that_the_new_image_keeps_elsewhere_leads_out(shop: Shop, kind: str) -> None:
    """As `postgres:18` does.

    The old image must not be brought up with the new mount: it would begin an empty one.
    """
    old, new = "/var/lib/db/data", NEW_PLACES[kind]
    begin(shop, declaring(lab.good("one"), old))
    write_data(shop, f"{old}/file")
    shop.push("latest", declaring(lab.good("two"), new))
    outcome = outcome_of(shop)
    assert isinstance(outcome, NotStarted)
    volume = name_at(shop, old)
    assert f"volume {volume} at {old}" in outcome.cause.message
    assert f"`docker compose -p {shop.name} pull web`" in outcome.cause.remedy
    assert f"`docker compose -p {shop.name} up -d web`" in outcome.cause.remedy
    (container,) = shop.containers()
    container.stop(timeout=1)
    client = shop.client
    labels = {"com.docker.compose.project": shop.name, "com.docker.compose.volume": "copied"}
    copied = client.volumes.create(f"{shop.name}_copied", labels=labels)
    places = {volume: {"bind": "/from"}, copied.name: {"bind": "/to"}}
    copy = ["sh", "-c", "cat /from/file > /to/file"]
    client.containers.run(container.image.id, entrypoint=copy, volumes=places, remove=True)
    client.close()
    shop.write(text=f"{WEB}    volumes: [copied:{new}]\nvolumes:\n  copied:\n")
    shop.compose("pull", "web")
    shop.up("web")
    assert shop.releases() == [("two", "running")]
    assert data(shop, f"{new}/file") == {"precious"}
    assert mounted(shop) == {(new, copied.name)}
    assert hold_of(shop).reason is Reason.SAME_DIGEST
    assert shop.state()["status"] == "up_to_date"

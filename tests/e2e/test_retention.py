"""The names under which images are retained: one for each that can be gone back to, none for what runs, none
that outlives its service, and none that two updaters on one engine share.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import docker
import pytest

from tests.support import lab
from tests.support.lab import Shop
from updater_core.deploy.retention_tags import (
    FOUND,
    PULLED,
    earlier_prefixes,
    removal_command,
    retention_prefix,
    updater_prefix,
)
from updater_core.models import Committed, RolledBack
from updater_core.state import identity

pytestmark = pytest.mark.engine


def names(shop: Shop, prefix: str = "") -> dict[str, str]:
    """Our names that hold an image of this shop, and the image's own label."""
    client = shop.client
    try:
        # one call: other tests remove images meanwhile
        images = client.api.images(filters={"label": "release"})
        tags = {tag: raw["Labels"]["release"] for raw in images for tag in raw["RepoTags"] or ()}
    finally:
        client.close()
    return {
        tag: release
        for tag, release in tags.items()
        if (tag.startswith(prefix) if prefix else shop.is_hold(tag))
    }


def updater_of(shop: Shop) -> str:
    """The id of this shop's updater."""
    return identity.read(shop.folder / "state")


def updated(shop: Shop, tag: str, release: str) -> None:
    shop.push(tag, lab.good(release))
    assert isinstance(shop.cycle().outcomes[0], Committed)


def test_only_the_image_to_go_back_to_has_a_name_and_it_goes_with_its_service(shop: Shop) -> None:
    shop.push("v1", lab.good("one"))
    shop.write("v1")
    shop.up()
    shop.policy = {"semver_pattern": "v*"}
    updated(shop, "v2", "two")
    ((found, release),) = names(shop).items()
    assert (release, FOUND in found) == ("one", True), "it was there before us"
    updated(shop, "v3", "three")
    ((brought, release),) = names(shop).items()
    assert (release, PULLED in brought) == ("two", True), (
        "it is remembered as ours without a name while it ran"
    )

    shop.push("v5", lab.exits("five"))
    assert isinstance(shop.cycle().outcomes[0], RolledBack)
    assert names(shop) == {brought: "two"}

    other = f"{shop.name}-renamed"
    shop.policy |= {"name": other}
    shop.cycle()
    renamed = names(shop)
    assert [tag.startswith(retention_prefix(updater_of(shop), other)) for tag in renamed] == [True]
    assert [*renamed.values()] == ["two"]
    status, said = shop.run("--rollback", other)
    assert status == 0, said
    assert shop.releases() == [("two", "running")]

    shop.settings = {"services": []}
    shop.cycle()
    assert names(shop) == {}
    assert "two" in {each for each, _ in shop.releases()}, "what runs is left alone"


@pytest.fixture
def second(shop: Shop, tmp_path: Path) -> Iterator[Shop]:
    """A project of its own, looked after by an updater of its own, which calls its service as the first one
    does.
    """
    folder = tmp_path / "second"
    folder.mkdir()
    made = Shop(folder, shop.registry, name=f"{shop.name}-second")
    made.policy = {"name": shop.name, "semver_pattern": "v*"}
    shop.policy = {"semver_pattern": "v*"}
    yield made
    made.down()


def test_what_one_updater_lets_go_another_on_the_engine_keeps(shop: Shop, second: Shop) -> None:
    """Both look after a service of one name, with the same images, one a release behind the other."""
    shop.push("v1", lab.good("one"))
    for each in (shop, second):
        each.write("v1")
        each.up()
    updated(shop, "v2", "two")
    assert isinstance(second.cycle().outcomes[0], Committed)
    updated(shop, "v3", "three")
    assert isinstance(second.cycle().outcomes[0], Committed)
    assert updater_of(shop) != updater_of(second)
    for each in (shop, second):
        assert [*names(shop, updater_prefix(updater_of(each))).values()] == ["two"]

    updated(shop, "v4", "four")
    assert [*names(shop, updater_prefix(updater_of(shop))).values()] == ["three"]
    assert [*names(shop, updater_prefix(updater_of(second))).values()] == ["two"]
    assert [*names(shop, f"{shop.repository}:v2").values()] == ["two"], (
        "nor the name that its file would have"
    )
    pulled = len(shop.blobs_pulled())
    status, said = second.run("--rollback", shop.name)
    assert status == 0, said
    assert second.releases() == [("two", "running")]
    assert len(shop.blobs_pulled()) == pulled, "the image was still there"

    client = shop.client
    plain = client.containers.create(f"{shop.repository}:v3", name=f"{shop.name}-plain")
    try:
        updated(shop, "v5", "five")
        assert [*names(shop, f"{shop.repository}:v3").values()] == ["three"], (
            "no container of Compose's has it"
        )
    finally:
        plain.remove(force=True)
        client.close()

    second.settings = {"services": []}
    second.cycle()
    assert names(shop, updater_prefix(updater_of(second))) == {}
    assert [*names(shop, updater_prefix(updater_of(shop))).values()] == ["four"]


# ------------------------------------------------------------------------------- names of earlier versions


def _as_an_earlier_version_left_it(
    shop: Shop, client: docker.DockerClient, foreign: Sequence[str]
) -> list[str]:
    """Retain what is known as that one did: the image that runs as well, under names that say no updater.

    `foreign`: names that the current image gets besides. Returns the names of ours.
    """
    ((name, _),) = names(shop).items()
    old, current = client.images.get(name), client.images.get(f"{shop.repository}:v2")
    without_updater, former = earlier_prefixes(shop.name)
    own = [f"{without_updater}found-{str(old.id)[7:19]}", f"{former}brought-{str(current.id)[7:19]}"]
    for image, given in ((old, own[0]), (current, own[1]), *((current, each) for each in foreign)):
        image.tag(*given.rsplit(":", 1))
    client.api.remove_image(name)
    path = shop.folder / "state" / "state.json"
    record = json.loads(path.read_text())
    del record["retained_by"]
    path.write_text(json.dumps(record))
    return own


@pytest.fixture
def moved_on(shop: Shop) -> Iterator[docker.DockerClient]:
    """The shop after one update, from release one to two; a client of its engine."""
    shop.push("v1", lab.good("one"))
    shop.write("v1")
    shop.up()
    shop.policy = {"semver_pattern": "v*"}
    updated(shop, "v2", "two")
    client = shop.client
    yield client
    client.close()


def test_names_of_an_earlier_version_become_this_updaters(shop: Shop, moved_on: docker.DockerClient) -> None:
    """Those of a service that is not ours stay."""
    others = f"{earlier_prefixes(shop.name + '-of-another')[0]}found-1"
    own = _as_an_earlier_version_left_it(shop, moved_on, [others])
    shop.cycle()
    ours = retention_prefix(updater_of(shop), shop.name)
    assert names(shop, ours) == {
        f"{ours}{FOUND}{own[0][-12:]}": "one",
        f"{ours}{PULLED}{own[1][-12:]}": "two",
    }
    assert {*names(shop)} == {*names(shop, ours), others}
    moved_on.api.remove_image(others)

    updated(shop, "v3", "three")
    assert [*names(shop).values()] == ["two"]
    status, said = shop.run("--rollback", shop.name)
    assert status == 0, said
    assert shop.releases() == [("two", "running")]


def test_a_name_that_another_updater_may_mean_is_left_alone_and_ours_stands_beside(
    shop: Shop, moved_on: docker.DockerClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Another updater on the engine looked after a service of that name: an image that this one does not
    remember has a name of it.
    """
    without_updater, _ = earlier_prefixes(shop.name)
    own = _as_an_earlier_version_left_it(shop, moved_on, [])
    shop.push("other", lab.good("of another"))
    moved_on.images.pull(shop.repository, "other").tag(*f"{without_updater}pulled-of-another".rsplit(":", 1))
    shop.cycle()
    ours = retention_prefix(updater_of(shop), shop.name)
    assert sorted(names(shop, ours).values()) == ["one", "two"]
    left = {*own, f"{without_updater}pulled-of-another"}
    assert left <= {*names(shop)}
    assert f"docker rmi {without_updater}pulled-of-another" in caplog.text


def test_names_of_an_id_that_was_lost_are_said_with_the_command_that_removes_them(
    shop: Shop, moved_on: docker.DockerClient, caplog: pytest.LogCaptureFixture
) -> None:
    lost, mine = updater_prefix(updater_of(shop)), "0123456789ab"
    (shop.folder / "state" / identity.ID_FILE).write_text(f"{mine}\n")
    shop.cycle()
    assert [*names(shop, lost).values()] == ["one"], "it may be another updater's"
    assert "one" in names(shop, updater_prefix(mine)).values()
    command = removal_command(lost)
    assert command in caplog.text
    status, said = shop.run("--test")
    assert status == 0, said
    assert command in said
    assert updater_prefix(mine) not in said

    subprocess.run(["sh", "-c", command], check=True, capture_output=True)
    assert names(shop, lost) == {}
    assert command not in shop.run("--test")[1]
    status, said = shop.run("--rollback", shop.name)
    assert status == 0, said
    assert shop.releases() == [("one", "running")]

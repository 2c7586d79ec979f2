"""The names under which images are retained: one for each that can be gone back to, none for what runs, and none that
outlives its service."""

from __future__ import annotations

import pytest

from tests.support import lab
from tests.support.lab import Shop
from updater_core.deploy.retention_tags import BROUGHT, FOUND, HOLD_PREFIX, hold_name, hold_prefix
from updater_core.models import Committed, RolledBack

pytestmark = pytest.mark.engine


def names(shop: Shop, prefix: str = "") -> dict[str, str]:
    """Our names that hold an image of this shop, and the image's own label."""
    client = shop.client
    try:
        images = client.api.images(filters={"label": "release"})  # one call: other tests remove images meanwhile
        tags = {tag: raw["Labels"]["release"] for raw in images for tag in raw["RepoTags"] or ()}
    finally:
        client.close()
    return {tag: release for tag, release in tags.items() if tag.startswith(prefix or HOLD_PREFIX + shop.name)}


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
    assert (release, BROUGHT in brought) == ("two", True), "it is remembered as ours without a name while it ran"

    shop.push("v5", lab.exits("five"))
    assert isinstance(shop.cycle().outcomes[0], RolledBack)
    assert names(shop) == {brought: "two"}

    other = f"{shop.name}-renamed"
    shop.policy |= {"name": other}
    shop.cycle()
    renamed = names(shop)
    assert [tag.startswith(hold_prefix(other)) for tag in renamed] == [True]
    assert [*renamed.values()] == ["two"]
    status, said = shop.run("--rollback", other)
    assert status == 0, said
    assert shop.releases() == [("two", "running")]

    shop.settings = {"services": []}
    shop.cycle()
    assert names(shop) == {}
    assert "two" in {each for each, _ in shop.releases()}, "what runs is left alone"


def test_names_of_an_earlier_version_are_understood(shop: Shop) -> None:
    """It gave the image that runs a name as well."""
    shop.push("v1", lab.good("one"))
    shop.write("v1")
    shop.up()
    shop.policy = {"semver_pattern": "v*"}
    updated(shop, "v2", "two")
    client = shop.client
    current = client.images.get(f"{shop.repository}:v2")
    repository, _, tag = hold_name(shop.name, str(current.id), BROUGHT).rpartition(":")
    current.tag(repository, tag)
    client.close()
    assert sorted(names(shop).values()) == ["one", "two"]
    updated(shop, "v3", "three")
    assert sorted(names(shop).values()) == ["two"]
    status, said = shop.run("--rollback", shop.name)
    assert status == 0, said
    assert shop.releases() == [("two", "running")]

"""The names under which images are retained: one for each that can be gone back to, none for what runs, and
none that outlives its service.
"""

from __future__ import annotations

import json

import pytest

from tests.support import lab
from tests.support.lab import Shop
from updater_core.deploy.retention_tags import (
    FOUND,
    PULLED,
    RETENTION_PREFIX,
    former_prefix,
    retention_name,
    retention_prefix,
)
from updater_core.models import Committed, RolledBack

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
        if tag.startswith(prefix or RETENTION_PREFIX + shop.name)
    }


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
    assert [tag.startswith(retention_prefix(other)) for tag in renamed] == [True]
    assert [*renamed.values()] == ["two"]
    status, said = shop.run("--rollback", other)
    assert status == 0, said
    assert shop.releases() == [("two", "running")]

    shop.settings = {"services": []}
    shop.cycle()
    assert names(shop) == {}
    assert "two" in {each for each, _ in shop.releases()}, "what runs is left alone"


def _as_an_earlier_version_left_it(shop: Shop) -> None:
    path = shop.folder / "state" / "state.json"
    record = json.loads(path.read_text())
    del record["has_today_names"]
    path.write_text(json.dumps(record))


def test_names_of_an_earlier_version_become_those_of_today(shop: Shop) -> None:
    """It gave the image that runs a name as well, and both names began otherwise.

    Another updater's are left alone.
    """
    shop.push("v1", lab.good("one"))
    shop.write("v1")
    shop.up()
    shop.policy = {"semver_pattern": "v*"}
    updated(shop, "v2", "two")
    others = f"{former_prefix(shop.name + '-of-another')}found-1"
    client = shop.client
    ((name, _),) = names(shop).items()
    old, current = client.images.get(name), client.images.get(f"{shop.repository}:v2")
    for image, former in (
        (old, f"{former_prefix(shop.name)}found-{str(old.id)[7:19]}"),
        (current, f"{former_prefix(shop.name)}brought-{str(current.id)[7:19]}"),
        (current, others),
    ):
        image.tag(*former.rsplit(":", 1))
    client.api.remove_image(name)
    _as_an_earlier_version_left_it(shop)
    try:
        assert [*names(shop)] == []
        shop.cycle()
        assert sorted(names(shop).items()) == [
            (retention_name(shop.name, str(old.id), FOUND), "one"),
            (retention_name(shop.name, str(current.id), PULLED), "two"),
        ]
        assert names(shop, former_prefix(shop.name)) == {}
        assert [*names(shop, others)] == [others]
    finally:
        client.api.remove_image(others)
        client.close()
    updated(shop, "v3", "three")
    assert sorted(names(shop).values()) == ["two"]
    status, said = shop.run("--rollback", shop.name)
    assert status == 0, said
    assert shop.releases() == [("two", "running")]

"""The main job once more, on an engine that keeps its images in containerd's store.

There an image's id is the digest of its index, and an image lives by its names alone: the last one takes it
along.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_kills import (  # noqa: F401 - collected here too
    test_killed_before_and_after_each_step_the_next_start_ends_whole,
)
from tests.e2e.test_no_images import (  # noqa: F401
    test_a_new_attestation_around_the_same_image_is_no_update,
    test_a_new_image_behind_the_tag_is_still_an_update,
)
from tests.e2e.test_tag_cache import (  # noqa: F401
    cached,
    test_another_version_is_taken_and_pinned_though_the_cache_refuses_its_digest,
    test_what_a_cache_gives_by_its_tag_alone_is_taken_and_a_bad_release_is_taken_back,
)
from tests.e2e.test_update_groups import (  # noqa: F401
    test_a_pin_follows_the_digest_behind_its_tag,
    test_a_pinned_digest_stays_a_pin_and_moves_with_its_tag,
    test_a_rollback_by_the_operator_goes_back_and_stays_until_a_newer_one_appears,
    test_a_rollback_by_the_operator_goes_back_behind_the_same_tag,
)
from tests.e2e.test_updates import (  # noqa: F401
    test_a_bad_release_is_rolled_back_quarantined_and_not_tried_again,
    test_a_new_digest_behind_the_tag_is_taken_and_the_operators_next_up_is_a_no_op,
    test_a_release_for_another_platform_never_reaches_the_service,
    test_nothing_new_means_nothing_is_done,
    test_the_highest_version_is_taken_and_only_the_tag_in_the_file_changes,
    test_two_services_of_one_file_are_both_updated_in_one_cycle,
)
from tests.support import lab
from tests.support.containerd_engine import containerd_engine
from tests.support.fake_registry import FakeRegistry
from tests.support.lab import Shop
from tests.support.private_engine import PrivateEngine
from updater_core.models import Committed

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("containerd store")]


@pytest.fixture(scope="module")
def store() -> Iterator[PrivateEngine]:
    with containerd_engine() as running:
        yield running


@pytest.fixture
def shop(
    tmp_path: Path, registry: FakeRegistry, store: PrivateEngine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shop]:
    monkeypatch.setenv("DOCKER_HOST", store.host)
    made = Shop(tmp_path, registry)
    yield made
    made.down()


def test_images_that_we_brought_are_let_go_and_the_operators_stays_under_our_name(shop: Shop) -> None:
    own = [f"{name} of {shop.name}" for name in ("one", "two", "three", "four")]
    shop.push("latest", lab.good(own[0]))
    shop.write()
    shop.up()
    for name in own[1:]:
        shop.push("latest", lab.good(name))
        assert isinstance(shop.cycle().outcomes[0], Committed)
    client = shop.client
    images = client.images.list(filters={"label": "release"})
    held = {i.labels["release"] for i in images if any(shop.is_hold(tag) for tag in i.tags)}
    client.close()
    assert held == {own[0], own[2]}


def test_the_store_is_containerds(store: PrivateEngine, shop: Shop) -> None:
    client = shop.client
    assert ["driver-type", "io.containerd.snapshotter.v1"] in client.info()["DriverStatus"]
    client.close()

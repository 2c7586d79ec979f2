"""The main job once more, on the newest engine and with the newest Compose that Debian has."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_kills import (  # noqa: F401 - collected here too
    test_killed_before_and_after_each_step_the_next_start_ends_whole,
)
from tests.e2e.test_operator_meanwhile import (  # noqa: F401
    test_a_dependent_that_its_operator_has_stopped_stays_stopped,
    test_a_dependents_undeployed_edit_is_not_deployed_by_us,
    test_an_edit_is_seen_if_the_operator_has_pulled_before,
    test_dependents_of_dependents_go_along,
)
from tests.e2e.test_update_groups import (  # noqa: F401
    test_a_container_name_is_kept,
    test_a_list_of_services_is_one_unit_forward_and_back,
    test_a_pinned_digest_stays_a_pin_and_moves_with_its_tag,
    test_a_rollback_by_the_operator_goes_back_behind_the_same_tag,
    test_a_scaled_service_keeps_its_number_of_containers,
    test_a_service_in_the_same_network_namespace_goes_with_it_forward_and_back,
    test_dependencies_and_dependants_are_left_alone_and_the_operators_up_is_a_no_op,
)
from tests.e2e.test_updates import (  # noqa: F401
    test_a_bad_release_is_rolled_back_quarantined_and_not_tried_again,
    test_a_new_digest_behind_the_tag_is_taken_and_the_operators_next_up_is_a_no_op,
    test_nothing_new_means_nothing_is_done,
    test_the_highest_version_is_taken_and_only_the_tag_in_the_file_changes,
    test_two_services_of_one_file_are_both_updated_in_one_cycle,
)
from tests.support import newer_docker
from tests.support.fake_registry import FakeRegistry
from tests.support.lab import Shop
from tests.support.private_engine import PrivateEngine

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("newer docker")]


@pytest.fixture(scope="module")
def newer() -> Iterator[PrivateEngine]:
    with newer_docker.newer_engine() as running:
        yield running


@pytest.fixture
def shop(
    tmp_path: Path, registry: FakeRegistry, newer: PrivateEngine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shop]:
    newer_docker.use_client(monkeypatch)
    monkeypatch.setenv("DOCKER_HOST", newer.host)
    made = Shop(tmp_path, registry)
    yield made
    made.down()


def test_these_are_newer_than_the_machines_own(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    client = shop.client
    engine = tuple(map(int, client.version()["Version"].split("+")[0].split(".")[:2]))
    client.close()
    said = subprocess.run(
        ["docker", "compose", "version", "--short"], capture_output=True, text=True, check=True
    )
    compose = tuple(map(int, said.stdout.strip().lstrip("v").split(".")[:2]))
    assert engine >= (28, 0)
    assert compose >= (2, 40)

"""What is seen of a host, as far as the real engine is not needed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from updater_core.models import Container, Image
from updater_core.targets.compose import observe
from updater_core.targets.compose.reading import observed

PREFIX = "com.docker.compose.project."


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else here")
def test_a_project_in_a_folder_that_may_not_be_entered_stops_nobody(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    file = closed / "compose.yml"
    file.write_text("services: {}")
    labels = {f"{PREFIX}config_files": str(file), f"{PREFIX}working_dir": str(closed)}
    foreign = Container("i", "n", "p", "web", "sha256:0", "app:1", "running", "", 0, labels=labels)
    assert observe.container_index([foreign]) == {(str(file), "web"): (foreign,)}
    os.seteuid(65534)
    try:
        assert observe.container_index([foreign]) == {(observe.NO_FILES, "web"): (foreign,)}
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    "is_containerds", [True, False], ids=["containerd's store", "the engine's own store"]
)
def test_a_digest_of_the_registry_is_no_local_id_although_containerds_store_calls_the_image_by_it(
    is_containerds: bool,
) -> None:
    digest, key = "sha256:" + "d" * 64, "docker.io/acme/web"
    own_id = digest if is_containerds else "sha256:" + "1" * 64
    known = Image(own_id, repo_digests=(f"acme/web@{digest}",))
    container = Container("c1", "web-1", "shop", "web", own_id, "acme/web:1", "running", "", 0)
    ids = observed.local_ids([container], key, {own_id: known}.get)
    assert ids == (frozenset() if is_containerds else {own_id})
    assert observed.running_digests([container], key, {own_id: known}.get) - ids == {digest}
    assert observed.local_ids([container], key, lambda _: None) == {own_id}

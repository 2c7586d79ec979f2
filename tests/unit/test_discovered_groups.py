"""Discovery makes one group of services that take their image from one place, unless their operator says
otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from updater_core import config_utils
from updater_core.models import Container, Mode, ServiceConfig
from updater_core.state.records import ServiceState, State
from updater_core.targets import discovery, identities
from updater_core.targets.sharing import SharedPlaces

ONE_VERSION = """\
services:
  server:
    image: acme/server:${VERSION}
  ml:
    image: acme/ml:${VERSION}-cuda
  db:
    image: postgres:16.3
"""


class Host:
    """A folder with a compose file, and the containers that were started from it."""

    def __init__(self, folder: Path, text: str = ONE_VERSION, env: str = "VERSION=v1.2.3\n") -> None:
        self.path = folder / "compose.yml"
        self.path.write_text(text)
        (folder / ".env").write_text(env)
        self.state = State()
        self.shared = SharedPlaces()

    def container(
        self, service: str, reference: str, labels: Mapping[str, str], status: str = "running"
    ) -> Container:
        own = {
            "com.docker.compose.project.config_files": str(self.path),
            "com.docker.compose.project.working_dir": str(self.path.parent),
            **{f"docker-updater.{key}": value for key, value in labels.items()},
        }
        return Container(
            service, service, "immich", service, f"sha256:{service}", reference, status, "", 0, labels=own
        )

    def taken_up(
        self, *listed: dict[str, Any], server: Mapping[str, str] | None = None,
        ml: Mapping[str, str] | None = None,
        ml_status: str = "running", **top: Any,
    ) -> dict[str, ServiceConfig]:  # fmt: skip
        config = config_utils.parse(
            {"services": list(listed), "discover": "all", **top}, {}, "/etc/up/config.json"
        )
        containers = (
            self.container("server", "acme/server:v1.2.3", server or {}),
            self.container("ml", "acme/ml:v1.2.3-cuda", ml or {}, ml_status),
            self.container("db", "postgres:16.3", {}),
        )
        found = discovery.unlisted(config, self.state, containers, self.shared)
        return {service.name: service for service in found}

    def entry(self, *services: str) -> dict[str, Any]:
        return {
            "name": "mine", "image": "acme/server:v1.2.3", "compose_file": str(self.path),
            "compose_service": list(services),
        }  # fmt: skip


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def members(found: dict[str, ServiceConfig]) -> dict[str, set[str]]:
    return {name: set(service.compose_services) for name, service in found.items()}


def test_services_of_one_variable_are_one_group_by_the_name_of_their_project(host: Host) -> None:
    found = host.taken_up()
    assert members(found) == {"immich": {"server", "ml"}, "immich-db": {"db"}}
    assert all(not service.problem for service in found.values())
    assert host.taken_up() == found, "asked once more, from memory"


def test_services_of_one_anchor_are_one_group_too(tmp_path: Path) -> None:
    text = (
        "services:\n  server:\n    image: &it acme/app:1.2\n  ml:\n    image: *it\n  db:\n    image: "
        "postgres:16.3\n"
    )
    assert members(Host(tmp_path, text).taken_up()) == {"immich": {"server", "ml"}, "immich-db": {"db"}}


def test_variables_of_their_own_make_no_group(tmp_path: Path) -> None:
    text = ONE_VERSION.replace("${VERSION}-cuda", "${ML}-cuda")
    found = Host(tmp_path, text, "VERSION=v1.2.3\nML=v1.2.3\n").taken_up()
    assert set(found) == {"immich-server", "immich-ml", "immich-db"}


def test_an_edit_of_the_files_is_seen_at_the_next_cycle(host: Host) -> None:
    assert "immich" in host.taken_up()
    host.path.write_text(ONE_VERSION.replace("${VERSION}-cuda", "v1.2.3-cuda"))
    assert "immich" not in host.taken_up()


def test_a_label_that_names_a_group_counts_for_what_shares_its_place(host: Host) -> None:
    assert "photos" in host.taken_up(server={"group": "photos"}, ml={"group": "photos"})
    assert members(host.taken_up(server={"group": "photos"}))["photos"] == {"server", "ml"}
    assert set(host.taken_up(server={"group": "a"}, ml={"group": "b"})) == {"a", "b", "immich-db"}


def test_the_stricter_mode_counts_for_all(host: Host) -> None:
    assert host.taken_up(ml={"mode": "notify"})["immich"].policy.mode is Mode.NOTIFY
    assert host.taken_up(server={"mode": "approve"})["immich"].policy.mode is Mode.APPROVE


def test_labels_that_disagree_make_no_group(host: Host) -> None:
    """Each is held then, and what to write is said with it."""
    assert {"immich-server", "immich-ml"} <= set(host.taken_up(ml={"follow": "major"}))


def test_a_service_that_is_listed_or_left_out_keeps_the_others_from_a_group(host: Host) -> None:
    assert members(host.taken_up(host.entry("server"))) == {"immich-ml": {"ml"}, "immich-db": {"db"}}
    assert members(host.taken_up(host.entry("server", "ml"))) == {"immich-db": {"db"}}
    assert set(host.taken_up(ml={"enable": "false"})) == {"immich-server", "immich-db"}
    assert set(host.taken_up(discover_exclude=["immich/ml"])) == {"immich-server", "immich-db"}


def test_a_group_of_which_a_part_was_stopped_stays_the_group_that_is_remembered(host: Host) -> None:
    group = host.taken_up()["immich"]
    assert "immich" not in host.taken_up(ml_status="exited"), "it was never met"
    host.state = State({"immich": ServiceState(update_group=identities([group])["immich"])})
    assert members(host.taken_up(ml_status="exited"))["immich"] == {"server", "ml"}

"""The updater in a container knows its own service.

Discovery leaves it alone, and its operator is notified what to do.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.simulator import SimEngine
from tests.support.swarm_simulator import SimSwarm, web_spec
from updater_core import config_utils
from updater_core.deploy.target import Host
from updater_core.models import Container, Image
from updater_core.state.records import State
from updater_core.targets import discovery, own_service
from updater_core.targets.survey import HostSurvey

OWN, BUILT, PULLED = "a" * 64, "sha256:built", "sha256:pulled"


def container(service: str, number: int = 1, **changes: Any) -> Container:
    labels = {
        "com.docker.compose.project.config_files": "/srv/ops/compose.yml",
        "com.docker.compose.project.working_dir": "/srv/ops",
    }
    made = Container(f"{service}{number}" * 9, f"ops-{service}-{number}", "ops", service, BUILT,
                     f"acme/{service}:1",
                     "running", "", 0, labels=labels)  # fmt: skip
    return replace(made, **changes)


class Engine(SimEngine):
    """An engine that runs just these containers."""

    def __init__(self, containers: tuple[Container, ...]) -> None:
        self.shown = containers

    def all_containers(self) -> tuple[Container, ...]:
        return self.shown

    def known_image(self, image_id: str) -> Image | None:
        return Image(image_id, ("acme/updater@sha256:1",) if image_id == PULLED else ())


def host(*containers: Container, own: str | None = OWN) -> Host:
    swarm = SimSwarm(web_spec("acme/web:1"))
    return Host(Engine(containers), None, None, None, Path(), 0.0, own, lambda engine: swarm)  # type: ignore[arg-type]


def config(mode: str = "all") -> Any:
    return config_utils.parse({"services": [], "discover": mode}, {}, "/etc/up/config.json")


def taken_up(*containers: Container, mode: str = "all", own: str | None = OWN) -> set[str]:
    found = discovery.take_up(config(mode), host(*containers, own=own), State())
    return {service.name for service in found.services if service.compose_files}


ENABLED = {**container("updater").labels, "docker-updater.enable": "true"}


@pytest.mark.parametrize("mode", ["all", "labelled"])
@pytest.mark.parametrize(
    "own",
    [
        (container("updater", id=OWN, labels=ENABLED),),
        (container("updater", id=OWN, labels=ENABLED), container("updater", 2, labels=ENABLED)),
        (
            container("updater", labels=ENABLED),
            container("updater", 2, id=OWN, labels={**ENABLED, "com.docker.compose.oneoff": "True"}),
        ),
    ],
    ids=["alone", "of two", "docker compose run"],
)
def test_discovery_does_not_take_up_the_updaters_own_service(mode: str, own: tuple[Container, ...]) -> None:
    web = container("web", labels=ENABLED)
    assert taken_up(*own, web, mode=mode) == {"ops-web"}
    assert taken_up(*own, web, mode=mode, own=None) == {"ops-web", "ops-updater"}, "of another machine"


def test_a_service_of_the_same_name_in_another_project_is_nobody_special() -> None:
    other = container("updater", 2, project="other")
    assert taken_up(container("updater", id=OWN), other) == {"other-updater"}


def test_a_container_that_the_engine_does_not_know_is_nobody() -> None:
    assert taken_up(container("web")) == {"ops-web"}


def survey(*containers: Container) -> dict[str, str]:
    found = HostSurvey(config(), Engine(containers), {}, OWN).run()
    assert [each.name for each in found.services] == []
    return {each.name: each.why for each in found.left_out}


@pytest.mark.parametrize(("image", "how"), [(BUILT, "--build"), (PULLED, "--pull always")])
def test_the_operator_is_notified_the_command_that_updates_the_updater(image: str, how: str) -> None:
    said = survey(container("updater", id=OWN, image_id=image))
    assert list(said) == ["ops-updater-1"]
    assert "it does not restart itself" in said["ops-updater-1"]
    assert f"`cd /srv/ops && docker compose -p ops up -d {how} updater`" in said["ops-updater-1"]


def test_a_plain_container_and_a_task_are_notified_their_own_commands() -> None:
    plain = container("", id=OWN, project="", name="updater", reference="acme/updater:1", labels={})
    assert "`docker pull acme/updater:1`" in survey(plain)["updater"]
    of_swarm = {"com.docker.swarm.service.id": "s1", "com.docker.swarm.service.name": "ops_updater"}
    task = replace(plain, labels=of_swarm)
    assert "`docker service update --image acme/updater:1 ops_updater`" in survey(task)["updater"]
    assert own_service.find([task], OWN).swarm_service == "s1"

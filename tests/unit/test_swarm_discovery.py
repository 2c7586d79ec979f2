"""What `discover` makes of the services of a swarm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.support.swarm_simulator import SimSwarm, web_spec
from updater_core import config_utils
from updater_core.deploy.discovered import Obstacle
from updater_core.errors import EngineError
from updater_core.models import Config, Mode, ServiceConfig
from updater_core.targets import swarm_discovery
from updater_core.targets.swarm.entry.settings import SwarmSettings

IMAGE = "acme/web:1.4.2@sha256:" + "a" * 64


class Several(SimSwarm):
    """A swarm that has more than one service."""

    shown: tuple[Mapping[str, Any], ...] = ()

    def services(self) -> tuple[Mapping[str, Any], ...]:
        self._up()
        return self.shown


def raw(name: str, image: str = IMAGE, stack: str = "shop", **labels: str) -> dict[str, Any]:
    spec = web_spec(image)
    of_stack = {"com.docker.stack.namespace": stack} if stack else {}
    said = {f"docker-updater.{key}": value for key, value in labels.items()}
    return {
        "ID": name,
        "Version": {"Index": 1},
        "Spec": {**spec, "Name": name, "Labels": {**of_stack, **said}},
    }


def config(discover: str = "all", *services: dict[str, Any], **top: Any) -> Config:
    return config_utils.parse(
        {"services": list(services), "discover": discover, **top}, {}, "/etc/up/config.json"
    )


def taken_up(
    given: Config, *services: dict[str, Any], before: Config | None = None
) -> dict[str, ServiceConfig]:
    swarm = Several(web_spec(IMAGE))
    swarm.shown = services
    found = swarm_discovery.take_up(given, before or given, lambda engine: swarm)
    return {service.name: service for service in found.services}


def test_services_are_taken_up_with_their_stack_or_their_own_name() -> None:
    found = taken_up(
        config(), raw("shop_web"), raw("proxy", "caddy:latest", stack=""), raw("shop_db", "postgres:16.3")
    )
    assert (found["shop-web"].own(SwarmSettings).stack, found["shop-web"].compose_services) == (
        "shop",
        ("web",),
    )
    assert found["shop-web"].image.text == "acme/web:1.4.2"
    assert found["proxy"].own(SwarmSettings).swarm_service == "proxy"
    assert found["shop-db"].policy.mode is Mode.NOTIFY
    assert all(each.is_discovered and not each.problem for each in found.values())


def test_the_updaters_own_service_is_left_alone() -> None:
    swarm = Several(web_spec(IMAGE))
    swarm.shown = raw("shop_web"), raw("ops_updater", stack="ops")
    found = swarm_discovery.take_up(config(), config(), lambda engine: swarm, own="ops_updater")
    assert {service.name for service in found.services} == {"shop-web"}
    surveyed = swarm_discovery.survey(
        config(), lambda engine: swarm, lambda service: iter(()), own="ops_updater"
    )
    assert [each.name for each in surveyed.services] == ["shop-web"]


@pytest.mark.parametrize(
    ("mode", "labels", "is_taken"),
    [
        ("all", {}, True),
        ("all", {"enable": "false"}, False),
        ("labelled", {}, False),
        ("labelled", {"enable": "true"}, True),
        ("off", {"enable": "true"}, False),
    ],
)
def test_labels_of_the_service_say_yes_and_no(mode: str, labels: dict[str, str], is_taken: bool) -> None:
    assert bool(taken_up(config(mode), raw("shop_web", **labels))) is is_taken


def test_labels_are_policy_and_a_wrong_one_is_held_alone() -> None:
    found = taken_up(
        config(), raw("shop_web", min_age="3d", follow="patch"), raw("shop_api", no_such_key="1")
    )
    assert found["shop-web"].policy.min_age_seconds == 3 * 86400
    assert "no_such_key" in found["shop-api"].problem


def test_a_label_that_only_compose_has_is_a_mistake_and_a_default_is_none() -> None:
    given = config(defaults={"update_order": "start-first"})
    found = taken_up(given, raw("shop_web", start_stopped="true"), raw("shop_api"))
    assert "start_stopped: it is for Compose" in found["shop-web"].problem
    assert not found["shop-api"].problem


@pytest.mark.parametrize("glob", ["shop", "web", "shop/*", "shop_web", "acme/web:*"])
def test_a_glob_leaves_a_service_out(glob: str) -> None:
    assert taken_up(config(discover_exclude=glob), raw("shop_web")) == {}


def test_what_is_listed_is_not_taken_up_a_second_time_but_its_namesake_elsewhere_is() -> None:
    listed = {"name": "mine", "image": "acme/web:1", "stack": "shop", "compose_service": "web"}
    engines = {"prod": {"hosts": "tcp://10.0.0.1:2376"}}
    found = taken_up(config("all", listed, engines=engines), raw("shop_web"))
    assert {name: each.own(SwarmSettings).engine for name, each in found.items()} == {
        "mine": None,
        "shop-web": "prod",
    }


def test_what_was_found_stays_while_the_swarm_does_not_answer() -> None:
    first = taken_up(config(), raw("shop_web"))
    before = Config(config().settings, tuple(first.values()), "", config().entries)

    def away(engine: str | None) -> SimSwarm:
        raise EngineError("no manager")

    found = swarm_discovery.take_up(config(), before, away)
    assert [service.name for service in found.services] == ["shop-web"]
    assert taken_up(config(), before=before) == {}  # it answers, and the service is gone


def test_a_job_is_not_taken_up() -> None:
    job = raw("shop_once")
    job["Spec"]["Mode"] = {"ReplicatedJob": {}}
    assert taken_up(config(), job) == {}


def test_the_survey_shows_the_entry_and_what_stands_in_its_way() -> None:
    listed = {
        "name": "mine",
        "image": "acme/web:1",
        "stack": "shop",
        "compose_service": "web",
        "follow": "major",
    }
    swarm = Several(web_spec(IMAGE))
    swarm.shown = (
        raw("shop_web"),
        raw("shop_api", enable="maybe"),
        raw("shop_no", enable="no"),
        raw("shop_x"),
    )

    def examine(service: ServiceConfig) -> Iterator[Obstacle]:
        if service.name == "shop-x":
            yield Obstacle("it is held", "see to it")

    found = {
        each.name: each
        for each in swarm_discovery.survey(config("off", listed), lambda _: swarm, examine).services
    }
    assert set(found) == {"mine", "shop-api", "shop-x"}
    assert (found["mine"].is_listed, found["mine"].follows) == (True, "major")
    assert (found["shop-api"].entry, len(found["shop-api"].obstacles)) == ({}, 1)
    assert dict(found["shop-x"].entry) == {
        "name": "shop-x", "image": "acme/web:1.4.2", "stack": "shop", "compose_service": "x",
        "follow": "minor",
    }  # fmt: skip
    assert found["shop-x"].obstacles == (Obstacle("it is held", "see to it"),)

"""What does not allow start-first, and which order counts. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from updater_core import reference
from updater_core.composefile.env_values import Environment
from updater_core.models import Container, ContainerSettings, Healthcheck, Project, Reason, ServiceConfig
from updater_core.targets.compose.entry.settings import ComposeSettings
from updater_core.targets.compose.plan import Group, Move
from updater_core.targets.compose.preflight.facts import Deployed, HostFacts
from updater_core.targets.compose.start_first import conditions
from updater_core.vocabulary.handover import Handover, UpdateOrder

MOVE = Move("web", "app:1", "app:2", "sha256:1", 1, ("1",))
RUNNING = Container(
    "1", "shop-web-1", "shop", "web", "sha256:1", "app:1", "running", "", 0, healthcheck=Healthcheck()
)
START_FIRST = Handover(UpdateOrder.START_FIRST)


def settings_of(handover: Handover) -> ComposeSettings:
    return ComposeSettings(None, handover.order, handover.drain_command, handover.drain_seconds)


def facts(
    written: dict[str, Any] | None = None,
    *,
    move: Move = MOVE,
    dependents: tuple[Move, ...] = (),
    container: Container = RUNNING,
    handover: Handover = START_FIRST,
    settings: ContainerSettings | None = None,
) -> HostFacts:
    image = reference.parse("app:1")
    service = ServiceConfig("shop", image, ("/srv/c.yml",), ("web",), target=(settings_of(handover),))
    group = Group(
        Project("shop", "/srv", ("/srv/c.yml",)), (move,), dependents, {"services": {"web": written or {}}}
    )
    own = (Deployed(container, settings or ContainerSettings()),)
    nothing: frozenset[Any] = frozenset()
    return HostFacts(service, group, {}, Environment(), own, (), nothing, nothing, nothing, nothing, {})


def said(found: HostFacts) -> str:
    hold = conditions.obstacle(found)
    if hold is None:
        return ""
    assert hold.reason is Reason.CANNOT_START_FIRST
    assert '"update_order": "stop-first" for shop' in hold.remedy
    return hold.detail


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({}, ""),
        ({"ports": [{"target": 80}]}, ""),
        ({"ports": [{"target": 80, "published": "0"}]}, ""),
        ({"ports": ["80"]}, ""),
        ({"network_mode": "none", "networks": {"default": None}}, ""),
        ({"healthcheck": {"test": ["CMD", "true"]}}, ""),
        ({"container_name": "web"}, "container_name web"),
        ({"ports": [{"target": 80, "published": "8080"}]}, "port 8080"),
        ({"ports": [{"target": 80, "published": "8080-8081"}]}, "port 8080-8081"),
        ({"ports": ["127.0.0.1:8080:80/tcp"]}, "port 8080"),
        ({"network_mode": "host"}, "network_mode host"),
        ({"network_mode": "service:vpn"}, "network_mode service:vpn"),
        ({"network_mode": "container:vpn"}, "network_mode container:vpn"),
        ({"networks": {"a": {"ipv4_address": "10.0.0.2"}}}, "10.0.0.2"),
        ({"networks": {"a": {"ipv6_address": "fd00::2"}}}, "fd00::2"),
        ({"mac_address": "02:42:ac:11:65:43"}, "02:42:ac:11:65:43"),
        ({"pre_start": [{"command": "x"}]}, "pre_start"),
        ({"pre_stop": [{"command": "x"}]}, "pre_stop"),
        ({"healthcheck": {"disable": True}}, "healthcheck disabled"),
    ],
)
def test_what_two_containers_cannot_share_is_named(written: dict[str, Any], words: str) -> None:
    text = said(facts(written))
    assert words in text
    assert bool(text) == bool(words)


def test_what_the_containers_themselves_show_is_named() -> None:
    anonymous = ContainerSettings(volumes=frozenset({("a" * 64, "/data"), ("shop_named", "/named")}))
    assert "at /data," in said(facts(settings=anonymous))
    assert "no healthcheck" in said(facts(container=replace(RUNNING, healthcheck=None)))
    assert "shop-web-1 is exited" in said(facts(container=replace(RUNNING, status="exited")))
    assert "vpn-guest is restarted with it" in said(facts(dependents=(replace(MOVE, service="vpn-guest"),)))
    assert "ends by itself" in said(facts(move=replace(MOVE, is_one_shot=True)))


def test_all_obstacles_are_named_at_once() -> None:
    text = said(
        facts({"container_name": "x", "network_mode": "host"}, container=replace(RUNNING, healthcheck=None))
    )
    assert all(words in text for words in ("container_name", "network_mode", "no healthcheck"))


def test_the_order_is_the_services_then_the_files() -> None:
    file_says = {"deploy": {"update_config": {"order": "start-first"}}, "container_name": "x"}
    assert said(facts(file_says, handover=Handover()))
    assert not said(facts(file_says, handover=Handover(UpdateOrder.STOP_FIRST)))
    assert not said(facts({"container_name": "x"}, handover=Handover()))
    assert not said(facts({"container_name": "x", "deploy": {"update_config": None}}, handover=Handover()))


def test_a_group_without_containers_is_just_started() -> None:
    found = facts(move=replace(MOVE, container_ids=()))
    assert conditions.strategy_of(found.service, found.group) == conditions.RECREATE
    assert not said(found)

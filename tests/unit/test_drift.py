"""What a service's model says that its container was not created with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.simulator import SimCompose, SimEngine, SimHost, SimRelease
from updater_core.models import ContainerSettings, Project
from updater_core.targets.compose.drift import Reading, of_all, settings_difference
from updater_core.targets.compose.plan import Move

MADE = ContainerSettings(
    environment={"PATH": "/bin", "PRICE": "5$", "MODE": "one"},
    command=("serve", "--name", "a b"),
    entrypoint=("/init",),
    binds=frozenset({("/srv/data", "/data")}),
    ports=frozenset({("8080", "80/tcp")}),
)
BIND = {"type": "bind", "source": "/srv/data", "target": "/data", "read_only": True}
PORT = {"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp"}


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"environment": None, "command": None, "entrypoint": None, "volumes": None, "ports": None},
        {"environment": {"PRICE": "5$$", "MODE": "one", "UNSET": None}},
        {"environment": ["MODE=one"]},
        {"command": ["serve", "--name", "a b"], "entrypoint": ["/init"]},
        {"command": "serve --name 'a b'"},
        {"volumes": [{**BIND, "source": "/srv/data/", "target": "/data/"}]},
        {"volumes": [BIND, {"type": "volume", "source": "named", "target": "/n"}, "./data:/data"]},
        {"ports": [PORT, {"target": 81}, {"target": 82, "published": "9000-9010"}, "8080:80"]},
    ],
)
def test_what_was_created_so_does_not_differ(facts: dict[str, Any]) -> None:
    assert settings_difference(facts, MADE) is None


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        ({"environment": {"MODE": "two"}}, "environment MODE"),
        ({"environment": {"MODE": ""}}, "environment MODE"),
        ({"environment": {"NEW": "1"}}, "environment NEW"),
        ({"command": ["serve"]}, "command"),
        ({"entrypoint": ["/other"]}, "entrypoint"),
        ({"volumes": [{**BIND, "source": "/srv/other"}]}, "volumes"),
        ({"ports": [{**PORT, "published": "8081"}]}, "ports"),
        ({"ports": [{**PORT, "protocol": "udp"}]}, "ports"),
    ],
)
def test_what_was_edited_since_is_named_without_its_value(facts: dict[str, Any], what: str) -> None:
    assert settings_difference(facts, MADE) == what


def test_what_a_killed_compose_left_is_no_edit_of_the_operator() -> None:
    release = SimRelease("sha256:" + "a" * 64)
    host = SimHost(project="shop")
    host.load(release, "registry.example/app", "1.0")
    web = host.create("shop-web-1", "web", "registry.example/app:1.0", release.id)
    host.create(f"{web.id[:12]}_shop-web-1", "web", "registry.example/app:1.1", release.id)
    move = Move("web", "registry.example/app:1.0", "registry.example/app:1.1", release.id, 1)
    reading = Reading(Project("shop", "/srv", ("/srv/c.yml",)), {"services": {"web": {}}}, None)
    assert of_all([move], [], reading, SimEngine(host), SimCompose(host)) is None
    written = replace(move, old_reference="registry.example/app:0.9")
    assert of_all([written], [], reading, SimEngine(host), SimCompose(host)) is not None


class _WithSettings(SimEngine):
    """An engine whose containers were all created with the same settings."""

    def __init__(self, host: SimHost, settings: ContainerSettings) -> None:
        super().__init__(host)
        self._settings = settings

    def settings(self, container_id: str) -> ContainerSettings | None:
        return self._settings


@pytest.mark.parametrize(
    ("volume", "detail"),
    [
        ({"type": "volume", "source": "data", "target": "/data/"}, None),
        ({"type": "volume", "source": "data", "target": "/other"}, "web differs from its file: volumes"),
        (
            {"type": "volume", "source": "store", "target": "/data"},
            "web has volume shop_data at /data, where its file mounts volume shop_store",
        ),
        (
            {"type": "bind", "source": "/srv/d", "target": "/data"},
            "web has volume shop_data at /data, where its file mounts /srv/d",
        ),
    ],
)
def test_a_volume_that_the_file_replaces_is_named(volume: dict[str, str], detail: str | None) -> None:
    """A top-level `name` of a volume is no part of what Compose compares."""
    release = SimRelease("sha256:" + "a" * 64)
    host = SimHost(project="shop")
    host.load(release, "registry.example/app", "1.0")
    host.create("shop-web-1", "web", "registry.example/app:1.0", release.id)
    settings = ContainerSettings(volumes=frozenset({("shop_data", "/data")}))
    engine = _WithSettings(host, settings)
    model = {"name": "shop", "services": {"web": {"volumes": [volume]}}}
    reading = Reading(Project("shop", "/srv", ("/srv/c.yml",)), model, None)
    move = Move("web", "registry.example/app:1.0", "registry.example/app:1.1", release.id, 1)
    found = of_all([move], [], reading, engine, SimCompose(host))
    assert (found.detail if found else None) == detail
    assert found is None or bool(found.caution) == ("where" in found.detail)

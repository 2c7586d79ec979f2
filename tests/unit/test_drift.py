"""What a service's model says that its container was not created with."""

from __future__ import annotations

from typing import Any

import pytest

from updater_core.drift import settings_difference
from updater_core.models import ContainerSettings

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

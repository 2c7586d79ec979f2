"""Where a registry may send us: judged by the addresses that are dialled, not by how its name looks.

The names are resolved by a table in place of the system's resolver; the listeners are real.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.fake_registry import Bearer, Behaviour, FakeRegistry
from updater_core.errors import RegistryError
from updater_core.models import ImageRef, RegistrySettings
from updater_core.reference import parse
from updater_core.registries import Registries

APP = "team/app"
PLAIN = RegistrySettings(insecure_http=True)
ADDRESSES = {
    "registry.example.com": ["127.0.0.1"],
    "store.example.com": ["127.0.0.2"],
    "metadata.example.com": ["169.254.169.254"],
    "mixed.example.com": ["169.254.7.7", "127.0.0.2"],
}


@dataclass(frozen=True)
class Network:
    """A registry under a public-looking name on this machine, and a store on another address of it."""

    registry: FakeRegistry
    store: FakeRegistry

    @property
    def image(self) -> ImageRef:
        port = self.registry.host.rpartition(":")[2]
        return parse(f"registry.example.com:{port}/{APP}:1.0")

    def redirects(self, kind: str, host: str) -> None:
        """Let the registry send questions of a kind on to the store, under a name or an address of it."""
        port, path = self.store.host.rpartition(":")[2], f"/v2/{APP}"
        digest = self.config if kind == "blob" else "1.0"
        what = "blobs" if kind == "blob" else "manifests"
        target = f"http://{host}:{port}{path}/{what}/{digest}"
        self.registry.well_behaved()
        self.registry.behave(kind, Behaviour(status=307, headers={"Location": target}))

    @property
    def config(self) -> str:
        blobs, _, _ = self.store.contents(APP)
        return next(digest for digest, body in blobs.items() if body.startswith(b"{"))


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    resolve = socket.getaddrinfo

    def resolved(host: Any, *how: Any, **more: Any) -> list[Any]:
        found = [resolve(address, *how, **more) for address in ADDRESSES.get(host, [host])]
        return [each for group in found for each in group]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    with FakeRegistry() as registry, FakeRegistry(address="127.0.0.2") as store:
        for each in (registry, store):
            each.push(APP, "1.0")
        yield Network(registry, store)


@pytest.mark.parametrize("kind", ["manifest_head", "blob"])
@pytest.mark.parametrize("host", ["127.0.0.2", "store.example.com", "mixed.example.com"])
def test_a_registry_of_the_own_network_with_a_public_name_may_lead_to_another_machine_of_it(
    network: Network, registries: Registries, kind: str, host: str
) -> None:
    network.redirects(kind, host)
    built_at = registries.for_service(network.image, PLAIN).created(network.image, "linux/amd64")
    assert built_at == datetime(2024, 5, 1, 10, tzinfo=UTC)
    assert kind in network.store.counts()


@pytest.mark.parametrize("host", ["169.254.169.254", "metadata.example.com"])
def test_nobody_is_sent_to_an_address_of_the_link_alone(
    network: Network, registries: Registries, host: str
) -> None:
    network.redirects("manifest_head", host)
    with pytest.raises(RegistryError, match=r"169\.254\.169\.254 is an address of this link alone") as error:
        registries.for_service(network.image, PLAIN).digest(network.image)
    assert "storage.redirect.disable" in error.value.remedy
    assert network.registry.counts() == {"manifest_head": 1}


def test_a_token_is_asked_for_at_no_name_for_an_address_of_the_link_alone(
    network: Network, registries: Registries
) -> None:
    network.registry.auth = Bearer(realm="https://metadata.example.com/token")
    with pytest.raises(RegistryError, match=r"169\.254\.169\.254 is an address of this link alone") as error:
        registries.for_service(network.image, PLAIN).digest(network.image)
    assert "token_realm_hosts" in error.value.remedy
    assert network.registry.counts() == {"manifest_head": 1}

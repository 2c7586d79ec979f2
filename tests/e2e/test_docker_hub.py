"""Docker Hub as some have it, by the real command on a real engine: only through the engine's mirror, or with
a login that is good for pulls and refused by its API.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import lab
from tests.support.fake_registry import Bearer, Build, FakeRegistry, Pushed
from tests.support.lab import Shop
from tests.support.ports import free_port
from tests.support.private_engine import PrivateEngine
from tests.support.tunnel import Tunnel, certificate_for

pytestmark = pytest.mark.engine

HOSTS = ("registry-1.docker.io", "hub.docker.com")


@dataclass
class HubShop(Shop):
    """A shop with an image of Docker Hub: `registry` is the engine's mirror, `hub` is at its hosts."""

    hub: FakeRegistry | None = None

    @property
    def repository(self) -> str:
        return f"{self.name}/app"

    def push(self, tag: str, image: Build) -> Pushed:
        assert self.hub
        pushed = self.registry.push(self.repository, tag, self.own(image))
        assert self.hub.push(self.repository, tag, self.own(image)).digest == pushed.digest
        return pushed


@pytest.fixture
def hub_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubShop]:
    authority, shown = certificate_for(HOSTS, tmp_path)
    for name in ("NO_PROXY", "no_proxy", "https_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with FakeRegistry() as mirror, FakeRegistry(shown) as hub:
        engine = PrivateEngine(settings={"registry-mirrors": [mirror.url]})
        shop = HubShop(tmp_path, mirror, engine_host=engine.host, hub=hub)
        try:
            engine.start()
            yield shop
            shop.down()
        finally:
            engine.close()


def test_hub_by_a_mirror_alone_and_with_a_login_that_its_api_refuses(
    hub_shop: HubShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = hub_shop.hub
    assert hub
    hub_shop.policy = {"tag_pattern": "build-*"}
    hub_shop.push("build-f", lab.good("one"))
    hub_shop.write("build-f")
    hub_shop.up()

    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    status, said = hub_shop.run("--test")
    assert status == 0, said
    assert "a mirror of Docker Hub for this engine" in said
    assert hub_shop.run("--once")[0] == 0
    hub_shop.push("build-a", lab.good("two"))
    status, said = hub_shop.run("--once")
    assert status == 0, said
    assert hub_shop.releases() == [("two", "running")]
    assert hub.log == []

    # An organisation's token: pulls are allowed, the login at hub.docker.com is refused.
    hub.auth = Bearer("acme", "org-token", realm=f"https://{HOSTS[0]}/token")
    hub.hub_private.add(hub_shop.repository)
    hub_shop.policy["registry_config"] = {"username": "acme", "password": "org-token"}
    hub_shop.registry.clear_log()
    with Tunnel(hub.host) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.host}")
        status, said = hub_shop.run("--test")
        assert status == 0, said
        assert "reached as acme" in said
        assert hub_shop.registry.log == []
        hub_shop.push("build-0", lab.good("three"))
        status, said = hub_shop.run("--once")
        assert status == 0, said
        assert hub_shop.releases() == [("three", "running")]
        assert hub.counts()["hub_token"] >= 1
    assert "org-token" not in (hub_shop.folder / "state" / "state.json").read_text()

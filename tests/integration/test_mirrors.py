"""Docker Hub by way of the engine's mirrors.

When they are asked, what they are sent, and what is said of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import ports
from tests.support.fake_registry import Bearer, Behaviour, Build, FakeRegistry, Pushed
from tests.support.private_engine import PrivateEngine
from tests.support.registry_clients import account
from tests.support.set_clock import SetClock
from updater_core.docker_utils import DockerEngine
from updater_core.errors import AuthFailed, NotFound, RateLimited, RegistryError
from updater_core.host.engine_endpoint import EngineEndpoint
from updater_core.models import Credential, RegistrySettings, Secret
from updater_core.reference import parse
from updater_core.registries import HubEndpoints, Registries

NAME = "library/nginx"
NGINX = parse("nginx:1.27")
ANYONE = RegistrySettings()
NEWER = Build(files={"hello": b"newer\n"})
Make = Callable[..., Registries]


@pytest.fixture
def hub() -> Iterator[FakeRegistry]:
    with FakeRegistry() as fake:
        yield fake


@pytest.fixture
def mirror() -> Iterator[FakeRegistry]:
    with FakeRegistry() as fake:
        yield fake


@pytest.fixture
def pushed(mirror: FakeRegistry) -> Pushed:
    return mirror.push(NAME, "1.27")


@pytest.fixture
def make(clock: SetClock, tmp_path: Path) -> Make:
    def made(hub_url: str, *mirrors: str, login: Credential | None = None) -> Registries:
        endpoints = HubEndpoints(registry=hub_url, api=hub_url)
        return Registries(
            docker_config_dir=tmp_path,
            vendors=(account(login),) if login else (),
            clock=clock,
            hub_endpoints=endpoints,
            hub_mirrors=lambda: mirrors,
        )

    return made


def closed() -> str:
    """An address at which nobody listens."""
    return f"http://127.0.0.1:{ports.free_port()}"


def test_a_hub_that_cannot_be_reached_is_asked_by_its_mirror(
    make: Make, mirror: FakeRegistry, pushed: Pushed
) -> None:
    registry = make(closed(), mirror.url + "/").for_service(NGINX, ANYONE)
    assert registry.digest(NGINX) == pushed.digest
    assert [tag.name for tag in registry.tags(NGINX)] == ["1.27"]
    assert registry.pushed_tags(NGINX, lambda _: True) is None
    assert registry.created(NGINX, "linux/amd64") is not None
    assert "a mirror of Docker Hub" in registry.check(NGINX)
    assert mirror.host in registry.check(NGINX)


def test_the_next_mirror_is_asked_if_the_first_is_away_too(
    make: Make, mirror: FakeRegistry, pushed: Pushed
) -> None:
    registries = make(closed(), closed(), "ftp://mirror", "http://[", "http://me:pw@mirror", mirror.url)
    assert registries.for_service(NGINX, ANYONE).digest(NGINX) == pushed.digest


@pytest.mark.parametrize("auth", [None, Bearer("mirror", "word")])
def test_the_login_for_docker_hub_goes_to_no_mirror(
    make: Make, mirror: FakeRegistry, pushed: Pushed, auth: Bearer | None
) -> None:
    mirror.auth = auth
    login = Credential("jane", Secret("hunter2"))
    registry = make(closed(), mirror.url, login=login).for_service(NGINX, ANYONE)
    if auth is None:
        assert registry.digest(NGINX) == pushed.digest
    else:
        with pytest.raises(RegistryError):
            registry.digest(NGINX)
    assert mirror.log
    assert not [entry for entry in mirror.log if "authorization" in entry.headers]
    assert registry.credential() == login


def test_a_hub_that_answers_is_believed_and_no_mirror_is_asked(
    make: Make, hub: FakeRegistry, mirror: FakeRegistry, pushed: Pushed
) -> None:
    newer = hub.push(NAME, "1.27", NEWER)
    registry = make(hub.url, mirror.url).for_service(NGINX, ANYONE)
    assert registry.digest(NGINX) == newer.digest
    with pytest.raises(NotFound):
        registry.digest(parse("nginx:not-there"))
    hub.auth = Bearer("jane", "hunter2")
    with pytest.raises(AuthFailed):
        registry.digest(parse("nginx:other"))
    assert mirror.log == []


def test_a_hub_that_asks_for_a_pause_is_asked_by_its_mirror(
    make: Make, hub: FakeRegistry, mirror: FakeRegistry, pushed: Pushed
) -> None:
    hub.behave("*", Behaviour(status=429, headers={"Retry-After": "3600"}))
    registries = make(hub.url, mirror.url)
    assert registries.for_service(NGINX, ANYONE).digest(NGINX) == pushed.digest
    with pytest.raises(RateLimited, match="too many requests"):
        make(hub.url).for_service(NGINX, ANYONE).digest(NGINX)


def test_the_mirrors_go_first_for_an_hour_and_then_the_hub_again(
    make: Make, hub: FakeRegistry, mirror: FakeRegistry, pushed: Pushed, clock: SetClock
) -> None:
    newer = hub.push(NAME, "1.27", NEWER)
    hub.behave("manifest_head", Behaviour(disconnect=True))
    registries = make(hub.url, mirror.url)
    registry = registries.for_service(NGINX, ANYONE)
    assert registry.digest(NGINX) == pushed.digest
    hub.well_behaved()
    hub.clear_log()
    registries.new_cycle()
    assert registry.digest(NGINX) == pushed.digest
    assert hub.log == []
    clock.advance(3601)
    registries.new_cycle()
    assert registry.digest(NGINX) == newer.digest


def test_a_mirror_that_fails_in_that_hour_gives_way_to_the_hub(
    make: Make, hub: FakeRegistry, mirror: FakeRegistry, pushed: Pushed
) -> None:
    newer = hub.push(NAME, "1.27", NEWER)
    hub.behave("manifest_head", Behaviour(disconnect=True))
    registries = make(hub.url, mirror.url)
    registry = registries.for_service(NGINX, ANYONE)
    assert registry.digest(NGINX) == pushed.digest
    hub.well_behaved()
    mirror.delete(NAME, "1.27")
    registries.new_cycle()
    assert registry.digest(NGINX) == newer.digest


def test_if_neither_answers_both_are_named(make: Make, mirror: FakeRegistry) -> None:
    """A mirror that does not have an image says nothing about Docker Hub: the tag is unknown, and not
    missing.
    """
    address = closed()
    with pytest.raises(RegistryError) as error:
        make(address, mirror.url).for_service(NGINX, ANYONE).digest(NGINX)
    assert type(error.value) is RegistryError
    assert str(error.value).startswith(address.removeprefix("http://"))
    assert f"the engine's mirror: {mirror.host}" in str(error.value)


def test_other_registries_are_never_asked_by_a_mirror(make: Make, mirror: FakeRegistry) -> None:
    mirror.push("team/app", "1.0")
    elsewhere = parse(f"{closed().removeprefix('http://')}/team/app:1.0")
    with pytest.raises(RegistryError):
        make(closed(), mirror.url).for_service(elsewhere, ANYONE).digest(elsewhere)
    assert mirror.log == []


@pytest.mark.engine
def test_the_engine_says_which_mirrors_it_asks() -> None:
    engine = PrivateEngine(settings={"registry-mirrors": ["http://127.0.0.1:5999", "https://mirror.example"]})
    try:
        engine.start()
        asked = DockerEngine(EngineEndpoint(engine.host))
        assert asked.hub_mirrors() == ("http://127.0.0.1:5999/", "https://mirror.example/")
        asked.close()
    finally:
        engine.close()

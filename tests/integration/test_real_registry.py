"""The same questions to the real thing: Debian's docker-registry, and a real engine pulling from the fake
one.
"""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.fake_registry import Bearer, Behaviour, Build, FakeRegistry, Pushed
from tests.support.real_registry import JANE, RealRegistry, htpasswd_auth, token_auth
from tests.support.set_clock import SetClock
from tests.support.token_server import TokenServer
from updater_core.errors import AuthFailed, NotFound
from updater_core.models import ImageRef, RegistrySettings, Secret
from updater_core.reference import parse
from updater_core.registries import Registries

pytestmark = pytest.mark.engine

ANYONE, SOMEONE = RegistrySettings(), RegistrySettings(username="jane", password=Secret("hunter2"))
BOTH = ("linux/amd64", "linux/arm64")


@pytest.fixture
def kinds() -> list[str]:
    return []


@pytest.fixture
def registries(kinds: list[str], tmp_path: Path) -> Registries:
    return Registries(
        docker_config_dir=tmp_path,
        clock=SetClock(datetime.now(UTC)),
        on_request=lambda host, kind, result: kinds.append(kind),
    )


def fill(registry: RealRegistry, login: str = "") -> Pushed:
    """Three tags of team/app: 1.0 a single image, 1.1 an index, 1.2 Docker's kind of index; return 1.1."""
    with FakeRegistry() as source:
        source.push("team/app", "1.0")
        pushed = source.push("team/app", "1.1", Build(platforms=BOTH, created="2024-06-01T00:00:00Z"))
        source.push("team/app", "1.2", Build(platforms=BOTH, docker=True))
        registry.copy(source, "team/app", login)
    return pushed


def at(registry: RealRegistry, name: str = "team/app:1.1") -> ImageRef:
    return parse(f"{registry.host}/{name}")


def test_a_registry_without_a_login(registries: Registries, kinds: list[str], tmp_path: Path) -> None:
    with RealRegistry(tmp_path) as registry:
        pushed, here = fill(registry), at(registry)
        client = registries.for_service(here, ANYONE)
        assert client.digest(here) == pushed.digest
        assert kinds == ["manifest_head"]
        assert sorted(tag.name for tag in client.tags(here)) == ["1.0", "1.1", "1.2"]
        assert client.created(here, "linux/arm64") == datetime(2024, 6, 1, tzinfo=UTC)
        assert client.check(here).endswith("reached, anonymous")
        for missing in ("team/app:9", "team/none:1"):
            with pytest.raises(NotFound):
                client.digest(at(registry, missing))


def test_a_registry_with_a_password(registries: Registries, kinds: list[str], tmp_path: Path) -> None:
    with RealRegistry(tmp_path, htpasswd_auth(tmp_path)) as registry:
        pushed, here = fill(registry, JANE), at(registry)
        client = registries.for_service(here, SOMEONE)
        assert client.check(here).endswith("reached as jane")
        registries.new_cycle()
        kinds.clear()
        assert client.digest(here) == pushed.digest
        assert kinds == ["manifest_head"]
        with pytest.raises(AuthFailed, match="user name and a password"):
            registries.for_service(here, ANYONE).digest(here)
        with pytest.raises(AuthFailed, match="refuses the login"):
            registries.for_service(here, RegistrySettings(username="jane", password=Secret("wrong"))).digest(
                here
            )


def test_a_registry_with_tokens(registries: Registries, kinds: list[str], tmp_path: Path) -> None:
    with (
        TokenServer(tmp_path, {"jane": "hunter2"}) as tokens,
        RealRegistry(tmp_path, token_auth(tokens)) as registry,
    ):
        pushed, here = fill(registry, JANE), at(registry)
        client = registries.for_service(here, SOMEONE)
        assert client.digest(here) == pushed.digest
        assert client.created(here, "linux/amd64") is not None
        assert client.check(here).endswith("reached as jane")
        asked = tokens.requests
        registries.new_cycle()
        kinds.clear()
        client.digest(here)
        assert kinds == ["manifest_head"]
        assert tokens.requests == asked
        with pytest.raises(AuthFailed, match="unauthorised, or it does not exist"):
            registries.for_service(here, ANYONE).digest(here)
        tokens.public.add("team/app")
        registries.new_cycle()
        assert registries.for_service(here, ANYONE).digest(here) == pushed.digest


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_a_real_engine_pulls_from_the_fake_registry(registries: Registries) -> None:
    with FakeRegistry() as fake:
        fake.auth = Bearer()
        pushed = fake.push("team/app", "1.0", Build(platforms=BOTH, docker=True))
        here = parse(f"{fake.host}/team/app:1.0")
        try:
            assert docker("pull", "--quiet", here.text).returncode == 0
            known = json.loads(docker("image", "inspect", here.text).stdout)[0]["RepoDigests"]
            assert known == [f"{fake.host}/team/app@{registries.for_service(here, ANYONE).digest(here)}"]
            assert known[0].endswith(pushed.digest)
        finally:
            docker("image", "rm", "--force", here.text)


def test_a_pull_that_breaks_half_way_fails() -> None:
    with FakeRegistry() as fake:
        pushed = fake.push("team/app", "1.0", Build(files={"unique": b"broken"}))
        fake.behave("blob", Behaviour(status=404), path=pushed.layers[0])
        assert docker("pull", "--quiet", f"{fake.host}/team/app:1.0").returncode != 0

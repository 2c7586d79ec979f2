"""Fixtures for tests that need the real engine.

With DAU_REQUIRE_ENGINE=1 (as `scripts/test` sets it) a missing engine is a failure; by hand on a machine
without one, those tests say that they were left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.fake_registry import FakeRegistry

# The same examples everywhere, however slow the machine is.
settings.register_profile(
    "tests", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")


@pytest.fixture(scope="session")
def engine() -> str:
    """The version of the real engine."""
    import docker

    try:
        client = docker.from_env()
        version = str(client.version()["Version"])
        client.close()
        return version
    except docker.errors.DockerException as error:
        if os.environ.get("DAU_REQUIRE_ENGINE") == "1":
            pytest.fail(f"the Docker Engine does not answer: {error}")
        pytest.skip("no Docker Engine answers here; scripts/setup brings one")


@pytest.fixture(autouse=True)
def _need_engine(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("engine"):
        request.getfixturevalue("engine")


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as running:
        yield running


@pytest.fixture
def shop(tmp_path: Path, registry: FakeRegistry, engine: str) -> Iterator[object]:
    from tests.support.lab import Shop

    made = Shop(tmp_path, registry)
    made.forget_strangers()
    yield made
    made.down()

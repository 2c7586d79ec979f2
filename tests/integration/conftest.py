"""What the tests of the registry clients start from; a file may have its own under the same names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_registry import FakeRegistry
from tests.support.registry_clients import make
from tests.support.set_clock import SetClock
from updater_core.registries import Registries


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def registries(fake: FakeRegistry, clock: SetClock, tmp_path: Path) -> Registries:
    return make(fake, clock, tmp_path)

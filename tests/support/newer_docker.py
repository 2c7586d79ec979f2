"""The newer engine and Compose that `scripts/setup --with-newer-docker` brings, beside this machine's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from swarm_nodes import NEWER_DOCKER as FOLDER

from tests.support.private_engine import PrivateEngine


def need() -> None:
    """Skip the test if they are not there; fail it if they could be."""
    if (FOLDER / "cli-plugins" / "docker-compose").exists():
        return
    message = "no newer engine and Compose here; scripts/setup --with-newer-docker brings them"
    is_debian = "ID=debian" in Path("/etc/os-release").read_text().splitlines()
    if os.environ.get("DAU_REQUIRE_ENGINE") == "1" and is_debian:
        pytest.fail(message)
    pytest.skip(message)


def use_compose(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the rest of the test, `docker compose` is the newer one."""
    need()
    monkeypatch.setenv("DOCKER_CONFIG", str(FOLDER))


def use_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the rest of the test, `docker` and `docker compose` are the newer ones."""
    use_compose(monkeypatch)
    monkeypatch.setenv("PATH", f"{FOLDER / 'bin'}:{os.environ['PATH']}")


@contextmanager
def newer_engine() -> Iterator[PrivateEngine]:
    """Run the newer engine for the length of a block."""
    need()
    made = PrivateEngine(programs=FOLDER / "bin")
    made.start()
    try:
        yield made
    finally:
        made.close()

"""A tag list that its registry gave a validator is not sent again while it stays the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fake_registry import Behaviour, FakeRegistry
from tests.support.set_clock import SetClock
from updater_core import reference
from updater_core.errors import RegistryError
from updater_core.models import RegistrySettings
from updater_core.registries import Registries


def names(registries: Registries, text: str) -> list[str]:
    registries.new_cycle()
    ref = reference.parse(text)
    return [tag.name for tag in registries.for_service(ref, RegistrySettings()).tags(ref)]


def test_an_unchanged_list_is_asked_for_by_its_validator_and_not_sent_again(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    registries = Registries(docker_config_dir=tmp_path, clock=SetClock())
    app = f"{registry.host}/team/app:1"
    registry.push("team/app", "1")
    registry.behave("tags", Behaviour(headers={"ETag": '"one"'}), times=1)
    assert names(registries, app) == ["1"]
    registry.clear_log()
    registry.behave("tags", Behaviour(status=304, body=b""), times=1)
    assert names(registries, app) == ["1"]
    assert registry.log[0].headers["if-none-match"] == '"one"'
    registry.push("team/app", "2")
    assert names(registries, app) == ["1", "2"]


def test_a_registry_without_validators_is_asked_plainly(registry: FakeRegistry, tmp_path: Path) -> None:
    registries = Registries(docker_config_dir=tmp_path, clock=SetClock())
    registry.push("team/app", "1")
    for _ in range(2):
        assert names(registries, f"{registry.host}/team/app:1") == ["1"]
    assert all("if-none-match" not in entry.headers for entry in registry.log)


def test_unchanged_without_having_been_asked_so_is_no_list(registry: FakeRegistry, tmp_path: Path) -> None:
    registries = Registries(docker_config_dir=tmp_path, clock=SetClock())
    registry.push("team/app", "1")
    registry.behave("tags", Behaviour(status=304, body=b""))
    with pytest.raises(RegistryError):
        names(registries, f"{registry.host}/team/app:1")

"""The whole program with a second deploy target, the one in a dictionary: check, update, rollback, recovery,
events and `--plan` work without a word about it anywhere but in the target itself.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_registry import Build, FakeRegistry
from tests.support.memory_target import MemoryHost, MemoryTarget, read_plan
from tests.support.simulator import Killed, Killer
from updater_core import config_utils
from updater_core.app import cycle, requests
from updater_core.app.commands import selfcheck
from updater_core.app.context import AppContext
from updater_core.app.evaluate import check_all
from updater_core.app.wiring import wire
from updater_core.deploy.journal import JournalFolder
from updater_core.deploy.target import OtherImage
from updater_core.host.clock import SystemClock
from updater_core.models import Committed, Hold, ImageRef, Plan, Reason, RegistrySettings, RolledBack
from updater_core.protocols import Registry
from updater_core.reference import parse
from updater_core.state import records
from updater_core.status import text


@pytest.fixture
def place(registry: FakeRegistry) -> MemoryHost:
    old = registry.push("team/app", "1.0", Build(files={"a": b"old"}))
    return MemoryHost({"shop": f"{registry.host}/team/app:1.0"}, {"shop": old.digest})


def started(folder: Path, place: MemoryHost) -> AppContext:
    """A process that has just been started, with this target alone."""
    service = {
        "name": "shop",
        "image": place.defined["shop"].rpartition(":")[0],
        "compose_file": "/nowhere/compose.yml",
        "compose_service": "web",
        "semver_pattern": "*",
    }
    raw = {
        "services": [service],
        "state_file": str(folder / "state.json"),
        "webhook_url": "http://127.0.0.1:9/",
    }
    context = wire(config_utils.parse(raw, {}, str(folder / "config.json")), SystemClock())
    context.targets = {"memory": MemoryTarget(place)}
    context.journal = JournalFolder(folder / "journal", read_plan)
    return context


def events(folder: Path) -> list[str]:
    return sorted(json.loads(path.read_text())["event"]["kind"] for path in folder.glob("outbox/**/*.json"))


def test_an_update_is_found_planned_made_and_taken_back(
    tmp_path: Path, place: MemoryHost, registry: FakeRegistry
) -> None:
    old = place.running["shop"]
    new = registry.push("team/app", "1.1", Build(files={"a": b"new"})).digest
    context = started(tmp_path, place)
    (one,) = check_all(context)
    found = cycle.planned(context, one)
    assert isinstance(found, Plan)
    explained = context.targets[found.target].explain(found)
    assert "entry:     shop" in text.plan_text(one.service, found, (), explained)
    assert place.running["shop"] == old
    assert any("runs" in finding.text for finding in selfcheck.Check(context).findings())
    (outcome,) = cycle.run(context).outcomes
    assert isinstance(outcome, Committed)
    assert place.running["shop"] == new
    assert records.service_of(context.state, "shop").status is records.Status.UPDATED
    back = requests.roll_back(context, context.config.services[0])
    assert isinstance(back, Committed)
    assert place.running["shop"] == old
    assert events(tmp_path) == ["update", "update"]


def test_a_bad_release_is_rolled_back_and_not_tried_again(
    tmp_path: Path, place: MemoryHost, registry: FakeRegistry
) -> None:
    old = place.running["shop"]
    place.bad.add(registry.push("team/app", "1.1", Build(files={"a": b"bad"})).digest)
    context = started(tmp_path, place)
    (outcome,) = cycle.run(context).outcomes
    assert isinstance(outcome, RolledBack)
    assert outcome.quarantine
    assert (place.running["shop"], events(tmp_path)) == (old, ["rollback"])
    assert cycle.run(context).outcomes == ()


class Opened:
    """The real registries; notes which images were opened together, and what had been asked by then."""

    def __init__(self, real: Any, registry: FakeRegistry) -> None:
        self._real, self._registry = real, registry
        self.batches: list[tuple[list[str], int]] = []

    def open_all(self, questions: Sequence[tuple[ImageRef, RegistrySettings]]) -> list[Registry | Exception]:
        self.batches.append(([image.repository for image, _ in questions], len(self._registry.counts())))
        opened: list[Registry | Exception] = self._real.open_all(questions)
        return opened

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def test_every_registry_of_a_cycle_is_opened_before_any_is_asked(
    tmp_path: Path, place: MemoryHost, registry: FakeRegistry
) -> None:
    """Those of the images that move with another one, too: what answers for many tags at once knows all of
    them.
    """
    beside = registry.push("team/ml", "1.0").digest
    image = parse(f"{registry.host}/team/ml:1.0")
    place.others["shop"] = (OtherImage(image, frozenset({beside})),)
    context = started(tmp_path, place)
    opened = Opened(context.registries, registry)
    context.registries = opened
    (one,) = check_all(context)
    assert isinstance(one.decision, Hold)
    assert one.decision.reason is Reason.SAME_DIGEST
    assert opened.batches == [(["team/app", "team/ml"], 0)]
    assert registry.counts()


@pytest.mark.parametrize("at", range(1, 4))
def test_a_killed_update_is_ended_by_the_next_start(
    tmp_path: Path, place: MemoryHost, registry: FakeRegistry, at: int
) -> None:
    old = place.running["shop"]
    new = registry.push("team/app", "1.1", Build(files={"a": b"new"})).digest
    place.killer = Killer(at, after=True)
    with pytest.raises(Killed):
        cycle.run(started(tmp_path, place))
    place.killer = Killer()
    context = started(tmp_path, place)
    (outcome,) = cycle.recover_open(context)
    ended_before = place.running["shop"] == new
    assert type(outcome) is (Committed if ended_before else RolledBack)
    assert place.running["shop"] in (old, new)
    assert context.journal.read_all() == ()

"""Every deploy target keeps one contract: that of `deploy.target`, under the transaction and its recovery.

Over every entry of the table of targets, on the simulator, and over a second target that lives in a
dictionary.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.integration.test_kill_matrix import BAD, NAME, NEW, OLD, Stage, not_expected
from tests.support import memory_target
from tests.support.memory_target import MemoryHost, MemoryTarget
from tests.support.quadlet_target import QuadletPlan, QuadletSettings, QuadletTarget
from tests.support.simulator import (
    KillableFiles,
    Killed,
    Killer,
    SimClock,
    SimCompose,
    SimEngine,
    SimHost,
    SimRelease,
)
from tests.support.swarm_simulator import SimSwarm, web_spec
from updater_core import reference, targets
from updater_core.deploy.journal import JournalFolder, JournalRecord
from updater_core.deploy.target import Host, Reporter, Target, UpdateRequest
from updater_core.deploy.transaction import Transaction
from updater_core.errors import LockHeld
from updater_core.models import (
    Cause,
    Committed,
    GatePolicy,
    Hold,
    NotStarted,
    Outcome,
    Plan,
    Reason,
    RolledBack,
    ServiceConfig,
    Step,
)
from updater_core.state import codec
from updater_core.targets.swarm import SwarmTarget
from updater_core.targets.swarm.entry.settings import SwarmSettings

SERVICE = "shop"


class Bench(Protocol):
    """A place with `SERVICE` on the old release, and one newer release that can be had."""

    @property
    def target(self) -> Target: ...
    @property
    def service(self) -> ServiceConfig: ...
    def read_plan(self, raw: Mapping[str, Any]) -> Plan[Any]: ...
    def kill_at(self, killer: Killer) -> None: ...
    def running(self) -> str:
        """The digest of the release that runs."""

    def defined(self) -> str:
        """The reference that the operator's definition names."""

    def of_another_release(self, plan: Plan[Any]) -> Plan[Any]:
        """The plan as it would be if something else had run than does now."""


@dataclass
class ComposeBench:
    made: Stage

    def __post_init__(self) -> None:
        self.target = self.made.target_of(Killer())
        gate = GatePolicy(timeout_seconds=3, stable_seconds=1)
        image = reference.parse(f"{NAME}:1.0")
        self.service = ServiceConfig(SERVICE, image, (str(self.made.file),), ("web",), gate=gate)

    def read_plan(self, raw: Mapping[str, Any]) -> Plan[Any]:
        return targets.read_plan(raw)

    def kill_at(self, killer: Killer) -> None:
        self.target = self.made.target_of(killer)

    def running(self) -> str:
        (image,) = self.made.host.running("web")
        return self.made.host.release_of(image).digest

    def defined(self) -> str:
        return self.made.file.read_text().split("image: ")[1].split()[0]

    def of_another_release(self, plan: Plan[Any]) -> Plan[Any]:
        moves = tuple(
            replace(move, old_image_id=plan.old_retained, container_ids=()) for move in plan.detail.moves
        )
        return replace(plan, detail=replace(plan.detail, moves=moves))


@dataclass
class MemoryBench:
    place: MemoryHost

    def __post_init__(self) -> None:
        self.target: Target = MemoryTarget(self.place)
        self.service = ServiceConfig(SERVICE, reference.parse(f"{NAME}:1.0"), (), ())

    def read_plan(self, raw: Mapping[str, Any]) -> Plan[Any]:
        return memory_target.read_plan(raw)

    def kill_at(self, killer: Killer) -> None:
        self.place.killer = killer

    def running(self) -> str:
        return self.place.running[SERVICE]

    def defined(self) -> str:
        return self.place.defined[SERVICE]

    def of_another_release(self, plan: Plan[Any]) -> Plan[Any]:
        return plan


@dataclass
class QuadletBench:
    """The target that `test_new_target` adds to a copy of the program, on its own made-up host."""

    folder: Path
    bad: set[str]

    def __post_init__(self) -> None:
        self.file = self.folder / "shop.container"
        self.file.write_text(f"[Container]\nImage={NAME}:1.0\n\n[Install]\nWantedBy=default.target\n")
        Path(f"{self.file}.json").write_text(json.dumps({"running": OLD.digest, "bad": sorted(self.bad)}))
        own = (QuadletSettings(str(self.file)),)
        self.service = ServiceConfig(SERVICE, reference.parse(f"{NAME}:1.0"), target=own)
        self.kill_at(Killer())

    def read_plan(self, raw: Mapping[str, Any]) -> Plan[Any]:
        found: Plan[QuadletPlan] = codec.decode(Plan[QuadletPlan], dict(raw))
        return found

    def kill_at(self, killer: Killer) -> None:
        host = SimHost()
        parts = (SimEngine(host), SimCompose(host), KillableFiles(killer), SimClock())
        self.target: Target = QuadletTarget(Host(*parts, self.folder / "locks", 1.0), on_bug=not_expected)

    def running(self) -> str:
        return str(json.loads(Path(f"{self.file}.json").read_text())["running"])

    def defined(self) -> str:
        return self.file.read_text().split("Image=")[1].split()[0]

    def of_another_release(self, plan: Plan[Any]) -> Plan[Any]:
        return replace(plan, image=replace(plan.image, digest="sha256:" + "8" * 64))


@dataclass
class SwarmBench:
    """A stack `shop` with its file, in a swarm in memory."""

    folder: Path
    swarm: SimSwarm

    def __post_init__(self) -> None:
        self.file = self.folder / "stack.yml"
        self.file.write_text(
            f"services:\n  web:\n    image: {NAME}:1.0  # kept\n  db:\n    image: postgres:16\n"
        )
        gate = GatePolicy(timeout_seconds=30, stable_seconds=3)
        image = reference.parse(f"{NAME}:1.0")
        self.service = ServiceConfig(
            SERVICE, image, (str(self.file),), ("web",), target=(SwarmSettings(stack="shop"),), gate=gate
        )
        self.kill_at(Killer())

    def read_plan(self, raw: Mapping[str, Any]) -> Plan[Any]:
        return targets.read_plan(raw)

    def kill_at(self, killer: Killer) -> None:
        """As a process that has just started has it."""
        self.swarm.killer, self.clock = killer, SimClock()
        host = SimHost()
        parts = (SimEngine(host), SimCompose(host), KillableFiles(killer), self.clock)
        made = Host(*parts, self.folder / "locks", 1.0, swarm=lambda engine: self.swarm)
        self.target: Target = SwarmTarget(made, on_bug=not_expected)

    def running(self) -> str:
        (image,) = set(self.swarm.running())
        return image.partition("@")[2]

    def defined(self) -> str:
        label = self.swarm.spec["Labels"]["com.docker.stack.image"]
        named = self.file.read_text().split("image: ")[1].split()[0]
        assert named == label == self.swarm.image().partition("@")[0]
        return named

    def of_another_release(self, plan: Plan[Any]) -> Plan[Any]:
        return replace(plan, detail=replace(plan.detail, old_image="app:0.8", new_image="app:0.9"))


def compose_bench(folder: Path, release: SimRelease) -> Bench:
    return ComposeBench(Stage(folder, release, new_tag="1.1"))


def memory_bench(folder: Path, release: SimRelease) -> Bench:
    bad = set() if release.fate == "well" else {release.digest}
    return MemoryBench(MemoryHost({SERVICE: f"{NAME}:1.0"}, {SERVICE: OLD.digest}, bad))


def swarm_bench(folder: Path, release: SimRelease) -> Bench:
    fates = {"well": "well", "unhealthy": "unhealthy"}
    return SwarmBench(
        folder, SimSwarm(web_spec(f"{NAME}:1.0@{OLD.digest}"), fates={release.digest: fates[release.fate]})
    )


def quadlet_bench(folder: Path, release: SimRelease) -> Bench:
    return QuadletBench(folder, set() if release.fate == "well" else {release.digest})


BENCHES = {"compose": compose_bench, "memory": memory_bench, "swarm": swarm_bench, "quadlet": quadlet_bench}
Opened = Callable[[SimRelease], Bench]


@pytest.fixture(params=BENCHES)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    """A bench in a folder of its own, each time."""
    numbers = itertools.count()

    def fresh(release: SimRelease = NEW) -> Bench:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return BENCHES[request.param](folder, release)

    return fresh


def test_every_target_of_the_table_is_on_the_bench() -> None:
    assert {kind.name for kind in targets.TABLE} <= BENCHES.keys()


def planned(bench: Bench, release: SimRelease) -> Plan[Any]:
    observed = bench.target.observe([bench.service])[SERVICE]
    assert not isinstance(observed, Hold), observed
    image = reference.parse(f"{NAME}:1.1@{release.digest}")
    found = bench.target.plan(bench.service, observed, UpdateRequest(image, "it is newer"))
    assert not isinstance(found, Hold), found
    return found


def transaction(bench: Bench, plan: Plan[Any], journal: JournalFolder) -> Transaction:
    reporter = Reporter(lambda _: None, lambda step, text: None, lambda step, is_back: None, lambda _: None)
    return Transaction(plan, bench.target, journal, reporter)


def test_what_is_observed_is_what_is_defined_and_what_runs(opened: Opened) -> None:
    bench = opened(NEW)
    assert bench.target.serves(bench.service)
    observed = bench.target.observe([bench.service])[SERVICE]
    assert not isinstance(observed, Hold)
    assert observed.current == reference.parse(f"{NAME}:1.0")
    assert OLD.digest in observed.running_digests
    assert observed.image_ids <= observed.running_digests
    assert bench.target.refreshed(observed) == observed


def test_a_plan_says_the_neutral_facts_and_changes_nothing(opened: Opened) -> None:
    bench = opened(NEW)
    plan = planned(bench, NEW)
    assert (plan.name, plan.target, plan.image.digest) == (SERVICE, bench.target.name, NEW.digest)
    assert (plan.old_reference, plan.old_digest, plan.new_reference) == (
        f"{NAME}:1.0",
        OLD.digest,
        f"{NAME}:1.1",
    )
    assert plan.restarts
    assert all(isinstance(line, str) for line in bench.target.explain(plan))
    assert (bench.running(), bench.defined()) == (OLD.digest, f"{NAME}:1.0")


def test_a_plan_comes_back_from_the_journal_exactly(opened: Opened) -> None:
    bench = opened(NEW)
    plan = planned(bench, NEW)
    assert bench.read_plan(json.loads(json.dumps(codec.encode(plan)))) == plan


def test_a_good_release_is_committed_and_a_bad_one_rolled_back(opened: Opened, tmp_path: Path) -> None:
    for release, ending, is_new in ((NEW, Committed, True), (BAD, RolledBack, False)):
        bench = opened(release)
        outcome = transaction(
            bench, planned(bench, release), JournalFolder(tmp_path / "j", bench.read_plan)
        ).apply()
        assert type(outcome) is ending
        assert outcome.plan.new_retained
        expected = (release.digest, f"{NAME}:1.1") if is_new else (OLD.digest, f"{NAME}:1.0")
        assert (bench.running(), bench.defined()) == expected


def test_putting_everything_back_can_be_repeated(opened: Opened) -> None:
    bench = opened(NEW)
    reporter = Reporter(lambda _: None, lambda step, text: None, lambda step, is_back: None, lambda _: None)
    deployment = bench.target.deployment(planned(bench, NEW), reporter)
    for stage in (*deployment.preparation(), deployment.proof(), *deployment.stages()):
        stage.run()
    cause = Cause(Step.GATE, Reason.UNHEALTHY, "it is unhealthy")
    again = bench.target.deployment(deployment.plan, reporter)  # as another process would make it
    for one in (deployment, again, again):
        assert one.superseded() is None
        assert one.revert(cause) == cause
        one.restore(cause)
        one.clean()
        assert (bench.running(), bench.defined()) == (OLD.digest, f"{NAME}:1.0")
    again.finish(RolledBack(again.plan, cause))
    again.finish(RolledBack(again.plan, cause))


def test_only_one_updater_may_change_a_service(opened: Opened) -> None:
    bench = opened(NEW)
    plan = planned(bench, NEW)
    observed = bench.target.observe([bench.service])[SERVICE]
    assert not isinstance(observed, Hold)
    with bench.target.exclusive(observed), pytest.raises(LockHeld), bench.target.exclusive(plan):
        pass
    with bench.target.exclusive(plan):
        pass


def test_what_an_update_needs_is_examined(opened: Opened) -> None:
    bench = opened(NEW)
    assert [finding.is_good for finding in bench.target.examine(bench.service)] == [True]
    assert bench.target.check([bench.service])
    assert all(finding.text for finding in bench.target.examine_host())
    assert bench.target.apply_command(bench.service)
    assert bench.target.platform(bench.service) == "linux/amd64"


class KillableJournal(JournalFolder):
    """The real folder, seen by the killer."""

    killer: Killer

    def write(self, record: JournalRecord) -> None:
        self.killer.effect(f"journal {record.phase}", lambda: JournalFolder.write(self, record))


def run(bench: Bench, plan: Plan[Any], folder: Path, killer: Killer) -> Outcome:
    bench.kill_at(killer)
    journal = KillableJournal(folder, bench.read_plan)
    journal.killer = killer
    return transaction(bench, plan, journal).apply()


@pytest.mark.parametrize("release", [NEW, BAD], ids=["good", "bad"])
def test_killed_anywhere_it_ends_on_old_or_new(opened: Opened, tmp_path: Path, release: SimRelease) -> None:
    rehearsal, bench = Killer(), opened(release)
    run(bench, planned(bench, release), tmp_path / "rehearsal", rehearsal)
    assert len(rehearsal.log) >= 6
    for at, after in itertools.product(range(1, len(rehearsal.log) + 1), (False, True)):
        bench, folder = opened(release), tmp_path / f"{at}-{after}"
        with pytest.raises(Killed):
            run(bench, planned(bench, release), folder, Killer(at, after))
        bench.kill_at(Killer())
        journal = JournalFolder(folder, bench.read_plan)
        for record in journal.read_all():
            assert isinstance(record, JournalRecord)
            outcome = transaction(bench, record.plan, journal).recover(record)
            assert isinstance(outcome, Committed | RolledBack | NotStarted)
        is_new = bench.running() == release.digest
        assert (is_new, bench.running()) in ((True, NEW.digest), (False, OLD.digest)), (at, after)
        assert bench.defined() == f"{NAME}:{'1.1' if is_new else '1.0'}", (at, after)


def test_what_the_operator_deployed_meanwhile_is_left_alone(opened: Opened, tmp_path: Path) -> None:
    bench = opened(BAD)
    plan = replace(planned(bench, BAD), old_digest="sha256:" + "9" * 64, old_retained="sha256:" + "9" * 64)
    plan = bench.of_another_release(plan)
    superseded = transaction(bench, plan, JournalFolder(tmp_path / "j", bench.read_plan)).roll_back(
        Cause(Step.GATE, Reason.UNHEALTHY, "it is unhealthy")
    )
    assert type(superseded).__name__ == "Superseded"
    assert bench.running() == OLD.digest

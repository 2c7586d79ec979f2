"""What may happen on a swarm while one of its services is updated, on the simulated one: somebody else
writes, the managers fall silent, the release dies late, a node cannot pull, the updater is stopped or killed
at any effect.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_kill_matrix import NAME, NEW, OLD, not_expected
from tests.support.simulator import (
    KillableFiles,
    KillableJournal,
    Killed,
    Killer,
    SimClock,
    SimCompose,
    SimEngine,
    SimHost,
)
from tests.support.swarm_simulator import SimSwarm, web_spec
from updater_core import reference
from updater_core.deploy.journal import JournalRecord, Phase
from updater_core.deploy.target import Host, Reporter, UpdateRequest
from updater_core.deploy.transaction import Transaction
from updater_core.errors import EngineUnavailable, Stopped
from updater_core.models import (
    Committed,
    Credential,
    GatePolicy,
    Hold,
    NotStarted,
    Outcome,
    Plan,
    Reason,
    RolledBack,
    Secret,
    ServiceConfig,
    Step,
    Superseded,
)
from updater_core.targets.swarm import SwarmTarget
from updater_core.targets.swarm.entry.settings import SwarmSettings

OLD_IMAGE, NEW_IMAGE = f"{NAME}:1.0@{OLD.digest}", f"{NAME}:1.1@{NEW.digest}"
LOGIN = Credential("robot", Secret("s3cret"))


class StoppedClock(SimClock):
    """A clock that says, from the n-th question on, that an end is asked for."""

    left = 10**6

    def wait(self, seconds: float) -> bool:
        super().wait(seconds)
        self.left -= 1
        return self.left < 0


class Cluster:
    """The simulated swarm with a stack's file, and the updater's target on it."""

    def __init__(self, folder: Path, fate: str = "well", **spec: Any) -> None:
        self.folder, self.file = folder, folder / "stack.yml"
        self.text = f"services:\n  web:\n    image: {NAME}:1.0  # kept\n"
        self.file.write_text(self.text)
        self.swarm = SimSwarm(web_spec(OLD_IMAGE, **spec), fates={NEW.digest: fate})
        self.before = self.swarm.spec
        gate = GatePolicy(timeout_seconds=30, stable_seconds=3)
        image = reference.parse(f"{NAME}:1.0")
        self.service = ServiceConfig(
            "web", image, (str(self.file),), ("web",), target=(SwarmSettings(stack="shop"),), gate=gate
        )
        self.said: list[tuple[Step, str]] = []

    def target(self, killer: Killer, clock: SimClock | None = None) -> SwarmTarget:
        self.swarm.killer = killer
        host, used = SimHost(), clock or SimClock()
        used.happenings = []
        parts = (SimEngine(host), SimCompose(host), KillableFiles(killer), used)
        return SwarmTarget(
            Host(*parts, self.folder / "locks", 1.0, swarm=lambda engine: self.swarm), not_expected
        )

    def plan(self) -> Plan[Any] | Hold:
        target = self.target(Killer())
        observed = target.observe([self.service])["web"]
        assert not isinstance(observed, Hold), observed
        return target.plan(self.service, observed, UpdateRequest(reference.parse(NEW_IMAGE), "newer"))

    def transaction(self, plan: Plan[Any], killer: Killer, clock: SimClock | None = None) -> Transaction:
        reporter = Reporter(
            lambda _: LOGIN,
            lambda step, text: self.said.append((step, text)),
            lambda step, back: None,
            lambda _: None,
        )
        return Transaction(
            plan, self.target(killer, clock), KillableJournal(self.folder / "journal", killer), reporter
        )

    def update(self, killer: Killer | None = None, clock: SimClock | None = None) -> Outcome:
        plan = self.plan()
        assert not isinstance(plan, Hold), plan
        return self.transaction(plan, killer or Killer(), clock).apply()

    def recover(self) -> Outcome | None:
        """What the next start does."""
        journal = KillableJournal(self.folder / "journal", Killer())
        for record in journal.read_all():
            assert isinstance(record, JournalRecord)
            return self.transaction(record.plan, Killer()).recover(record)
        return None

    def after(self, looks: int, act: Callable[[], object]) -> None:
        """Let something happen at the n-th look at the tasks; the plan is the first."""
        self.swarm.happenings = [*(lambda: None for _ in range(looks - 1)), act]

    def write_as_operator(self, **labels: str) -> None:
        self.swarm.write({**self.swarm.spec, "Labels": {**self.swarm.spec["Labels"], **labels}})

    def assert_back(self) -> None:
        assert self.swarm.spec == self.before
        assert set(self.swarm.running()) == {OLD_IMAGE}
        assert self.file.read_text() == self.text

    def assert_new(self) -> None:
        assert set(self.swarm.running()) == {NEW_IMAGE}
        assert self.swarm.spec["UpdateConfig"] == self.before["UpdateConfig"]
        assert self.file.read_text() == self.text.replace(":1.0", ":1.1")


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def test_a_good_release_is_written_twice_and_the_login_goes_with_it(cluster: Cluster) -> None:
    assert isinstance(cluster.update(), Committed)
    cluster.assert_new()
    first, last = cluster.swarm.writes
    assert first["UpdateConfig"]["FailureAction"] == "rollback"
    assert first["UpdateConfig"]["Delay"] > first["UpdateConfig"]["Monitor"]
    assert last["Labels"]["com.docker.stack.image"] == f"{NAME}:1.1"
    assert cluster.swarm.logins == [LOGIN, LOGIN]
    assert "hunter2" not in repr(cluster.said)


@pytest.mark.parametrize(
    ("fate", "reason", "is_blamed"),
    [
        ("unhealthy", Reason.UNHEALTHY, True),
        ("exits", Reason.EXITED, True),
        ("cannot_start", Reason.UP_FAILED, True),
        ("rejected", Reason.PULL_FAILED, False),
        ("dies", Reason.EXITED, True),  # after the engine has said `completed`
    ],
)
@pytest.mark.parametrize("engine", ["rollback", "none"], ids=["the engine goes back", "we go back"])
def test_a_release_that_fails_is_gone_back_from_and_blamed_if_it_is_at_fault(
    tmp_path: Path, fate: str, reason: Reason, is_blamed: bool, engine: str
) -> None:
    cluster = Cluster(tmp_path, fate)
    cluster.swarm.goes_back = engine == "rollback"
    outcome = cluster.update()
    assert isinstance(outcome, RolledBack)
    assert (outcome.cause.reason, outcome.quarantine) == (reason, is_blamed)
    cluster.assert_back()


def test_a_label_that_somebody_adds_in_between_stays_and_the_spec_is_decided_anew(cluster: Cluster) -> None:
    taken = cluster.swarm.update
    lost: list[int] = []

    def update(service_id: str, version: int, spec: Any, credential: Any) -> bool:
        if not lost:
            lost.append(version)
            cluster.write_as_operator(team="web")
        return taken(service_id, version, spec, credential)

    cluster.swarm.update = update  # type: ignore[method-assign]
    assert isinstance(cluster.update(), Committed)
    assert lost
    cluster.assert_new()
    assert cluster.swarm.spec["Labels"]["team"] == "web"


def test_what_the_operator_scales_meanwhile_stays_in_a_rollback(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, "dies")
    cluster.after(3, lambda: cluster.write_as_operator(team="web"))
    assert isinstance(cluster.update(), RolledBack)
    assert cluster.swarm.spec["Labels"].pop("team") == "web"
    cluster.assert_back()


@pytest.mark.parametrize("looks", range(2, 6))
def test_another_image_meanwhile_is_the_operators_and_nobody_is_blamed(cluster: Cluster, looks: int) -> None:
    def deploy() -> None:
        spec = cluster.swarm._shown()["Spec"]
        spec["TaskTemplate"]["ContainerSpec"]["Image"] = f"{NAME}:2.0@sha256:{'9' * 64}"
        cluster.swarm.write(spec)

    cluster.after(looks, deploy)
    outcome = cluster.update()
    assert isinstance(outcome, Superseded)
    assert outcome.cause.reason is Reason.TAKEN_OVER
    assert ":2.0@" in cluster.swarm.image()


def test_another_image_before_the_write_is_not_written_over(cluster: Cluster) -> None:
    plan = cluster.plan()
    assert not isinstance(plan, Hold)
    cluster.swarm.spec["TaskTemplate"]["ContainerSpec"]["Image"] = f"{NAME}:2.0"
    outcome = cluster.transaction(plan, Killer()).apply()
    assert isinstance(outcome, NotStarted)
    assert (outcome.cause.reason, cluster.swarm.writes) == (Reason.TAKEN_OVER, [])
    assert cluster.file.read_text() == cluster.text


def test_managers_that_find_a_new_leader_are_waited_for(cluster: Cluster) -> None:
    clock = SimClock()

    def away() -> None:
        cluster.swarm.is_away = True
        clock.happenings = [
            *(lambda: None for _ in range(20)),
            lambda: setattr(cluster.swarm, "is_away", False),
        ]

    cluster.after(3, away)
    assert isinstance(cluster.update(clock=clock), Committed)
    assert clock.seconds > 20
    cluster.assert_new()


def test_a_write_that_nobody_confirmed_is_found_done(cluster: Cluster) -> None:
    taken = cluster.swarm.update

    def update(service_id: str, version: int, spec: Any, credential: Any) -> bool:
        taken(service_id, version, spec, credential)
        cluster.swarm.update = taken  # type: ignore[method-assign]
        raise EngineUnavailable("the swarm did not answer")

    cluster.swarm.update = update  # type: ignore[method-assign]
    assert isinstance(cluster.update(), Committed)
    assert len(cluster.swarm.writes) == 2
    cluster.assert_new()


def test_a_quorum_that_is_lost_leaves_the_journal_open_until_it_is_back(cluster: Cluster) -> None:
    cluster.after(3, lambda: setattr(cluster.swarm, "is_away", True))
    with pytest.raises(EngineUnavailable):
        cluster.update()
    cluster.swarm.is_away = False
    assert isinstance(cluster.recover(), Committed | RolledBack)
    image = cluster.swarm.image()
    assert set(cluster.swarm.running()) == {image}
    (cluster.assert_new if image == NEW_IMAGE else cluster.assert_back)()


@pytest.mark.parametrize(
    ("is_node_away", "reason"), [(True, Reason.NO_SUITABLE_NODE), (False, Reason.GATE_TIMEOUT)]
)
def test_what_stands_still_on_a_node_that_is_away_blames_no_release(
    tmp_path: Path, is_node_away: bool, reason: Reason
) -> None:
    cluster, clock = Cluster(tmp_path, "stuck"), SimClock()
    cluster.after(4, lambda: setattr(cluster.swarm, "is_node_away", is_node_away))
    outcome = cluster.update(clock=clock)
    assert isinstance(outcome, RolledBack)
    assert (outcome.cause.reason, outcome.quarantine) == (reason, not is_node_away)
    assert (clock.seconds > 180) is is_node_away
    cluster.assert_back()


@pytest.mark.parametrize(("version", "is_blamed"), [(8, False), (7, True)])
def test_a_node_that_died_and_came_back_is_not_the_releases_fault(
    tmp_path: Path, version: int, is_blamed: bool
) -> None:
    cluster = Cluster(tmp_path, "lost")
    cluster.after(2, lambda: setattr(cluster.swarm, "node_version", version))
    outcome = cluster.update()
    assert isinstance(outcome, RolledBack)
    assert outcome.quarantine is is_blamed
    assert outcome.cause.reason is (Reason.EXITED if is_blamed else Reason.NO_SUITABLE_NODE)
    cluster.assert_back()


def test_an_image_that_no_node_can_run_is_refused_before_any_write(cluster: Cluster) -> None:
    cluster.swarm.platforms[NEW.digest] = [("arm64", "linux")]
    outcome = cluster.update()
    assert isinstance(outcome, NotStarted)
    assert outcome.cause.reason is Reason.PLATFORM_MISSING
    assert "linux/arm64" in outcome.cause.message
    assert cluster.swarm.writes == []


@pytest.mark.parametrize(
    ("version", "role", "is_held"),
    [
        ("20.10.24+dfsg1", "manager", True),
        ("22.06.0-beta.0", "manager", True),
        ("20.10.24", "worker", False),
        ("23.0.0", "manager", False),
        ("28.5.2+dfsg3", "manager", False),
        ("library-import", "manager", False),
        ("0.0.0-20260101", "manager", False),
    ],
)
def test_a_manager_that_does_not_roll_back_rightly_is_refused(
    cluster: Cluster, version: str, role: str, is_held: bool
) -> None:
    cluster.swarm.engine_version, cluster.swarm.role_of_node = version, role
    plan = cluster.plan()
    if not is_held:
        assert not isinstance(plan, Hold)
        return
    assert isinstance(plan, Hold)
    assert plan.reason is Reason.ENGINE_TOO_OLD
    assert plan.available is not None
    found = [finding.line() for finding in cluster.target(Killer()).examine(cluster.service)]
    assert any("engine_too_old" in line and f"one has {version}" in line for line in found), found


@pytest.mark.parametrize("looks", range(1, 8))
def test_a_stop_leaves_the_rollout_to_the_engine_and_the_next_start_judges_it(
    tmp_path: Path, looks: int
) -> None:
    cluster, clock = Cluster(tmp_path), StoppedClock()
    clock.left = looks
    with pytest.raises(Stopped):
        cluster.update(clock=clock)
    assert cluster.swarm.image() == NEW_IMAGE
    assert isinstance(cluster.recover(), Committed)
    cluster.assert_new()


@pytest.mark.parametrize("fate", ["well", "unhealthy", "exits", "rejected", "dies"])
def test_killed_at_any_effect_it_ends_on_old_or_new_and_says_which(tmp_path: Path, fate: str) -> None:
    def made(name: str) -> Cluster:
        (tmp_path / name).mkdir()
        return Cluster(tmp_path / name, fate)

    rehearsal = Killer()
    made("rehearsal").update(rehearsal)
    assert len(rehearsal.log) >= 8
    for at, after in itertools.product(range(1, len(rehearsal.log) + 1), (False, True)):
        cluster = made(f"{at}-{after}")
        with pytest.raises(Killed):
            cluster.update(Killer(at, after))
        for _ in range(at):  # the orchestrator goes on meanwhile
            cluster.swarm.tasks("s1")
        outcome = cluster.recover()
        if isinstance(outcome, Committed):
            cluster.assert_new()
        else:
            cluster.assert_back()
        if isinstance(outcome, RolledBack) and fate != "well":
            assert outcome.cause.reason is not Reason.INTERRUPTED or not outcome.quarantine
        assert not list((tmp_path / f"{at}-{after}").glob(".*.dau-*")), (at, after)


def test_a_good_release_whose_updater_was_killed_after_the_write_is_not_given_up(cluster: Cluster) -> None:
    rehearsal = Killer()
    cluster.update(rehearsal)
    written = rehearsal.log.index("write spec") + 1
    (cluster.folder / "fresh").mkdir()  # with a journal of its own
    fresh = Cluster(cluster.folder / "fresh", "well")
    with pytest.raises(Killed):
        fresh.update(Killer(written, after=True))
    assert isinstance(fresh.recover(), Committed)
    fresh.assert_new()


def test_an_unpinned_service_is_pinned_by_its_first_update(cluster: Cluster) -> None:
    cluster.swarm.spec["TaskTemplate"]["ContainerSpec"]["Image"] = f"{NAME}:1.0"
    for task in cluster.swarm.all_tasks:
        task["Spec"]["ContainerSpec"]["Image"] = f"{NAME}:1.0"
    outcome = cluster.update()
    assert isinstance(outcome, Committed)
    assert outcome.plan.old_digest is None
    assert cluster.swarm.image() == NEW_IMAGE


def test_an_edit_of_the_operators_in_the_meantime_is_not_written_over(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, "dies")
    cluster.after(3, lambda: cluster.file.write_text(f"services:\n  web:\n    image: {NAME}:3.0\n"))
    outcome = cluster.update()
    assert isinstance(outcome, RolledBack)
    assert "could not be put back" in outcome.cause.message
    assert ":3.0" in cluster.file.read_text()
    assert cluster.swarm.spec == cluster.before


def test_the_phase_of_an_open_journal_is_what_leads_the_next_start(cluster: Cluster) -> None:
    plan = cluster.plan()
    assert not isinstance(plan, Hold)
    record = JournalRecord(plan.id, Phase.APPLYING, plan)
    outcome = cluster.transaction(plan, Killer()).recover(record)
    assert isinstance(outcome, RolledBack)  # nothing was written: there is nothing to judge
    assert outcome.cause.reason is Reason.INTERRUPTED
    assert not outcome.quarantine
    cluster.assert_back()
    assert replace(plan, new_retained=None) != plan

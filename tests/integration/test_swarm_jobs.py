"""A job of a swarm that may be updated, on the simulated one: every write runs it, so that each one
counts.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_kill_matrix import NEW
from tests.integration.test_swarm_rollouts import NEW_IMAGE, OLD_IMAGE, Cluster
from tests.support.simulator import Killed, Killer, SimClock
from tests.support.swarm_simulator import SimJob, job_spec
from updater_core.deploy import transaction
from updater_core.deploy.health import Failed, Proven, Verdict, Waiting
from updater_core.models import Committed, GatePolicy, Hold, NotStarted, Reason, RolledBack, Superseded
from updater_core.targets.swarm import jobs
from updater_core.targets.swarm.entry.settings import SwarmSettings
from updater_core.targets.swarm.facts import SwarmService, SwarmTask
from updater_core.targets.swarm.gate import Rollout, RolloutTrack


class HourClock(SimClock):
    """A clock by which each sleep takes an hour."""

    def sleep(self, seconds: float) -> None:
        super().sleep(3600)


class JobCluster(Cluster):
    """The simulated swarm with a job in place of its service, which may be updated."""

    def __init__(self, folder: Path, fate: str = "well", **template: Any) -> None:
        super().__init__(folder)
        self.swarm = self.job = SimJob(job_spec(OLD_IMAGE, **template), fates={NEW.digest: fate})
        self.before = self.swarm.spec
        self.service = replace(self.service, target=(SwarmSettings(stack="shop", run_jobs=True),))


def test_a_good_release_runs_once_and_is_proven_by_its_end(tmp_path: Path) -> None:
    cluster = JobCluster(tmp_path)
    outcome = cluster.update()
    assert isinstance(outcome, Committed)
    assert cluster.job.runs() == [NEW_IMAGE]
    assert cluster.file.read_text() == cluster.text.replace(":1.0", ":1.1")
    assert "1.1@sha256:" in transaction.describe(outcome)
    assert "has run to its end (was" in transaction.describe(outcome)
    completed = [task for task in cluster.swarm.all_tasks if task["JobIteration"]["Index"] == 1]
    assert [task["Status"]["State"] for task in completed] == ["complete", "complete"]


def test_a_failed_run_puts_the_spec_back_and_is_not_called_undone(tmp_path: Path) -> None:
    cluster = JobCluster(tmp_path, "exits")
    outcome = cluster.update()
    assert isinstance(outcome, RolledBack)
    assert (outcome.cause.reason, outcome.quarantine) == (Reason.EXITED, True)
    assert "what the run has done stays done" in outcome.cause.message
    assert (cluster.swarm.spec, cluster.job.runs()) == (cluster.before, [NEW_IMAGE, OLD_IMAGE])
    assert cluster.file.read_text() == cluster.text


def job(mode: dict[str, Any], **policy: Any) -> SwarmService:
    return SwarmService(
        "s1", "a", 2, {**job_spec(NEW_IMAGE, RestartPolicy=policy), "Mode": mode}, iteration=3
    )


def run_of(*tasks: tuple[int, str, str]) -> list[SwarmTask]:
    """Tasks of the run of `job` by slot, node and state."""
    found = [SwarmTask("earlier", OLD_IMAGE, "complete", "complete", iteration=2, node_id="n1")]
    for number, (slot, node, state) in enumerate(tasks):
        made = SwarmTask(f"t{number}", NEW_IMAGE, "complete", state, node_id=node, slot=slot, iteration=3)
        found.append(replace(made, exit_code=3 if state == "failed" else 0))
    return found


def verdict(service: SwarmService, *tasks: tuple[int, str, str]) -> Verdict:
    wanted = Rollout(NEW_IMAGE, GatePolicy())
    return jobs.judge(RolloutTrack(0, 0), service, run_of(*tasks), wanted, 1)[1]


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        ({}, 0),
        ({"Condition": "on-failure"}, 0),
        ({"Condition": "on-failure", "MaxAttempts": 2}, 2),
        ({"Condition": "none", "MaxAttempts": 2}, 0),
    ],
)
@pytest.mark.parametrize("mode", [{"ReplicatedJob": {"TotalCompletions": 2}}, {"GlobalJob": {}}])
def test_a_task_may_fail_as_often_as_the_engine_need_not_try_again_after(
    mode: dict[str, Any], policy: dict[str, Any], allowed: int
) -> None:
    found = job(mode, **policy)
    of_two = [(slot, f"n{slot}", "failed") for slot in (0, 1) for _ in range(allowed)]
    assert isinstance(verdict(found, *of_two, (0, "n0", "running")), Waiting)
    failed = verdict(found, *of_two, (1, "n1", "failed"))
    assert isinstance(failed, Failed)
    assert failed.reason is Reason.EXITED


def test_a_job_is_proven_by_its_completions_and_a_global_one_by_each_node() -> None:
    two = job({"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 2}})
    assert isinstance(verdict(two, (0, "n1", "complete")), Waiting)
    assert verdict(two, (0, "n1", "complete"), (1, "n1", "complete")) == Proven()
    everywhere = job({"GlobalJob": {}}, Condition="on-failure", MaxAttempts=1)
    assert isinstance(verdict(everywhere), Waiting)
    assert isinstance(verdict(everywhere, (0, "n1", "complete"), (0, "n2", "running")), Waiting)
    assert verdict(everywhere, (0, "n1", "failed"), (0, "n1", "complete"), (0, "n2", "complete")) == Proven()


def test_a_node_that_cannot_pull_blames_no_job() -> None:
    found = run_of((0, "n1", "failed"), (1, "n1", "rejected"))
    found[-1] = replace(found[-1], error="No such image: app@sha256:0")
    wanted = Rollout(NEW_IMAGE, GatePolicy())
    failed = jobs.judge(RolloutTrack(0, 0), job({"ReplicatedJob": {}}), found, wanted, 1)[1]
    assert isinstance(failed, Failed)
    assert failed.reason is Reason.PULL_FAILED


def test_a_run_that_takes_long_is_waited_for_and_one_without_end_is_not(tmp_path: Path) -> None:
    cluster, clock = JobCluster(tmp_path, "stuck"), SimClock()
    cluster.after(40, lambda: cluster.job.fates.clear())
    assert isinstance(cluster.update(clock=clock), Committed)
    (tmp_path / "endless").mkdir()
    endless, clock = JobCluster(tmp_path / "endless", "stuck"), HourClock()
    outcome = endless.update(clock=clock)
    assert isinstance(outcome, RolledBack)
    assert outcome.cause.reason is Reason.GATE_TIMEOUT
    assert clock.seconds > 86400


def test_a_job_that_runs_just_now_is_left_alone_unless_it_only_fails(tmp_path: Path) -> None:
    cluster = JobCluster(tmp_path)
    cluster.job.fates = {OLD_IMAGE.partition("@")[2]: "stuck"}
    cluster.job.write(cluster.before)
    hold = cluster.plan()
    assert isinstance(hold, Hold)
    assert hold.reason is Reason.BUSY
    cluster.job.fates = {OLD_IMAGE.partition("@")[2]: "exits"}
    assert not isinstance(cluster.plan(), Hold)


def test_another_image_meanwhile_is_the_operators(tmp_path: Path) -> None:
    cluster = JobCluster(tmp_path, "stuck")

    def deploy() -> None:
        spec = cluster.swarm._shown()["Spec"]
        spec["TaskTemplate"]["ContainerSpec"]["Image"] = f"{OLD_IMAGE[:-8]}99999999"
        cluster.swarm.write(spec)

    cluster.after(4, deploy)
    assert isinstance(cluster.update(), Superseded)
    assert len(cluster.job.runs()) == 2


@pytest.mark.parametrize("fate", ["well", "exits"])
def test_killed_at_any_effect_no_release_is_run_twice(tmp_path: Path, fate: str) -> None:
    def made(name: str) -> JobCluster:
        (tmp_path / name).mkdir()
        return JobCluster(tmp_path / name, fate)

    rehearsal = Killer()
    made("rehearsal").update(rehearsal)
    assert rehearsal.log.count("write spec") == (1 if fate == "well" else 2)
    for at, after in itertools.product(range(1, len(rehearsal.log) + 1), (False, True)):
        cluster = made(f"{at}-{after}")
        with pytest.raises(Killed):
            cluster.update(Killer(at, after))
        outcome = cluster.recover()
        runs = cluster.job.runs()
        assert len(set(runs)) == len(runs), (at, after, runs)
        assert (cluster.swarm.image() == NEW_IMAGE) is isinstance(outcome, Committed), (at, after, outcome)
        if isinstance(outcome, RolledBack) and NEW_IMAGE in runs:
            assert "stays done" in outcome.cause.message, (at, after)
        if not isinstance(outcome, Committed | NotStarted | None):
            assert cluster.file.read_text() == cluster.text

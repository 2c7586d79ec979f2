"""One plan carried out on a swarm: what each stage does, and how everything is put back.

The engine rolls out; we write the spec, watch the tasks, and judge. Nothing here depends on this process
staying alive: the orchestrator goes on by itself, and the next start finds in the spec, and in the engine's
word on its last update, where that has led to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from updater_core.composefile import splice
from updater_core.deploy.health import Failed, Waiting
from updater_core.deploy.target import Host, Reporter, Stage
from updater_core.errors import EngineError, EngineUnavailable, GateFailed, Stopped
from updater_core.models import Cause, Outcome, Plan, Reason, Step
from updater_core.protocols import Swarm
from updater_core.targets.swarm import evidence, facts, gate, jobs, placement, spec, stack_file
from updater_core.targets.swarm.facts import SwarmService, SwarmTask
from updater_core.targets.swarm.gate import Rollout, RolloutTrack
from updater_core.targets.swarm.plan import SwarmPlan, pause_seconds
from updater_core.targets.swarm.stack_file import StagedFile
from updater_core.vocabulary.evidence import Evidence

_LOOK_EVERY_SECONDS = 0.5
_LONGEST_ABSENCE_SECONDS = 300.0  # a new leader is there after some 15 s; a quorum comes back by a person
_EXIT_NOT_SEEN = 255  # of a container that ended while its engine was away (seen with 28.5)
_NODE_ABSENCE_SECONDS = 180.0  # for as long its tasks may be given up, placed again, and become well
_MOST_WRITES = 10  # each write of the engine's own, and each of somebody else's, makes ours out of sequence
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class SwarmTools:
    """What a deployment works with."""

    host: Host
    swarm: Swarm
    reporter: Reporter


class SwarmDeployment:
    """`deploy.target.Deployment` for a service of a swarm."""

    def __init__(self, plan: Plan[SwarmPlan], tools: SwarmTools) -> None:
        self.plan = plan
        self._host, self._swarm, self._reporter = tools.host, tools.swarm, tools.reporter
        self._staged: Sequence[StagedFile] = ()
        self._notes: tuple[str, ...] = ()

    # ------------------------------------------------------------------------------------------------ forward

    def preparation(self) -> Sequence[Stage]:
        text = f"asking which platforms {self.plan.image.text} is for"
        return (Stage(Step.PULL, self._place, text),)

    def proof(self) -> Stage:
        return Stage(Step.PROVE, self._prove)

    def stages(self) -> Sequence[Stage]:
        update = f"updating {self.plan.restarts}"
        return (Stage(Step.EDIT, self._edit), Stage(Step.RESTART, self._update, update), *self._ending())

    def remaining_stages(self) -> Sequence[Stage]:
        """Return the gate for an update that was written: the engine has gone on with it meanwhile."""
        found = self._service()
        if found is None:
            return ()
        went_back = self._is_of_ours(found) and found.status.state in facts.WENT_BACK
        is_written = found.image == self.plan.detail.new_image
        return self._ending() if is_written or went_back else ()

    def notes(self) -> Sequence[str]:
        return self._notes

    def _ending(self) -> Sequence[Stage]:
        return (Stage(Step.GATE, self._gate), Stage(Step.VERIFY, self._settle))

    def _place(self) -> None:
        """See that a node can run the image.

        A stop that is asked for ends it here: nothing has been changed yet.
        """
        if self._host.clock.wait(0):
            raise GateFailed(
                Reason.STOPPING, "the updater is stopping", "nothing to do: the next start looks again"
            )
        platforms = self._swarm.image_platforms(
            self.plan.detail.new_image, self._reporter.credential(self.plan)
        )
        found = self._expected(self.plan.detail.old_image)
        nodes = [facts.node_of(raw) for raw in self._swarm.nodes()]
        hold = placement.hold_for(found, platforms, nodes)
        if hold is not None:
            raise GateFailed(hold.reason, hold.detail, hold.remedy)
        known = placement.for_spec(platforms)
        # Each change of a node counts its version up, so one that was away meanwhile has another by then.
        versions = {node.facts["node.id"]: node.version for node in nodes}
        self.plan = replace(
            self.plan, detail=replace(self.plan.detail, platforms=known or None, nodes=versions)
        )

    def _prove(self) -> None:
        detail = self.plan.detail
        tools = (self._host.files, self._host.compose)
        self._staged = stack_file.prove(
            detail.texts, detail.changes, detail.compose_service, self.plan.id, tools
        )

    def _edit(self) -> None:
        stack_file.put_in_place(self._staged, self._host.files)

    def _update(self) -> None:
        change = self.plan.detail.change(self.plan.gate.stable_seconds)
        self._write(self.plan.detail.old_image, lambda found: spec.updated(found.spec, change))

    def _gate(self) -> None:
        wanted = Rollout(
            image=self.plan.detail.new_image,
            policy=self.plan.gate,
            known=frozenset(self.plan.detail.known_tasks),
            former_update=self.plan.detail.former_update,
            pause_seconds=pause_seconds(self.plan),
        )
        self._watch(wanted)

    def _settle(self) -> None:
        """Give the operator's own way of rolling out back; no task restarts, and another's write stays."""
        old = self.plan.detail.old_spec
        self._write(self.plan.detail.new_image, lambda found: spec.settled(found.spec, old))
        changes = self.plan.detail.changes
        edited = [
            each.path
            for each in changes
            if self._host.files.read(Path(each.path)) != splice.encode(each.after)
        ]
        self._notes = tuple(f"{path} was changed by its operator meanwhile" for path in edited)

    # --------------------------------------------------------------------------------------------------- back

    def superseded(self) -> Cause | None:
        found = self._service()
        name, ours = self.plan.detail.swarm_service, (self.plan.detail.old_image, self.plan.detail.new_image)
        if found is not None and found.image in ours:
            return None
        what = f"{name} was removed" if found is None else f"{name} was given another image ({found.image})"
        remedy = "nothing to do: the next cycle looks at it anew"
        return Cause(
            Step.VERIFY, Reason.TAKEN_OVER, f"its operator deployed something else meanwhile: {what}", remedy
        )

    def recheck(self) -> None:
        """Look once; if no task of the new image runs any more, the gate decides anew."""
        if not any(
            task.state == facts.RUNNING and task.image == self.plan.detail.new_image for task in self._tasks()
        ):
            self._gate()

    def container(self) -> str | None:
        running = [task for task in self._tasks() if task.state == facts.RUNNING and task.container_id]
        here = (self._host.engine.container(task.container_id) for task in running)
        return next((each.id for each in here if each is not None and each.status == "running"), None)

    def evidence(self) -> Sequence[Evidence]:
        detail = self.plan.detail
        # managers that are away are not waited for
        found = map(facts.task_of, self._swarm.tasks(detail.service_id))
        new = [task for task in found if task.image == detail.new_image and task.id not in detail.known_tasks]
        return evidence.collect(new, detail.old_spec, self._host.engine)

    def lacking(self, *, is_back: bool) -> str:  # noqa: ARG002
        """Return nothing: the engine starts a task elsewhere, or says that no node is suitable."""
        return ""

    def revert(self, cause: Cause) -> Cause:
        left = stack_file.put_back(self.plan.detail.changes, self.plan.id, self._host.files)
        for path, why in left.items():
            self._reporter.tell(Step.EDIT, f"{path} is left as it is: {why}")
            new, old = self.plan.new_reference, self.plan.old_reference
            message = f"{cause.message}; {path} ({why}) could not be put back"
            remedy = f"write {old} into it if it names {new}: `docker stack deploy` would start what failed"
            cause = replace(
                cause, message=message, remedy=f"{remedy}; {cause.remedy}" if cause.remedy else remedy
            )
        if (
            self.plan.detail.is_job
            and self._waiting_for_a_leader(self._current).iteration > self.plan.detail.former_run
        ):
            undone = (
                "what the run has done stays done, and to go back runs the job once more with the old image"
            )
            cause = replace(cause, message=f"{cause.message}; {undone}")
        return cause

    def restore(self, cause: Cause) -> None:
        """Post the spec that our journal has, unless the engine has gone back already.

        Never the engine's previous one, which nobody has proven.
        """
        self._reporter.reached(Step.RESTART, True)
        self._reporter.tell(Step.RESTART, f"posting the spec from before the update ({cause.reason})")
        detail = self.plan.detail
        known = frozenset(task.id for task in self._tasks() if task.state != facts.RUNNING)
        is_written = self._waiting_for_a_leader(self._current).image != detail.old_image
        if is_written:
            self._write(detail.new_image, lambda found: spec.going_back(found.spec, detail.old_spec))
        self._reporter.reached(Step.GATE, True)
        if self.plan.was_well and (is_written or not detail.is_job):
            pause = pause_seconds(self.plan)
            self._watch(Rollout(detail.old_image, self.plan.gate, known, pause_seconds=pause, is_back=True))
        self._reporter.reached(Step.VERIFY, True)
        self._write(detail.old_image, lambda found: spec.gone_back(found.spec, detail.old_spec))

    def clean(self) -> None:
        stack_file.remove_strays([*self.plan.detail.texts], self.plan.id, self._host.files)

    def finish(self, outcome: Outcome) -> None:
        """Do nothing: the nodes keep images as they like, nothing is retained here."""

    def await_engine(self) -> None:
        self._waiting_for_a_leader(self._service)

    # -------------------------------------------------------------------------------------------------- parts

    def _service(self) -> SwarmService | None:
        raw = self._swarm.service(self.plan.detail.service_id)
        return None if raw is None else facts.service_of(raw)

    def _current(self) -> SwarmService:
        found = self._service()
        if found is None:
            raise GateFailed(Reason.TAKEN_OVER, f"{self.plan.detail.swarm_service} was removed meanwhile")
        return found

    def _expected(self, image: str) -> SwarmService:
        found = self._current()
        if found.image != image:
            what = f"{found.name} was given another image meanwhile ({found.image})"
            raise GateFailed(Reason.TAKEN_OVER, what, "nothing to do: the next cycle looks at it anew")
        return found

    def _tasks(self) -> list[SwarmTask]:
        raw = self._waiting_for_a_leader(lambda: self._swarm.tasks(self.plan.detail.service_id))
        return [facts.task_of(each) for each in raw]

    def _is_of_ours(self, found: SwarmService) -> bool:
        return found.status.started_at != self.plan.detail.former_update

    def _write(self, image: str, made: Callable[[SwarmService], Mapping[str, Any]]) -> None:
        """Write what `made` makes of the spec as it is now, while its image is `image`; or nothing to write.

        A manager that falls silent may have written it: it is read anew each time, and found done then.
        Raises GateFailed if somebody else has changed the image.
        """
        credential = self._reporter.credential(self.plan)
        for _ in range(_MOST_WRITES):
            found = self._waiting_for_a_leader(self._current)
            wanted = made(found)
            if wanted == found.spec:
                return
            if found.image != image and found.image != wanted["TaskTemplate"]["ContainerSpec"]["Image"]:
                self._expected(image)
            try:
                if self._swarm.update(found.id, found.version, wanted, credential):
                    return
            except EngineUnavailable as error:
                self._reporter.tell(Step.RESTART, f"{error}; waiting for it")
        raise EngineError(f"{self.plan.detail.swarm_service} is written to by others all the time")

    def _watch(self, wanted: Rollout) -> None:
        """Look until the rollout is proven.

        Raises GateFailed once it shows that it will not be, Stopped if an end is asked for: the engine goes
        on by itself, and the next start judges what has come of it.
        """
        clock = self._host.clock
        track = RolloutTrack(clock.monotonic(), clock.monotonic())
        said = ""
        while True:
            found, tasks = self._waiting_for_a_leader(self._current), self._tasks()
            judge = jobs.judge if found.is_job else gate.judge
            track, verdict = judge(track, found, tasks, wanted, clock.monotonic())
            if isinstance(verdict, Failed) and verdict.reason is Reason.GATE_TIMEOUT:
                wanted, verdict = self._with_time_for_nodes(wanted, verdict, tasks)
            if isinstance(verdict, Failed) and verdict.reason is Reason.EXITED:
                verdict = self._unless_node_failed(verdict, tasks)
            if isinstance(verdict, Failed):
                raise GateFailed(verdict.reason, evidence.without_secrets(verdict.message, found.spec))
            if not isinstance(verdict, Waiting):
                return
            said = self._tell_once(verdict.what, said)
            if clock.wait(0):
                what = "the updater was asked to end before the rollout had"
                raise Stopped(what, "nothing to do: the engine goes on, and the next start takes it up")
            clock.sleep(_LOOK_EVERY_SECONDS)

    def _with_time_for_nodes(
        self, wanted: Rollout, verdict: Failed, tasks: Sequence[SwarmTask]
    ) -> tuple[Rollout, Failed | Waiting]:
        """Return the rollout with more time while a node is away, and the verdict: that blames no release.

        The node keeps its tasks for some 45 s before they are given to others.
        """
        nodes = [facts.node_of(raw) for raw in self._waiting_for_a_leader(self._swarm.nodes)]
        used = {task.node_id for task in tasks if task.wanted == facts.RUNNING}
        away = ", ".join(node.name for node in nodes if not node.is_ready and node.facts["node.id"] in used)
        has_waited = wanted.pause_seconds >= _NODE_ABSENCE_SECONDS
        if away and has_waited:
            return wanted, Failed(Reason.NO_SUITABLE_NODE, f"{verdict.message}; a node is away ({away})")
        if has_waited or not away:
            return wanted, verdict
        more = replace(wanted, pause_seconds=wanted.pause_seconds + _NODE_ABSENCE_SECONDS)
        return more, Waiting(f"{verdict.message}; a node is away ({away})")

    def _unless_node_failed(self, verdict: Failed, tasks: Sequence[SwarmTask]) -> Failed:
        """Return the failure, blamed on the node if that was away.

        A machine that dies takes its tasks with it: once it is back, its engine says that each exited with
        255. That is a release's own doing only if its node has been there all the time.
        """
        nodes = {
            node.facts["node.id"]: node
            for node in map(facts.node_of, self._waiting_for_a_leader(self._swarm.nodes))
        }
        for task in tasks:
            node = nodes.get(task.node_id)
            if node is None or task.state != facts.FAILED or task.exit_code != _EXIT_NOT_SEEN:
                continue
            if not node.is_ready or node.version != self.plan.detail.nodes.get(task.node_id):
                return Failed(
                    Reason.NO_SUITABLE_NODE, f"{verdict.message}; its node {node.name} was away meanwhile"
                )
        return verdict

    def _tell_once(self, text: str, said: str) -> str:
        plain = re.sub(r"\d+ s ", "", text)
        if plain != said:
            self._reporter.tell(Step.GATE, text)
        return plain

    def _waiting_for_a_leader(self, ask: Callable[[], _Result]) -> _Result:
        """Return the answer, also of a swarm that has to find a new leader first.

        Raises EngineUnavailable if none comes.
        """
        clock = self._host.clock
        end = clock.monotonic() + _LONGEST_ABSENCE_SECONDS
        while True:
            try:
                return ask()
            except EngineUnavailable:
                if clock.monotonic() > end or clock.wait(0):
                    raise
                clock.sleep(1.0)

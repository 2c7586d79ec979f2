"""One plan carried out with Compose: what each stage does, and how everything is put back.

Two strategies. Recreate: edit the file, let Compose restart the services, gate them, verify which image they
run. Start-first (`start_first`): edit, start new containers beside the old, gate the new, switch, verify.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial

from updater_core.deploy import failure
from updater_core.deploy.target import Stage
from updater_core.errors import EngineUnavailable, Stopped, UpdaterError
from updater_core.models import Cause, Committed, NotStarted, Outcome, Plan, Reason, Step
from updater_core.protocols import Tools
from updater_core.targets.compose import file_edits, gate, images
from updater_core.targets.compose.dependents.restart import bring_up
from updater_core.targets.compose.file_edits import Staged
from updater_core.targets.compose.plan import ComposePlan, Move, of_dependents, parts, with_dependents
from updater_core.targets.compose.preflight import volumes
from updater_core.targets.compose.reading import ailments, evidence
from updater_core.targets.compose.reading.leftover import is_leftover
from updater_core.targets.compose.start_first import handover
from updater_core.targets.compose.start_first.conditions import START_FIRST
from updater_core.vocabulary.evidence import Evidence

_SEEN_IN_THE_IMAGE = {Reason.VOLUME_MOVED, Reason.CANNOT_START_FIRST}  # its volumes, its healthcheck
_WORTH_ANOTHER_TRY = {Reason.EXITED, Reason.COMPOSE_ERROR, Reason.UP_FAILED, Reason.ENGINE_ERROR}


class ComposeDeployment:
    """`deploy.target.Deployment` for a Compose project."""

    def __init__(self, plan: Plan[ComposePlan], tools: Tools) -> None:
        self.plan = plan
        self._tools = tools
        self._staged: Sequence[Staged] = ()
        self._not_put_back: Mapping[str, str] = {}
        self._notes: tuple[str, ...] = ()

    # ------------------------------------------------------------------------------------------------ forward

    def preparation(self) -> Iterator[Stage]:
        yield Stage(Step.HOLD, self._retain, f"keeping {self.plan.old_reference} at hand")
        yield Stage(
            Step.PULL, self._fetch, f"pulling {', '.join(part.image.text for part in parts(self.plan))}"
        )
        # Only for an image whose registry gave nothing by its digest. It moves a tag, so the journal knows of
        # it before.
        if self.plan.detail.former_tags:
            yield Stage(Step.PULL, self._fetch_by_tag, is_recorded=True)

    def proof(self) -> Stage:
        return Stage(Step.PROVE, self._prove)

    def stages(self) -> Sequence[Stage]:
        is_beside = self.plan.strategy == START_FIRST
        strategy = handover.stages(self.plan, self._tools) if is_beside else self._recreate()
        return (Stage(Step.EDIT, self._edit), *strategy, Stage(Step.VERIFY, self._verify))

    def _recreate(self) -> Sequence[Stage]:
        detail = self.plan.detail
        own = [move.service for move in detail.everyone]
        others = [
            f"{move.service} of {each.project.name}"
            for each in detail.dependent_projects
            for move in each.moves
        ]
        services = ", ".join((*own, *others))
        return (
            Stage(Step.RESTART, self._restart, f"restarting {services}"),
            Stage(Step.GATE, self._gate),
        )

    def remaining_stages(self) -> Sequence[Stage]:
        """Return none: a kill may have come in the middle of a recreate, and the old release is known."""
        return ()

    def notes(self) -> Sequence[str]:
        return self._notes

    def _retain(self) -> None:
        images.retain_old_images(self.plan, self._tools)

    def _fetch(self) -> None:
        self.plan = images.fetch(self.plan, self._tools)
        images.heed_stop(self._tools)

    def _fetch_by_tag(self) -> None:
        self.plan = images.fetch_by_tag(self.plan, self._tools)
        images.heed_stop(self._tools)

    def _prove(self) -> None:
        for dependent in of_dependents(self.plan):
            file_edits.check_unchanged(dependent, self._tools)
            images.check_dependents_images(dependent, self._tools)
        self._staged = file_edits.prove(self.plan, self._tools)

    def _edit(self) -> None:
        file_edits.replace_files(self._staged, self._tools)
        # After the file, whose replacement may still be refused because the operator was faster.
        images.tag_new(self.plan, self._tools)

    def _restart(self) -> None:
        gate.run_one_shots(self.plan, self._tools)
        bring_up(self.plan, self._tools)

    def _gate(self) -> None:
        gate.gate_new(self.plan, self._tools)

    def _verify(self) -> None:
        # After the gate: a container that an impatient restart replaced in the meantime is seen here.
        verified = gate.verify_new(self.plan, self._tools)
        self._notes = (*verified, *file_edits.changed_meanwhile(self.plan, self._tools))

    # --------------------------------------------------------------------------------------------------- back

    def superseded(self) -> Cause | None:
        """Return why the update is not ours to end any more; None if it is.

        A container of the group runs an image that is neither the old nor the new one. Raises
        EngineUnavailable if nobody can know.
        """
        found_in = ((part, move) for part in parts(self.plan) for move in part.detail.moves)
        for part, move in found_in:
            found = self._foreign_container(part, move)
            if found is not None:
                what = f"the operator deployed another image meanwhile ({found})"
                return Cause(
                    Step.VERIFY, Reason.TAKEN_OVER, what, "nothing to do: the next cycle looks at it anew"
                )
        return None

    def recheck(self) -> None:
        plan, tools = self.plan, self._tools
        if plan.strategy == START_FIRST:
            start, prove = (
                partial(handover.start_beside, plan, tools),
                partial(handover.gate_beside, plan, tools),
            )
        else:
            start, prove = partial(bring_up, plan, tools), partial(gate.gate_new, plan, tools)
        gate.recheck(plan, tools, start, prove)

    def container(self) -> str | None:
        return gate.running_container(self.plan, self._tools)

    def evidence(self) -> Sequence[Evidence]:
        return evidence.collect(self.plan, self._tools)

    def lacking(self, *, is_back: bool) -> str:
        return ailments.found(self.plan, self._tools, is_back=is_back)

    def revert(self, cause: Cause) -> Cause:
        left = file_edits.put_files_back(self.plan, self._tools)
        for path, why in left.items():
            self._tools.tell(Step.EDIT, f"{path} is left as it is: {why}")
        self._not_put_back = left
        cause = file_edits.blamed_for_files(cause, self.plan, left, self._tools)
        images.tag_old(self.plan, self._tools)
        for part in parts(self.plan):
            cause = volumes.naming_leftovers(part, cause, self._tools)
        return cause

    def restore(self, cause: Cause) -> None:
        is_beside = self.plan.strategy == START_FIRST
        # Beside the new ones the old containers have never stopped, so that nothing may have to be brought
        # up.
        if not (is_beside and handover.put_back(self.plan, cause, self._tools)):
            self._bring_up_old(cause)
        # In either strategy: `rolled back` is said only of what was seen.
        self._tools.reached(Step.VERIFY, True)
        gate.verify_old(self.plan, self._tools)

    def _bring_up_old(self, cause: Cause) -> None:
        with ExitStack() as copies:
            for each in (self.plan, *of_dependents(self.plan)):
                volumes.bring_back(each, self._tools)
            own = file_edits.fallback_copies(self.plan, self._not_put_back, self._tools)
            readable = copies.enter_context(own)
            others = [
                copies.enter_context(file_edits.fallback_copies(each, {}, self._tools))
                for each in of_dependents(self.plan)
            ]
            self._restart_old_and_gate(with_dependents(readable, others), cause)

    def clean(self) -> None:
        for each in (self.plan, *of_dependents(self.plan)):
            file_edits.remove_strays(each, self._tools)

    def finish(self, outcome: Outcome) -> None:
        plan = self.plan
        # One generation back is kept for `--rollback`, whatever came of this update.
        keep = {move.old_image_id for move in plan.detail.moves}
        new = {part.new_retained for part in parts(plan) if part.new_retained}
        if isinstance(outcome, Committed):
            keep |= new
        else:
            keep |= set(plan.earlier_retained)
        if isinstance(outcome, NotStarted) and outcome.cause.reason in _SEEN_IN_THE_IMAGE:
            keep |= new  # the next look needs no second pull to know them
        if isinstance(outcome, NotStarted):
            images.put_names_back(plan, self._tools)
        images.release_retained(plan, frozenset(keep), self._tools)
        remembered = new if isinstance(outcome, Committed) else set(plan.earlier_retained)
        images.drop_names_of_running(plan, frozenset(remembered), self._tools)

    def await_engine(self) -> None:
        gate.await_engine(self._tools)

    def _foreign_container(self, plan: Plan[ComposePlan], move: Move) -> str | None:
        """Return the image of a container that somebody else deployed; None if there is none.

        A container that was there before us, and what a killed Compose left, are nobody's deployment.
        """
        ours = {plan.new_retained, move.old_image_id}
        for container in self._tools.engine.containers(self.plan.detail.project.name, move.service):
            is_known = container.image_id in ours or container.id in move.container_ids
            if not is_known and not is_leftover(container):
                return f"{container.name} runs {container.reference}, {container.image_id[:19]}"
        return None

    def _restart_old_and_gate(self, plan: Plan[ComposePlan], cause: Cause) -> None:
        """Bring the old release up and prove it, once more if it ends after `up` saw it running.

        A stop that a killed Compose asked for may still be under way.
        """
        may_be_stopping = cause.step in (Step.JOURNAL, Step.RESTART)
        # A stop that a killed Compose asked for may still be under way, and takes a container down that
        # looked well.
        for is_last in (False, False, True):
            try:
                self._tools.reached(Step.RESTART, True)
                before = gate.promised_containers(plan, self._tools)
                bring_up(plan, self._tools, is_back=True)
                gate.run_old_one_shots(plan, self._tools)
                self._tools.reached(Step.GATE, True)
                gate.gate_old(plan, self._tools, may_be_stopping=may_be_stopping, before=before)
            except (EngineUnavailable, Stopped):
                raise
            except UpdaterError as error:
                reason = failure.cause_of(error, Step.GATE, plan.name).reason
                if is_last or reason not in _WORTH_ANOTHER_TRY:
                    raise
                self._tools.clock.sleep(1.0)
            else:
                return

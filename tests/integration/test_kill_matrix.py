"""The updater is killed before and after every effect of an update, forward and in the rollback;
the next start ends on the old release or on the new one, whole, in every case.

On a simulated host (real files, real journal), so that every point can be met; `tests/e2e/test_kills.py`
meets each step once on the real engine.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.support.simulator import (
    KillableFiles,
    KillableJournal,
    Killed,
    Killer,
    SimClock,
    SimCompose,
    SimEngine,
    SimHost,
    SimRelease,
)
from updater_core import reference
from updater_core.composefile import edit
from updater_core.composefile.edit import SourceFile
from updater_core.deploy import transaction
from updater_core.deploy.hooks import UpdateHooks
from updater_core.deploy.journal import JournalRecord, Phase
from updater_core.deploy.progress import StepTimes
from updater_core.deploy.retention_tags import RETENTION_PREFIX
from updater_core.deploy.target import Host, Reporter
from updater_core.deploy.transaction import Transaction
from updater_core.errors import ComposeError, GateFailed, Stopped
from updater_core.models import (
    Committed,
    GatePolicy,
    Hold,
    NotStarted,
    Outcome,
    Plan,
    Project,
    Reason,
    RollbackFailed,
    RolledBack,
    Step,
)
from updater_core.notifiers import events
from updater_core.protocols import HookCall, Recreate
from updater_core.state.outcomes import record_outcome
from updater_core.state.records import State, record_check, service_of
from updater_core.targets.compose import NAME as NAME_OF_TARGET
from updater_core.targets.compose import ComposePlan, ComposeTarget
from updater_core.targets.compose.plan import DependentProject, Move
from updater_core.vocabulary.dated import HookKind, HookResult, HookRun
from updater_core.vocabulary.handover import Handover
from updater_core.vocabulary.hooks import NO_HOOKS, Hook, Hooks

NAME = "registry.example/team/app"
OLD, NEW = SimRelease("sha256:" + "a" * 64), SimRelease("sha256:" + "b" * 64)
BAD = SimRelease("sha256:" + "c" * 64, fate="unhealthy", has_healthcheck=True)
BROKEN = SimRelease("sha256:" + "d" * 64, fate="cannot_start")
SLOW = SimRelease("sha256:" + "f" * 64, fate="starting", has_healthcheck=True)
CHECKED = SimRelease("sha256:" + "9" * 64, has_healthcheck=True)
CRASHING = SimRelease("sha256:" + "e" * 64, fate="exits")
TEXT = """\
services:
  web:
    image: registry.example/team/app:{web}  # kept
  worker:
    image: registry.example/team/app:{worker}
"""


DEPENDENT = """\
services:
  app:
    image: registry.example/team/tool:1
    network_mode: "container:shop-web-1"
"""
TOOL = SimRelease("sha256:" + "8" * 64)

Reached = Callable[[Step, bool], None]


def not_expected(service: str, error: Exception) -> Hold:
    raise error


@dataclass
class KillableHooks:
    """`hooks.HookRunner`, seen by the killer: hooks of these kinds end with 1, all others with 0."""

    killer: Killer
    fails: frozenset[HookKind] = frozenset()

    def begin(self, kind: HookKind) -> HookRun:
        return HookRun(kind, SimClock().now())

    def missing(self, hook: Hook, folder: str) -> str | None:
        return None if hook.argv[0] == "/there" else "it is not there"

    def run(self, call: HookCall) -> HookRun:
        self.killer.effect(f"hook {call.kind}", lambda: None)
        code = int(call.kind in self.fails)
        return replace(
            self.begin(call.kind), result=HookResult.FAILED if code else HookResult.DONE, exit_code=code
        )


class Stage:
    """A host in its state before the update, and the plan for it."""

    def __init__(
        self,
        folder: Path,
        target: SimRelease,
        *,
        new_tag: str,
        services: tuple[str, ...] = ("web",),
        handover: Handover | None = None,
    ) -> None:
        self.file = folder / "compose.yml"
        self.journal_folder = folder / "journal"
        self.file.write_text(TEXT.format(web="1.0", worker="1.0"))
        self.host = SimHost(releases={target.digest: target})
        self.host.labels = {
            "com.docker.compose.project.config_files": str(self.file),
            "com.docker.compose.project.working_dir": str(folder),
        }
        self.host.load(OLD, NAME, "1.0")
        for service in services:
            self.host.start(self.host.create(f"shop-{service}-1", service, f"{NAME}:1.0", OLD.id))
        self.target, self.services, self.handover = target, services, handover
        self.dependents: tuple[DependentProject, ...] = ()
        self.plan = self._plan(new_tag)
        self.before = self.file.read_bytes()

    def _plan(self, new_tag: str) -> Plan[ComposePlan]:
        target = reference.parse(f"{NAME}:{new_tag}@{self.target.digest}")
        source = SourceFile(str(self.file), self.file.read_text())
        edits = edit.set_image([source], [], self.services, reference.parse(f"{NAME}:{new_tag}"))
        assert isinstance(edits, tuple)
        is_beside = self.handover is not None
        ids = {c.service: (c.id,) for c in self.host.containers.values()} if is_beside else {}
        moves = tuple(
            Move(
                service,
                f"{NAME}:1.0",
                f"{NAME}:{new_tag}",
                OLD.id,
                1,
                ids.get(service, ()),
                stop_grace_seconds=0.5,
            )
            for service in self.services
        )
        project = Project("shop", str(self.file.parent), (str(self.file),))
        gate = GatePolicy(timeout_seconds=3, stable_seconds=1)
        sources = {source.path: source.text}
        detail = ComposePlan(project, moves, edits, sources=sources, handover=self.handover or Handover())
        return Plan(
            id="p1",
            name="shop",
            target=NAME_OF_TARGET,
            image=target,
            old_reference=moves[0].old_reference,
            new_reference=moves[0].new_reference,
            old_digest=OLD.digest,
            old_retained=OLD.id,
            gate=gate,
            reason="newer",
            detail=detail,
            strategy="start-first" if is_beside else "recreate",
        )

    def with_dependent(self) -> None:
        """A container of another project lives in the network of the first service's."""
        folder = self.file.parent / "media"
        folder.mkdir()
        file = folder / "compose.yml"
        file.write_text(DEPENDENT)
        self.host.load(TOOL, "registry.example/team/tool", "1")
        made = self.host.create("media-app-1", "app", "registry.example/team/tool:1", TOOL.id)
        made.project = "media"
        made.joined = next(c.id for c in self.host.containers.values() if c.service == "web")
        self.host.start(made)
        move = Move("app", made.reference, made.reference, TOOL.id, 1, (made.id,), stop_grace_seconds=0.5)
        project = Project("media", str(folder), (str(file),))
        self.dependents = (DependentProject(project, (move,), {str(file): DEPENDENT}),)
        self.plan = replace(self.plan, detail=replace(self.plan.detail, dependent_projects=self.dependents))

    def assert_dependents(self) -> None:
        """It runs in the network of the container that runs, and was started behind it."""
        for _ in self.dependents:
            (web,) = [c for c in self.host.containers.values() if c.service == "web"]
            (app,) = [c for c in self.host.containers.values() if c.service == "app"]
            assert (app.name, app.status, app.image_id) == ("media-app-1", "running", TOOL.id)
            assert app.joined == web.id
            assert app.started_as > web.started_as
            assert not list((self.file.parent / "media").glob(".*.dau-*"))

    hooks: Hooks = NO_HOOKS
    fails: frozenset[HookKind] = frozenset()

    def transaction(
        self, killer: Killer, clock: SimClock | None = None, reached: Reached | None = None
    ) -> Transaction:
        """What one process works with: a process that is new knows of no step yet."""
        self.steps, used = StepTimes(), clock or SimClock()
        target = self.target_of(killer, used)

        def heard(step: Step, is_back: bool) -> None:
            self.steps.reached("shop", step, used.now(), is_back=is_back)

        reporter = Reporter(lambda _: None, lambda step, text: None, reached or heard, lambda _: None)
        self.update_hooks = UpdateHooks(self.hooks, (str(self.file),), KillableHooks(killer, self.fails))
        return Transaction(self.plan, target, self.journal(), reporter, self.update_hooks)

    def target_of(self, killer: Killer, clock: SimClock | None = None) -> ComposeTarget:
        """Compose's target on this host, as a process that has just started has it."""
        self.host.killer = killer
        parts = (SimEngine(self.host), SimCompose(self.host), KillableFiles(killer), clock or SimClock())
        return ComposeTarget(Host(*parts, self.file.parent / "locks", 1.0), on_bug=not_expected)

    def journal(self) -> KillableJournal:
        return KillableJournal(self.journal_folder, self.host.killer)

    def apply(
        self, killer: Killer | None = None, *, clock: SimClock | None = None, reached: Reached | None = None
    ) -> Outcome:
        return self.transaction(killer or Killer(), clock, reached).apply()

    def recover(self, killer: Killer | None = None) -> Outcome | None:
        """What the next start does."""
        self.host.killer = killer or Killer()
        journal = self.journal()
        records = journal.read_all()
        if not records:
            return None
        (record,) = records
        assert isinstance(record, JournalRecord)
        self.plan = record.plan
        outcome = self.transaction(self.host.killer).recover(record)
        journal.close(self.plan.id)
        return outcome

    def assert_whole(self, release: SimRelease) -> None:
        """Exactly this release runs, its file and tag agree, and nothing of ours is left over but the held
        images.
        """
        host = self.host
        self.assert_dependents()
        for service in self.services:
            mine = [c for c in host.containers.values() if c.service == service]
            number = 1 if self.handover is None or release is OLD else 2
            expected = [(f"shop-{service}-{number}", "running", release.id)]
            assert [(c.name, c.status, c.image_id) for c in mine] == expected
        for move in self.plan.detail.moves:
            says = move.new_reference if release is self.target else move.old_reference
            assert says in self.file.read_text()
            assert host.tags[says] == release.id
        if release is OLD:
            assert self.file.read_bytes() == self.before
        assert not list(self.file.parent.glob(".*.dau-*"))
        held = {image for tag, image in host.tags.items() if tag.startswith(RETENTION_PREFIX)}
        assert held <= {OLD.id, self.target.id}
        assert OLD.id in held or release is OLD, "there is something to go back to"

    def way(self) -> list[str]:
        """The steps of the last process, in their order; those of the rollback begin with `<`."""
        taken = self.steps.taken("shop", SimClock().now())
        return [f"{'<' if one.is_back else ''}{one.step}" for one in taken]

    def effects(self) -> int:
        """How many effects an undisturbed run has."""
        killer = Killer()
        self.apply(killer)
        return len(killer.log)


CASES = {
    "new tag": (NEW, "1.1", ("web",)),
    "same tag": (NEW, "1.0", ("web",)),
    "unhealthy": (BAD, "1.1", ("web",)),
    "unhealthy, same tag": (BAD, "1.0", ("web",)),
    "cannot start": (BROKEN, "1.1", ("web",)),
    "crashing": (CRASHING, "1.0", ("web",)),
    "unit of two": (NEW, "1.1", ("web", "worker")),
    "bad unit of two": (BAD, "1.1", ("web", "worker")),
    "by its tag alone": (NEW, "1.1", ("web",)),
    "by its tag alone, same tag": (NEW, "1.0", ("web",)),
    "by its tag alone, unhealthy": (BAD, "1.0", ("web",)),
    "with a dependent": (NEW, "1.1", ("web",)),
    "with a dependent, unhealthy": (BAD, "1.0", ("web",)),
    "with a dependent, crashing": (CRASHING, "1.1", ("web",)),
    "start-first": (CHECKED, "1.1", ("web",)),
    "start-first, same tag, drained": (CHECKED, "1.0", ("web",)),
    "start-first, unhealthy": (BAD, "1.1", ("web",)),
    "start-first, two services": (CHECKED, "1.1", ("web", "worker")),
}
HANDOVERS = {
    "start-first": Handover(),
    "start-first, same tag, drained": Handover(drain_command=("drain",), drain_seconds=2.0),
    "start-first, unhealthy": Handover(drain_command=("drain",)),
    "start-first, two services": Handover(),
}


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Path]:
    """A fresh folder for each of many runs in one test."""

    def fresh() -> Iterator[Path]:
        for number in itertools.count():
            folder = tmp_path / str(number)
            folder.mkdir()
            yield folder

    return fresh()


def stage(folders: Iterator[Path], case: str) -> Stage:
    target, tag, services = CASES[case]
    made = Stage(next(folders), target, new_tag=tag, services=services, handover=HANDOVERS.get(case))
    made.host.remote_tags = {f"{NAME}:{tag}": target.digest}
    made.host.gives_digests = "by its tag alone" not in case
    if case.startswith("with a dependent"):
        made.with_dependent()
    return made


@pytest.mark.parametrize("case", CASES)
def test_an_undisturbed_update_ends_as_its_release_deserves(folders: Iterator[Path], case: str) -> None:
    made = stage(folders, case)
    outcome = made.apply()
    if made.target.fate == "well":
        assert isinstance(outcome, Committed)
        made.assert_whole(made.target)
    else:
        assert isinstance(outcome, RolledBack)
        assert outcome.quarantine
        made.assert_whole(OLD)


def _renamed(text: str) -> str:
    return text.replace("  web:", "  frontend:")


def _rewritten(text: str) -> str:
    return text.replace(f"{NAME}:1.1", f"{NAME}:0.9")


@pytest.mark.parametrize(
    ("operator", "is_reported"), [(_renamed, True), (_rewritten, False), (lambda text: text + "#", False)]
)
def test_a_rollback_says_where_the_file_still_names_the_release_that_failed(
    folders: Iterator[Path], operator: Callable[[str], str], is_reported: bool
) -> None:
    made = stage(folders, "unhealthy")

    def reached(step: Step, is_back: bool) -> None:
        if step is Step.GATE and not is_back:
            made.file.write_text(operator(made.file.read_text()))

    outcome = made.apply(reached=reached)
    assert isinstance(outcome, RolledBack)
    state = record_outcome(State(), outcome, SimClock().now(), SimClock().now())
    known = service_of(state, "shop")
    event = events.event_of(outcome, "box", SimClock().now(), SimClock().now())
    assert event
    reported = [transaction.describe(outcome), known.detail, event.detail]
    remedies = [known.remedy, event.remedy]
    assert [f"{made.file} (" in text and f"named {NAME}:1.1 after" in text for text in reported] == [
        is_reported
    ] * 3
    assert [f"write {NAME}:1.0 into it" in text for text in remedies] == [is_reported] * 2
    assert outcome.quarantine
    hold = Hold(Reason.QUARANTINED, "it failed", "nothing to do", available=made.plan.image)
    later = record_check(state, "shop", f"{NAME}:1.1", None, hold, now=SimClock().now())
    assert service_of(later, "shop").remedy == known.remedy


FORWARD = ["hold", "pull", "prove", "journal", "edit", "restart"]
BACK = ["<edit", "<restart", "<gate", "<verify"]


@pytest.mark.parametrize(
    ("case", "way"),
    [
        ("new tag", [*FORWARD, "gate", "verify", "commit"]),
        ("unhealthy", [*FORWARD, "gate", *BACK]),
        ("cannot start", [*FORWARD, *BACK]),
        ("start-first", [*FORWARD[:-1], "start", "gate", "switch", "verify", "commit"]),
        ("start-first, unhealthy", [*FORWARD[:-1], "start", "gate", "<edit", "<verify"]),
    ],
)
def test_each_step_is_heard_of_as_it_begins(folders: Iterator[Path], case: str, way: list[str]) -> None:
    made = stage(folders, case)
    made.apply()
    assert made.way() == way


def test_of_an_update_that_another_run_began_only_its_end_is_heard_of(folders: Iterator[Path]) -> None:
    made = stage(folders, "unhealthy")
    with pytest.raises(Killed):
        made.apply(Killer(made_at(folders, "unhealthy", "compose start")))
    assert made.way() == FORWARD
    assert isinstance(made.recover(), RolledBack)
    assert made.way() == BACK


def made_at(folders: Iterator[Path], case: str, effect: str) -> int:
    """Which effect of an undisturbed run is the first whose name holds this word."""
    killer = Killer()
    stage(folders, case).apply(killer)
    return 1 + next(number for number, name in enumerate(killer.log) if effect in name)


@pytest.mark.parametrize("case", CASES)
def test_killed_anywhere_the_next_start_ends_on_old_or_new_whole(folders: Iterator[Path], case: str) -> None:
    count = stage(folders, case).effects()
    assert count > 10
    for at, after in itertools.product(range(1, count + 1), (False, True)):
        made = stage(folders, case)
        with pytest.raises(Killed):
            made.apply(Killer(at, after))
        outcome = made.recover()
        committed = isinstance(outcome, Committed) or (
            outcome is None and made.host.running("web") == [made.target.id]
        )
        assert outcome is None or isinstance(outcome, (Committed, RolledBack, NotStarted)), (
            at,
            after,
            outcome,
        )
        made.assert_whole(made.target if committed else OLD)


ALL_HOOKS = Hooks(*[Hook(("/there",))] * 4)


def stage_with_hooks(folders: Iterator[Path], *fails: HookKind) -> Stage:
    made = stage(folders, "new tag")
    made.hooks, made.fails = ALL_HOOKS, frozenset(fails)
    return made


def test_hooks_run_before_anything_is_touched_and_after_all_is_proven(folders: Iterator[Path]) -> None:
    made, killer = stage_with_hooks(folders), Killer()
    outcome = made.apply(killer)
    assert isinstance(outcome, Committed)
    assert [(run.kind, run.result) for run in outcome.hooks] == [
        (HookKind.PRE_UPDATE, HookResult.DONE),
        (HookKind.POST_UPDATE, HookResult.DONE),
    ]
    assert made.update_hooks.ending(outcome) is HookKind.ON_SUCCESS
    log = killer.log
    assert log.index("pull") < log.index("hook pre_update") < log.index("stage") < log.index("replace file")
    assert log.index("compose start") < log.index("hook post_update") < log.index("journal committed")


def test_a_pre_update_that_fails_leaves_everything_as_it_was(folders: Iterator[Path]) -> None:
    made, killer = stage_with_hooks(folders, HookKind.PRE_UPDATE), Killer()
    outcome = made.apply(killer)
    assert isinstance(outcome, NotStarted)
    assert (outcome.cause.reason, outcome.cause.step) == (Reason.PRE_UPDATE_FAILED, Step.PRE_UPDATE)
    assert not outcome.quarantine
    assert not [name for name in killer.log if name.startswith(("compose", "replace", "stage"))]
    assert made.update_hooks.ending(outcome) is HookKind.ON_FAILURE
    made.assert_whole(OLD)
    now = SimClock().now()
    known = service_of(record_outcome(State(), outcome, now, now), "shop")
    assert (known.retry_at is not None, known.quarantine) == (True, ())


def test_a_post_update_that_fails_is_the_releases_fault(folders: Iterator[Path]) -> None:
    made = stage_with_hooks(folders, HookKind.POST_UPDATE)
    outcome = made.apply()
    assert isinstance(outcome, RolledBack)
    assert (outcome.cause.reason, outcome.quarantine) == (Reason.POST_UPDATE_FAILED, True)
    assert outcome.cause.evidence
    made.assert_whole(OLD)


def test_a_hook_that_is_not_there_is_found_out_before_anything_is_touched(folders: Iterator[Path]) -> None:
    made = stage(folders, "new tag")
    made.hooks = Hooks(post_update=Hook(("/gone",)))
    outcome = made.apply()
    assert isinstance(outcome, NotStarted)
    assert (outcome.cause.reason, outcome.quarantine) == (Reason.HOOK_MISSING, False)
    made.assert_whole(OLD)


@pytest.mark.parametrize("fails", [(), (HookKind.PRE_UPDATE,), (HookKind.POST_UPDATE,)])
def test_killed_anywhere_an_update_with_hooks_ends_whole(
    folders: Iterator[Path], fails: tuple[HookKind, ...]
) -> None:
    rehearsal = Killer()
    stage_with_hooks(folders, *fails).apply(rehearsal)
    for at, after in itertools.product(range(1, len(rehearsal.log) + 1), (False, True)):
        made = stage_with_hooks(folders, *fails)
        with pytest.raises(Killed):
            made.apply(Killer(at, after))
        outcome = made.recover()
        committed = isinstance(outcome, Committed) or (
            outcome is None and made.host.running("web") == [made.target.id]
        )
        made.assert_whole(made.target if committed else OLD)
        killed_in = rehearsal.log[at - 1]
        if killed_in == "hook pre_update":
            assert isinstance(outcome, NotStarted)
            assert [run.result for run in outcome.hooks] == [HookResult.INTERRUPTED]
        if killed_in == "hook post_update":
            assert isinstance(outcome, RolledBack)
            assert not outcome.quarantine
            assert [run.result for run in outcome.hooks] == [HookResult.DONE, HookResult.INTERRUPTED]
        if outcome is not None and outcome.hooks:
            assert made.update_hooks.ending(outcome) is not None, (
                "whatever a pre_update has begun can be ended"
            )


@pytest.mark.parametrize("case", ["new tag", "same tag", "unhealthy", "bad unit of two", *HANDOVERS])
def test_killed_again_during_the_recovery_it_still_ends_whole(folders: Iterator[Path], case: str) -> None:
    count = stage(folders, case).effects()
    for at in range(1, count + 1):
        first = stage(folders, case)
        with pytest.raises(Killed):
            first.apply(Killer(at))
        rehearsal = Killer()
        first.recover(rehearsal)
        for again in range(1, len(rehearsal.log) + 1):
            made = stage(folders, case)
            with pytest.raises(Killed):
                made.apply(Killer(at))
            with pytest.raises(Killed):
                made.recover(Killer(again, after=True))
            made.recover()
            made.assert_whole(made.target if made.host.running("web") == [made.target.id] else OLD)


@pytest.mark.parametrize("case", ["new tag", "same tag", "unhealthy", "unhealthy, same tag"])
def test_killed_anywhere_and_its_file_spoilt_meanwhile_the_service_is_whole(
    folders: Iterator[Path], case: str
) -> None:
    """The recovery is killed once more at each of its effects: copies that stand in for the file are among
    them.
    """
    for at in range(1, stage(folders, case).effects() + 1):
        rehearsal = Killer()
        spoilt(folders, case, at).recover(rehearsal)
        for again in range(len(rehearsal.log) + 1):
            made = spoilt(folders, case, at)
            if again:
                with pytest.raises(Killed):
                    made.recover(Killer(again, after=True))
            made.recover()
            (web,) = (c for c in made.host.containers.values() if c.service == "web")
            assert (web.name, web.status) == ("shop-web-1", "running"), (at, again)
            assert web.image_id in (OLD.id, made.target.id if made.target.fate == "well" else OLD.id), (
                at,
                again,
            )
            assert made.file.read_text() == SPOILT, (at, again)
            assert not list(made.file.parent.glob(".*.dau-*")), (at, again)


@pytest.mark.parametrize("case", HANDOVERS)
def test_start_first_leaves_the_old_containers_alone_until_the_new_ones_are_proven(
    folders: Iterator[Path], case: str
) -> None:
    """Killed before the switch, or with a release that fails: the old container was never stopped."""
    rehearsal = Killer()
    stage(folders, case).apply(rehearsal)
    is_switch = [name in ("run drain", "stop container") for name in rehearsal.log]
    is_good = CASES[case][0].fate == "well"
    before_switch = is_switch.index(True) if is_good else len(rehearsal.log)
    for at in range(1, before_switch + 1):
        made = stage(folders, case)
        old = {c.id for c in made.host.containers.values()}
        with pytest.raises(Killed):
            made.apply(Killer(at))
        made.recover()
        assert {(c.id, c.starts) for c in made.host.containers.values()} == {(one, 1) for one in old}, at


@pytest.mark.parametrize("fate", ["unhealthy", "exits"])
@pytest.mark.parametrize("drain", [(), ("drain",)])
def test_a_new_release_that_fails_in_the_switch_gives_way_to_the_old(
    folders: Iterator[Path], fate: str, drain: tuple[str, ...]
) -> None:
    made = Stage(next(folders), replace(CHECKED), new_tag="1.1", handover=Handover(drain_command=drain))

    def reached(step: Step, is_back: bool) -> None:
        if step is Step.SWITCH and not is_back:
            made.target.fate = fate
            for container in made.host.containers.values():
                if container.image_id == made.target.id and fate == "exits":
                    container.status, container.exit_code = "exited", 3

    outcome = made.apply(reached=reached)
    assert isinstance(outcome, RolledBack)
    assert outcome.quarantine
    (web,) = made.host.containers.values()
    assert (web.status, web.image_id) == ("running", OLD.id)
    assert (web.starts, web.name) == (1, "shop-web-1")


def test_a_smoke_test_runs_before_the_switch_and_if_it_fails_the_old_containers_are_untouched(
    folders: Iterator[Path],
) -> None:
    made, killer = stage(folders, "start-first"), Killer()
    made.hooks = ALL_HOOKS
    assert isinstance(made.apply(killer), Committed)
    log = killer.log
    assert log.index("compose start") < log.index("hook post_update") < log.index("stop container")
    made = stage(folders, "start-first")
    made.hooks, made.fails = ALL_HOOKS, frozenset({HookKind.POST_UPDATE})
    old = {c.id for c in made.host.containers.values()}
    outcome = made.apply()
    assert isinstance(outcome, RolledBack)
    assert outcome.quarantine
    assert {(c.id, c.starts) for c in made.host.containers.values()} == {(one, 1) for one in old}


def test_killed_in_the_switch_the_next_start_carries_on_and_an_engine_that_goes_is_waited_for(
    folders: Iterator[Path],
) -> None:
    made = stage(folders, "start-first, same tag, drained")
    with pytest.raises(Killed):
        made.apply(Killer(made_at(folders, "start-first, same tag, drained", "run drain")))
    (record,) = made.journal().read_all()
    assert isinstance(record, JournalRecord)
    assert record.phase is Phase.SWITCHING
    made.host.restart_engine()
    for container in made.host.containers.values():
        made.host.start(container)
    assert isinstance(made.recover(), Committed)
    made.assert_whole(made.target)


def test_no_old_container_is_stopped_if_somebody_removed_the_new_one_after_a_kill(
    folders: Iterator[Path],
) -> None:
    made = stage(folders, "start-first")
    old = {c.id for c in made.host.containers.values()}
    with pytest.raises(Killed):
        made.apply(Killer(made_at(folders, "start-first", "stop container")))
    made.host.containers = {each.id: each for each in made.host.containers.values() if each.id in old}
    outcome = made.recover()
    assert isinstance(outcome, RolledBack)
    assert (outcome.cause.reason, outcome.quarantine) == (Reason.NOT_RUNNING, False)
    assert {(c.id, c.starts) for c in made.host.containers.values()} == {(one, 1) for one in old}


def test_a_new_image_without_a_healthcheck_is_not_started_beside_the_old(tmp_path: Path) -> None:
    made = Stage(tmp_path, NEW, new_tag="1.1", handover=Handover())
    outcome = made.apply()
    assert isinstance(outcome, NotStarted)
    assert (outcome.cause.reason, outcome.quarantine) == (Reason.CANNOT_START_FIRST, False)
    made.assert_whole(OLD)


SPOILT = "services: [ {\n"


def spoilt(folders: Iterator[Path], case: str, at: int) -> Stage:
    """A host whose updater was killed at this effect, and whose operator has written what nobody can read."""
    made = stage(folders, case)
    with pytest.raises(Killed):
        made.apply(Killer(at, after=True))
    made.file.write_text(SPOILT)
    return made


def test_an_engine_that_was_away_between_two_looks_lets_no_release_be_blamed(tmp_path: Path) -> None:
    made = Stage(tmp_path, NEW, new_tag="1.1")
    clock = SimClock(happenings=[made.host.restart_engine])
    outcome = made.apply(clock=clock)
    assert clock.happenings == []
    assert isinstance(outcome, Committed)
    made.assert_whole(NEW)


def test_an_error_that_nobody_foresaw_goes_back_too(tmp_path: Path) -> None:
    made = Stage(tmp_path, NEW, new_tag="1.1")

    def fail() -> None:
        raise KeyError("State")

    outcome = made.apply(clock=SimClock(happenings=[fail]))
    assert isinstance(outcome, RolledBack)
    assert not outcome.quarantine
    assert "was broken off at step gate" in transaction.describe(outcome)
    made.assert_whole(OLD)


def test_a_rollback_whose_old_release_is_sick_too_is_said_and_left_alone(tmp_path: Path) -> None:
    made = Stage(tmp_path, BAD, new_tag="1.1")
    made.host.releases[OLD.digest].fate = "exits"
    try:
        outcome = made.apply()
    finally:
        made.host.releases[OLD.digest].fate = "well"
    assert isinstance(outcome, RollbackFailed)
    assert "1.0" in transaction.describe(outcome)
    assert isinstance(made.recover(), RollbackFailed)


def test_an_old_release_that_is_slow_to_come_up_is_not_given_up(tmp_path: Path) -> None:
    made = Stage(tmp_path, BAD, new_tag="1.1")
    made.host.releases[OLD.digest] = replace(CHECKED, digest=OLD.digest, fate="starting")
    with pytest.raises(GateFailed, match="still starting") as open_end:
        made.apply()
    assert open_end.value.reason is Reason.GATE_TIMEOUT
    assert "raise health_timeout" in open_end.value.remedy
    made.host.releases[OLD.digest].fate = "well"
    outcome = made.recover()
    assert isinstance(outcome, RolledBack)
    assert outcome.quarantine
    made.assert_whole(OLD)


def test_an_old_release_that_somebody_removes_is_brought_back(tmp_path: Path) -> None:
    made = Stage(tmp_path, BAD, new_tag="1.1")
    with pytest.raises(GateFailed, match="somebody removed") as open_end:
        made.apply(clock=SimClock(happenings=[made.host.containers.clear]))
    assert open_end.value.reason is Reason.NOT_RUNNING
    assert isinstance(made.recover(), RolledBack)
    made.assert_whole(OLD)


def test_a_release_that_vanished_between_check_and_pull_changes_nothing(tmp_path: Path) -> None:
    made = Stage(tmp_path, NEW, new_tag="1.1")
    del made.host.releases[NEW.digest]
    outcome = made.apply()
    assert isinstance(outcome, NotStarted)
    assert not outcome.quarantine
    made.assert_whole(OLD)


def test_the_operators_edit_between_look_and_change_wins(tmp_path: Path) -> None:
    made = Stage(tmp_path, NEW, new_tag="1.1")
    made.file.write_text(made.file.read_text() + "# mine\n")
    made.before = made.file.read_bytes()
    assert isinstance(made.apply(), NotStarted)
    made.assert_whole(OLD)


# ------------------------------------------------------------------------------------------ whose fault it is


def nothing() -> None:
    """Compose fails, and nothing else happens."""


@pytest.mark.parametrize("case", ["new tag", "same tag", "unhealthy", "unit of two"])
@pytest.mark.parametrize("failures", [2, 3, 4, 7])
def test_compose_that_fails_for_a_while_lets_no_release_be_blamed(
    folders: Iterator[Path], case: str, failures: int
) -> None:
    made = stage(folders, case)
    made.host.compose_failures = [nothing] * failures
    outcome = made.apply()
    assert isinstance(outcome, RolledBack)
    assert (outcome.cause.reason, outcome.quarantine) == (Reason.COMPOSE_ERROR, False)
    made.assert_whole(OLD)


@pytest.mark.parametrize("case", ["new tag", "unhealthy", "cannot start", "bad unit of two"])
def test_a_rollback_that_the_host_prevents_is_tried_again_until_it_is_proven(
    folders: Iterator[Path], case: str
) -> None:
    made = stage(folders, case)
    made.host.compose_failures = [nothing] * (2 if case == "new tag" else 0)

    def reached(step: Step, is_back: bool) -> None:
        if is_back and step is Step.EDIT:
            made.host.compose_failures = [nothing] * 1000

    with pytest.raises(ComposeError):
        made.apply(reached=reached)
    for _ in range(3):
        made.host.compose_failures = [nothing] * 1000
        with pytest.raises(ComposeError):
            made.recover()
        (record,) = made.journal().read_all()
        assert isinstance(record, JournalRecord)
        assert record.phase is Phase.ROLLING_BACK
    made.host.compose_failures = []
    outcome = made.recover()
    assert isinstance(outcome, RolledBack)
    assert outcome.quarantine == (case != "new tag"), (
        "what the release did is not forgotten over a failure of the host"
    )
    made.assert_whole(OLD)


@pytest.mark.parametrize("case", ["new tag", "crashing"])
def test_an_engine_that_goes_in_the_second_try_is_asked_too(folders: Iterator[Path], case: str) -> None:
    made = stage(folders, case)

    def start_new_and_go() -> None:
        """Compose has got as far as the new container when the engine restarts under it."""
        made.host.compose_failures, rest = [], made.host.compose_failures
        with suppress(ComposeError):
            SimCompose(made.host).up(
                made.plan.detail.project,
                {"web": 1},
                with_dependencies=False,
                recreate=Recreate.CHANGED,
                grace_seconds=0.0,
            )
        made.host.compose_failures = rest
        made.host.restart_engine()

    made.host.compose_failures = [nothing, start_new_and_go]
    outcome = made.apply()
    assert isinstance(outcome, RolledBack)
    assert (outcome.cause.reason, outcome.quarantine) == (Reason.ENGINE_ERROR, False)
    made.assert_whole(OLD)


# -------------------------------------------------------------------------------- asked to end while it waits


@dataclass
class StoppedClock(SimClock):
    """Time in which an end is asked for from the first wait on."""

    def wait(self, seconds: float) -> bool:
        return self.seconds > 0.0


HOURS = 4 * 3600


def test_an_end_that_is_asked_for_ends_a_long_gate_and_the_next_start_takes_it_up(tmp_path: Path) -> None:
    made = Stage(tmp_path, SLOW, new_tag="1.1")
    made.plan = replace(made.plan, gate=GatePolicy(timeout_seconds=HOURS, stable_seconds=1))
    clock = StoppedClock()
    with pytest.raises(Stopped):
        made.apply(clock=clock)
    assert clock.seconds < HOURS / 10
    assert made.host.running("web") == [SLOW.id]
    (record,) = made.journal().read_all()
    assert isinstance(record, JournalRecord)
    assert record.phase is Phase.APPLYING
    outcome = made.recover()
    assert isinstance(outcome, RolledBack)
    assert not outcome.quarantine, "nothing is known of it that could be held against it"
    made.assert_whole(OLD)


def test_a_gate_that_ends_soon_is_waited_for_although_an_end_is_asked_for(tmp_path: Path) -> None:
    made = Stage(tmp_path, NEW, new_tag="1.1")
    made.plan = replace(made.plan, gate=GatePolicy(timeout_seconds=HOURS, stable_seconds=10))
    assert isinstance(made.apply(clock=StoppedClock()), Committed)
    made.assert_whole(NEW)

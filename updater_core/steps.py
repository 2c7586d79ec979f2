"""The single steps of an update. Each can be repeated without harm; `update` puts them in their order.

A step returns when it holds, and raises an UpdaterError when it does not; EngineUnavailable means that nothing can be
said now, and is never the release's fault.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from updater_core import compose_edit, health, reference
from updater_core.errors import ChangedOnDisk, ComposeError, EngineError, EngineUnavailable, GateFailed, UpdaterError
from updater_core.models import (
    Cause,
    Container,
    Credential,
    Edit,
    GatePolicy,
    Image,
    Move,
    Plan,
    Project,
    Reason,
    Snapshot,
    Step,
)
from updater_core.protocols import Clock, Compose, Engine, Files, Journal, Progress

HOLD_PREFIX = "docker-updater.invalid/hold/"  # `.invalid` never resolves (RFC 2606): nobody can pull or push it
FOUND, BROUGHT = "found-", "brought-"  # an image that was the owner's before us, and one that we pulled
_LOOK_EVERY_SECONDS = 0.25
_ENGINE_PATIENCE_SECONDS = 300.0
_MOST_OUTAGES = 3
_WRECK = re.compile(r"([0-9a-f]{12})_(.+)")
_HOSTS_FAULT = re.compile(
    r"port is already allocated|address already in use|no space left|cannot connect to the docker daemon"
    r"|did not end within|is the docker daemon running|pool overlaps|no such network|network .* not found",
    re.IGNORECASE,
)
_RELEASE_AT_FAULT = {
    Reason.PLATFORM_MISSING,
    Reason.UP_FAILED,
    Reason.UNHEALTHY,
    Reason.EXITED,
    Reason.RESTARTING,
    Reason.GATE_TIMEOUT,
}


@dataclass(frozen=True, slots=True)
class Tools:
    """The world as the story sees it. `credential` finds what the engine needs to pull for a plan; `tell` is for people."""

    engine: Engine
    compose: Compose
    files: Files
    journal: Journal
    clock: Clock
    credential: Callable[[Plan], Credential | None]
    tell: Callable[[Step, str], None]
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class Staged:
    """A proven edit, written beside its file and not yet in its place."""

    snapshot: Snapshot
    path: Path


# ------------------------------------------------------------------------------------------- before anything visible


def hold_old_images(plan: Plan, tools: Tools) -> None:
    """Give every old image a local name of ours, so that no prune takes it while it is needed."""
    held = tools.engine.held(_hold_prefix(plan.name)).values()
    for move in plan.moves:
        if move.old_image_id not in held:
            tools.engine.tag(move.old_image_id, hold_name(plan.name, move.old_image_id, FOUND))


def fetch(plan: Plan, tools: Tools) -> Plan:
    """Pull the target by digest (no tag moves), check its platform, hold it; return the plan with the image's id."""
    image = _local_target(plan, tools) or _pulled_target(plan, tools)
    problem = platform_problem(image, plan.platform, _old_platform(plan, tools), tools.engine.platform())
    if problem:
        raise GateFailed(Reason.PLATFORM_MISSING, problem, "publish the image for this platform, or set `platform`")
    tools.engine.tag(image.id, hold_name(plan.name, image.id, BROUGHT))
    prior = tools.engine.image(plan.moves[0].new_reference)
    return replace(plan, image_id=image.id, prior_image_id=prior.id if prior else None)


def prove(plan: Plan, tools: Tools) -> tuple[Staged, ...]:
    """Stage the edited files, and prove with Compose's own reading that only the unit's images differ."""
    if not plan.edits:
        return ()
    before = tools.compose.config(plan.project)
    staged: list[Staged] = []
    try:
        staged.extend(_stage(edit, plan.id, tools) for edit in plan.edits)
        replaced = {edit.path: str(one.path) for edit, one in zip(plan.edits, staged, strict=True)}
        after = tools.compose.config(plan.project, replaced)
    except UpdaterError:
        discard(staged, tools)
        raise
    problem = proof_problem(before, after, plan.moves)
    if problem:
        discard(staged, tools)
        raise ComposeError(f"the edit of {plan.name} would change more than its image: {problem}", "please report this")
    return tuple(staged)


def discard(staged: Sequence[Staged], tools: Tools) -> None:
    """Remove staged files that will not be used."""
    for one in staged:
        tools.files.discard(one.path)


def remove_strays(plan: Plan, tools: Tools) -> None:
    """Remove what an interrupted run of this plan left beside the owner's files; nobody else's."""
    for edit in plan.edits:
        tools.files.remove_strays(Path(edit.path).resolve().parent, plan.id)


def proof_problem(before: Mapping[str, Any], after: Mapping[str, Any], moves: Sequence[Move]) -> str | None:
    """What differs between two models of a project besides the images of `moves`; None where nothing does."""
    wanted = {move.service: move for move in moves}
    rest_before = {key: value for key, value in before.items() if key != "services"}
    rest_after = {key: value for key, value in after.items() if key != "services"}
    if rest_before != rest_after or before["services"].keys() != after["services"].keys():
        return "something outside the services differs"
    for service, old in before["services"].items():
        new = after["services"][service]
        if service in wanted and new.get("image") != wanted[service].new_reference:
            return f"{service} would run {new.get('image')}, not {wanted[service].new_reference}"
        if {**old, "image": None} != {**new, "image": None} or (service not in wanted and old != new):
            return f"service {service} differs"
    return None


# ------------------------------------------------------------------------------------------------- forward and back


def replace_files(staged: Sequence[Staged], tools: Tools) -> None:
    """Put the proven edits in their places, unless an owner was faster."""
    for one in staged:
        tools.files.commit(one.snapshot, one.path)


def put_files_back(plan: Plan, tools: Tools) -> tuple[str, ...]:
    """Undo our edits, and only ours; return the files that are no longer ours to undo (the owner's edit wins)."""
    return tuple(edit.path for edit in plan.edits if not _put_back(edit, plan.id, tools))


def tag_new(plan: Plan, tools: Tools) -> None:
    """Let the new references name the new image locally, as a pull of them would."""
    for name in {local_name(move.new_reference) for move in plan.moves} - {None}:
        tools.engine.tag(_known(plan.image_id), str(name))


def tag_old(plan: Plan, tools: Tools) -> None:
    """Let the old references name the old images again, fetching one that is gone; put back what the new one named."""
    for move in plan.moves:
        _ensure_old_image(plan, move, tools)
    for name in {local_name(move.new_reference) for move in plan.moves} - {None}:
        if plan.prior_image_id and tools.engine.image(plan.prior_image_id):
            tools.engine.tag(plan.prior_image_id, str(name))
        else:
            tools.engine.untag(str(name))
    for move in plan.moves:
        name = local_name(move.old_reference)
        if name:
            tools.engine.tag(move.old_image_id, name)


def restart(plan: Plan, tools: Tools) -> None:
    """Let Compose bring the unit and its companions to what files and tags say now. One retry, after tidying again."""
    everyone = (*plan.moves, *plan.companions)
    replicas = {move.service: move.replicas for move in everyone}
    grace_seconds = max(move.stop_grace_seconds for move in everyone) * 2

    def up(services: Mapping[str, int], *, with_dependencies: bool, force: bool = False) -> None:
        tidy(plan.project, [move.service for move in everyone], tools)
        tools.compose.up(
            plan.project, services, with_dependencies=with_dependencies, force=force, grace_seconds=grace_seconds
        )

    try:
        up(replicas, with_dependencies=plan.with_dependencies)
    except ComposeError:
        tools.engine.version()  # an engine that is gone is not Compose's fault, and not the release's
        up(replicas, with_dependencies=False)
    if tools.compose.is_v1 and plan.companions:  # v1 does not see that the namespace's owner was replaced
        up({move.service: move.replicas for move in plan.companions}, with_dependencies=False, force=True)


def tidy(project: Project, services: Sequence[str], tools: Tools) -> None:
    """Clear up what a Compose that was killed in the middle of a recreate left: a container `<id>_<name>`.

    v1 renames the old container so, and gives its own id; v2 the new one, and gives the id of the old. An aborted
    replacement goes, a lone survivor gets its name back.
    """
    for service in services:
        containers = tools.engine.containers(project.name, service)
        for container in containers:
            match = _WRECK.fullmatch(container.name)
            if match:
                _tidy_one(container, match[1], match[2], tools)


def gate_new(plan: Plan, tools: Tools) -> None:
    """Wait until unit and companions have proven themselves; GateFailed as soon as one of them shows it will not."""
    old_ids = frozenset(i for move in plan.companions for i in move.container_ids)
    _gate(plan, [_expectation(move, plan.gate, old_ids) for move in (*plan.moves, *plan.companions)], tools)


def gate_old(plan: Plan, tools: Tools, *, may_be_stopping: bool) -> None:
    """As `gate_new` for the old release, as far as it was well before.

    `may_be_stopping`: Compose was killed after it asked for a stop that the engine still carries out: watch for longer
    than the stop may take.
    """
    everyone = [move for move in (*plan.moves, *plan.companions) if move.was_well or move.is_one_shot]
    grace_seconds = max((move.stop_grace_seconds for move in everyone), default=0.0) + 1.0
    stable = max(plan.gate.stable_seconds, grace_seconds) if may_be_stopping else plan.gate.stable_seconds
    policy = replace(plan.gate, stable_seconds=stable)
    old_ids = frozenset(i for move in everyone for i in move.container_ids)
    _gate(plan, [_expectation(move, policy, old_ids) for move in everyone], tools)


def verify_new(plan: Plan, tools: Tools) -> tuple[str, ...]:
    """Every container of the unit runs the image that was pulled by digest; return what else is worth saying."""
    for move in plan.moves:
        _verify_image(plan, move, _known(plan.image_id), tools)
    notes = [f"{edit.path} was changed by its owner meanwhile" for edit in plan.edits if not _is_ours(edit, tools)]
    for move in plan.moves:
        found = tools.engine.image(move.new_reference)
        if found is None or found.id != plan.image_id:
            notes.append(f"{move.new_reference} names another local image by now")
    return tuple(notes)


def verify_old(plan: Plan, tools: Tools) -> None:
    """Every container of the unit runs its old image again."""
    for move in plan.moves:
        _verify_image(plan, move, move.old_image_id, tools)


def release_holds(plan: Plan, keep: frozenset[str], tools: Tools) -> None:
    """Let go of this service's images that are not to be kept. One that we brought, and that no container uses, is
    removed with its names in the target's repository; one that was there before us only loses our name."""
    for name, image_id in tools.engine.held(_hold_prefix(plan.name)).items():
        if image_id in keep:
            continue
        tools.engine.untag(name)
        if BROUGHT in name and image_id not in {container.image_id for container in tools.engine.compose_containers()}:
            _remove_brought(image_id, plan, tools)


def _remove_brought(image_id: str, plan: Plan, tools: Tools) -> None:
    image = tools.engine.image(image_id)
    if image is None:
        return
    for tag in image.repo_tags:
        if reference.same_repository(tag, plan.target.text):
            tools.engine.untag(tag)
    left = tools.engine.image(image_id)
    if left is not None and not left.repo_tags:
        tools.engine.remove_image(image_id)


# ------------------------------------------------------------------------------------------------------------ causes


def cause_of(error: UpdaterError, step: Step) -> Cause:
    """The error as a value: its step, a stable reason, its words and its remedy."""
    return Cause(step, _reason(error, step), str(error), error.remedy)


def is_release_at_fault(cause: Cause) -> bool:
    """Whether the release itself failed, so that trying it again would fail again."""
    return cause.reason in _RELEASE_AT_FAULT


def _reason(error: UpdaterError, step: Step) -> Reason:
    if isinstance(error, GateFailed):
        return Reason(error.reason)
    if isinstance(error, ChangedOnDisk):
        return Reason.CHANGED_ON_DISK
    if isinstance(error, ComposeError):
        is_hosts_fault = _HOSTS_FAULT.search(str(error)) or step is not Step.RESTART
        return Reason.COMPOSE_ERROR if is_hosts_fault else Reason.UP_FAILED
    if isinstance(error, EngineError):
        return Reason.PULL_FAILED if step is Step.PULL else Reason.ENGINE_ERROR
    return Reason.STATE_ERROR


# ---------------------------------------------------------------------------------------------------- small matters


def hold_name(service: str, image_id: str, origin: str) -> str:
    """The local name under which an image of a service is held.

    >>> hold_name("web", "sha256:0123456789abcdef", BROUGHT)
    'docker-updater.invalid/hold/web-4b5e57f6:brought-0123456789ab'
    """
    return f"{_hold_prefix(service)}{origin}{image_id.removeprefix('sha256:')[:12]}"


def _hold_prefix(service: str) -> str:
    """Names of services may differ in case only, names of repositories may not: a short hash tells them apart."""
    plain = re.sub(r"[^a-z0-9]+", "-", service.lower()).strip("-")
    mark = hashlib.sha256(service.encode()).hexdigest()[:8]
    return f"{HOLD_PREFIX}{plain}-{mark}:"


def local_name(text: str) -> str | None:
    """The tag that a reference means locally; None where a digest pins it (no tag takes part then).

    >>> local_name("nginx"), local_name("nginx:1@sha256:" + "0" * 64)
    ('nginx:latest', None)
    """
    parsed = reference.with_default_tag(reference.parse(text))
    return None if parsed.digest else parsed.text


def platform_problem(image: Image, wanted: str | None, old: str, own: str) -> str | None:
    """Why an image is for the wrong platform; None where it fits.

    >>> platform_problem(Image("i", platform="linux/arm64/v8"), None, "linux/amd64", "linux/amd64")
    'the image is for linux/arm64/v8, this service runs linux/amd64'
    """
    fitting = [wanted] if wanted else [own, old]
    if not image.platform or any(_same_platform(image.platform, one) for one in fitting if one):
        return None
    return f"the image is for {image.platform}, this service runs {wanted or old or own}"


def _same_platform(left: str, right: str) -> bool:
    """arm64 without a variant means v8 (containerd's platform rules)."""
    one, other = left.removesuffix("/v8"), right.removesuffix("/v8")
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _known(image_id: str | None) -> str:
    if image_id is None:
        raise RuntimeError("a plan goes forward only after its image was fetched")
    return image_id


def _local_target(plan: Plan, tools: Tools) -> Image | None:
    if plan.image_id:
        held = tools.engine.image(plan.image_id)
        if held:
            return held
    if plan.target.digest is None:
        raise EngineError(f"the image of {plan.target.text} is no longer on this host, and no registry ever knew it")
    return tools.engine.image(_pull_name(plan))


def _pulled_target(plan: Plan, tools: Tools) -> Image:
    try:
        tools.engine.pull(plan.target, tools.credential(plan), plan.platform, tools.progress)
    except EngineUnavailable:
        raise
    except EngineError as error:
        if re.search(r"no matching manifest|does not match the specified platform", str(error)):
            raise GateFailed(Reason.PLATFORM_MISSING, str(error), "publish the image for this platform") from error
        raise
    image = tools.engine.image(_pull_name(plan))
    if image is None:
        raise EngineError(f"after the pull the engine does not know {_pull_name(plan)}", "is a stale mirror in between?")
    return image


def _pull_name(plan: Plan) -> str:
    return f"{plan.target.name or plan.target.key}@{plan.target.digest}"


def _old_platform(plan: Plan, tools: Tools) -> str:
    old = tools.engine.image(plan.moves[0].old_image_id)
    return old.platform if old else ""


def _stage(edit: Edit, plan_id: str, tools: Tools) -> Staged:
    snapshot = tools.files.snapshot(Path(edit.path))
    if snapshot.data != compose_edit.encode(edit.before):
        raise ChangedOnDisk(f"{edit.path} was changed since it was read", "nothing to do: the next cycle reads it anew")
    return Staged(snapshot, tools.files.stage(snapshot, compose_edit.encode(edit.after), plan_id))


def _put_back(edit: Edit, plan_id: str, tools: Tools) -> bool:
    snapshot = tools.files.snapshot(Path(edit.path))
    try:
        text = compose_edit.decode(snapshot.data)
    except ValueError:
        return False
    restored = edit.before if text == edit.after else compose_edit.put_back(text, edit)
    if restored is None:
        return False
    if restored != text:
        staged = tools.files.stage(snapshot, compose_edit.encode(restored), plan_id)
        tools.files.commit(snapshot, staged)
    return True


def _is_ours(edit: Edit, tools: Tools) -> bool:
    try:
        text = compose_edit.decode(tools.files.snapshot(Path(edit.path)).data)
    except (UpdaterError, ValueError):
        return False
    return text == edit.after or compose_edit.put_back(text, edit) not in (None, text)


def _ensure_old_image(plan: Plan, move: Move, tools: Tools) -> None:
    if tools.engine.image(move.old_image_id) is None and plan.old_digest:
        old = replace(plan.target, digest=plan.old_digest)
        tools.engine.pull(old, tools.credential(plan), plan.platform, tools.progress)


def is_wreck(container: Container) -> bool:
    """Whether a container is what a killed recreate left (see `tidy`)."""
    return _WRECK.fullmatch(container.name) is not None


def _tidy_one(container: Container, prefix: str, name: str, tools: Tools) -> None:
    if container.id.startswith(prefix):
        tools.engine.rename_container(container.id, name)
    elif tools.engine.container(prefix) is not None:
        tools.engine.remove_container(container.id)
    else:
        tools.engine.rename_container(container.id, name)


def _expectation(move: Move, policy: GatePolicy, old_ids: frozenset[str]) -> health.Expectation:
    return health.Expectation(move.service, move.replicas, policy, move.is_one_shot, old_ids)


def _gate(plan: Plan, wanted: Sequence[health.Expectation], tools: Tools) -> None:
    """Look until every expectation is proven. An engine that goes away proves nothing: wait for it, bring the unit up
    again (an outage stops containers without asking), begin anew."""
    for _ in range(_MOST_OUTAGES):
        try:
            _watch(plan.project.name, wanted, tools)
        except EngineUnavailable:
            tools.tell(Step.GATE, "the engine went away; waiting for it")
            await_engine(tools)
            _restart_after_outage(plan, tools)
        else:
            return
    raise EngineUnavailable("the engine keeps going away", "see the engine's own log")


def _watch(project: str, wanted: Sequence[health.Expectation], tools: Tools) -> None:
    begun = tools.clock.monotonic()
    tracks = {one.service: health.Track(begun) for one in wanted}
    said = ""
    while True:
        waiting = []
        for one in wanted:
            containers = tools.engine.containers(project, one.service)
            tracks[one.service], verdict = health.judge(tracks[one.service], containers, one, tools.clock.monotonic())
            if isinstance(verdict, health.Failed):
                _raise_unless_outage(verdict, tools)
            if isinstance(verdict, health.Waiting):
                waiting.append(verdict.what)
        if not waiting:
            return
        said = _tell_once("; ".join(waiting), said, tools)
        tools.clock.sleep(_LOOK_EVERY_SECONDS)


def _raise_unless_outage(verdict: health.Failed, tools: Tools) -> None:
    """An engine that is going down ends containers first: only an engine that still answers lets a release be blamed."""
    tools.engine.version()
    raise GateFailed(verdict.reason, verdict.message)


def _tell_once(text: str, said: str, tools: Tools) -> str:
    plain = re.sub(r"\d+ s ", "", text)
    if plain != said:
        tools.tell(Step.GATE, text)
    return plain


def await_engine(tools: Tools) -> None:
    """Return when the engine answers; EngineUnavailable when it does not within five minutes."""
    deadline = tools.clock.monotonic() + _ENGINE_PATIENCE_SECONDS
    while True:
        try:
            tools.engine.version()
        except EngineUnavailable:
            if tools.clock.monotonic() > deadline:
                raise
            tools.clock.sleep(1.0)
        else:
            return


def _restart_after_outage(plan: Plan, tools: Tools) -> None:
    """The engine restarts containers of its own accord just now, so the first tries may meet a conflict."""
    for _ in range(5):
        try:
            restart(plan, tools)
        except ComposeError:
            tools.clock.sleep(1.0)
        else:
            return
    restart(plan, tools)


def _verify_image(plan: Plan, move: Move, image_id: str, tools: Tools) -> None:
    containers = tools.engine.containers(plan.project.name, move.service)
    others = [container.name for container in containers if container.image_id != image_id]
    if len(containers) < move.replicas or others:
        what = f"{', '.join(others)} runs another image" if others else f"{len(containers)} of {move.replicas} are there"
        raise GateFailed(Reason.DIGEST_MISMATCH, f"{move.service} should run {image_id[:19]}: {what}")

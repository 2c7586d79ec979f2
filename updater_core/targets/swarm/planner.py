"""How a Swarm service gets from what is observed to another image, or why it may not. Changes nothing."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from updater_core import reference
from updater_core.deploy.health import slowest_verdict_seconds
from updater_core.deploy.target import ONE_RUN, UpdateRequest
from updater_core.models import Edit, Healthcheck, Hold, ImageRef, Plan, Reason, ServiceConfig
from updater_core.protocols import Files
from updater_core.targets.swarm import gate, jobs, stack_file
from updater_core.targets.swarm.entry.settings import NAME, SwarmSettings
from updater_core.targets.swarm.facts import SwarmService, SwarmTask
from updater_core.targets.swarm.observed import ObservedSwarmService, hold_of, lock_name
from updater_core.targets.swarm.plan import SwarmPlan
from updater_core.targets.swarm.spec import NANOSECONDS, pinned


@dataclass(frozen=True, slots=True)
class _FileChange:
    """What an update changes in the stack's files, and the text of the image there afterwards."""

    texts: Mapping[str, str] = field(default_factory=dict)
    changes: tuple[Edit, ...] = ()
    label: str | None = None


def make(
    service: ServiceConfig,
    observed: ObservedSwarmService,
    request: UpdateRequest,
    tasks: Sequence[SwarmTask],
    files: Files,
) -> Plan[SwarmPlan] | Hold:
    """Return how to go to the image of a request, or why that may not be. Changes nothing."""
    found, image = observed.found, request.image
    # From the cheapest to the dearest: the last one needs the tasks of the service.
    held = hold_of(service, found) or _unpinned(request) or _hold_of_run(found, tasks)
    if held is not None:
        return replace(held, available=image)
    file = _file_change(service, observed, image, files)
    if isinstance(file, Hold):
        return replace(file, available=image)
    old = reference.with_default_tag(reference.parse(found.image))
    return Plan(
        id=uuid.uuid4().hex,
        name=service.name,
        target=NAME,
        image=image,
        old_reference=observed.current.text,
        # For people: the tag says more than the digest that the spec is pinned to.
        new_reference=replace(image, digest=None).text if image.tag else image.text,
        old_digest=old.digest,
        old_retained=found.image,
        gate=service.gate,
        reason=request.reason,
        detail=replace(_detail(service, found, image, file), known_tasks=tuple(task.id for task in tasks)),
        strategy=ONE_RUN if found.is_job else _order(found),
        restarts=f"{found.name}, {_how_many(found)}",
        was_well=_is_well(found, tasks),
        new_retained=pinned(image),
        earlier_retained=request.earlier_retained,
        kind=request.kind,
        healthcheck_seconds=_healthcheck_seconds(found),
    )


def _detail(service: ServiceConfig, found: SwarmService, image: ImageRef, file: _FileChange) -> SwarmPlan:
    return SwarmPlan(
        service_id=found.id,
        swarm_service=found.name,
        engine=service.own(SwarmSettings).engine,
        locked_as=lock_name(found),
        old_spec=found.spec,
        former_update=found.status.started_at,
        former_run=found.iteration,
        old_image=found.image,
        new_image=pinned(image),
        label=file.label,
        compose_service="".join(service.compose_services),
        texts=file.texts,
        changes=file.changes,
    )


def _unpinned(request: UpdateRequest) -> Hold | None:
    if request.image.digest is not None:
        return None
    return Hold(
        Reason.NO_CANDIDATE, f"{request.image.text} has no digest, so nobody knows what would run", ""
    )


def _hold_of_run(found: SwarmService, tasks: Sequence[SwarmTask]) -> Hold | None:
    return jobs.hold_for(found, tasks) if found.is_job else None


def _file_change(
    service: ServiceConfig, observed: ObservedSwarmService, image: ImageRef, files: Files
) -> _FileChange | Hold:
    # A service that was made by `docker service create` has no file that could go stale.
    if not service.compose_files:
        return _FileChange()
    name = service.compose_services[0]
    text = stack_file.read(service.compose_files, name, files)
    if isinstance(text, Hold):
        return text
    # The file would name an image that was never deployed, and the next `docker stack deploy` would bring it.
    drift = None if service.allow_drift else stack_file.difference(text, observed.current)
    if drift is not None:
        return drift
    is_pinned = service.policy.pin_digest or "@" in (text.image or "")
    wanted = image if is_pinned else replace(image, digest=None)
    changes = stack_file.edits(text, name, wanted)
    if isinstance(changes, Hold):
        return changes
    after = {change.path: change.after for change in changes}
    renewed = tuple(replace(file, text=after.get(file.path, file.text)) for file in text.files)
    found = stack_file.located(renewed, name)
    return _FileChange(text.sources, changes, found.image if found else None)


def _is_well(found: SwarmService, tasks: Sequence[SwarmTask]) -> bool:
    """Return whether what runs does well; of a job, which need not run, nothing else is known."""
    return found.is_job or gate.is_steady(found, tasks, found.image)


def _order(found: SwarmService) -> str:
    # The engine's default, which it leaves out of the spec.
    return found.update_config.get("Order") or "stop-first"


def _how_many(found: SwarmService) -> str:
    if found.is_job:
        count = "once on each node" if found.completions is None else f"to {found.completions} completions"
        return f"a job, which runs at once, {count}"
    count = "a task on each node" if found.replicas is None else f"{found.replicas} tasks"
    # Left out means one.
    at_once = int(found.update_config.get("Parallelism") or 1)
    return f"{count}, {'one' if at_once == 1 else at_once} at a time, {_order(found)}"


def _healthcheck_seconds(found: SwarmService) -> float:
    """Return what the service's own healthcheck may take; an image's is not known to a manager."""
    raw = found.spec["TaskTemplate"]["ContainerSpec"].get("Healthcheck") or {}
    if not raw.get("Test") or raw["Test"][0] == "NONE":
        return 0.0
    seconds = {key: float(raw.get(key) or 0) / NANOSECONDS for key in ("Interval", "Timeout", "StartPeriod")}
    check = Healthcheck(
        seconds["Interval"] or 30.0,
        seconds["Timeout"] or 30.0,
        seconds["StartPeriod"],
        int(raw.get("Retries") or 3),
    )
    return slowest_verdict_seconds(check)

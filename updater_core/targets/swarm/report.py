"""What people are shown of a Swarm service: what a plan would change, and what an update would need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from updater_core.deploy.target import Finding
from updater_core.errors import UpdaterError
from updater_core.host import files
from updater_core.models import Hold, Plan, ServiceConfig
from updater_core.protocols import Compose, Files
from updater_core.targets import diff
from updater_core.targets.swarm import stack_file
from updater_core.targets.swarm.observed import ObservedSwarmService, hold_of
from updater_core.targets.swarm.plan import SwarmPlan


def plan_lines(plan: Plan[SwarmPlan]) -> list[str]:
    """Return the change of the spec and of the stack's file, a line each."""
    detail = plan.detail
    lines = [f"service:   {detail.swarm_service}: {detail.old_image} -> {detail.new_image}"]
    if not detail.changes:
        return [*lines, "file:      unchanged" if detail.texts else "file:      none is configured"]
    for change in detail.changes:
        lines += diff.lines_of(change)
    return lines


def findings(
    service: ServiceConfig, observed: ObservedSwarmService | Hold, given: Files, compose: Compose
) -> Iterator[Finding]:
    """Yield what stands in the way of an update of the service, or that it runs."""
    if isinstance(observed, Hold):
        yield Finding(False, service.name, f"held, {observed.reason}: {observed.detail}", observed.remedy)
        return
    found = observed.found
    of_stack = f" of stack {found.stack}" if found.stack else ""
    yield Finding(True, service.name, f"runs {found.image} as Swarm service {found.name}{of_stack}")
    held = hold_of(service, found)
    if held is not None:
        yield Finding(False, service.name, f"held, {held.reason}: {held.detail}", held.remedy)
    if service.compose_files:
        yield from _file_findings(service, observed, given, compose)


def _file_findings(
    service: ServiceConfig, observed: ObservedSwarmService, given: Files, compose: Compose
) -> Iterator[Finding]:
    objections = [problem for path in service.compose_files if (problem := files.objection(Path(path)))]
    if objections:
        yield from (Finding(False, service.name, *problem) for problem in objections)
        return
    text = stack_file.read(service.compose_files, service.compose_services[0], given)
    held = text if isinstance(text, Hold) else stack_file.difference(text, observed.current)
    if held is not None:
        yield Finding(False, service.name, f"held, {held.reason}: {held.detail}", held.remedy)
        return
    try:
        compose.stack_model(service.compose_files)
    except UpdaterError as error:
        yield Finding(False, service.name, str(error), error.remedy)

"""What the containers of a Compose group show and say, before a rollback removes those that failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from updater_core.deploy import evidence, health
from updater_core.errors import UpdaterError
from updater_core.logging_utils import redact
from updater_core.models import Container, Plan
from updater_core.protocols import Tools
from updater_core.targets.compose.plan import ComposePlan, parts
from updater_core.vocabulary.evidence import Evidence

_MOST_CONTAINERS = 3  # of a scaled service all fail alike


def collect(plan: Plan[ComposePlan], tools: Tools) -> tuple[Evidence, ...]:
    """Return what there is of the containers that do not do well.

    If all do, of those that run the new image: then something else found fault with them. Raises UpdaterError
    if the engine does not list them.
    """
    found = list(_containers(plan, tools))
    new_ids = {part.new_retained for part in parts(plan)}
    failed = [each for each in found if not health.is_well(each)]
    chosen = failed or [each for each in found if each.image_id in new_ids]
    chosen.sort(key=lambda each: each.image_id not in new_ids)
    return tuple(_of(each, tools) for each in chosen[:_MOST_CONTAINERS])


def without_secrets(text: str, containers: Sequence[Container], tools: Tools) -> str:
    """Return the text without secrets: those of the containers that it may quote, and those that we know."""
    found: set[str] = set()
    with suppress(UpdaterError):
        for container in containers:
            settings = tools.engine.settings(container.id)
            found |= evidence.secret_values(settings.environment) if settings else set()
    return evidence.cleaned(text, found, redact)


def _containers(plan: Plan[ComposePlan], tools: Tools) -> Iterator[Container]:
    """Yield the group's containers but for one-shots of success and what a killed Compose left."""
    for move in plan.detail.everyone:
        for container in tools.engine.containers(plan.detail.project.name, move.service):
            is_done = (
                (move.is_one_shot or move.may_end)
                and container.status == "exited"
                and container.exit_code == 0
            )
            if not is_done:
                yield container


def _of(container: Container, tools: Tools) -> Evidence:
    settings, log, problem = None, "", ""
    try:
        settings = tools.engine.settings(container.id)
        log = tools.engine.log_tail(container.id, evidence.LOG_LINES)
    except UpdaterError as error:  # a log driver that gives nothing back, above all
        problem = redact(str(error))
    if settings is None:
        log, problem = "", problem or "the container was gone already"  # its secrets are not known
    kept = evidence.of_container(container, log, settings.environment if settings else {}, redact)
    return replace(kept, log_problem=problem)

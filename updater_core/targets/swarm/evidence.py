"""What the failed tasks of a service show, and what their containers said if they ran on this host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from updater_core.deploy import evidence
from updater_core.errors import UpdaterError
from updater_core.logging_utils import redact
from updater_core.protocols import Engine
from updater_core.targets.swarm import facts
from updater_core.targets.swarm.facts import SwarmTask
from updater_core.vocabulary.evidence import Evidence

_MOST_TASKS = 3  # the tasks of a service fail alike
_ENDED = (facts.FAILED, facts.REJECTED, facts.COMPLETE)


def collect(tasks: Sequence[SwarmTask], spec: Mapping[str, Any], engine: Engine) -> tuple[Evidence, ...]:
    """Return what there is of the tasks that did not do well, those that ended first."""
    failed = [task for task in tasks if task.state != facts.RUNNING and task.container_id]
    failed.sort(key=lambda task: task.state not in _ENDED)
    return tuple(_of(task, spec, engine) for task in failed[:_MOST_TASKS])


def without_secrets(text: str, spec: Mapping[str, Any]) -> str:
    """Return the text, which may quote a task, without the secrets of the service's environment."""
    return evidence.cleaned(text, evidence.secret_values(_environment(spec)), redact)


def _of(task: SwarmTask, spec: Mapping[str, Any], engine: Engine) -> Evidence:
    """Return how a task ended, and its log; a container on another node is known by its task alone."""
    try:
        container = engine.container(task.container_id)
        log = engine.log_tail(task.container_id, evidence.LOG_LINES) if container else ""
    except UpdaterError:
        container, log = None, ""
    if container is not None:
        return evidence.of_container(container, log, _environment(spec), redact)
    seen = Evidence(
        f"task {task.id[:12]}", task.image, task.state, task.exit_code, log_problem="it ran on another node"
    )
    return replace(seen, error=without_secrets(task.error, spec))


def _environment(spec: Mapping[str, Any]) -> dict[str, str]:
    variables = (text.partition("=") for text in spec["TaskTemplate"]["ContainerSpec"].get("Env") or ())
    return {name: value for name, _, value in variables}

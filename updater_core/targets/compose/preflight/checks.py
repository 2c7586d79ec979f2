"""The preflight checks in order: all that an update, or a first start, would break or stumble over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from updater_core.composefile.definition import SourceFile
from updater_core.models import Hold, ServiceConfig
from updater_core.protocols import Engine
from updater_core.targets.compose.plan import Group
from updater_core.targets.compose.preflight import copies, facts, relative_paths, shortages, variables
from updater_core.targets.compose.preflight.facts import HostFacts
from updater_core.targets.compose.start_first import conditions

CHECKS: tuple[Callable[[HostFacts], Hold | None], ...] = (
    copies.second_copy,
    relative_paths.moved_bind,
    shortages.missing_path,
    shortages.missing_object,
    shortages.missing_ability,
    shortages.missing_container,
    shortages.taken_name,
    shortages.other_platform,
    shortages.undeclared_network,
    variables.missing_secret,
    variables.missing_variable,
    shortages.taken_port,
    conditions.obstacle,
)

# What a restart would break of a service that changes in nothing. What it shares goes with the group.
OF_DEPENDENTS: tuple[Callable[[HostFacts], Hold | None], ...] = (
    relative_paths.moved_bind,
    shortages.missing_path,
    shortages.missing_object,
    shortages.missing_ability,
    shortages.other_platform,
    shortages.undeclared_network,
    variables.missing_secret,
    variables.missing_variable,
)


def holds(
    service: ServiceConfig,
    group: Group,
    files: Sequence[SourceFile],
    env_files: Sequence[SourceFile],
    engine: Engine,
) -> Iterator[Hold]:
    """Yield every hold, in the order of the checks.

    `files`: the project's, `env_files`: those of its variables. Raises EngineError if the engine refuses,
    EngineUnavailable if it does not answer.
    """
    found = facts.collect(service, group, files, env_files, engine)
    for check in CHECKS:
        hold = check(found)
        if hold is not None:
            yield hold


def of_dependents(found: HostFacts) -> Iterator[Hold]:
    """Yield every hold for services that are only restarted, because another one is updated."""
    for check in OF_DEPENDENTS:
        hold = check(found)
        if hold is not None:
            yield hold

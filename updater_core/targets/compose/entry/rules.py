"""What is wrong with an entry that Compose deploys; Compose's line in the table of targets. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from updater_core.targets.compose.entry.options import HOW, WHERE
from updater_core.targets.compose.entry.settings import NAME
from updater_core.targets.kind import DeployedService, EntryRules, TargetKind, needs
from updater_core.vocabulary.handover import UpdateOrder
from updater_core.vocabulary.options.read_object import ReadObject, is_own, missing

_ELSEWHERE = (
    "the files and bind mounts of a Compose service are on its engine's host; run an updater there, or set "
    "DOCKER_HOST for this one if the files are here"
)


def problems(service: ReadObject, top: ReadObject) -> Iterator[str]:  # noqa: ARG001 - as every target's
    """Yield what is wrong with an entry."""
    yield from missing(service, "compose_file", "compose_service")
    if service.values["update_order"] is UpdateOrder.START_FIRST:
        return
    for key in ("drain_command", "drain_seconds"):
        if is_own(service, key):
            yield (
                f'{service.path(key)}: it is for start-first; write "update_order": "start-first" too, or '
                "take it out"
            )


def deployed(service: ReadObject) -> Sequence[DeployedService]:
    """Return the services that an entry means: by the project's own file, the first one."""
    values = service.values
    if not values["compose_file"]:
        return ()
    file, project = values["compose_file"][0], values["compose_project"]
    return [
        DeployedService(file, name, "compose_service", project) for name in values["compose_service"] or ()
    ]


KIND = TargetKind(
    NAME,
    "updater_core.targets.compose",
    "Compose",
    lambda given: True,  # noqa: ARG005 - the last of the table: what is not meant for another one
    EntryRules(problems, deployed, (needs("compose_file", "compose_service"),)),
    WHERE,
    HOW,
    instead={"engine": _ELSEWHERE, "run_jobs": "it is for the jobs of a Docker Swarm; take it out"},
)

"""A service's new spec from its old one, and back. Pure.

Four things are changed and nothing else: the image, the stack's label for it, the image's platforms, and, for
the length of an update, how the engine rolls it out. Whatever somebody else writes meanwhile stays.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from updater_core.models import ImageRef
from updater_core.reference import HUB
from updater_core.targets.swarm import facts
from updater_core.targets.swarm.facts import IMAGE_LABEL

NANOSECONDS = 1_000_000_000
_DEFAULT_MONITOR_SECONDS = 5.0  # the engine's own, if a spec does not say it
Spec = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SpecChange:
    """What an update writes.

    `label`: the text in the stack file, None = it stays; `platforms`: architecture and system of each that
    the image is for, None = they stay; `stable_seconds`: how long a task must stay well.
    """

    image: str
    label: str | None
    platforms: Sequence[tuple[str, str]] | None
    stable_seconds: float


def pinned(image: ImageRef) -> str:
    """Return the reference as the Docker CLI writes it: with tag and digest, short for Docker Hub.

    So the operator's next `stack deploy` finds the very same text.

    >>> pinned(ImageRef("docker.io", "library/nginx", "1.27", "sha256:00"))
    'nginx:1.27@sha256:00'
    """
    name = image.key
    if image.domain == HUB:
        name = image.repository.removeprefix("library/")
    tag = f":{image.tag}" if image.tag else ""
    digest = f"@{image.digest}" if image.digest else ""
    return f"{name}{tag}{digest}"


def updated(spec: Spec, change: SpecChange) -> dict[str, Any]:
    """Return the spec that starts an update."""
    new = copy.deepcopy(dict(spec))
    new["TaskTemplate"]["ContainerSpec"]["Image"] = change.image
    if change.label is not None and IMAGE_LABEL in (new.get("Labels") or {}):
        new["Labels"][IMAGE_LABEL] = change.label
    if change.platforms is not None:
        _set_platforms(new, [{"Architecture": arch, "OS": system} for arch, system in change.platforms])
    if not facts.is_job(spec):  # it may have no update config: the engine refuses the spec
        new["UpdateConfig"] = _careful(spec.get("UpdateConfig") or {}, change.stable_seconds)
    return new


def settled(spec: Spec, old: Spec) -> dict[str, Any]:
    """Return the spec with the operator's own way of rolling out, as it was in `old`.

    Writing it restarts no task.
    """
    new = copy.deepcopy(dict(spec))
    new.pop("UpdateConfig", None)
    if "UpdateConfig" in old:
        new["UpdateConfig"] = copy.deepcopy(old["UpdateConfig"])
    return new


def gone_back(spec: Spec, old: Spec) -> dict[str, Any]:
    """Return the spec with all that an update changes taken from `old`."""
    new = settled(spec, old)
    new["TaskTemplate"]["ContainerSpec"]["Image"] = old["TaskTemplate"]["ContainerSpec"]["Image"]
    label = (old.get("Labels") or {}).get(IMAGE_LABEL)
    if label is not None and new.get("Labels") is not None:
        new["Labels"][IMAGE_LABEL] = label
    _set_platforms(new, ((old["TaskTemplate"].get("Placement") or {}).get("Platforms")))
    return new


def going_back(spec: Spec, old: Spec) -> dict[str, Any]:
    """Return the spec of `gone_back`, rolled out without a pause between tasks.

    The engine must not stop halfway, and not roll back to the release that failed: there is nothing else to
    go to.
    """
    new = gone_back(spec, old)
    if facts.is_job(spec):
        return new
    own = {**(old.get("UpdateConfig") or {}), **(old.get("RollbackConfig") or {})}
    monitor = int(_DEFAULT_MONITOR_SECONDS * NANOSECONDS)
    rolled_out = {"FailureAction": "continue", "Delay": 0, "Monitor": monitor, "MaxFailureRatio": 0}
    new["UpdateConfig"] = {**own, **rolled_out, "Parallelism": own.get("Parallelism") or 1}
    return new


def delay_seconds(spec: Spec, stable_seconds: float) -> float:
    """Return how long the engine waits from one task to the next in an update of ours."""
    return float(_careful(spec.get("UpdateConfig") or {}, stable_seconds)["Delay"]) / NANOSECONDS


def _careful(own: Mapping[str, Any], stable_seconds: float) -> dict[str, Any]:
    """Return the operator's order and parallelism, so that a bad release cannot take every task with it.

    The engine takes the next task as soon as one runs, and looks for failures only when it has done so: a
    release that dies after some seconds is stopped in time only if the delay is longer than the time it is
    monitored for (measured on 26.1 and 28.5). No parallelism would mean all at once.
    """
    monitor = max(
        int(own.get("Monitor") or 0), int(max(stable_seconds, _DEFAULT_MONITOR_SECONDS) * NANOSECONDS)
    )
    return {
        **own,
        "Parallelism": own.get("Parallelism") or 1,
        "FailureAction": "rollback",
        "Monitor": monitor,
        "Delay": max(int(own.get("Delay") or 0), monitor + NANOSECONDS),
        "MaxFailureRatio": 0,
    }


def _set_platforms(spec: dict[str, Any], platforms: Any) -> None:
    placement = spec["TaskTemplate"].get("Placement")
    if platforms is None:
        if placement is not None:
            placement.pop("Platforms", None)
        return
    spec["TaskTemplate"]["Placement"] = {**(placement or {}), "Platforms": platforms}

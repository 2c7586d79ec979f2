"""Which nodes could run an image under a service's constraints. Pure.

The rules are those of swarmkit's scheduler (manager/constraint, manager/scheduler/filter.go): names without
regard to case, `==` and `!=` only, an empty architecture or system of the image fits every node.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from updater_core.models import Hold, Reason
from updater_core.targets.swarm.facts import SwarmNode, SwarmService

_CONSTRAINT = re.compile(r"\s*([\w.\-/]+)\s*(==|!=)\s*(.*?)\s*")
_SPELLINGS = {"x86_64": "amd64", "aarch64": "arm64"}
Platform = tuple[str, str]


def for_spec(platforms: Sequence[Platform]) -> tuple[Platform, ...]:
    """Return an image's platforms as they belong into a spec.

    A node calls its 32-bit ARM by variant (`armv7l`), an image does not, so that nothing is said of it.

    >>> for_spec([("amd64", "linux"), ("arm", "linux")])
    (('amd64', 'linux'), ('', 'linux'))
    """
    return tuple(("" if arch.lower() == "arm" else arch, system) for arch, system in platforms)


def platform_of(nodes: Sequence[SwarmNode]) -> str:
    """Return the platform of the first node that takes tasks, as images name it; else linux/amd64."""
    there = next((node for node in nodes if node.is_ready and node.is_active), None)
    return "linux/amd64" if there is None else f"{there.system}/{_arch(there)}"


def hold_for(service: SwarmService, platforms: Sequence[Platform], nodes: Sequence[SwarmNode]) -> Hold | None:
    """Return why an image cannot run on any node that the service may use; None if it can.

    An update that is written all the same stays `updating` for ever.
    """
    allowed = [node for node in nodes if _is_allowed(service, node)]
    fitting = [node for node in allowed if _fits(node, platforms)]
    if not fitting:
        found = ", ".join(sorted({f"{system}/{arch}" for arch, system in platforms}))
        have = ", ".join(sorted({f"{node.system}/{_arch(node)}" for node in allowed})) or "none"
        detail = f"the image is for {found}, and the nodes that {service.name} may use are {have}"
        remedy = "add a node of that platform, or change the placement constraints; nothing was written"
        return Hold(Reason.PLATFORM_MISSING if allowed else Reason.NO_SUITABLE_NODE, detail, remedy)
    if not any(node.is_ready and node.is_active for node in fitting):
        names = ", ".join(node.name for node in fitting)
        detail = f"the nodes that could run the image are away or drained ({names})"
        return Hold(Reason.NO_SUITABLE_NODE, detail, "bring one back (`docker node ls`); nothing was written")
    return None


def _is_allowed(service: SwarmService, node: SwarmNode) -> bool:
    placement = service.spec["TaskTemplate"].get("Placement") or {}
    return all(_is_met(text, node) for text in placement.get("Constraints") or ())


def _is_met(constraint: str, node: SwarmNode) -> bool:
    """Return whether a node meets a constraint; one that is not understood (`node.ip`) the engine decides."""
    match = _CONSTRAINT.fullmatch(constraint)
    if match is None or match[1].lower() == "node.ip":
        return True
    facts = {key.lower(): value for key, value in node.facts.items()}
    is_same = facts.get(match[1].lower(), "").lower() == match[3].lower()
    return is_same if match[2] == "==" else not is_same


def _fits(node: SwarmNode, platforms: Sequence[Platform]) -> bool:
    if not platforms:
        return True
    return any(
        arch in ("", _arch(node)) and system in ("", node.system) for arch, system in for_spec(platforms)
    )


def _arch(node: SwarmNode) -> str:
    return _SPELLINGS.get(node.architecture, node.architecture)

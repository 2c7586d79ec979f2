"""The managers' engines, and which of them cannot be trusted with an update. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from updater_core.models import Hold, Reason
from updater_core.targets.swarm.facts import SwarmNode

# 20.10.8 and older do not roll back rightly (moby/moby#37972), and none before 23 is maintained
_OLDEST_MAJOR = 23


def hold_for(nodes: Sequence[SwarmNode]) -> Hold | None:
    """Return that a manager's engine is too old for an update: each may become the one that leads it.

    A version that cannot be read is taken for a new one.

    >>> hold_for([])
    """
    old = [node for node in nodes if node.is_manager and _is_old(node.engine)]
    if not old:
        return None
    names = ", ".join(f"{node.name} has {node.engine}" for node in old)
    detail = (
        f"a manager's Docker Engine is older than {_OLDEST_MAJOR} ({names}), and does not roll back rightly"
    )
    remedy = (
        f"update Docker on it to {_OLDEST_MAJOR} or newer, or demote it: `docker node demote {old[0].name}`"
    )
    return Hold(Reason.ENGINE_TOO_OLD, detail, remedy)


def _is_old(version: str) -> bool:
    major = re.match(r"(\d+)\.", version)
    return major is not None and 0 < int(major[1]) < _OLDEST_MAJOR

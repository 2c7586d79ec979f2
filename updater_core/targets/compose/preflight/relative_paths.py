"""Relative mounts of a stack that was started from a path which is elsewhere on this host.

Pure, but for links.
"""

from __future__ import annotations

import os

from updater_core.host.engine.label_paths import is_within
from updater_core.models import Hold, Reason
from updater_core.targets.compose.preflight import needs
from updater_core.targets.compose.preflight.facts import Deployed, HostFacts

_WORKING_DIR = "com.docker.compose.project.working_dir"


def moved_bind(facts: HostFacts) -> Hold | None:
    """Return a hold that names the first mount which an `up` from this folder would take from elsewhere.

    A manager's container makes `./data` from its own path, and the engine took that path for one of the host.
    From the host's folder the same text means another place: the service would start on empty data.
    """
    for deployed in facts.own:
        path = _moved_path(deployed, facts)
        if path is not None:
            service, now = deployed.container.service, deployed.container.labels[_WORKING_DIR]
            directory = facts.group.project.directory
            return Hold(
                Reason.RELATIVE_BIND,
                (
                    f"{service} has {path} mounted, a relative path of {now}; from {directory} it would be "
                    "another folder"
                ),
                (
                    f"update it where it was started; or write {path} in its compose file and deploy it "
                    "there once"
                ),
            )
    return None


def _moved_path(deployed: Deployed, facts: HostFacts) -> str | None:
    started_in = deployed.container.labels.get(_WORKING_DIR, "")
    if not started_in or os.path.realpath(started_in) == os.path.realpath(facts.group.project.directory):
        return None
    service = deployed.container.service
    wanted = {need.path for need in needs.of_group(facts.group) if need.service == service}
    sources = sorted(path for path, _ in deployed.settings.binds if is_within(path, started_in))
    return next((path for path in sources if path not in wanted), None)

"""Which container this process runs in: an updater never restarts itself in the middle of its own work."""

from __future__ import annotations

import re
from pathlib import Path

_MOUNTS, _CGROUPS = Path("/proc/self/mountinfo"), Path("/proc/self/cgroup")
# Docker bind-mounts hostname, hosts and resolv.conf of each container from its own folder; with cgroup v1 the
# container's id is the last part of each group's path.
_MOUNTED = re.compile(r"/containers/([0-9a-f]{64})/(?:hostname|hosts|resolv\.conf) ")
_GROUPED = re.compile(r"[/-]([0-9a-f]{64})(?:\.scope)?$", re.MULTILINE)


def own_container_id(mounts: Path = _MOUNTS, cgroups: Path = _CGROUPS) -> str | None:
    """Return the full id of the container that this process runs in, or None if it runs in none."""
    for path, pattern in ((mounts, _MOUNTED), (cgroups, _GROUPED)):
        found = pattern.search(_text_of(path))
        if found:
            return found[1]
    return None


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

"""Whether the engine runs on the host that this process sees, and what is in a folder of that host."""

from __future__ import annotations

import os

from updater_core.errors import EngineError
from updater_core.host import engine_endpoint
from updater_core.host.own_container import own_container_id


def is_host_ours() -> bool:
    """Return whether the engine's paths and ports are those that this process sees."""
    try:
        endpoint = engine_endpoint.resolve(os.environ).host
    except EngineError:
        return False
    return endpoint.startswith("unix://") and own_container_id() is None


def may_hold_files(folder: str) -> bool:
    """Return whether something may be in a folder of the engine's host; in one that we cannot see it may."""
    try:
        return not is_host_ours() or any(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True

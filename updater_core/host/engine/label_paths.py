"""Paths in Compose's labels as a manager's container (Portainer, Dockge …) wrote them, as paths of this host.

Such a manager runs Compose inside its own container, so that a label says
`/data/compose/3/docker-compose.yml` for what lies elsewhere on the host. What its container has mounted tells
where; else the configuration's `path_map` does.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from itertools import accumulate

from updater_core.models import Container

Folder = tuple[str, str]  # as the label says it, and the same folder on this host

_LABEL = "com.docker.compose.project."
_PATHS = (f"{_LABEL}config_files", f"{_LABEL}working_dir", f"{_LABEL}environment_file")


def is_lost(container: Container) -> bool:
    """Return whether the first file that a container's label names is not on this host."""
    return bool(container.labels.get(_PATHS[0])) and _first_file(container) is None


def with_host_paths(
    container: Container, configured: Iterable[Folder], mounted: Iterable[Folder]
) -> Container:
    """Return the container with labels that lead to its files on this host; as it is if nothing leads there.

    A configured folder counts even if the label's own path is there too; a mounted one only if it is not, and
    only if all that lead to a file lead to the same one.
    """
    for folder in sorted(configured, key=_length, reverse=True):
        moved = _moved(container, folder)
        if moved is not None:
            return moved
    if not is_lost(container):
        return container
    found = [moved for folder in mounted if (moved := _moved(container, folder)) is not None]
    files = {os.path.realpath(_first_file(each) or "") for each in found}
    return found[0] if len(files) == 1 else container


def is_within(path: str, folder: str) -> bool:
    """Return whether a path is a folder, or lies in it.

    >>> is_within("/data/compose/3", "/data"), is_within("/database", "/data")
    (True, False)
    """
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


def _length(folder: Folder) -> int:
    return len(folder[0])


def _moved(container: Container, folder: Folder) -> Container | None:
    """Return the container with its labels' paths in the other folder, or None if no file is there."""
    labels = {key: _paths(container.labels[key], folder) for key in _PATHS if key in container.labels}
    moved = replace(container, labels={**container.labels, **labels})
    is_same = moved.labels == container.labels
    return None if is_same or _first_file(moved) is None else moved


def _paths(text: str, folder: Folder) -> str:
    """Return a list of paths, with those that lie in the first folder moved to the other."""
    inner, outer = folder
    return ",".join(
        outer + path[len(inner) :] if is_within(path, inner) else path for path in text.split(",")
    )


def _first_file(container: Container) -> str | None:
    """Return the first file of the label: a comma separates two of them, or is a part of its name."""
    directory = container.labels.get(_PATHS[1], "/")
    for text in accumulate(container.labels[_PATHS[0]].split(","), "{},{}".format):
        path = os.path.join(directory, text)  # noqa: PTH118
        if os.path.isfile(path):  # noqa: PTH113 - Path's own raises for a folder that may not be entered
            return path
    return None

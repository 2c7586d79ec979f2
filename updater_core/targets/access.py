"""The commands by which root lets the updater at all files of the projects on a host, each once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from updater_core.host import files, permissions


def grants(paths: Iterable[str], folders: Sequence[str]) -> tuple[str, ...]:
    """Return the commands, each once, that let this user read and edit these files; none if it may already.

    `folders`: those of the projects. If one lies behind a closed folder nobody can see from here what is in
    it, so that whatever Compose may read there by its name is granted too: an `.env`, what is included."""
    blocked = [
        path for path in dict.fromkeys(paths) if is_there_or_closed(path) and files.objection(Path(path))
    ]
    commands = [command for path in blocked for command in permissions.grants(Path(path))]
    hidden = [folder for folder in dict.fromkeys(folders) if permissions.closed_above(Path(folder) / "any")]
    commands += [permissions.folder_grants(Path(folder)) for folder in hidden]
    return tuple(dict.fromkeys(commands))


def is_there_or_closed(path: str) -> bool:
    """Return whether a file is there, or may be there behind a folder that this user may not enter."""
    return os.path.exists(path) or permissions.closed_above(Path(path)) is not None  # noqa: PTH110

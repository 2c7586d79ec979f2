"""How a project was started: what a container's labels say of it, and the command that means it again.

A bare `docker compose up -d web` in the folder of a project that was started with `-p` or `-f` would start a
second one on the same data, so that the commands of remedies have the options that the folder does not imply.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from updater_core.models import Container, Project

_PREFIX = "com.docker.compose.project."
# What Compose takes without `-f`, the first that is there of each (compose-go, cli/options.go).
_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)


def started_from(container: Container) -> Project:
    """Return the project of a container by its labels; without files if they are not there any more."""
    return project_by_labels(container, listed_files(container) or ())


def project_by_labels(container: Container, files: tuple[str, ...]) -> Project:
    """Return the project that a container's labels name, started from these files."""
    labels = container.labels
    directory = labels.get(f"{_PREFIX}working_dir") or str(Path(files[0]).parent if files else "/")
    env_files = tuple(
        _operators_path(path) for path in labels.get(f"{_PREFIX}environment_file", "").split(",") if path
    )
    return Project(container.project, directory, files, env_files)


def listed_files(container: Container) -> tuple[str, ...] | None:
    """Return the config files of a container's label, absolute; None if they are not all there.

    A comma both separates them and may be part of a name, so pieces are joined until each is a file.
    """
    text = container.labels.get(f"{_PREFIX}config_files", "")
    directory = container.labels.get(f"{_PREFIX}working_dir", "/")
    files: list[str] = []
    piece = ""
    for part in text.split(",") if text else []:
        piece = f"{piece},{part}" if piece else part
        path = _operators_path(str(Path(directory) / piece))  # Compose v1 writes them relative
        if os.path.isfile(path):  # noqa: PTH113 - Path's own raises for a folder that may not be entered
            files.append(path)
            piece = ""
    # A rest that is no file means that the label cannot be taken apart, or that a file is gone; to go on with
    # a part of the files would deploy another project than the operator's.
    return tuple(files) if files and not piece else None


def _operators_path(path: str) -> str:
    """Return the operator's file that a path means: itself, or what our fallback copy was for.

    `files.write_beside` makes such copies.

    >>> _operators_path("/srv/.compose.yml.dau-" + "0" * 32)
    '/srv/compose.yml'
    """
    return re.sub(r"/\.([^/]+)\.dau-[0-9a-f]{32}$", r"/\1", path)


def by_hand(project: Project, words: str) -> str:
    """Return the command for an operator in the project's folder, with the options that it does not imply.

    >>> by_hand(Project("prod", "/srv/shop", ("/srv/shop/base.yml",), ("/srv/a b.env",)), "up -d web")
    "docker compose -p prod -f /srv/shop/base.yml --env-file '/srv/a b.env' up -d web"
    """
    return " ".join(["docker compose", *map(shlex.quote, _options(project)), words])


def spelt_out(remedy: str, project: Project) -> str:
    """Return a remedy whose commands of Compose have the options of this project.

    >>> spelt_out("run `docker compose pull web`", Project("prod", "/srv/shop", ("/srv/shop/base.yml",)))
    'run `docker compose -p prod -f /srv/shop/base.yml pull web`'
    """
    return remedy.replace("`docker compose ", f"`{by_hand(project, '')}")


def by_hand_of(container: Container, words: str) -> str:
    """Return the command for the project that a container was started with."""
    return by_hand(started_from(container), words)


def default_project_name(compose_file: str) -> str:
    """Return what Compose calls a project that nobody named: its `name:`, else its directory, simplified.

    https://docs.docker.com/compose/how-tos/project-name/
    """
    name = None
    try:
        document = yaml.safe_load(Path(compose_file).read_bytes())
        name = document.get("name") if isinstance(document, dict) else None
    except (OSError, yaml.YAMLError):
        pass
    # Compose drops what is not allowed in a project's name, and does not replace it.
    return re.sub(r"[^a-z0-9_-]", "", str(name or Path(compose_file).parent.name).lower()).lstrip("_-")


def _options(project: Project) -> Iterator[str]:
    first = project.files[0] if project.files else ""
    if project.name != default_project_name(first):
        yield from ("-p", project.name)
    if project.files != _implied_files(project.directory):
        if project.files and project.directory != str(Path(first).parent):
            yield from ("--project-directory", project.directory)
        for path in project.files:
            yield from ("-f", path)
    for path in project.env_files:
        yield from ("--env-file", path)


def _implied_files(directory: str) -> tuple[str, ...]:
    found = (_first_there(directory, names) for names in (_FILES, _OVERRIDES))
    return tuple(path for path in found if path)


def _first_there(directory: str, names: Sequence[str]) -> str:
    paths = (f"{directory}/{name}" for name in names)
    return next((path for path in paths if Path(path).is_file()), "")

"""Whether `up` would change more of a service than its image: then its operator edited something and has not deployed
it, and does that alone.

A dry run tells it if the same Compose made the container and the tag still names its image; each of these alone makes a
recreate. If they do not hold, and for a Compose whose dry run is not there or cannot be read, what the file says is
compared with what the container was created with.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from updater_core import reference
from updater_core.models import Container, ContainerSettings, Project
from updater_core.protocols import Compose, Engine, Preview
from updater_core.targets.compose.outlook import would_change
from updater_core.targets.compose.plan import Move
from updater_core.targets.compose.reading.leftover import is_leftover

_IMAGE_LABEL, _VERSION_LABEL = "com.docker.compose.image", "com.docker.compose.version"


@dataclass(frozen=True, slots=True)
class Reading:
    """A project as Compose reads it now: its model, and what a dry run of `up` says of the group."""

    project: Project
    model: Mapping[str, Any]
    preview: Preview | None


def of_all(
    moves: Sequence[Move], companions: Sequence[Move], reading: Reading, engine: Engine, compose: Compose
) -> str | None:
    """How a service of the group differs from its file by more than the image, or one that is restarted with it by
    anything, in words; None if none does."""
    found = _of_unit(moves, reading, engine, compose)
    return found or _of_companions(companions, reading, engine, compose)


def _of_unit(moves: Sequence[Move], reading: Reading, engine: Engine, compose: Compose) -> str | None:
    for move in moves:
        for container in _containers(move, reading, engine):
            if not _is_same_reference(container.reference, move.old_reference):
                return f"{move.service} was started from {container.reference}, its file says {move.old_reference}"
            found = _difference(container, move, reading, engine, compose)
            if found is not None:
                return found
    return None


def _of_companions(companions: Sequence[Move], reading: Reading, engine: Engine, compose: Compose) -> str | None:
    for move in companions:
        for container in _containers(move, reading, engine):
            named = engine.image(move.old_reference)
            if named is None or named.id != container.image_id:
                return f"{move.service} runs another image than {move.old_reference} names on this host"
            found = _difference(container, move, reading, engine, compose)
            if found is not None:
                return found
    return None


def _containers(move: Move, reading: Reading, engine: Engine) -> Iterator[Container]:
    """Those of a service but what a killed Compose left, which nobody has deployed."""
    return (each for each in engine.containers(reading.project.name, move.service) if not is_leftover(each))


def _difference(container: Container, move: Move, reading: Reading, engine: Engine, compose: Compose) -> str | None:
    if reading.preview is not None:
        if not would_change(reading.preview, container.name):
            return None
        if _is_conclusive(container, move, engine, compose):
            return f"{move.service} differs from its file by more than the image"
    settings = engine.settings(container.id)
    facts = reading.model.get("services", {}).get(move.service)
    what = settings_difference(facts, settings) if facts and settings else None
    return f"{move.service} differs from its file: {what}" if what else None


def _is_conclusive(container: Container, move: Move, engine: Engine, compose: Compose) -> bool:
    """Whether neither another Compose nor a tag that was moved explains that a dry run would recreate a container."""
    made_from = container.labels.get(_IMAGE_LABEL)
    made_by = container.labels.get(_VERSION_LABEL)
    if made_from is None or made_by is None or _release(made_by) != _release(compose.version):
        return False
    named = engine.image(move.old_reference)
    return named is not None and named.id == made_from


def settings_difference(facts: Mapping[str, Any], settings: ContainerSettings) -> str | None:
    """What a service's model says that its container was not created with: of variables, command, entry point, bind
    mounts, published ports; None if all of it is there. Values are not named, for they may be secret.

    >>> settings_difference({"environment": {"A": "1", "B": None}}, ContainerSettings(environment={"A": "2"}))
    'environment A'
    >>> settings_difference({"command": "sleep 5"}, ContainerSettings(command=("sleep", "5"))) is None
    True
    """
    for name, value in _environment(facts).items():
        if settings.environment.get(name) != value:
            return f"environment {name}"
    for key, words in (("command", settings.command), ("entrypoint", settings.entrypoint)):
        if facts.get(key) and _words(facts[key]) != words:
            return key
    if not _binds(facts) <= settings.binds:
        return "volumes"
    return None if _ports(facts) <= settings.ports else "ports"


def _environment(facts: Mapping[str, Any]) -> dict[str, str]:
    """The variables that have a value; `config` doubles every dollar sign, for its output is a compose file again."""
    found = facts.get("environment") or {}
    pairs = found.items() if isinstance(found, Mapping) else (str(each).partition("=")[::2] for each in found)
    return {str(name): _plain(value) for name, value in pairs if value is not None}


def _words(written: object) -> tuple[str, ...]:
    return tuple(map(_plain, written if isinstance(written, list) else shlex.split(str(written))))


def _plain(value: object) -> str:
    return str(value).replace("$$", "$")


def _binds(facts: Mapping[str, Any]) -> set[tuple[str, str]]:
    mounts = [each for each in facts.get("volumes") or () if isinstance(each, Mapping)]
    binds = [each for each in mounts if each.get("type") == "bind"]
    return {(_place(each.get("source")), _place(each.get("target"))) for each in binds}


def _place(path: object) -> str:
    """As the engine writes it: `/data/` is /data there."""
    return posixpath.normpath(_plain(path))


def _ports(facts: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Published and own port, where one number is published; a range is shared out by Compose."""
    ports = (each for each in facts.get("ports") or () if isinstance(each, Mapping))
    return {
        (str(each["published"]), f"{each.get('target')}/{each.get('protocol', 'tcp')}")
        for each in ports
        if str(each.get("published") or "").isdigit()
    }


def _is_same_reference(one: str, other: str) -> bool:
    try:
        left, right = (reference.with_default_tag(reference.parse(text)) for text in (one, other))
    except ValueError:
        return True  # an id instead of a name says nothing of a file
    return (left.key, left.tag, left.digest) == (right.key, right.tag, right.digest)


def _release(version: str) -> tuple[str, ...]:
    """The three numbers that Compose puts on its containers, of a version that a distribution adds its own to.

    >>> _release("2.26.1-4"), _release("2.24.6+ds1-0ubuntu1~22.04.1")
    (('2', '26', '1'), ('2', '24', '6'))
    """
    return tuple(re.findall(r"\d+", version)[:3])

"""Drift: what `up` would change of a service besides its image, as its operator edited but did not deploy it.

Their edit is theirs to deploy. A dry run tells it if the same Compose made the container and the tag still
names its image; each of these alone makes a recreate. If they do not hold, and for a Compose whose dry run is
not there or cannot be read, what the file says is compared with what the container was created with.
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
from updater_core.targets.compose.preflight import mounts
from updater_core.targets.compose.reading.leftover import is_leftover

NETWORKS, VOLUMES = "networks", "volumes"
_COPY_FIRST = "it would start on what is there: copy the data over before, if they are to be kept"
_IMAGE_LABEL, _VERSION_LABEL = "com.docker.compose.image", "com.docker.compose.version"


@dataclass(frozen=True, slots=True)
class Reading:
    """A project as Compose reads it now: its model, and what a dry run of `up` says of the group."""

    project: Project
    model: Mapping[str, Any]
    preview: Preview | None


@dataclass(frozen=True, slots=True)
class Drift:
    """A service that differs from its file.

    `part`: in what, as `difference` says it; empty if that is not known. `caution`: what to do before its
    file is deployed.
    """

    service: str
    detail: str
    part: str = ""
    caution: str = ""


def of_all(
    moves: Sequence[Move], dependents: Sequence[Move], reading: Reading, engine: Engine, compose: Compose
) -> Drift | None:
    """Return how the group differs from its files by more than the image; None if it does not.

    What is restarted with the group must not differ by anything.
    """
    found = _of_group(moves, reading, engine, compose)
    return found or _of_dependents(dependents, reading, engine, compose)


def _of_group(moves: Sequence[Move], reading: Reading, engine: Engine, compose: Compose) -> Drift | None:
    for move in moves:
        for container in _containers(move, reading, engine):
            # Compared first: a file that names another image was edited and not deployed, whatever else is
            # the same.
            if not is_same_reference(container.reference, move.old_reference):
                what = (
                    f"{move.service} was started from {container.reference}, its file says "
                    f"{move.old_reference}"
                )
                return Drift(move.service, what, "image")
            found = _difference(container, move, reading, engine, compose)
            if found is not None:
                return found
    return None


def _of_dependents(
    dependents: Sequence[Move], reading: Reading, engine: Engine, compose: Compose
) -> Drift | None:
    for move in dependents:
        for container in _containers(move, reading, engine):
            named = engine.image(move.old_reference)
            if named is None or named.id != container.image_id:
                what = f"{move.service} runs another image than {move.old_reference} names on this host"
                return Drift(move.service, what)
            found = _difference(container, move, reading, engine, compose)
            if found is not None:
                return found
    return None


def _containers(move: Move, reading: Reading, engine: Engine) -> Iterator[Container]:
    """Return those of a service but what a killed Compose left, which nobody has deployed."""
    return (each for each in engine.containers(reading.project.name, move.service) if not is_leftover(each))


def _difference(
    container: Container, move: Move, reading: Reading, engine: Engine, compose: Compose
) -> Drift | None:
    settings = engine.settings(container.id)
    if reading.preview is not None and not would_change(reading.preview, container.name):
        unseen = _unseen_difference(reading.model, container, settings) if settings else None
        return _named(move, unseen, reading.model, settings) if unseen and settings else None
    part = difference(reading.model, container, settings) if settings else None
    if part and settings:
        return _named(move, part, reading.model, settings)
    if reading.preview is not None and _is_conclusive(container, move, engine, compose):
        return Drift(move.service, f"{move.service} differs from its file by more than the image")
    return None


def _named(move: Move, part: str, model: Mapping[str, Any], settings: ContainerSettings) -> Drift:
    wanted = mounts.of_service(model, move.service)
    lost = [(name, place) for name, place in settings.volumes if wanted.volumes.get(place) != name]
    replaced = mounts.replaced(sorted(lost), wanted) if part == VOLUMES else ""
    if replaced:
        return Drift(move.service, f"{move.service} has {replaced}", part, _COPY_FIRST)
    return Drift(move.service, f"{move.service} differs from its file: {part}", part)


def _is_conclusive(container: Container, move: Move, engine: Engine, compose: Compose) -> bool:
    """Return whether a dry run's recreate means drift, and not another Compose or a tag that was moved."""
    made_from = container.labels.get(_IMAGE_LABEL)
    made_by = container.labels.get(_VERSION_LABEL)
    # Another Compose makes another configuration hash, and recreates what nobody has edited.
    if made_from is None or made_by is None or _release(made_by) != _release(compose.version):
        return False
    named = engine.image(move.old_reference)
    # After a pull by hand the dry run recreates for the image alone.
    return named is not None and named.id == made_from


def difference(model: Mapping[str, Any], container: Container, settings: ContainerSettings) -> str | None:
    """Return what a model says of a service that its container was not created with; None if nothing.

    As `settings_difference`, and `labels NAME`, `volumes`, `networks`.
    """
    facts = (model.get("services") or {}).get(container.service) or {}
    part = settings_difference(facts, settings)
    if part is not None:
        return part
    for name, value in _pairs(facts.get("labels")).items():
        if container.labels.get(name) != value:
            return f"labels {name}"
    return _unseen_difference(model, container, settings)


def _unseen_difference(
    model: Mapping[str, Any], container: Container, settings: ContainerSettings
) -> str | None:
    """Return a difference in the engine's names of volumes or networks, which Compose does not look at."""
    if not _named_volumes(model, container.service) <= settings.volumes:
        return VOLUMES
    facts = (model.get("services") or {}).get(container.service) or {}
    return None if _networks(model, facts) <= settings.networks else NETWORKS


def settings_difference(facts: Mapping[str, Any], settings: ContainerSettings) -> str | None:
    """Return a setting of a service's model that its container was not created with; None if all are there.

    Variables, command, entry point, bind mounts and published ports are compared. Values are not named, for
    they may be secret.

    >>> settings_difference({"environment": {"A": "1", "B": None}}, ContainerSettings(environment={"A": "2"}))
    'environment A'
    >>> settings_difference({"command": "sleep 5"}, ContainerSettings(command=("sleep", "5"))) is None
    True
    """
    for name, value in _pairs(facts.get("environment")).items():
        if settings.environment.get(name) != value:
            return f"environment {name}"
    for key, words in (("command", settings.command), ("entrypoint", settings.entrypoint)):
        if facts.get(key) and _words(facts[key]) != words:
            return key
    # A subset and not equality: the engine adds mounts and ports of the image's own.
    if not _binds(facts) <= settings.binds:
        return VOLUMES
    return None if _ports(facts) <= settings.ports else "ports"


def _pairs(written: Any) -> dict[str, str]:
    """Return a mapping, or a list of `NAME=value`, those that have a value.

    `config` doubles every dollar sign, for its output is a compose file again.
    """
    found = written or {}
    pairs = found.items() if isinstance(found, Mapping) else (str(each).partition("=")[::2] for each in found)
    return {str(name): _plain(value) for name, value in pairs if value is not None}


def _networks(model: Mapping[str, Any], facts: Mapping[str, Any]) -> set[str]:
    """Return the engine's names of the networks that a service is to be in."""
    names = () if facts.get("network_mode") else facts.get("networks") or ()
    return {mounts.real_name(model, "networks", str(name)) for name in names}


def _named_volumes(model: Mapping[str, Any], service: str) -> set[mounts.Volume]:
    """Return the volumes that a service is to have, by the engine's names, with their places."""
    return {(name, place) for place, name in mounts.of_service(model, service).volumes.items()}


def _words(written: object) -> tuple[str, ...]:
    return tuple(map(_plain, written if isinstance(written, list) else shlex.split(str(written))))


def _plain(value: object) -> str:
    return str(value).replace("$$", "$")


def _binds(facts: Mapping[str, Any]) -> set[tuple[str, str]]:
    mounts = [each for each in facts.get("volumes") or () if isinstance(each, Mapping)]
    binds = [each for each in mounts if each.get("type") == "bind"]
    return {(_place(each.get("source")), _place(each.get("target"))) for each in binds}


def _place(path: object) -> str:
    """Return a path as the engine writes it: `/data/` is /data there."""
    return posixpath.normpath(_plain(path))


def _ports(facts: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return the published and the container's own port of each entry that publishes a single one.

    A range is shared out by Compose.
    """
    ports = (each for each in facts.get("ports") or () if isinstance(each, Mapping))
    return {
        (str(each["published"]), f"{each.get('target')}/{each.get('protocol', 'tcp')}")
        for each in ports
        if str(each.get("published") or "").isdigit()
    }


def is_same_reference(one: str, other: str) -> bool:
    """Return whether two texts name the same image, spelt alike or not; also if one of them names none."""
    try:
        left, right = (reference.with_default_tag(reference.parse(text)) for text in (one, other))
    except ValueError:
        return True  # an id instead of a name says nothing of a file
    return (left.key, left.tag, left.digest) == (right.key, right.tag, right.digest)


def _release(version: str) -> tuple[str, ...]:
    """Return the three numbers that Compose puts on its containers; distributions add their own behind them.

    >>> _release("2.26.1-4"), _release("2.24.6+ds1-0ubuntu1~22.04.1")
    (('2', '26', '1'), ('2', '24', '6'))
    """
    return tuple(re.findall(r"\d+", version)[:3])

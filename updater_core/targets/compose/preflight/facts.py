"""What the preflight checks look at, collected once: the update group, all else on the engine, the host.

Paths and ports of the host are looked at only if they are the engine's own: on its machine, outside a
container. From inside one only the project's folder is known to be the host's, for the files were read from
there.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from updater_core.composefile import env_values
from updater_core.composefile.definition import SourceFile
from updater_core.composefile.env_values import Environment
from updater_core.host.engine.own_host import is_host_ours
from updater_core.models import Container, ContainerSettings, ServiceConfig
from updater_core.protocols import Engine
from updater_core.targets.compose.plan import Group
from updater_core.targets.compose.preflight import needs
from updater_core.targets.compose.preflight.written import EnvFile, ProjectText, Text
from updater_core.targets.compose.reading.leftover import is_leftover

# Of the kernel's driver, on a PC, in WSL and on a Jetson: with none of them no container gets such a GPU.
_NVIDIA = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/dxg", "/dev/nvmap", "/dev/nvhost-ctrl")
# A paused container holds its ports and mounts like one that runs.
AT_WORK = ("running", "restarting", "paused")
_LISTENING = "0A"  # of TCP, in /proc/net; a bound UDP socket has 07
_PROC_NET = {"tcp": _LISTENING, "tcp6": _LISTENING, "udp": "07", "udp6": "07"}


@dataclass(frozen=True, slots=True)
class Deployed:
    """One container with what it was created with."""

    container: Container
    settings: ContainerSettings


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the preflight checks look at.

    `own`: the group's containers; `others`: every other container that is at work, of any project or of none.
    `texts`: what the files say of each service of the group. `environment`: what the project's env files
    set. `absent`: paths that the model needs and the host certainly does not have. `listening`:
    protocol, address and port of each socket of the host that waits for somebody.
    """

    service: ServiceConfig
    group: Group
    texts: Mapping[str, tuple[Text, ...]]
    environment: Environment
    own: tuple[Deployed, ...]
    others: tuple[Deployed, ...]
    absent: frozenset[str]
    listening: frozenset[tuple[str, str, int]]
    volumes: frozenset[str]
    networks: frozenset[str]
    image_variables: Mapping[str, frozenset[str]]  # by image id
    listed: tuple[Container, ...] = ()  # every container of the engine, in any state
    abilities: frozenset[tuple[str, str]] = frozenset()  # of the engine, as `needs.abilities` words them
    platforms: Mapping[str, str] = field(default_factory=dict)  # by image id
    lacks_nvidia: bool = False  # whether the host certainly has no driver of NVIDIA's


def collect(
    service: ServiceConfig,
    group: Group,
    files: Sequence[SourceFile],
    env_files: Sequence[SourceFile],
    engine: Engine,
) -> HostFacts:
    """Return the facts as they are now.

    Raises EngineError if the engine refuses, EngineUnavailable if it is away.
    """
    found = of_group(service, group, files, env_files, engine)
    ids = {each.container.id for each in found.own}
    listening = frozenset(_listening()) if is_host_ours() else frozenset[tuple[str, str, int]]()
    return replace(found, others=tuple(_others(ids, engine)), listening=listening)


def of_group(
    service: ServiceConfig,
    group: Group,
    files: Sequence[SourceFile],
    env_files: Sequence[SourceFile],
    engine: Engine,
) -> HostFacts:
    """Return the facts without what others have: no other container, and no socket of the host.

    Raises as `collect`.
    """
    own = tuple(_own(group, engine))
    images = {each.container.image_id: engine.image(each.container.image_id) for each in own}
    known = {image_id: image for image_id, image in images.items() if image}
    lacks_nvidia = is_host_ours() and all(_is_absent(each) for each in _NVIDIA)
    return HostFacts(
        service=service,
        group=group,
        texts=texts_of(group.services, group.model, ProjectText.of(files, env_files)),
        environment=env_values.environment(env_values.assignments(file.text) for file in env_files),
        own=own,
        others=(),
        absent=frozenset(_absent(group, is_whole_host_seen=is_host_ours())),
        listening=frozenset(),
        volumes=engine.volume_names(),
        networks=engine.network_names(),
        image_variables={image_id: image.variables for image_id, image in known.items()},
        listed=engine.all_containers(),
        abilities=frozenset(_abilities(group, engine)),
        platforms={image_id: image.platform for image_id, image in known.items()},
        lacks_nvidia=lacks_nvidia,
    )


def texts_of(
    services: Iterable[str], model: Mapping[str, Any], project: ProjectText
) -> Mapping[str, tuple[Text, ...]]:
    """Return what the files say of each service, with the env files it reads and the configs it takes."""
    found: dict[str, tuple[Text, ...]] = {}
    for service in services:
        read = [text for file in project.env_files(service) for text in _of_env_file(file)]
        used = needs.used((model.get("services") or {}).get(service) or {}, "configs")
        taken = [text for name in used for text in project.config_texts(name)]
        found[service] = (*read, *taken, *project.texts(service))
    return found


def _of_env_file(file: EnvFile) -> Iterator[Text]:
    """Yield the texts of an env file; one that is not there has none: it is optional, or Compose refuses."""
    try:
        content = Path(file.path).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return
    yield from file.texts(content)


def _own(group: Group, engine: Engine) -> Iterator[Deployed]:
    for service in sorted(group.services):
        for container in engine.containers(group.project.name, service):
            settings = engine.settings(container.id)
            if settings is not None and not is_leftover(container):
                yield Deployed(container, settings)


def _others(own_ids: set[str], engine: Engine) -> Iterator[Deployed]:
    for listed in engine.all_containers():
        # A stopped container holds no port; to inspect all of them would cost a request each.
        if listed.id in own_ids or listed.status not in AT_WORK:
            continue
        container, settings = engine.container(listed.id), engine.settings(listed.id)
        if container is not None and settings is not None:
            yield Deployed(container, settings)


def _abilities(group: Group, engine: Engine) -> Iterator[tuple[str, str]]:
    """Yield what the engine has of the kinds that the group needs; it is not asked for others."""
    kinds = {kind for _, kind, _ in needs.abilities(group)}
    if needs.RUNTIME in kinds:
        yield from ((needs.RUNTIME, name) for name in engine.runtimes())
    if needs.LOG_DRIVER in kinds:
        yield from ((needs.LOG_DRIVER, name) for name in engine.log_drivers())


def _absent(group: Group, *, is_whole_host_seen: bool) -> Iterator[str]:
    for need in needs.of_group(group):
        is_seen = is_whole_host_seen or Path(need.path).is_relative_to(group.project.directory)
        if is_seen and _is_absent(need.path):
            yield need.path


def _is_absent(path: str) -> bool:
    """Return whether a path is certainly not there; one in a folder that may not be entered is not known."""
    try:
        os.stat(path)  # noqa: PTH116 - one call, links followed
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _listening() -> Iterator[tuple[str, str, int]]:
    for name, state in _PROC_NET.items():
        for line in _lines(Path("/proc/net", name)):
            fields = line.split()
            if len(fields) > 3 and fields[3] == state and ":" in fields[1]:
                address, _, port = fields[1].partition(":")
                yield name.removesuffix("6"), _address(address), int(port, 16)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()[1:]
    except OSError:
        return []


def _address(text: str) -> str:
    """Return an address of `/proc/net` as people write it; empty for any address.

    Each four bytes are in the machine's own order. IPv4 in an IPv6 socket is IPv4.

    >>> _address("0100007F"), _address("00000000"), _address("0" * 32)
    ('127.0.0.1', '', '')
    >>> _address("00000000000000000000000001000000"), _address("0000000000000000FFFF00000100007F")
    ('::1', '127.0.0.1')
    """
    if not text.strip("0"):
        return ""
    words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    found = ipaddress.ip_address(b"".join(words))
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)

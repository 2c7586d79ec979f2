"""What an `up` of the group needs besides images: paths of the host, volumes, networks, ports. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from posixpath import join, normpath
from typing import Any

from updater_core.targets.compose.plan import Group
from updater_core.targets.compose.preflight import mounts

_ANY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104 - as the model spells them
RUNTIME, LOG_DRIVER, GPU = "runtime", "log driver", "GPU"
_SHIMS = ("io.containerd.", "/")  # found by their names, listed or not
_NO_PROFILE = ("unconfined", "builtin")
_NUMBERS = re.compile(r"(\d+)(?:-(\d+))?")
_NAMESPACES = {
    "network_mode": "shares the network of",
    "ipc": "shares the IPC namespace of",
    "pid": "shares the PID namespace of",
}
_NO_NETWORK_OF_ITS_OWN = frozenset({"host", "none", "service", "container"})


@dataclass(frozen=True, slots=True)
class Need:
    """A path of the host that a service needs, and what for, in words."""

    service: str
    path: str
    what: str


@dataclass(frozen=True, slots=True)
class Port:
    """A published port, or a range of which one is taken: `address` is empty for every address."""

    service: str
    address: str
    number: int
    last: int
    target: str  # its own port and protocol, `80/tcp`

    @property
    def protocol(self) -> str:
        """Return `tcp`, `udp` or `sctp`."""
        return self.target.rpartition("/")[2]


def of_group(group: Group) -> Iterator[Need]:
    """Yield every path of the host that an `up` of the group mounts, reads or passes through."""
    for service in sorted(group.services):
        facts = (group.model.get("services") or {}).get(service) or {}
        yield from _binds(group.model, service)
        yield from _devices(service, facts)
        yield from _profiles(group.project.directory, service, facts)
        for kind in ("secrets", "configs"):
            yield from _files(group.model, service, facts, kind)


def _binds(model: Mapping[str, Any], service: str) -> Iterator[Need]:
    own = mounts.of_service(model, service)
    for place, path in own.binds.items():
        yield Need(service, path, f"it is mounted at {place}")
    for place, name in own.volumes.items():
        for facts in _volumes_called(model, name):
            options = facts.get("driver_opts") or {}
            path = str(options.get("device") or "")
            if path.startswith("/") and "bind" in str(options.get("o") or "").split(","):
                yield Need(service, normpath(path), f"the volume {name} at {place} is bound to it")


def data_paths(model: Mapping[str, Any], service: str) -> list[str]:
    """Return the paths of the host that a service mounts, those that its volumes are bound to too."""
    return [need.path for need in _binds(model, service)]


def _volumes_called(model: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    for key, facts in (model.get("volumes") or {}).items():
        if facts and mounts.real_name(model, "volumes", key) == name:
            yield facts


def _devices(service: str, facts: Mapping[str, Any]) -> Iterator[Need]:
    for one in facts.get("devices") or ():
        path = str(one.get("source") or "") if isinstance(one, Mapping) else str(one).partition(":")[0]
        if path.startswith("/"):  # else a name by CDI, `vendor.com/gpu=all`
            yield Need(service, normpath(path), "it is passed through as a device")


def _profiles(directory: str, service: str, facts: Mapping[str, Any]) -> Iterator[Need]:
    """Yield the files of seccomp profiles, which Compose reads from the project's folder."""
    for one in facts.get("security_opt") or ():
        kind, _, path = str(one).replace("=", ":", 1).partition(":")
        if kind == "seccomp" and path and path not in _NO_PROFILE and not path.startswith("{"):
            yield Need(service, normpath(join(directory, path)), "it is its seccomp profile")


def abilities(group: Group) -> Iterator[tuple[str, str, str]]:
    """Yield each service with a kind of what it needs of the engine, and its name."""
    for service in sorted(group.services):
        facts = (group.model.get("services") or {}).get(service) or {}
        driver = str((facts.get("logging") or {}).get("driver") or "")
        runtime = str(facts.get("runtime") or "")
        if runtime and not runtime.startswith(_SHIMS):
            yield service, RUNTIME, runtime
        if driver and driver != "none":
            yield service, LOG_DRIVER, driver
        if any(map(_is_nvidia, _requested(facts))):
            yield service, GPU, "nvidia"


def _requested(facts: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the devices that a service reserves, by `deploy` or by `gpus`."""
    reservations = ((facts.get("deploy") or {}).get("resources") or {}).get("reservations") or {}
    for one in (*(reservations.get("devices") or ()), *(facts.get("gpus") or ())):
        if isinstance(one, Mapping):
            yield one


def _is_nvidia(request: Mapping[str, Any]) -> bool:
    """Return whether NVIDIA's driver is asked: by its name, or for a GPU by nobody's."""
    driver = str(request.get("driver") or "")
    return driver == "nvidia" or (not driver and "gpu" in (request.get("capabilities") or ("gpu",)))


def _files(model: Mapping[str, Any], service: str, facts: Mapping[str, Any], kind: str) -> Iterator[Need]:
    for key in used(facts, kind):
        path = str(((model.get(kind) or {}).get(key) or {}).get("file") or "")
        if path.startswith("/"):
            yield Need(service, normpath(path), f"the {kind.removesuffix('s')} {key} is read from it")


@dataclass(frozen=True, slots=True)
class Lender:
    """A container, by name or id, or a service whose containers `service` borrows something of.

    `what`: that, in words. `has_to_run`: whether it may not be stopped.
    """

    service: str
    name: str
    is_service: bool
    what: str
    has_to_run: bool


def lenders(group: Group) -> Iterator[Lender]:
    """Yield every container that the group lives in a namespace of, or has volumes or links of.

    The engine starts nothing without it, and joins no namespace of one that does not run.
    """
    for service in sorted(group.services):
        facts = (group.model.get("services") or {}).get(service) or {}
        for key, what in _NAMESPACES.items():
            kind, _, name = str(facts.get(key) or "").partition(":")
            if name and kind in ("container", "service"):
                yield Lender(service, name, kind == "service", what, has_to_run=True)
        for text in facts.get("volumes_from") or ():
            of_container = str(text).removeprefix("container:")
            is_service = of_container == text
            name = of_container.partition(":")[0]
            yield Lender(service, name, is_service, "has the volumes of", has_to_run=False)
        for text in facts.get("external_links") or ():
            yield Lender(service, str(text).partition(":")[0], False, "is linked to", has_to_run=False)


def used(facts: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    """Return the names of the secrets, configs or networks that a service takes.

    >>> used({"secrets": ["a", {"source": "b", "target": "/x"}]}, "secrets")
    ('a', 'b')
    """
    written = facts.get(kind) or ()
    return tuple(str(one.get("source") or "") if isinstance(one, Mapping) else str(one) for one in written)


def ports(group: Group) -> Iterator[Port]:
    """Yield every port of the host that a service of the group publishes, by number."""
    for service in sorted(group.services):
        facts = (group.model.get("services") or {}).get(service) or {}
        for one in facts.get("ports") or ():
            found = _NUMBERS.fullmatch(str(one.get("published") or "")) if isinstance(one, Mapping) else None
            if found is not None:
                target = f"{one.get('target')}/{one.get('protocol') or 'tcp'}"
                first, last = int(found[1]), int(found[2] or found[1])
                yield Port(service, _address(str(one.get("host_ip") or "")), first, last, target)


def _address(written: str) -> str:
    """Return an address as `str` of an `ipaddress` does; empty for any."""
    plain = written.strip("[]")
    if plain in _ANY_ADDRESS:
        return ""
    try:
        return str(ipaddress.ip_address(plain))
    except ValueError:
        return plain


def external(group: Group, kind: str) -> Iterator[tuple[str, str]]:
    """Yield each service with the engine's name of each external one of `kind` that it uses.

    `kind`: volumes or networks.
    """
    for service in sorted(group.services):
        facts = (group.model.get("services") or {}).get(service) or {}
        names = _named_volumes(group.model, service) if kind == "volumes" else _networks(facts)
        for key in names:
            if ((group.model.get(kind) or {}).get(key) or {}).get("external"):
                yield service, mounts.real_name(group.model, kind, key)


def networks(group: Group, service: str) -> frozenset[str]:
    """Return the engine's names of the networks that a service is to be in.

    Empty if it has none of its own, and if its Compose (v1) does not say.
    """
    facts = (group.model.get("services") or {}).get(service) or {}
    mode = str(facts.get("network_mode") or "")
    if mode:
        shared = mode.partition(":")[0] in _NO_NETWORK_OF_ITS_OWN
        return frozenset() if shared else frozenset({"bridge" if mode == "default" else mode})
    return frozenset(mounts.real_name(group.model, "networks", key) for key in _networks(facts))


def _named_volumes(model: Mapping[str, Any], service: str) -> list[str]:
    wanted = set(mounts.of_service(model, service).volumes.values())
    return [key for key in model.get("volumes") or {} if mounts.real_name(model, "volumes", key) in wanted]


def _networks(facts: Mapping[str, Any]) -> Sequence[str]:
    return [] if facts.get("network_mode") else [str(name) for name in facts.get("networks") or ()]

"""What the engine's JSON says of containers and images, as our values. Pure.

Field meanings are those of the Engine API (https://docs.docker.com/reference/api/engine/).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from posixpath import normpath
from typing import Any

from updater_core.models import Container, ContainerSettings, Healthcheck, Image
from updater_core.vocabulary.dated import ImageFacts
from updater_core.vocabulary.untrusted import visible

LABEL = "com.docker.compose."
_NANOSECONDS = 1_000_000_000
_LONGEST_LABEL = 500
# A build time before it is none: reproducible builds write 1970 or 1980.
_FIRST_IMAGES = 2013  # Docker's first year


@dataclass(frozen=True, slots=True)
class ListedMount:
    """A mount of a container: its place in it, the host's path, the volume's name; empty if not given."""

    place: str
    source: str
    volume: str


def is_member(labels: Mapping[str, str] | None) -> bool:
    """Return whether `up` made a container of a Compose service, and not `docker compose run`."""
    # Compose writes `True` and `False`; a container without the label is a service's.
    return (labels or {}).get(f"{LABEL}oneoff", "False").lower() != "true"


def is_of_compose(labels: Mapping[str, str] | None) -> bool:
    """Return whether a container belongs to a service of a Compose project."""
    given = labels or {}
    return f"{LABEL}project" in given and f"{LABEL}service" in given and is_member(given)


def from_list(raw: Mapping[str, Any]) -> Container:
    """Return an entry of `GET /containers/json`: without start time, restart count and health."""
    labels = _mapping(raw, "Labels")
    names = _list(raw, "Names")
    return Container(
        id=raw["Id"],
        name=names[0].lstrip("/") if names else "",
        project=labels.get(f"{LABEL}project", ""),
        service=labels.get(f"{LABEL}service", ""),
        image_id=raw["ImageID"],
        reference=raw["Image"],
        status=raw["State"],
        started_at="",
        restart_count=0,
        exit_code=_listed_exit_code(raw.get("Status", "")),
        labels=labels,
    )


def mounts(raw: Mapping[str, Any]) -> Iterator[ListedMount]:
    """Yield what an entry of `GET /containers/json` has mounted from the host."""
    for one in _list(raw, "Mounts"):
        if one.get("Type") in ("bind", "volume"):
            source = str(one.get("Source") or "").rstrip("/")
            yield ListedMount(
                str(one.get("Destination") or "").rstrip("/"), source, str(one.get("Name") or "")
            )


def _listed_exit_code(status: str) -> int:
    """Return the exit code in a list's `Exited (137) 2 minutes ago`, its only place there; 0 if none."""
    match = re.match(r"Exited \((\d+)\)", status)
    return int(match[1]) if match else 0


def from_inspect(raw: Mapping[str, Any]) -> Container:
    """Return what `GET /containers/ID/json` says of how a container does."""
    state, config, host = raw["State"], raw["Config"], raw["HostConfig"]
    labels = _mapping(config, "Labels")
    health = _mapping(state, "Health")
    return Container(
        id=raw["Id"],
        name=raw["Name"].lstrip("/"),
        project=labels.get(f"{LABEL}project", ""),
        service=labels.get(f"{LABEL}service", ""),
        image_id=raw["Image"],
        reference=config["Image"],
        status=state["Status"],
        started_at=state.get("StartedAt", ""),
        restart_count=raw.get("RestartCount", 0),
        exit_code=state.get("ExitCode", 0),
        error=state.get("Error", ""),
        oom_killed=bool(state.get("OOMKilled")),
        health=_health(health),
        health_log=_last_probe(health),
        healthcheck=_healthcheck(config.get("Healthcheck")),
        restart_policy=_text(_mapping(host, "RestartPolicy"), "Name", "no"),
        stop_grace_seconds=float(_number(config, "StopTimeout", 10)),
        joined=_joined(host),
        labels=labels,
    )


def settings(raw: Mapping[str, Any]) -> ContainerSettings:
    """Return what `GET /containers/ID/json` says of how a container was created."""
    config, host = raw["Config"], raw["HostConfig"]
    mounts = _list(raw, "Mounts")
    binds = [each for each in mounts if each.get("Type") == "bind"]
    volumes = [each for each in mounts if each.get("Name")]
    lenders = [str(each).partition(":")[0] for each in _list(host, "VolumesFrom")]
    return ContainerSettings(
        environment=_environment(config),
        command=tuple(_list(config, "Cmd")),
        entrypoint=tuple(_list(config, "Entrypoint")),
        binds=frozenset((normpath(each.get("Source", "")), _place(each)) for each in binds),
        ports=frozenset(_ports(host)),
        volumes=frozenset((each["Name"], _place(each)) for each in volumes),
        networks=frozenset(_mapping(_mapping(raw, "NetworkSettings"), "Networks")),
        volumes_from=tuple(lenders),
        has_memory_limit=_number(host, "Memory", 0) > 0,
    )


def _environment(config: Mapping[str, Any]) -> dict[str, str]:
    pairs = (text.partition("=") for text in _list(config, "Env"))
    return {name: value for name, _, value in pairs}


def _place(mount: Mapping[str, Any]) -> str:
    return normpath(str(mount.get("Destination", "")))


def _ports(host: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for own, places in _mapping(host, "PortBindings").items():
        for each in places or ():
            yield str(each.get("HostPort", "")), own


def _joined(host: Mapping[str, Any]) -> tuple[str, ...]:
    modes = [_text(host, key, "") for key in ("NetworkMode", "PidMode", "IpcMode")]
    return tuple(mode.removeprefix("container:") for mode in modes if mode.startswith("container:"))


def _health(health: Mapping[str, Any]) -> str | None:
    """Return None if there is no healthcheck; Podman has an empty text before the first probe."""
    status = str(health.get("Status", "none"))
    # `none` is Docker's word for a container without a healthcheck.
    return None if status == "none" else status


def _last_probe(health: Mapping[str, Any]) -> str:
    log = _list(health, "Log")
    # The output of a probe may be a whole page; it stands in one line of the log.
    text = re.sub(r"\s+", " ", str(log[-1].get("Output", ""))) if log else ""
    return text.strip()[:240]


def _healthcheck(raw: Mapping[str, Any] | None) -> Healthcheck | None:
    """Zero means the engine's default: 30 s interval, 30 s timeout, 3 retries."""
    test = _list(raw or {}, "Test")
    # `healthcheck: disable: true` leaves `NONE` there, by which an image's own check is switched off.
    if raw is None or not test or test[0] == "NONE":
        return None
    return Healthcheck(
        interval_seconds=_seconds(raw, "Interval", 30),
        timeout_seconds=_seconds(raw, "Timeout", 30),
        start_period_seconds=_seconds(raw, "StartPeriod", 0),
        retries=_number(raw, "Retries", 3),
    )


def _seconds(raw: Mapping[str, Any], key: str, default: int) -> float:
    return float(_number(raw, key, default * _NANOSECONDS)) / _NANOSECONDS


def image(raw: Mapping[str, Any]) -> Image:
    """Return what `GET /images/NAME/json` says."""
    config = _mapping(raw, "Config")
    parts = [_text(raw, key, "") for key in ("Os", "Architecture", "Variant")]
    return Image(
        id=raw["Id"],
        repo_digests=tuple(_list(raw, "RepoDigests")),
        repo_tags=tuple(_list(raw, "RepoTags")),
        platform="/".join(filter(None, parts)),
        descriptor_digest=_mapping(raw, "Descriptor").get("digest"),
        volumes=frozenset(_mapping(config, "Volumes")),
        variables=frozenset(_environment(config)),
        has_healthcheck=_healthcheck(config.get("Healthcheck")) is not None,
        facts=release_facts(_mapping(config, "Labels"), _text(raw, "Created", "")),
    )


def release_facts(labels: Mapping[str, Any], created: str) -> ImageFacts:
    """Return what an image says of its release, by its labels and its build time.

    `image` is the engine's JSON, or the image's own configuration as a registry has it.
    """
    version, source, url = (_label(labels, name) for name in ("version", "source", "url"))
    return ImageFacts(version, source, url, _build_time(created))


def _label(labels: Mapping[str, Any], name: str) -> str:
    """Return a label of the image's publisher; one that is longer than any real one is none."""
    text = visible(_text(labels, f"org.opencontainers.image.{name}", "").strip())
    return text if len(text) <= _LONGEST_LABEL else ""


def _build_time(created: str) -> datetime | None:
    """Return when an image was built, or None if it was built without a clock.

    Reproducible builds write 1970 or 1980 for every image.
    """
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return None
    return moment if moment.tzinfo and moment.year >= _FIRST_IMAGES else None


# What is not set is null, zero, empty or left out, each by another version of the engine.


def _mapping(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    return raw.get(key) or {}


def _list(raw: Mapping[str, Any], key: str) -> Sequence[Any]:
    return raw.get(key) or ()


def _text(raw: Mapping[str, Any], key: str, default: str) -> str:
    return str(raw.get(key) or default)


def _number(raw: Mapping[str, Any], key: str, default: int) -> int:
    return raw.get(key) or default


def product(answer: Mapping[str, Any]) -> str:
    """Return what an engine is, with its version, from its answer to `GET /version`.

    >>> product({"Version": "5.8.6", "Components": [{"Name": "Podman Engine", "Version": "5.8.6"}]})
    'Podman 5.8.6'
    >>> product({"Version": "28.5.2"})
    'Docker Engine 28.5.2'
    """
    names = [str(each.get("Name", "")) for each in answer.get("Components") or ()]
    is_podman = any(name.lower().startswith("podman") for name in names)
    return f"{'Podman' if is_podman else 'Docker Engine'} {answer['Version']}"

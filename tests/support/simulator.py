"""A host in memory: engine, Compose and killer.

It satisfies the same protocols as the real parts, and the contract tests hold both to the same behaviour.

`Killer` ends the updater (with `Killed`, which no `except Exception` catches) before or after its n-th
effect; a Compose killed in its middle leaves the same leftovers as the real one, for its recreate is the same
five calls.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from updater_core import reference
from updater_core.composefile import edit
from updater_core.composefile.edit import Located, SourceFile
from updater_core.deploy.journal import JournalFolder, JournalRecord, OpenRecord
from updater_core.errors import ComposeError, EngineError, EngineUnavailable, ManifestRefused
from updater_core.host import files
from updater_core.models import Container, ContainerSettings, Credential, Image, ImageRef, Project
from updater_core.protocols import Execution, Preview, Progress, Recreate
from updater_core.targets import read_plan
from updater_core.vocabulary.snapshot import Snapshot


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Killer:
    """Counts effects, and kills at one of them. `log` names each effect in its order."""

    at: int | None = None
    after: bool = False
    log: list[str] = field(default_factory=list)

    def effect(self, name: str, act: Callable[[], Any]) -> Any:
        self.log.append(name)
        mine = self.at == len(self.log)
        if mine and not self.after:
            raise Killed(name)
        try:
            return act()
        finally:
            if mine:
                raise Killed(name)


def image_id(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@dataclass
class SimRelease:
    """How containers of an image behave.

    `fate`: well | unhealthy | starting | exits | loops | cannot_start.
    """

    digest: str
    fate: str = "well"
    platform: str = "linux/amd64"
    has_healthcheck: bool = False

    @property
    def id(self) -> str:
        return image_id("config of " + self.digest)


@dataclass
class SimContainer:
    id: str
    name: str
    service: str
    image_id: str
    reference: str
    status: str = "created"
    starts: int = 0
    restart_count: int = 0
    exit_code: int = 0
    error: str = ""
    project: str = ""  # of the host if left out
    joined: str = ""  # the container in whose network it lives, by id
    started_as: int = 0  # which of all starts on the host its last one was


@dataclass
class SimHost:
    """The engine's memory: images by id, tags, containers; and the registry's releases by digest."""

    project: str = "shop"
    releases: dict[str, SimRelease] = field(default_factory=dict)
    images: dict[str, set[str]] = field(default_factory=dict)  # id -> repository@digest names
    tags: dict[str, str] = field(default_factory=dict)
    containers: dict[str, SimContainer] = field(default_factory=dict)
    killer: Killer = field(default_factory=Killer)
    is_down: bool = False
    outages: int = 0
    # what happens as the next `up`s fail
    compose_failures: list[Callable[[], object]] = field(default_factory=list)
    remote_tags: dict[str, str] = field(default_factory=dict)  # the registry's, to digests
    gives_digests: bool = True  # False: the registry gives an image by its tag alone
    pull_error: str | None = None
    made: int = 0
    started: int = 0
    labels: dict[str, str] = field(default_factory=dict)  # of every container

    def release_of(self, image: str) -> SimRelease:
        return next(release for release in self.releases.values() if release.id == image)

    def load(self, release: SimRelease, name: str, tag: str | None) -> None:
        self.releases[release.digest] = release
        self.images.setdefault(release.id, set()).add(f"{name}@{release.digest}")
        if tag:
            self.tags[f"{name}:{tag}"] = release.id

    def create(self, name: str, service: str, reference_text: str, image: str) -> SimContainer:
        self.made += 1
        made = SimContainer(image_id(f"container {self.made}")[7:], name, service, image, reference_text)
        self.containers[made.id] = made
        return made

    def start(self, container: SimContainer) -> None:
        fate = self.release_of(container.image_id).fate
        if fate == "cannot_start":
            container.error, container.exit_code = "exec: no such file", 127
            raise ComposeError("cannot start: exec: no such file")
        if container.joined and self.containers[container.joined].status != "running":
            raise ComposeError("cannot join the network of a container that does not run")
        self.started += 1
        container.starts, container.started_as = container.starts + 1, self.started
        container.status, container.exit_code = ("exited", 3) if fate == "exits" else ("running", 0)
        container.restart_count = 2 if fate == "loops" else 0

    def restart_engine(self) -> None:
        """Let the engine go, its containers with it, and be back before anybody asks."""
        self.outages += 1
        for container in self.containers.values():
            container.status = "exited"

    def running(self, service: str) -> list[str]:
        """Return the image ids that run for a service."""
        return [
            c.image_id for c in self.containers.values() if c.service == service and c.status == "running"
        ]


class SimEngine:
    """`protocols.Engine` over a SimHost."""

    def __init__(self, host: SimHost) -> None:
        self._host = host

    def _up(self) -> SimHost:
        if self._host.is_down:
            raise EngineUnavailable("the engine did not answer")
        return self._host

    def version(self) -> str:
        self._up()
        return "sim"

    def product(self) -> str:
        return f"Docker Engine {self.version()}"

    def platform(self) -> str:
        self._up()
        return "linux/amd64"

    def data_root(self) -> str:
        self._up()
        return "/var/lib/docker"

    @contextmanager
    def watch_liveness(self) -> Iterator[Callable[[], bool]]:
        begun = self._up().outages
        yield lambda: self._host.outages == begun

    def compose_containers(self) -> tuple[Container, ...]:
        return tuple(self._seen(c) for c in self._up().containers.values())

    def all_containers(self) -> tuple[Container, ...]:
        return self.compose_containers()

    def volume_names(self) -> frozenset[str]:
        return frozenset()

    def network_names(self) -> frozenset[str]:
        return frozenset()

    def runtimes(self) -> frozenset[str]:
        return frozenset({"runc"})

    def log_drivers(self) -> frozenset[str]:
        return frozenset({"json-file"})

    def containers(self, project: str, service: str) -> tuple[Container, ...]:
        host = self._up()
        of_service = [c for c in host.containers.values() if c.service == service]
        return tuple(self._seen(c) for c in of_service if (c.project or host.project) == project)

    def container(self, container_id: str) -> Container | None:
        found = [c for c in self._up().containers.values() if c.id.startswith(container_id)]
        return self._seen(found[0]) if found else None

    def settings(self, container_id: str) -> ContainerSettings | None:
        return ContainerSettings() if container_id in self._up().containers else None

    def log_tail(self, container_id: str, lines: int) -> str:
        found = self._up().containers.get(container_id)
        return "" if found is None else f"{found.name} of {found.reference} starts\n"

    def image(self, reference: str) -> Image | None:
        found = self._find(reference)
        if found is None:
            return None
        host = self._host
        tags = tuple(sorted(tag for tag, named in host.tags.items() if named == found))
        release = host.release_of(found)
        names = tuple(sorted(host.images[found]))
        return Image(found, names, tags, release.platform, has_healthcheck=release.has_healthcheck)

    def known_image(self, image_id: str) -> Image | None:
        return self.image(image_id)

    def forget_images(self, used: frozenset[str]) -> None:
        self._up()

    def pull(
        self,
        reference: ImageRef,
        credential: Credential | None,
        platform: str | None,
        progress: Progress | None,
    ) -> None:
        host = self._up()
        name = reference.name or reference.key
        tag = None if reference.digest else reference.tag or "latest"
        digest = reference.digest or host.remote_tags.get(f"{name}:{tag}", "")
        full = f"{name}:{tag}" if tag else f"{name}@{digest}"

        def act() -> None:
            if digest not in host.releases or (not tag and not host.gives_digests):
                raise ManifestRefused(f"the engine could not pull {full}: manifest unknown")
            if host.pull_error:
                raise EngineError(f"the engine could not pull {name}: {host.pull_error}")
            host.load(host.releases[digest], name, tag)

        host.killer.effect("pull", act)

    def tag(self, image_id: str, reference: str) -> None:
        host = self._up()

        def act() -> None:
            if image_id not in host.images:
                raise EngineError(f"the engine could not tag {image_id}: no such image")
            host.tags[reference] = image_id

        host.killer.effect(f"tag {reference.split('/')[-1]}", act)

    def untag(self, reference: str) -> None:
        host = self._up()
        host.killer.effect("untag", lambda: host.tags.pop(reference, None))

    def retained(self, prefix: str) -> Mapping[str, str]:
        return {tag: image for tag, image in self._up().tags.items() if tag.startswith(prefix)}

    def create_container(
        self, image_id: str, name: str, labels: Mapping[str, str], volumes: Mapping[str, str]
    ) -> str:
        raise EngineError("no container of the simulator has a volume")

    def run_in_container(
        self, container_id: str, command: Sequence[str], timeout_seconds: float
    ) -> Execution:
        host = self._up()
        found = host.containers.get(container_id)
        if found is None or found.status != "running":
            raise EngineError(
                f"the engine could not run {command[0]} in {container_id[:12]}: it does not run"
            )
        host.killer.effect(f"run {command[0]}", lambda: None)
        return Execution(1 if command[-1] == "exit 1" else 0, "")

    def stop_container(self, container_id: str) -> None:
        self._change(container_id, "stop", lambda c: setattr(c, "status", "exited"))

    def remove_container(self, container_id: str) -> None:
        if container_id in self._host.containers:
            self._change(container_id, "remove", lambda c: self._host.containers.pop(c.id))

    def rename_container(self, container_id: str, name: str) -> None:
        if any(c.name == name for c in self._up().containers.values()):
            raise EngineError(f"the engine could not rename container {container_id[:12]}: {name} is in use")
        self._change(container_id, "rename", lambda c: setattr(c, "name", name))

    def remove_image(self, image_id: str) -> None:
        host = self._up()
        in_use = {c.image_id for c in host.containers.values()} | set(host.tags.values())
        if image_id not in in_use:
            host.killer.effect("remove image", lambda: host.images.pop(image_id, None))

    def _change(self, container_id: str, name: str, act: Callable[[SimContainer], Any]) -> None:
        host = self._up()
        host.killer.effect(f"{name} container", lambda: act(host.containers[container_id]))

    def _find(self, text: str) -> str | None:
        host = self._up()
        if text in host.images:
            return text
        parsed = reference.with_default_tag(reference.parse(text))
        if parsed.digest:
            return next(
                (i for i, names in host.images.items() if f"{parsed.name}@{parsed.digest}" in names), None
            )
        return host.tags.get(parsed.text)

    def _seen(self, c: SimContainer) -> Container:
        release = self._host.release_of(c.image_id)
        fates = {"well": "healthy", "unhealthy": "unhealthy", "starting": "starting"}
        project = c.project or self._host.project
        is_checked = release.has_healthcheck and c.status == "running"
        started_at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=c.started_as)
        return Container(
            id=c.id,
            name=c.name,
            project=project,
            service=c.service,
            image_id=c.image_id,
            reference=c.reference,
            status=c.status,
            started_at=started_at.isoformat(),
            restart_count=c.restart_count,
            exit_code=c.exit_code,
            error=c.error,
            health=fates.get(release.fate) if is_checked else None,
            restart_policy="no" if release.fate == "exits" else "unless-stopped",
            stop_grace_seconds=0.5,
            joined=(c.joined,) if c.joined else (),
            labels=self._host.labels,
        )


class SimCompose:
    """`protocols.Compose` over a SimHost.

    It reads the project's real files, and recreates as Compose v2 does.
    """

    version = "2.26.1"
    is_v1 = False

    def __init__(self, host: SimHost) -> None:
        self._host = host

    def config(self, project: Project, replaced: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        sources = self._sources(project, replaced or {})
        names = ("web", "worker", "app")
        found = {name: edit.locate(sources, (), name) for name in names}
        return {
            "services": {n: {"image": one.reference} for n, one in found.items() if isinstance(one, Located)}
        }

    def stack_model(self, paths: Sequence[str]) -> Mapping[str, Any]:
        (path,) = paths
        return dict(yaml.safe_load(files.read(Path(path))))

    def preview(
        self, project: Project, replicas: Mapping[str, int], *, with_dependencies: bool
    ) -> Preview | None:
        return None

    def up(
        self,
        project: Project,
        replicas: Mapping[str, int],
        *,
        with_dependencies: bool,
        recreate: Recreate,
        grace_seconds: float,
    ) -> None:
        if self._host.is_down:
            raise ComposeError("Cannot connect to the Docker daemon")
        if self._host.compose_failures:
            self._host.compose_failures.pop(0)()
            raise ComposeError("`compose up` ended with 255: status 255, nothing said")
        for service, count in replicas.items():
            if recreate is Recreate.NONE:
                self._scale_up(project, service, count)
            else:
                self._up_one(project, service, recreate)

    def _scale_up(self, project: Project, service: str, count: int) -> None:
        """Numbers climb: a container that is gone leaves its own unused."""
        text, image_id = self._resolved(project, service)
        mine = [c for c in self._host.containers.values() if c.service == service]
        for resting in (c for c in mine if c.status != "running"):
            self._effect("start", partial(self._host.start, resting))
        number = max((int(c.name.rpartition("-")[2]) for c in mine), default=0)
        for _ in range(count - len(mine)):
            number += 1
            name = f"{self._host.project}-{service}-{number}"
            made: SimContainer = self._effect(
                "create", partial(self._host.create, name, service, text, image_id)
            )
            self._effect("start", partial(self._host.start, made))

    def _up_one(self, project: Project, service: str, how: Recreate) -> None:
        _, image_id = self._resolved(project, service)
        mine = [c for c in self._host.containers.values() if c.service == service]
        wanted = mine[0].name if len(mine) == 1 else f"{project.name}-{service}-1"
        wanted = re.sub(r"^[0-9a-f]{12}_", "", wanted)
        if any(c.name != wanted for c in mine) and len(mine) > 1:
            raise ComposeError(f"Conflict: the container name {wanted} is in use")
        old = mine[0] if mine else None
        if old is not None and old.image_id == image_id and how is not Recreate.ALL:
            if old.status != "running":
                self._effect("start", lambda: self._host.start(old))
            return
        self._recreate(project, service, wanted, image_id)

    def _resolved(self, project: Project, service: str) -> tuple[str, str]:
        """Return the reference of a service, and the id of the local image behind it."""
        model = self.config(project)["services"]
        if service not in model:
            raise ComposeError(f"no such service: {service}")
        text = model[service]["image"]
        image = SimEngine(self._host).image(text)
        if image is None:
            raise ComposeError(f"No such image: {text}")
        return text, image.id

    def _joined(self, project: Project, service: str) -> str:
        """Return the container whose network a service lives in by its file, by the id that it has now."""
        (source,) = self._sources(project, {})
        mode = yaml.safe_load(source.text)["services"][service].get("network_mode", "")
        if not mode.startswith("container:"):
            return ""
        name = mode.removeprefix("container:")
        found = [c.id for c in self._host.containers.values() if c.name == name]
        if not found:
            raise ComposeError(f"No such container: {name}")
        return found[0]

    def _recreate(self, project: Project, service: str, wanted: str, image: str) -> None:
        text, _ = self._resolved(project, service)
        joined = self._joined(project, service)
        old = next((c for c in self._host.containers.values() if c.service == service), None)
        first = wanted if old is None else f"{old.id[:12]}_{wanted}"
        own = "" if project.name == self._host.project else project.name

        def create() -> SimContainer:
            made = self._host.create(first, service, text, image)
            made.project, made.joined = own, joined
            return made

        new: SimContainer = self._effect("create", create)
        if old is not None:
            self._effect("stop", lambda: setattr(old, "status", "exited"))
            self._effect("remove", lambda: self._host.containers.pop(old.id))
            self._effect("rename", lambda: setattr(new, "name", wanted))
        self._effect("start", lambda: self._host.start(new))

    def _effect(self, name: str, act: Callable[[], Any]) -> Any:
        return self._host.killer.effect(f"compose {name}", act)

    def _sources(self, project: Project, replaced: Mapping[str, str]) -> Sequence[SourceFile]:
        paths = [replaced.get(path, path) for path in project.files]
        return [SourceFile(path, edit.decode(Path(path).read_bytes())) for path in paths]


class KillableFiles:
    """`protocols.Files`: the real hand, seen by the killer."""

    def __init__(self, killer: Killer) -> None:
        self._killer = killer

    def read(self, path: Path) -> bytes:
        return files.read(path)

    def overwrite(self, taken: Snapshot, data: bytes) -> None:
        self._killer.effect("overwrite file", lambda: files.overwrite(taken, data))

    def write_beside(self, path: Path, data: bytes, tag: str) -> Path:
        written: Path = self._killer.effect("write beside", lambda: files.write_beside(path, data, tag))
        return written

    def snapshot(self, path: Path) -> Snapshot:
        return files.snapshot(path)

    def stage(self, taken: Snapshot, data: bytes, tag: str) -> Path:
        staged: Path = self._killer.effect("stage", lambda: files.stage(taken, data, tag))
        return staged

    def commit(self, taken: Snapshot, staged: Path) -> None:
        self._killer.effect("replace file", lambda: files.commit(taken, staged))

    def discard(self, staged: Path) -> None:
        self._killer.effect("discard", lambda: files.discard(staged))

    def remove_strays(self, directory: Path, tag: str) -> None:
        self._killer.effect("remove strays", lambda: files.remove_strays(directory, tag))


class KillableJournal:
    """`journal.Journal`: the real folder, seen by the killer."""

    def __init__(self, directory: Path, killer: Killer) -> None:
        self._folder, self._killer = JournalFolder(directory, read_plan), killer

    def write(self, record: JournalRecord) -> None:
        self._killer.effect(f"journal {record.phase}", lambda: self._folder.write(record))

    def read_all(self) -> Sequence[OpenRecord]:
        return self._folder.read_all()

    def close(self, plan_id: str) -> None:
        self._killer.effect("journal close", lambda: self._folder.close(plan_id))


@dataclass
class SimClock:
    """Time that passes only when somebody sleeps.

    `happenings` come one by one, each in one of the first sleeps.
    """

    seconds: float = 0.0
    happenings: list[Callable[[], object]] = field(default_factory=list)

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> bool:
        self.seconds += seconds
        return False

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        if self.happenings:
            self.happenings.pop(0)()

"""What the program needs of the outside, as protocols.

The real ones are in `docker_utils`, `compose_utils`, `files` and `registries`; the tests' simulator satisfies
the same and is held to the same contract tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from updater_core.models import (
    Container,
    ContainerSettings,
    Credential,
    Image,
    ImageRef,
    Plan,
    Project,
    Reason,
    Step,
    Tag,
)
from updater_core.vocabulary.dated import HookKind, ImageFacts
from updater_core.vocabulary.hooks import Hook
from updater_core.vocabulary.snapshot import Snapshot

Progress = Callable[[Mapping[str, Any]], None]


class Clock(Protocol):
    """Time as an argument. `wait` ends early, with True, when a stop is asked for; `sleep` never does."""

    def now(self) -> datetime: ...
    def monotonic(self) -> float: ...
    def wait(self, seconds: float) -> bool: ...
    def sleep(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Execution:
    """How a command ended: `exit_code` is None if it did not end in time, `output` the end of what it
    wrote.
    """

    exit_code: int | None
    output: str


@dataclass(frozen=True, slots=True)
class HookCall:
    """One hook to be run now, with its environment, in a folder of the host or in a container."""

    kind: HookKind
    hook: Hook
    facts: Mapping[str, str]
    folder: str
    container: str | None = None


class Engine(Protocol):
    """The Docker Engine. Every method may raise EngineError, or EngineUnavailable if it does not answer."""

    def version(self) -> str: ...
    def product(self) -> str:
        """What answers at the socket, with its version: `Docker Engine 28.5.2`, `Podman 5.8.6`."""

    def platform(self) -> str:
        """The engine's own platform, `linux/amd64`."""

    def watch_liveness(self) -> AbstractContextManager[Callable[[], bool]]:
        """For the length of a block: a question whether the engine was there all the time since the block
        began.
        """

    def compose_containers(self) -> tuple[Container, ...]:
        """Every Compose container in any state, one-offs left out."""

    def all_containers(self) -> tuple[Container, ...]:
        """Every container in any state, whoever made it, one-offs too; as `compose_containers` shows them."""

    def volume_names(self) -> frozenset[str]: ...
    def network_names(self) -> frozenset[str]: ...

    def containers(self, project: str, service: str) -> tuple[Container, ...]:
        """The containers of one Compose service, in any state, one-offs left out, inspected now."""

    def container(self, container_id: str) -> Container | None:
        """One container inspected now; None if it is gone."""

    def settings(self, container_id: str) -> ContainerSettings | None:
        """What a container was created with; None if it is gone."""

    def log_tail(self, container_id: str, lines: int) -> str:
        """The last lines that a container wrote, to either stream; empty if it is gone."""

    def image(self, reference: str) -> Image | None:
        """The local image behind a reference, a `repository@digest` or an id; None if there is none."""

    def known_image(self, image_id: str) -> Image | None:
        """As `image` for an id, from the cache if possible; the digests it names may be out of date."""

    def forget_images(self, used: frozenset[str]) -> None:
        """Keep in memory only the images with these ids."""

    def pull(
        self,
        reference: ImageRef,
        credential: Credential | None,
        platform: str | None,
        progress: Progress | None,
    ) -> None:
        """Pull `repository@digest`, and no tag moves; or `repository:tag` if the reference has no digest, and
        that tag moves. An error inside the stream is an EngineError. Raises ManifestRefused if the pull did
        not begin.
        """

    def tag(self, image_id: str, reference: str) -> None: ...
    def untag(self, reference: str) -> None:
        """Remove one name of an image; no error if it is not there."""

    def retained(self, prefix: str) -> Mapping[str, str]:
        """Local references that start with `prefix`, each with the id it names."""

    def create_container(
        self, image_id: str, name: str, labels: Mapping[str, str], volumes: Mapping[str, str]
    ) -> str:
        """Make a container that is not started, without a network, and return its id.

        `volumes`: names by place.
        """

    def run_in_container(
        self, container_id: str, command: Sequence[str], timeout_seconds: float
    ) -> Execution:
        """Run a command in a container that runs, as the container's own user, and wait for it."""

    def stop_container(self, container_id: str) -> None:
        """Stop a container as it asks to be stopped: with its own signal, within its own grace period."""

    def remove_container(self, container_id: str) -> None: ...
    def rename_container(self, container_id: str, name: str) -> None: ...
    def remove_image(self, image_id: str) -> None:
        """Remove an image that nothing uses; no error, and nothing done, if something does."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a dry run of `up` says: resource (`Container shop-web-1`, `Network shop_default`) to all that
    would happen to it (`Running`, `Recreate`, …).
    """

    said: Mapping[str, frozenset[str]]


class Recreate(StrEnum):
    """Which of the existing containers an `up` replaces: those that differ from the file, all, or none."""

    CHANGED = "changed"
    ALL = "all"
    NONE = "none"


class Compose(Protocol):
    """Docker Compose. Every method may raise ComposeError."""

    @property
    def version(self) -> str: ...
    @property
    def is_v1(self) -> bool: ...
    def config(self, project: Project, replaced: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """The resolved model. `replaced` maps a file of the project to the file to be read in its place."""

    def preview(
        self, project: Project, replicas: Mapping[str, int], *, with_dependencies: bool
    ) -> Preview | None:
        """What `up` would do now, without doing it; None if this Compose cannot tell, or not in a form that
        we know.
        """

    def up(
        self,
        project: Project,
        replicas: Mapping[str, int],
        *,
        with_dependencies: bool,
        recreate: Recreate,
        grace_seconds: float,
    ) -> None:
        """Bring the named services to what the files say, with that many containers each.

        Never builds or pulls. `grace_seconds` is what the containers may take to stop, on top of the usual
        time-out.
        """

    def stack_model(self, files: Sequence[str]) -> Mapping[str, Any]:
        """What `docker stack deploy` makes of the files of a stack, base first."""


class Swarm(Protocol):
    """The managers of one Docker Swarm; any of them answers. What they say is the Engine API's own JSON
    (https://docs.docker.com/reference/api/engine/). Every method may raise EngineError, or EngineUnavailable
    if none of them answers, or the swarm has no leader just now."""

    def version(self) -> str: ...
    def role(self) -> str:
        """What the engine that is asked is in a swarm: `manager`, `worker`, or its state (`inactive`,
        `locked`).
        """

    def services(self) -> tuple[Mapping[str, Any], ...]: ...
    def service(self, service_id: str) -> Mapping[str, Any] | None:
        """One service by id or name, read now; None if it is gone."""

    def tasks(self, service_id: str) -> tuple[Mapping[str, Any], ...]: ...
    def nodes(self) -> tuple[Mapping[str, Any], ...]: ...
    def image_platforms(self, reference: str, credential: Credential | None) -> tuple[tuple[str, str], ...]:
        """Architecture and system of each platform of an image, as its registry says to the manager."""

    def update(
        self, service_id: str, version: int, spec: Mapping[str, Any], credential: Credential | None
    ) -> bool:
        """Write a service's whole spec if it is still at `version`; False, and nothing done, if it is not.

        Without a credential the login that the spec had stays.
        """


@dataclass(frozen=True, slots=True)
class RemoteImage:
    """The digests of an image's manifest for one platform and of its configuration, as far as a registry said
    them; with an `obstacle` there is none, and `detail` says why.
    """

    manifest: str = ""
    config: str = ""
    obstacle: Reason | None = None
    detail: str = ""


class Registry(Protocol):
    """One registry, as one service may use it. Every method may raise RegistryError or one of its kinds."""

    def digest(self, reference: ImageRef) -> str:
        """The digest behind the reference's tag now: of the index if the image has one."""

    def tags(self, reference: ImageRef) -> tuple[Tag, ...]:
        """Every tag of the repository; never a part of them."""

    def pushed_tags(self, reference: ImageRef, wanted: Callable[[str], bool]) -> tuple[Tag, ...] | None:
        """The tags that `wanted` accepts, with digests and push times; None if this registry has no such
        clock.
        """

    def created(self, reference: ImageRef, platform: str) -> datetime | None:
        """The build time in the image's own configuration; None if it is not to be believed."""

    def image(self, reference: ImageRef, platform: str, *, in_full: bool) -> RemoteImage:
        """The image behind the reference's digest for a platform, or why there is none; with its
        configuration's digest if it is to be known `in_full`.
        """

    def facts(self, reference: ImageRef, platform: str) -> ImageFacts:
        """What the image behind the reference's digest says of itself; empty if it is not to be asked for
        that.
        """

    def credential(self) -> Credential | None:
        """What the engine needs for a pull from here."""

    def check(self, reference: ImageRef) -> str:
        """Reach the registry and the repository with the credentials; return a sentence on what was found."""


class Files(Protocol):
    """Writes the operator's files (`host.files` itself). May raise UpdaterError, or ChangedOnDisk."""

    def read(self, path: Path) -> bytes: ...
    def snapshot(self, path: Path) -> Snapshot: ...
    def stage(self, snapshot: Snapshot, data: bytes, tag: str) -> Path: ...
    def commit(self, snapshot: Snapshot, staged: Path) -> None: ...
    def overwrite(self, snapshot: Snapshot, data: bytes) -> None: ...
    def write_beside(self, path: Path, data: bytes, tag: str) -> Path: ...
    def discard(self, staged: Path) -> None: ...
    def remove_strays(self, directory: Path, tag: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What one update may use.

    `credential` finds what a pull for a plan needs; `tell` is for people; `reached` hears of each step as it
    begins, and whether it is one of the rollback.
    """

    engine: Engine
    compose: Compose
    files: Files
    clock: Clock
    credential: Callable[[Plan[Any]], Credential | None]
    tell: Callable[[Step, str], None]
    reached: Callable[[Step, bool], None]
    progress: Progress | None = None

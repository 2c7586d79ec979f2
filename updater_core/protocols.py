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

    def now(self) -> datetime:
        """Return the time in UTC."""

    def monotonic(self) -> float:
        """Return seconds that never go back, for measuring."""

    def wait(self, seconds: float) -> bool:
        """Wait for so many seconds, or until a stop is asked for; return whether it is."""

    def sleep(self, seconds: float) -> None:
        """Wait for so many seconds, whatever is asked for."""


@dataclass(frozen=True, slots=True)
class Execution:
    """How a command ended: `exit_code` (None if not in time), and `output`, the end of what it wrote."""

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

    def version(self) -> str:
        """Return the engine's name and version, as `Docker Engine 28.5.2`."""

    def product(self) -> str:
        """Return what answers at the socket, with its version: `Docker Engine 28.5.2`, `Podman 5.8.6`."""

    def platform(self) -> str:
        """Return the engine's own platform, `linux/amd64`."""

    def data_root(self) -> str:
        """Return the folder in which the engine keeps images, containers and volumes, on its own machine."""

    # A stream of events that breaks off is the only sign of an engine that was gone between two looks.
    def watch_liveness(self) -> AbstractContextManager[Callable[[], bool]]:
        """Give a block the question whether the engine was there all the time since the block began."""

    def compose_containers(self) -> tuple[Container, ...]:
        """Return every Compose container in any state, one-offs left out."""

    def all_containers(self) -> tuple[Container, ...]:
        """Return every container in any state, whoever made it, one-offs too (as `compose_containers`)."""

    def volume_names(self) -> frozenset[str]:
        """Return the names of all volumes."""

    def network_names(self) -> frozenset[str]:
        """Return the names of all networks."""

    def runtimes(self) -> frozenset[str]:
        """Return the names of the runtimes that the engine knows (`runtime:` of a service)."""

    def log_drivers(self) -> frozenset[str]:
        """Return the names of its log drivers, those of plugins with and without their tag."""

    def containers(self, project: str, service: str) -> tuple[Container, ...]:
        """Return the containers of one Compose service, in any state, one-offs left out, inspected now."""

    def container(self, container_id: str) -> Container | None:
        """Return one container inspected now; None if it is gone."""

    def settings(self, container_id: str) -> ContainerSettings | None:
        """Return what a container was created with; None if it is gone."""

    def log_tail(self, container_id: str, lines: int) -> str:
        """Return the last lines that a container wrote, to either stream; empty if it is gone."""

    def image(self, reference: str) -> Image | None:
        """Return the local image behind a reference, `repository@digest` or an id; None if there is none."""

    # Apart from `image`: an id never names another image, so a cache can answer, but its digests grow with
    # each pull.
    def known_image(self, image_id: str) -> Image | None:
        """Return the same for an id, from the cache if possible; its digests may be out of date."""

    def forget_images(self, used: frozenset[str]) -> None:
        """Keep in memory only the images with these ids."""

    def pull(
        self,
        reference: ImageRef,
        credential: Credential | None,
        platform: str | None,
        progress: Progress | None,
    ) -> None:
        """Pull `repository@digest`, and no tag moves; or `repository:tag`, and that tag moves.

        An error inside the stream is an EngineError. Raises ManifestRefused if the pull did not begin.
        """

    def tag(self, image_id: str, reference: str) -> None:
        """Give an image a name; one that another image had moves to this one."""

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

    def remove_container(self, container_id: str) -> None:
        """Remove a container that does not run; its anonymous volumes stay. No error if it is gone."""

    def rename_container(self, container_id: str, name: str) -> None:
        """Give a container another name."""

    def remove_image(self, image_id: str) -> None:
        """Remove an image that nothing uses; no error, and nothing done, if something does."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a dry run of `up` says: by resource, all that would happen to it.

    `Container shop-web-1` or `Network shop_default` to `Running`, `Recreate`, ….
    """

    said: Mapping[str, frozenset[str]]


class Recreate(StrEnum):
    """Which of the existing containers an `up` replaces: those that differ from the file, all, or none."""

    # Idempotent, so the usual one: a container that is right already is left alone after a kill.
    CHANGED = "changed"
    ALL = "all"
    NONE = "none"


class Compose(Protocol):
    """Docker Compose. Every method may raise ComposeError."""

    @property
    def version(self) -> str:
        """Return the version in digits and dots: `2.40.3`."""

    @property
    def is_v1(self) -> bool:
        """Return whether it is the old docker-compose, which is a program of its own."""

    def config(self, project: Project, replaced: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        """Return the resolved model; `replaced` maps files of the project to those read in their place."""

    def preview(
        self, project: Project, replicas: Mapping[str, int], *, with_dependencies: bool
    ) -> Preview | None:
        """Return what `up` would do now, without doing it; None if this Compose cannot tell that readably."""

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

    # The Docker CLI and not Compose: `docker stack deploy` reads a file by other rules.
    def stack_model(self, files: Sequence[str]) -> Mapping[str, Any]:
        """Return what `docker stack deploy` makes of the files of a stack, base first."""


class Swarm(Protocol):
    """The managers of one Docker Swarm; any of them answers.

    What they say is the Engine API's own JSON (https://docs.docker.com/reference/api/engine/). Every method
    may raise EngineError, or EngineUnavailable if none of them answers, or the swarm has no leader just now.
    """

    def version(self) -> str:
        """Return the name and version of the manager that answers."""

    def role(self) -> str:
        """Return what the asked engine is: `manager`, `worker`, or its state (`inactive`, `locked`)."""

    def services(self) -> tuple[Mapping[str, Any], ...]:
        """Return all services, one object each."""

    def service(self, service_id: str) -> Mapping[str, Any] | None:
        """Return one service by id or name, read now; None if it is gone."""

    def tasks(self, service_id: str) -> tuple[Mapping[str, Any], ...]:
        """Return the tasks of one service, those that have ended too."""

    def nodes(self) -> tuple[Mapping[str, Any], ...]:
        """Return all nodes of the swarm."""

    # Asked of the manager: nodes pull, so its way to the registry is the one that counts.
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
    """The digests of an image's manifest for one platform and of its configuration, as far as they are known.

    With an `obstacle` there is no image, and `detail` says why.
    """

    manifest: str = ""
    config: str = ""
    obstacle: Reason | None = None
    detail: str = ""


class Registry(Protocol):
    """One registry, as one service may use it. Every method may raise RegistryError or one of its kinds."""

    def digest(self, reference: ImageRef) -> str:
        """Return the digest behind the reference's tag now: of the index if the image has one."""

    def tags(self, reference: ImageRef) -> tuple[Tag, ...]:
        """Return every tag of the repository; never a part of them."""

    def pushed_tags(self, reference: ImageRef, wanted: Callable[[str], bool]) -> tuple[Tag, ...] | None:
        """Return the tags that `wanted` accepts, with digests and push times; None if it knows no times."""

    def created(self, reference: ImageRef, platform: str) -> datetime | None:
        """Return the build time in the image's own configuration; None if it is not to be believed."""

    def image(self, reference: ImageRef, platform: str, *, in_full: bool) -> RemoteImage:
        """Return the image behind the reference's digest for a platform, or why there is none.

        With its configuration's digest if it is to be known `in_full`.
        """

    def facts(self, reference: ImageRef, platform: str) -> ImageFacts:
        """Return what the image behind the digest says of itself; empty if that is not to be asked."""

    def credential(self) -> Credential | None:
        """Return what the engine needs for a pull from here."""

    def check(self, reference: ImageRef) -> str:
        """Reach the registry and the repository with the credentials; return a sentence on what was found."""


class Files(Protocol):
    """Writes the operator's files (`host.files` itself). May raise UpdaterError, or ChangedOnDisk."""

    def read(self, path: Path) -> bytes:
        """Return the bytes of a file."""

    def snapshot(self, path: Path) -> Snapshot:
        """Return the file as it is now: its target, its bytes and its status."""

    def stage(self, snapshot: Snapshot, data: bytes, tag: str) -> Path:
        """Write `data` beside the file, as whole as it will be, and return the path."""

    def commit(self, snapshot: Snapshot, staged: Path) -> None:
        """Put what is staged in the file's place; ChangedOnDisk if it is not what was read."""

    def overwrite(self, snapshot: Snapshot, data: bytes) -> None:
        """Write `data` into the same file, which keeps its file owner."""

    def write_beside(self, path: Path, data: bytes, tag: str) -> Path:
        """Write a copy for Compose to read beside a file, and return its path."""

    def discard(self, staged: Path) -> None:
        """Remove a staged file; no error if it is gone."""

    def remove_strays(self, directory: Path, tag: str) -> None:
        """Remove what a killed attempt with this tag left in a folder."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What one update may use.

    `updater_id`: this updater's, in the names under which it retains images; `credential` finds what a
    pull for a plan needs; `tell` is for people; `reached` hears of each step as it begins, and whether it is
    one of the rollback; `refused` hears that the registry of a plan's image refused a pull for the number of
    them.
    """

    engine: Engine
    compose: Compose
    files: Files
    clock: Clock
    updater_id: str
    credential: Callable[[Plan[Any]], Credential | None]
    tell: Callable[[Step, str], None]
    reached: Callable[[Step, bool], None]
    refused: Callable[[Plan[Any]], None]
    progress: Progress | None = None

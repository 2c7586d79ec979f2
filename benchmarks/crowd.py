"""Many services for the bench: N Compose services on U references, all up to date, in files of their own.

The containers are an engine's list in memory (what is measured is the updater, not the engine); everything
else is the real updater: its configuration, files, registry client, selection and state.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.slow_registry import digest_of
from updater_core import config_utils
from updater_core.app.context import AppContext
from updater_core.app.wiring import wire
from updater_core.host.clock import SystemClock
from updater_core.models import Container, Image

TAG = "1.0.0"


@dataclass
class BenchRegistry:
    """The bench's registry, in a process of its own."""

    host: str

    def counts(self) -> Counter[str]:
        """Return what was asked since the last call."""
        with urllib.request.urlopen(f"http://{self.host}/counts") as answer:
            return Counter(json.load(answer))


@contextmanager
def registry(delay_ms: float = 0, tags: int = 10, *, token: bool = False) -> Iterator[BenchRegistry]:
    """Run the bench's registry for the length of a block."""
    words = ["--delay-ms", str(delay_ms), "--tags", str(tags), *(["--token"] if token else [])]
    argv = [sys.executable, "-m", "benchmarks.slow_registry", *words]
    root = Path(__file__).resolve().parents[1]
    with subprocess.Popen(argv, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        try:
            yield BenchRegistry(f"127.0.0.1:{int(child.stdout.readline())}")
        finally:
            child.stdin.close()


@dataclass
class ListedEngine:
    """An engine whose answers are in memory; counts what it is asked."""

    listed: tuple[Container, ...]
    images: dict[str, Image]
    counts: Counter[str] = field(default_factory=Counter)
    _known: dict[str, Image] = field(default_factory=dict)

    def version(self) -> str:
        return "bench"

    def platform(self) -> str:
        self.counts["version"] += 1
        return "linux/amd64"

    def compose_containers(self) -> tuple[Container, ...]:
        self.counts["list"] += 1
        return self.listed

    def container(self, container_id: str) -> Container | None:
        self.counts["container"] += 1
        return next((each for each in self.listed if each.id == container_id), None)

    def retained(self, prefix: str) -> Mapping[str, str]:
        self.counts["retained"] += 1
        return {name: image.id for name, image in self.images.items() if name.startswith(prefix)}

    def image(self, reference: str) -> Image | None:
        self.counts["inspect"] += 1
        return self.images.get(reference)

    def known_image(self, image_id: str) -> Image | None:
        if image_id not in self._known:
            found = self.image(image_id)
            if found is None:
                return None
            self._known[image_id] = found
        return self._known[image_id]

    def forget_images(self, used: frozenset[str]) -> None:
        self._known = {key: image for key, image in self._known.items() if key in used}


class NoCompose:
    """A Compose that must not be asked: a cycle without an update calls none."""

    lock_fds: tuple[int, ...] = ()

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a cycle with nothing to do asked Compose for {name}")


def _of_the_bench(repository: str) -> str:
    return digest_of(repository, TAG)


@dataclass(frozen=True, slots=True)
class Crowd:
    """`services` services on `references` repositories of the registry at `host`, all of them at `TAG`.

    `policy`: further fields of each service; `digest`: what that registry gives for a repository.
    """

    host: str
    services: int
    references: int
    policy: Mapping[str, Any] = field(default_factory=dict)
    digest: Callable[[str], str] = _of_the_bench

    @property
    def repositories(self) -> tuple[str, ...]:
        """Return the names of its repositories."""
        return tuple(f"team/app{number}" for number in range(self.references))


def context(
    folder: Path, host: str, services: int, references: int, **policy: Any
) -> tuple[AppContext, ListedEngine]:
    """Return an AppContext of one crowd, all up to date."""
    return context_of(folder, Crowd(host, services, references, policy))


def context_of(folder: Path, *crowds: Crowd) -> tuple[AppContext, ListedEngine]:
    """Return an AppContext of all crowds, all up to date."""
    everyone = [(crowd, number) for crowd in crowds for number in range(crowd.services)]
    made = [_service(folder, place, *one) for place, one in enumerate(everyone)]
    raw = {
        "services": [entry for entry, _, _ in made],
        "state_file": str(folder / "state" / "state.json"),
        "log_file": str(folder / "updater.log"),
    }
    whole = wire(config_utils.parse(raw, {}, str(folder / "config.json")), SystemClock())
    engine = ListedEngine(
        tuple(container for _, container, _ in made), {image.id: image for _, _, image in made}
    )
    whole.host.engine, whole.host.compose = engine, NoCompose()  # type: ignore[assignment]
    return whole, engine


def _service(folder: Path, place: int, crowd: Crowd, number: int) -> tuple[dict[str, Any], Container, Image]:
    """Make the `number`th service of a crowd: its entry, its container, its image.

    `place` is its number among all.
    """
    file = folder / f"project{place}" / "compose.yml"
    file.parent.mkdir(parents=True)
    repository = crowd.repositories[number % crowd.references]
    reference = f"{crowd.host}/{repository}:{TAG}"
    file.write_text(
        f"services:\n  web:\n    image: {reference}  # number {place}\n    restart: unless-stopped\n"
    )
    image = Image(f"sha256:{place:064x}", (f"{crowd.host}/{repository}@{crowd.digest(repository)}",))
    entry = {
        "name": f"service{place}",
        "image": reference,
        "compose_file": str(file),
        "compose_service": "web",
    }
    return {**entry, **crowd.policy}, _container(file, place, image.id, reference), image


def _container(file: Path, place: int, image_id: str, reference: str) -> Container:
    labels = {
        "com.docker.compose.project.config_files": str(file),
        "com.docker.compose.project.working_dir": str(file.parent),
    }
    return Container(
        id=f"{place:064x}",
        name=f"project{place}-web-1",
        project=f"project{place}",
        service="web",
        image_id=image_id,
        reference=reference,
        status="running",
        started_at="",
        restart_count=0,
        labels=labels,
    )

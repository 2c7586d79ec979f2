"""One contract for the real parts and for the simulator that stands in for them: what holds of one holds of
the other, so that what the kill matrix proves on the simulator says something about the real host.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import docker
import pytest

from tests.support import lab
from tests.support.fake_registry import Behaviour, Build, FakeRegistry
from tests.support.simulator import SimCompose, SimEngine, SimHost, SimRelease, image_id
from updater_core import protocols, reference
from updater_core.compose_utils import DockerCompose
from updater_core.docker_utils import DockerEngine
from updater_core.errors import ComposeError, EngineError, EngineUnavailable, ManifestRefused
from updater_core.host.engine_endpoint import EngineEndpoint, resolve
from updater_core.models import ImageRef, Project
from updater_core.protocols import Recreate

NOWHERE = "sha256:" + "0" * 64


class Host(Protocol):
    """A host as these tests need it: the parts under contract, and a hand to set the scene."""

    @property
    def engine(self) -> protocols.Engine: ...
    @property
    def compose(self) -> protocols.Compose: ...
    @property
    def name(self) -> str:
        """The name of the repository, as a reference has it."""

    @property
    def project(self) -> str: ...
    def publish(self, release: str) -> str:
        """Put a release into the registry; its digest."""

    def withhold_digests(self) -> None:
        """From now on the registry gives an image by its tag alone."""

    def break_pulls(self) -> None: ...
    def start(self, service: str, image: str) -> str:
        """Run a container as Compose labels it; its id."""

    def unreachable(self) -> protocols.Engine: ...


class RealHost:
    def __init__(self, registry: FakeRegistry) -> None:
        self.registry = registry
        self.engine = DockerEngine(resolve(os.environ))
        self.compose = DockerCompose(os.environ, 150)
        self.project = f"dau-contract-{uuid.uuid4().hex[:8]}"
        self.name = f"{registry.host}/team/{self.project}"
        self.client = docker.from_env()

    def publish(self, release: str) -> str:
        # A unique file, so that no image of another test or run shares this one's id.
        made = lab.good(release)
        files = {**made.files, "of": self.project.encode()}
        return self.registry.push(
            f"team/{self.project}", release, Build(files=files, config=made.config)
        ).digest

    def withhold_digests(self) -> None:
        words = json.dumps({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "no such manifest"}]}).encode()
        nothing = Behaviour(status=404, headers={"Docker-Content-Digest": None}, body=words)
        self.registry.behave("manifest_get", nothing, path="sha256:")
        self.registry.behave("manifest_head", Behaviour(headers={"Docker-Content-Digest": None}))

    def break_pulls(self) -> None:
        self.registry.behave("blob", Behaviour(truncate_to=10))

    def start(self, service: str, image: str) -> str:
        labels = {"com.docker.compose.project": self.project, "com.docker.compose.service": service}
        made = self.client.containers.run(
            image,
            detach=True,
            labels=labels,
            network_mode="none",
            name=f"{self.project}-{uuid.uuid4().hex[:6]}",
        )
        return str(made.id)

    def unreachable(self) -> protocols.Engine:
        return DockerEngine(EngineEndpoint("unix:///nowhere/docker.sock"))

    def clean(self) -> None:
        mine: dict[str, Any] = {"label": f"com.docker.compose.project={self.project}"}
        for container in self.client.containers.list(all=True, ignore_removed=True, filters=mine):
            container.remove(force=True)
        for raw in self.client.api.images(all=True):
            for text in [*(raw["RepoTags"] or ()), *(raw["RepoDigests"] or ())]:
                if self.project in text:
                    with suppress(docker.errors.ImageNotFound):  # the last tag takes the digests with it
                        self.client.api.remove_image(text)
        self.client.close()


class SimulatedHost:
    def __init__(self) -> None:
        self.project, self.name = "shop", "registry.example/team/app"
        self.host = SimHost(project=self.project)
        self.engine, self.compose = SimEngine(self.host), SimCompose(self.host)

    def publish(self, release: str) -> str:
        digest = image_id(release)
        self.host.releases[digest] = SimRelease(digest)
        self.host.remote_tags[f"{self.name}:{release}"] = digest
        return digest

    def withhold_digests(self) -> None:
        self.host.gives_digests = False

    def break_pulls(self) -> None:
        self.host.pull_error = "unexpected EOF"

    def start(self, service: str, image: str) -> str:
        made = self.host.create(f"made-{len(self.host.containers)}", service, image, image)
        self.host.start(made)
        return made.id

    def unreachable(self) -> protocols.Engine:
        self.host.is_down = True
        return self.engine


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.engine)])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    if request.param == "simulated":
        yield SimulatedHost()
        return
    real = RealHost(request.getfixturevalue("registry"))
    yield real
    real.clean()


@dataclass(frozen=True)
class Pulled:
    """An image that was pulled by digest."""

    reference: ImageRef
    id: str

    @property
    def by_digest(self) -> str:
        return f"{self.reference.name}@{self.reference.digest}"


def pull(host: Host, release: str) -> Pulled:
    wanted = replace(reference.parse(host.name), digest=host.publish(release))
    host.engine.pull(wanted, None, None, None)
    found = host.engine.image(f"{host.name}@{wanted.digest}")
    assert found is not None
    return Pulled(wanted, found.id)


# ----------------------------------------------------------------------------------------------------- images


def test_a_pull_by_digest_moves_no_tag(host: Host) -> None:
    pulled = pull(host, "one")
    image = host.engine.image(pulled.id)
    assert image is not None
    assert image.id == pulled.id
    assert image.repo_digests == (pulled.by_digest,)
    assert image.repo_tags == ()
    assert image.platform == "linux/amd64" == host.engine.platform()
    assert host.engine.known_image(pulled.id) == image


def test_what_is_not_here_is_none_and_no_error(host: Host) -> None:
    assert host.engine.image(f"{host.name}:never") is None
    assert host.engine.image(f"{host.name}@{NOWHERE}") is None
    assert host.engine.image(NOWHERE) is None
    assert host.engine.known_image(NOWHERE) is None
    assert host.engine.container("0" * 64) is None
    assert host.engine.containers(host.project, "never") == ()


def test_a_pull_of_what_the_registry_does_not_have_is_the_engines_refusal(host: Host) -> None:
    host.publish("one")
    with pytest.raises(ManifestRefused, match="could not pull"):
        host.engine.pull(replace(reference.parse(host.name), digest=NOWHERE), None, None, None)
    assert host.engine.image(f"{host.name}@{NOWHERE}") is None


def test_what_a_registry_gives_by_its_tag_alone_is_pulled_by_that_and_the_tag_moves(host: Host) -> None:
    by_tag = reference.parse(f"{host.name}:one")
    wanted = replace(by_tag, digest=host.publish("one"))
    host.withhold_digests()
    with pytest.raises(ManifestRefused, match=f"could not pull {host.name}@{wanted.digest}"):
        host.engine.pull(wanted, None, None, None)
    host.engine.pull(by_tag, None, None, None)
    found = host.engine.image(f"{host.name}:one")
    assert found is not None
    assert found.repo_digests == (f"{host.name}@{wanted.digest}",)
    with pytest.raises(ManifestRefused, match=f"could not pull {host.name}:two"):
        host.engine.pull(reference.parse(f"{host.name}:two"), None, None, None)


def test_a_pull_that_breaks_half_way_is_an_error_and_leaves_no_image(host: Host) -> None:
    wanted = replace(reference.parse(host.name), digest=host.publish("one"))
    host.break_pulls()
    with pytest.raises(EngineError, match="could not pull") as caught:
        host.engine.pull(wanted, None, None, None)
    assert not isinstance(caught.value, ManifestRefused)
    assert host.engine.image(f"{host.name}@{wanted.digest}") is None


def test_a_tag_names_an_image_moves_to_another_and_goes(host: Host) -> None:
    """Each is held under a name of ours, as in an update: an engine drops what has no other name than a
    digest.
    """
    one, two, name = pull(host, "one"), pull(host, "two"), f"{host.name}:latest"
    hold = f"docker-updater.invalid/retained-for-rollback/{host.project}:found-"
    host.engine.tag(one.id, f"{hold}1")
    host.engine.tag(two.id, f"{hold}2")
    for pulled in (one, one, two):  # the same once more is no error
        host.engine.tag(pulled.id, name)
        found = host.engine.image(name)
        assert found is not None
        assert found.id == pulled.id
    left = host.engine.image(one.id)
    assert left is not None
    assert left.repo_tags == (f"{hold}1",)
    for _ in range(2):  # what is not there is removed without an error
        host.engine.untag(name)
        assert host.engine.image(name) is None
    assert host.engine.image(two.id) is not None


def test_an_image_that_is_not_here_cannot_be_tagged(host: Host) -> None:
    with pytest.raises(EngineError):
        host.engine.tag(NOWHERE, f"{host.name}:latest")


def test_held_are_the_names_under_a_prefix_and_no_others(host: Host) -> None:
    one, two = pull(host, "one"), pull(host, "two")
    prefix = f"docker-updater.invalid/retained-for-rollback/{host.project}-1:"
    host.engine.tag(one.id, f"{prefix}found-1")
    host.engine.tag(two.id, f"{prefix}pulled-2")
    host.engine.tag(two.id, f"docker-updater.invalid/retained-for-rollback/{host.project}-12:found-1")
    host.engine.tag(two.id, f"{host.name}:latest")
    assert dict(host.engine.retained(prefix)) == {f"{prefix}found-1": one.id, f"{prefix}pulled-2": two.id}
    assert (
        dict(host.engine.retained(f"docker-updater.invalid/retained-for-rollback/{host.project}-never:"))
        == {}
    )


def test_an_image_goes_only_if_nothing_uses_it(host: Host) -> None:
    free, busy = pull(host, "one"), pull(host, "two")
    host.start("web", busy.id)
    host.engine.remove_image(busy.id)
    host.engine.remove_image(free.id)
    host.engine.remove_image(NOWHERE)
    assert host.engine.image(busy.id) is not None
    assert host.engine.image(free.id) is None


# ------------------------------------------------------------------------------------------------- containers


def test_containers_are_found_by_project_and_service_in_any_state(host: Host) -> None:
    image = pull(host, "one").id
    web, worker = host.start("web", image), host.start("worker", image)
    assert [c.id for c in host.engine.containers(host.project, "web")] == [web]
    assert host.engine.containers("another-project", "web") == ()
    everything = {c.id: c for c in host.engine.compose_containers() if c.project == host.project}
    assert {c.id: (c.service, c.image_id, c.status) for c in everything.values()} == {
        web: ("web", image, "running"),
        worker: ("worker", image, "running"),
    }
    host.engine.stop_container(web)
    (stopped,) = host.engine.containers(host.project, "web")
    assert (stopped.id, stopped.status) == (web, "exited")


def test_a_container_is_found_by_the_start_of_its_id_until_it_is_gone(host: Host) -> None:
    made = host.start("web", pull(host, "one").id)
    found = host.engine.container(made[:12])
    assert found is not None
    assert found.id == made
    host.engine.stop_container(made)
    host.engine.remove_container(made)
    assert host.engine.container(made) is None
    assert host.engine.containers(host.project, "web") == ()


def test_a_command_runs_in_a_container_that_runs(host: Host) -> None:
    container_id = host.start("web", pull(host, "one").id)
    commands = (["sh", "-c", "exit 0"], ["sh", "-c", "exit 1"])
    codes = [host.engine.run_in_container(container_id, command, 60).exit_code for command in commands]
    assert codes == [0, 1]
    host.engine.stop_container(container_id)
    with pytest.raises(EngineError, match="run sh in"):
        host.engine.run_in_container(container_id, ["sh", "-c", "exit 0"], 60)


def test_what_a_container_was_created_with_is_known_until_it_is_gone(host: Host) -> None:
    digest = host.publish("1.0")
    host.engine.pull(reference.parse(f"{host.name}@{digest}"), None, None, None)
    image = host.engine.image(f"{host.name}@{digest}")
    assert image is not None
    made = host.start("web", image.id)
    assert host.engine.settings(made) is not None
    host.engine.stop_container(made)
    host.engine.remove_container(made)
    assert host.engine.settings(made) is None


def test_a_container_is_renamed_unless_the_name_is_taken(host: Host) -> None:
    image = pull(host, "one").id
    first, second = host.start("web", image), host.start("web", image)
    host.engine.rename_container(first, f"{host.project}-renamed")
    assert (_name(host, first)) == f"{host.project}-renamed"
    with pytest.raises(EngineError):
        host.engine.rename_container(second, f"{host.project}-renamed")
    assert _name(host, first) == f"{host.project}-renamed" != _name(host, second)


def _name(host: Host, container_id: str) -> str:
    found = host.engine.container(container_id)
    assert found is not None
    return found.name


def test_what_is_gone_already_is_removed_without_an_error(host: Host) -> None:
    host.engine.remove_container("0" * 64)


def test_an_engine_that_stays_was_there_all_the_time(host: Host) -> None:
    with host.engine.watch_liveness() as was_there:
        assert was_there()
        host.engine.version()
        assert was_there()


def test_an_engine_that_does_not_answer_is_unavailable_whatever_is_asked(host: Host) -> None:
    engine = host.unreachable()
    for ask in (
        engine.version,
        engine.platform,
        engine.compose_containers,
        lambda: engine.containers("shop", "web"),
        lambda: engine.container("0" * 64),
        lambda: engine.image(NOWHERE),
        lambda: engine.retained("docker-updater.invalid/"),
        lambda: engine.watch_liveness().__enter__(),
        lambda: engine.tag(NOWHERE, "a:b"),
        lambda: engine.pull(replace(reference.parse(host.name), digest=NOWHERE), None, None, None),
    ):
        with pytest.raises(EngineUnavailable):
            ask()


# ---------------------------------------------------------------------------------------------------- compose

TEXT = """\
services:
  web:
    image: {name}:{tag}
    network_mode: none
    stop_grace_period: 1s
  worker:
    image: {name}:1.0
    network_mode: none
"""


@pytest.fixture
def file(tmp_path: Path, host: Host) -> Path:
    path = tmp_path / "compose.yml"
    path.write_text(TEXT.format(name=host.name, tag="1.0"))
    return path


def project(host: Host, file: Path) -> Project:
    return Project(host.project, str(file.parent), (str(file),))


def up(host: Host, file: Path, **changes: Any) -> None:
    words = {"with_dependencies": False, "recreate": Recreate.CHANGED, "grace_seconds": 1.0, **changes}
    host.compose.up(project(host, file), {"web": 1}, **words)


def web(host: Host) -> tuple[str, str, str]:
    """Name, image and status of the one container of web."""
    (container,) = host.engine.containers(host.project, "web")
    return container.name, container.image_id, container.status


def test_the_model_is_what_the_file_says_or_the_one_read_in_its_place(host: Host, file: Path) -> None:
    other = file.with_name("staged.yml")
    other.write_text(TEXT.format(name=host.name, tag="1.1"))
    for replaced, tag in (({}, "1.0"), ({str(file): str(other)}, "1.1")):
        services = host.compose.config(project(host, file), replaced)["services"]
        images = {name: facts["image"] for name, facts in services.items()}
        assert images == {"web": f"{host.name}:{tag}", "worker": f"{host.name}:1.0"}


def test_up_makes_recreates_and_otherwise_leaves_alone(host: Host, file: Path) -> None:
    one, two = pull(host, "one").id, pull(host, "two").id
    host.engine.tag(one, f"{host.name}:1.0")
    host.engine.tag(two, f"{host.name}:1.1")
    up(host, file)
    assert web(host) == (f"{host.project}-web-1", one, "running")
    (before,) = host.engine.containers(host.project, "web")
    up(host, file)
    (same,) = host.engine.containers(host.project, "web")
    assert (same.id, same.started_at) == (before.id, before.started_at)
    file.write_text(TEXT.format(name=host.name, tag="1.1"))
    up(host, file)
    assert web(host) == (f"{host.project}-web-1", two, "running")
    assert host.engine.container(before.id) is None
    assert host.engine.containers(host.project, "worker") == ()


def test_up_sees_that_a_tag_was_moved(host: Host, file: Path) -> None:
    one, two = pull(host, "one").id, pull(host, "two").id
    for image in (one, two):
        host.engine.tag(image, f"{host.name}:1.0")
        up(host, file)
        assert web(host) == (f"{host.project}-web-1", image, "running")


def test_up_starts_what_is_stopped(host: Host, file: Path) -> None:
    one = pull(host, "one").id
    host.engine.tag(one, f"{host.name}:1.0")
    up(host, file)
    (before,) = host.engine.containers(host.project, "web")
    host.engine.stop_container(before.id)
    up(host, file)
    (after,) = host.engine.containers(host.project, "web")
    assert (after.id, after.status) == (before.id, "running")


def test_up_never_pulls(host: Host, file: Path) -> None:
    host.publish("1.0")
    with pytest.raises(ComposeError, match=r"[Nn]o such image"):
        up(host, file)
    assert host.engine.containers(host.project, "web") == ()


@pytest.mark.engine
def test_a_preview_tells_what_up_would_do_without_doing_it(registry: FakeRegistry, tmp_path: Path) -> None:
    host = RealHost(registry)
    file = tmp_path / "compose.yml"
    file.write_text(TEXT.format(name=host.name, tag="1.0"))
    try:
        one, two = pull(host, "one").id, pull(host, "two").id
        host.engine.tag(one, f"{host.name}:1.0")
        up(host, file)
        own = f"Container {host.project}-web-1"
        quiet = host.compose.preview(project(host, file), {"web": 1}, with_dependencies=True)
        assert quiet is not None
        assert quiet.said[own] == frozenset({"Running"})
        host.engine.tag(two, f"{host.name}:1.0")
        moved = host.compose.preview(project(host, file), {"web": 1}, with_dependencies=True)
        assert moved is not None
        assert "Recreate" in moved.said[own]
        assert web(host) == (f"{host.project}-web-1", one, "running")
    finally:
        host.clean()


@pytest.mark.engine
def test_of_a_command_in_a_container_the_end_is_kept_and_none_is_waited_for_in_vain(
    registry: FakeRegistry,
) -> None:
    host = RealHost(registry)
    try:
        container_id = host.start("web", pull(host, "one").id)
        wordy = host.engine.run_in_container(container_id, ["sh", "-c", "seq 1 5000; echo end; exit 7"], 60)
        assert (wordy.exit_code, wordy.output[-9:], len(wordy.output)) == (7, "5000\nend\n", 4096)
        assert host.engine.run_in_container(container_id, ["sleep", "600"], 0.5).exit_code is None
        assert host.engine.run_in_container(container_id, ["no-such-command"], 60).exit_code in (126, 127)
    finally:
        host.clean()


@pytest.mark.engine
def test_one_off_containers_do_not_count(registry: FakeRegistry) -> None:
    host = RealHost(registry)
    try:
        image = pull(host, "one").id
        labels = {
            "com.docker.compose.project": host.project,
            "com.docker.compose.service": "web",
            "com.docker.compose.oneoff": "True",
        }
        host.client.containers.run(image, detach=True, labels=labels, network_mode="none")
        assert host.engine.containers(host.project, "web") == ()
        assert [c for c in host.engine.compose_containers() if c.project == host.project] == []
    finally:
        host.clean()

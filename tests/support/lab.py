"""A small shop on a real engine: a compose project, releases in a registry, and the updater beside it."""

from __future__ import annotations

import functools
import json
import logging
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import docker

from tests.support.fake_registry import Build, FakeRegistry, Pushed
from updater_core import config_utils
from updater_core.app import cycle
from updater_core.app.context import AppContext
from updater_core.app.report import Report
from updater_core.app.wiring import wire
from updater_core.deploy.retention_tags import is_retained_by_name
from updater_core.host.clock import SystemClock

ROOT = Path(__file__).resolve().parents[2]
_BUSYBOX = Path("/bin/busybox").read_bytes()
_FOREVER = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"
SECOND = 1_000_000_000  # as the engine counts
_CALL = '#!/bin/busybox sh\nexec /bin/busybox {} "$@"\n'
_APPLETS = ("sh", "sleep", "test", "cat", "echo", "httpd", "nc")


def build(name: str, script: str = _FOREVER, healthcheck: str | None = None, **options: Any) -> Build:
    """Build an image that runs `script` and carries its name as a label.

    `healthcheck` is a shell command.
    """
    config: dict[str, Any] = {
        "Cmd": ["/bin/sh", "-c", script],
        "Labels": {"release": name},
        "Env": ["PATH=/bin"],
    }
    if healthcheck:
        config["Healthcheck"] = {
            "Test": ["CMD-SHELL", healthcheck], "Interval": SECOND // 2, "Timeout": 60 * SECOND, "Retries": 2,
        }  # fmt: skip
    if "cmd" in options:
        config["Cmd"] = options.pop("cmd")
    files = {"release": name.encode(), **({} if "base" in options else busybox())}
    return Build(files=files, config=config, docker=True, **options)


@functools.cache
def busybox() -> Mapping[str, bytes]:
    """Return a static busybox under the names that are used.

    As the `base` of several images it is a layer that they share.
    """
    files = {f"bin/{applet}": _CALL.format(applet).encode() for applet in _APPLETS}
    return {**files, "bin/busybox": _BUSYBOX, "bin/sh": _BUSYBOX}


def answers(name: str, **options: Any) -> Build:
    """Return an image that serves its own name at /release on port 80, and ends when asked to.

    It stands on the shared base.
    """
    script = "httpd -f -p 80 -h / & child=$!; trap 'kill $child; exit 0' TERM; wait $child"
    return build(name, script, base=busybox(), **options)


def good(name: str) -> Build:
    return build(name)


def healthy(name: str) -> Build:
    return build(name, healthcheck="test -f /release")


def unhealthy(name: str) -> Build:
    return build(name, healthcheck="echo the database is not there; exit 1")


# a probe of one that ends at once: it is not good before that, however late it gets to end
NO_ANSWER = "sleep 60"


def exits(name: str) -> Build:
    return build(name, "echo no config; exit 3", healthcheck=NO_ANSWER)


def dies_when_asked(name: str) -> Build:
    """Return an image that runs well until there is a file /go."""
    return build(name, "until [ -f /go ]; do sleep 0.1; done; exit 7")


def no_entry(name: str) -> Build:
    return build(name, cmd=["/bin/not-there"])


def wrong_platform(name: str) -> Build:
    return build(name, platforms=("linux/s390x",))


@dataclass
class Shop:
    """One project with service `web`.

    `settings` go into the updater's configuration, `policy` into the service's.
    """

    folder: Path
    registry: FakeRegistry
    name: str = field(default_factory=lambda: f"dau-test-{uuid.uuid4().hex[:8]}")
    policy: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    compose_service: str | list[str] = "web"
    engine_host: str | None = None

    @property
    def compose_file(self) -> Path:
        return self.folder / "docker-compose.yml"

    @property
    def repository(self) -> str:
        return f"{self.registry.host}/team/app"

    @property
    def client(self) -> docker.DockerClient:
        return docker.DockerClient(base_url=self.engine_host) if self.engine_host else docker.from_env()

    def push(self, tag: str, image: Build) -> Pushed:
        """Push a release."""
        return self.registry.push("team/app", tag, self.own(image))

    def own(self, image: Build) -> Build:
        """Return the image as this shop's alone, so that shops side by side do not share ids."""
        return replace(image, files={**image.files, "shop": self.name.encode()})

    def write(self, tag: str = "latest", text: str | None = None) -> None:
        """Write the compose file; by default one service with the lab's image under `tag`."""
        self.compose_file.write_bytes((text or _COMPOSE).format(image=f"{self.repository}:{tag}").encode())

    def up(self, *words: str) -> None:
        self.compose("up", "-d", *words)

    def compose(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        argv = ["docker", "compose", "-p", self.name, *words]
        # as in a shell there
        environment = {**os.environ, "PWD": str(self.folder)}
        if self.engine_host:
            environment["DOCKER_HOST"] = self.engine_host
        return subprocess.run(
            argv, cwd=self.folder, check=check, capture_output=True, text=True, env=environment
        )

    def down(self) -> None:
        """Take everything of this shop off the engine again."""
        self.compose("down", "--timeout", "0", "--volumes", "--remove-orphans", check=False)
        client = self.client
        mine: dict[str, Any] = {"label": f"com.docker.compose.project={self.name}"}
        for container in client.containers.list(all=True, ignore_removed=True, filters=mine):
            with suppress(docker.errors.NotFound):
                container.remove(force=True)
        for name in self._image_names(client):
            with suppress(docker.errors.APIError):
                client.api.remove_image(name)
        client.close()

    def forget_image(self, release: str) -> None:
        """Remove every name of a release's image from the engine."""
        client = self.client
        for name in self._image_names(client, {"label": f"release={release}"}):
            with suppress(docker.errors.APIError):
                client.api.remove_image(name)
        client.close()

    def forget_strangers(self) -> None:
        """Remove what an earlier registry on the same port has left.

        `up` would take its `latest` for this one's.
        """
        client = self.client
        for name in self._image_names(client):
            with suppress(docker.errors.APIError):
                client.api.remove_image(name, force=True)
        client.close()

    def forget_holds(self) -> None:
        """Remove the names under which the updater holds images of this shop."""
        client = self.client
        for name in self._image_names(client):
            if self.is_hold(name):
                # containerd's store lists a digest that goes with its tag
                with suppress(docker.errors.ImageNotFound):
                    client.api.remove_image(name)
        client.close()

    def _image_names(
        self, client: docker.DockerClient, filters: Mapping[str, str] | None = None
    ) -> list[str]:
        """Tags and digests of this shop's images, and the names under which they are held.

        One list call: an image that another test removes meanwhile harms nobody.
        """
        listed = client.api.images(all=True, filters=dict(filters or {}))
        kinds = [raw[kind] or () for raw in listed for kind in ("RepoTags", "RepoDigests")]
        names = [name for some in kinds for name in some]
        return [name for name in names if name.startswith(self.repository) or self.is_hold(name)]

    def is_hold(self, name: str) -> bool:
        """Whether a local name is one under which an updater retains an image of this shop."""
        return is_retained_by_name(name) and name.rpartition("/")[2].startswith(self.name)

    # -------------------------------------------------------------------------------------------- the updater

    def config(self) -> dict[str, Any]:
        service = {
            "name": self.name,
            "image": f"{self.repository}:latest",
            "compose_file": str(self.compose_file),
            "compose_service": self.compose_service,
            "health_timeout": 20,
            "health_stable": 1,
            **self.policy,
        }
        return {
            "check_interval": 3600,
            "compose_timeout": 150,
            "state_file": str(self.folder / "state" / "state.json"),
            "log_file": str(self.folder / "updater.log"),
            "services": [service],
            **self.settings,
        }

    def context(self, clock: SystemClock | None = None) -> AppContext:
        if self.engine_host:
            raise AssertionError("an engine of its own is reached through `run` and `updater` only")
        logging.getLogger("updater").setLevel(logging.INFO)
        config = config_utils.parse(self.config(), {}, str(self.folder / "config.json"))
        return wire(config, clock or SystemClock())

    def cycle(self) -> Report:
        """One cycle of the real updater, in this process."""
        return cycle.run(self.context())

    def updater(self, *words: str, audit: Path | None = None) -> subprocess.Popen[str]:
        """Start the real updater as a process of its own.

        `audit` is a file that gets a line for each process it starts.
        """
        path = self.folder / "config.json"
        path.write_text(json.dumps(self.config()))
        environment = {**os.environ, "CONFIG_FILE": str(path), "PYTHONPATH": str(ROOT)}
        if self.engine_host:
            environment["DOCKER_HOST"] = self.engine_host
        program = ["-m", "tests.support.audited", str(audit)] if audit else [str(ROOT / "docker_updater.py")]
        argv = [sys.executable, *program, *words]
        return subprocess.Popen(
            argv,
            cwd=self.folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, *words: str, audit: Path | None = None) -> tuple[int, str]:
        """Run the updater to its end; its exit status and what it printed."""
        child = self.updater(*words, audit=audit)
        out, _ = child.communicate(timeout=300)
        return child.returncode, out

    # -------------------------------------------------------------------------------------- what there is now

    def containers(self, service: str = "web") -> list[Any]:
        labels = [f"com.docker.compose.project={self.name}", f"com.docker.compose.service={service}"]
        client = self.client
        try:
            return list(client.containers.list(all=True, ignore_removed=True, filters={"label": labels}))
        finally:
            client.close()

    def blobs_pulled(self) -> list[str]:
        """Return what the engine fetched from the registry.

        The updater itself reads the configuration of an image that waits, once, to say its version.
        """
        asked = [entry for entry in self.registry.log if entry.kind == "blob"]
        return [
            entry.path for entry in asked if "docker-auto-updater" not in entry.headers.get("user-agent", "")
        ]

    def releases(self, service: str = "web") -> list[tuple[str, str]]:
        """Return the release label and the status of each container of a service."""
        return [(c.labels.get("release", "?"), c.status) for c in self.containers(service)]

    def names(self, service: str = "web") -> list[str]:
        return [container.name for container in self.containers(service)]

    def operator_up_changes(self) -> list[str]:
        """Return what the operator's own `up -d` would do now.

        That is the lines of a dry run that are not `Running`.
        """
        done = self.compose("--dry-run", "up", "-d", "--pull", "never", "--no-build")
        lines = [
            line.split("Container", 1)[1].strip() for line in done.stderr.splitlines() if "Container" in line
        ]
        return [line for line in lines if not line.endswith(("Running", "Waiting", "Healthy"))]

    def state(self) -> Mapping[str, Any]:
        path = self.folder / "state" / "state.json"
        record: Mapping[str, Any] = json.loads(path.read_text())["services"][self.name]
        return record

    def strays(self) -> list[str]:
        """Files of ours that nobody needs any more: staged edits, open journals."""
        found = [*self.folder.glob(".*.dau-*"), *(self.folder / "state" / "journal").glob("*.json")]
        return [path.name for path in found]


_COMPOSE = """\
# the shop
services:
  web:
    image: {image}  # kept
    restart: unless-stopped
    stop_grace_period: 1s
    network_mode: none
"""


def until(condition: Callable[[], Any], seconds: float = 120.0, what: str = "") -> Any:
    """Poll until `condition` gives something true, and return that; fail loudly after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or condition}")
        time.sleep(0.05)

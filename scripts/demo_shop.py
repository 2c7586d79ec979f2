"""The demo's shop: a registry, a compose project of two services, visitors, the updater, and the end.

Everything bears the demo's project name or label, and `close` takes all of it away again; so does the next
demo if one was killed before it could.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import docker
from demo_stage import DemoFailed
from demo_visitor import Visitor, ask, until
from docker.errors import DockerException
from tiny_image import TinyImage, push

ROOT = Path(__file__).resolve().parents[1]
PROJECT = "docker-updater-demo"
LABEL = "docker-updater.demo"
_OURS = {"label": f"com.docker.compose.project={PROJECT}"}
FOLDER_PREFIX = "docker-updater-demo-"
SERVICES = ("web", "api")
STABLE_SECONDS = 5
_LONGEST_RUN_SECONDS = 900
_KEPT_VARIABLES = (
    "PATH", "HOME", "LANG", "TZ", "XDG_RUNTIME_DIR",
    "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH",
)  # fmt: skip

_SERVE = "trap 'exit 0' TERM; httpd -f -p 8080 -h /www & {then}wait"
_BREAK = "until [ -f /probed ]; do sleep 0.2; done; sleep 1; rm /www/health; "
_COMPOSE = """\
# The shop of the demo. What is written by hand in here is kept, to the byte.
services:
  web:
    image: "{registry}/shop/web:latest"   # follows the digest behind this tag
    restart: unless-stopped
    stop_grace_period: 1s
    ports: ["127.0.0.1:{web_port}:8080"]

  api:
    image: {registry}/shop/api:v1.0.0 # follows the versions v*
    restart: unless-stopped
    stop_grace_period: 1s
    ports:
      - 127.0.0.1:{api_port}:8080
"""

_Work = tuple[str, Callable[..., Any], Mapping[str, Any]]


@dataclass(slots=True)
class Run:
    """The updater at work in a process of its own; each line it says goes to `say` at once."""

    process: subprocess.Popen[str]
    say: Callable[[str], None]
    lines: list[str] = field(default_factory=list)
    _reader: threading.Thread | None = None

    def listen(self) -> None:
        """Begin to read what the updater says, in a thread of its own."""
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()

    def end(self) -> int:
        """Wait for the end, and return the exit status. Raises DemoFailed if it does not come in time."""
        try:
            status = self.process.wait(_LONGEST_RUN_SECONDS)
        except subprocess.TimeoutExpired:
            raise DemoFailed(f"the updater did not end within {_LONGEST_RUN_SECONDS} s") from None
        if self._reader:
            self._reader.join(5)
        return status

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self.lines.append(line.rstrip("\n"))
            with suppress(OSError):  # who reads our output may be gone; the main thread notices it by itself
                self.say(self.lines[-1])


@dataclass
class Children:
    """The processes that a demo starts."""

    _all: list[subprocess.Popen[Any]] = field(default_factory=list)

    def spawn(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a child out of reach of our terminal's Ctrl-C: we end it ourselves.

        If we are killed, it ends too.
        """
        bound = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        child = subprocess.Popen([*bound, *argv], stdin=subprocess.DEVNULL, start_new_session=True, **options)
        self._all.append(child)
        return child

    def start_registry(self, folder: Path, address: str) -> None:
        """Start a registry whose data and log are in the folder. Raises DemoFailed if it does not answer."""
        config = {
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
            "http": {"addr": address},
        }
        path = folder / "registry.json"
        path.write_text(json.dumps(config))  # JSON is YAML
        log = folder / "registry.log"
        with log.open("wb") as stream:
            self.spawn(["docker-registry", "serve", str(path)], stdout=stream, stderr=stream)
        host, _, port = address.rpartition(":")
        if not until(lambda: ask(int(port), "/v2/", host) is not None, 300):
            raise DemoFailed(f"docker-registry does not answer on {address}: {log.read_text()[-500:]}")

    def start_updater(
        self, folder: Path, words: Sequence[str], say: Callable[[str], None], **more: str
    ) -> Run:
        """Start the real updater with the configuration in the folder.

        Its environment has nothing of ours but what every child needs, and `more`.
        """
        variables = {**environment(), **more, "CONFIG_FILE": str(folder / "updater_config.json")}
        argv = [sys.executable, str(ROOT / "docker_updater.py"), *words]
        child = self.spawn(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder, env=variables, text=True
        )
        run = Run(child, say)
        run.listen()
        return run

    def end_all(self) -> None:
        """End all children, the last one first."""
        for child in reversed(self._all):
            end(child)


@dataclass
class DemoShop:
    """All that the demo makes. `open` makes it, `close` takes it away, whatever happened in between."""

    folder: Path = field(default_factory=Path)
    registry: str = ""
    ports: Mapping[str, int] = field(default_factory=dict)
    visitors: Mapping[str, Visitor] = field(default_factory=dict)
    _claim: socket.socket | None = None
    _children: Children = field(default_factory=Children)

    # ------------------------------------------------------------------------------------------ begin and end

    def open(self) -> None:
        """Make the folder, the registry and the configuration; remove first what a killed demo left."""
        self._claim = claim()
        sweep_engine()
        sweep_folders()
        self.folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
        registry_port, web_port, api_port = free_ports(3)
        self.registry = f"127.0.0.1:{registry_port}"
        self.ports = {"web": web_port, "api": api_port}
        self._children.start_registry(self.folder, self.registry)
        names = {"registry": self.registry, "web_port": web_port, "api_port": api_port}
        self.compose_file.write_text(_COMPOSE.format(**names))
        self._config_file.write_text(json.dumps(self._config(), indent=2))

    def close(self) -> bool:
        """Take away every process, container, network, image and file of the demo.

        Return False if nothing was begun.
        """
        if self._claim is None:
            return False
        for visitor in self.visitors.values():
            visitor.stop()
        self._children.end_all()
        self._await_orphans()
        try:
            sweep_engine()
        finally:
            if self.folder.name.startswith(FOLDER_PREFIX):
                shutil.rmtree(self.folder)
            self._claim.close()
        return True

    def _await_orphans(self) -> None:
        """Wait until no Compose of a killed updater works on.

        While one does, it holds the project's lock.
        """
        path = self.state_folder / "locks" / f"{PROJECT}.lock"
        if not self.registry or not path.exists():
            return
        with path.open("rb") as lock:
            until(lambda: _is_free(lock), 300)

    # ------------------------------------------------------------------------------------------- the services

    @property
    def compose_file(self) -> Path:
        """Return the file of the shop's project."""
        return self.folder / "docker-compose.yml"

    def release(self, service: str, version: str, tag: str, *, turns_bad: bool = False) -> str:
        """Push a release, and return its digest.

        One that `turns_bad` passes its healthcheck, and fails it a second later.
        """
        image = shop_image(f"{service} {version}", _BREAK if turns_bad else "")
        return push(self.registry, f"shop/{service}", [tag], image)

    def deploy(self) -> None:
        """Do what the operator does once, `docker compose up -d`; from then on visitors come.

        Raises DemoFailed if Compose fails.
        """
        argv = ["docker", "compose", "-p", PROJECT, "up", "-d", "--quiet-pull"]
        options = {"cwd": self.folder, "env": environment(), "text": True}
        child = self._children.spawn(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
        out, _ = child.communicate(timeout=_LONGEST_RUN_SECONDS)
        if child.returncode != 0:
            raise DemoFailed(f"docker compose up ended with {child.returncode}:\n{out}")
        self.visitors = {service: Visitor(port) for service, port in self.ports.items()}
        for visitor in self.visitors.values():
            visitor.start()

    def answer(self, service: str) -> str | None:
        """Return what the service says now; None if it does not answer."""
        return ask(self.ports[service])

    def containers(self) -> dict[str, str]:
        """Service to the ids of its containers."""
        found = dict.fromkeys(SERVICES, "")
        for container in _engine().containers(all=True, filters=_OURS):
            found[container["Labels"]["com.docker.compose.service"]] += container["Id"]
        return found

    def runs_digest(self, service: str, digest: str) -> bool:
        """Return whether the service's one container was made of what the registry has as `digest`.

        The engine is asked, not the updater.
        """
        image = _engine().inspect_container(self.containers()[service])["Image"]
        facts: Mapping[str, Any] = _engine().inspect_image(image)  # type: ignore[no-untyped-call]
        return f"{self.registry}/shop/{service}@{digest}" in facts["RepoDigests"]

    # -------------------------------------------------------------------------------------------- the updater

    @property
    def state_folder(self) -> Path:
        """Return the folder of the updater's state, journal and locks."""
        return self.folder / "state"

    @property
    def _config_file(self) -> Path:
        return self.folder / "updater_config.json"

    def start_updater(self, words: Sequence[str], say: Callable[[str], None]) -> Run:
        """Start the real updater, with a configuration, state and log of its own."""
        return self._children.start_updater(self.folder, words, say)

    def journal(self) -> Mapping[str, Any] | None:
        """Return the record of the update in progress; None if there is none."""
        for path in (self.state_folder / "journal").glob("*.json"):
            with suppress(OSError):  # closed just now
                record: Mapping[str, Any] = json.loads(path.read_text())
                return record
        return None

    def _config(self) -> dict[str, Any]:
        return {
            "compose_timeout": 600,
            "health_timeout": 600,
            "health_stable": STABLE_SECONDS,
            "state_file": str(self.state_folder / "state.json"),
            "log_file": str(self.folder / "updater.log"),
            "services": [
                self._service("web", "latest"),
                {**self._service("api", "v1.0.0"), "semver_pattern": "v*"},
            ],
        }

    def _service(self, service: str, tag: str) -> dict[str, Any]:
        return {
            "name": f"shop-{service}",
            "image": f"{self.registry}/shop/{service}:{tag}",
            "compose_file": str(self.compose_file),
            "compose_service": service,
        }


# ---------------------------------------------------------------------------------------------- small matters


def shop_image(text: str, then: str) -> TinyImage:
    """Return an image that serves a page with this text and is well.

    `then`: what its script does while it serves.
    """
    second = 1_000_000_000
    return TinyImage(
        pages={"index.html": f"{text}\n", "health": "well\n"},
        script=_SERVE.format(then=then),
        config={
            "Labels": {LABEL: "yes"},
            "Healthcheck": {
                "Test": ["CMD-SHELL", "wget -q -O - http://127.0.0.1:8080/health && : > /probed"],
                "Interval": second // 2,
                "Timeout": 60 * second,
                "StartPeriod": 300 * second,  # of a slow machine; it ends with the first probe that passes
                "Retries": 1,
            },
        },
    )


def claim(name: str = PROJECT) -> socket.socket:
    """Take the right to be this machine's only demo, until the returned socket is closed.

    Raises DemoFailed if another process has it.
    """
    held = socket.socket(socket.AF_UNIX)
    try:
        # an abstract name: it lies in no folder and ends with its process (man 7 unix)
        held.bind(f"\0{name}")
    except OSError:
        held.close()
        raise DemoFailed("another demo runs on this machine; wait until it is over") from None
    return held


def sweep_engine() -> None:
    """Remove what bears the demo's project name or label, until two looks in a row find nothing.

    A request of a process that was killed may just have been on its way, so one clean look is not enough.
    Raises DemoFailed if something stays.
    """
    clean_looks = 0
    for _ in range(20):
        clean_looks = 0 if _swept(_engine()) else clean_looks + 1
        if clean_looks == 2:
            return
        time.sleep(0.15)
    raise DemoFailed(
        f"something of the demo cannot be removed; look at `docker ps -a --filter name={PROJECT}`"
    )


def _swept(api: docker.APIClient) -> int:
    """Remove what is there; how much that was."""
    containers: list[_Work] = [
        (one["Id"], api.remove_container, {"force": True}) for one in api.containers(all=True, filters=_OURS)
    ]
    networks: list[_Work] = [(one["Id"], api.remove_network, {}) for one in api.networks(filters=_OURS)]
    images: list[_Work] = [
        (one["Id"], api.remove_image, {"force": True}) for one in api.images(filters={"label": LABEL})
    ]
    work = [*containers, *networks, *images]
    for name, remove, options in work:
        with suppress(DockerException):  # gone by itself, or in use for one more moment
            remove(name, **options)
    return len(work)


def sweep_folders() -> None:
    """Remove the folders of demos that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        if folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.geteuid():
            shutil.rmtree(folder, ignore_errors=True)


def end(child: subprocess.Popen[Any]) -> None:
    """End a process and all of its session."""
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def free_ports(count: int) -> list[int]:
    """Ports on loopback that nobody uses now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def environment() -> dict[str, str]:
    """Return what a child needs of our environment.

    A setting of the person's own updater or Compose must not leak in.
    """
    return {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}


@functools.cache
def _engine() -> docker.APIClient:
    return docker.from_env().api


def _is_free(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

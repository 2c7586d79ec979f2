"""Docker Swarm on this machine alone: private engines in network namespaces of their own, and a registry for them.

The bridge between them is in a namespace, too: on this machine's own, the rules of its engine's firewall would count.
The engine is the newer one that `scripts/setup --with-newer-docker` brings: Swarm's rollback of 20.10 has known faults.
`nsenter` and not `ip netns exec`, which would hide the control groups from dockerd.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker

from tests.support import newer_docker
from tests.support.fake_registry import Build, FakeRegistry, Pushed
from tests.support.lab import Shop, until

_PROGRAMS = newer_docker.FOLDER / "bin"
_API = "1.44"


class SwarmNode:
    """One engine in a namespace, with an address on the lab's bridge."""

    def __init__(self, name: str, address: str, switch: str, network: str, certificates: Path | None = None) -> None:
        self.name, self.address, self._certificates = name, address, certificates
        self.folder = Path(tempfile.mkdtemp(prefix="dsw-"))  # short: socket paths may have 108 characters
        self._switch = switch
        (self.folder / "daemon.json").write_text(json.dumps({"insecure-registries": [network]}))
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    @property
    def host(self) -> str:
        return f"unix://{self.folder}/docker.sock"

    def join_network(self, length: int) -> None:
        _ip("netns", "add", self.name)
        _ip("link", "add", "eth0", "netns", self.name, "type", "veth", "peer", "name", self.name, "netns", self._switch)
        _ip("-n", self._switch, "link", "set", self.name, "master", "br0", "up")
        for words in (
            ("addr", "add", f"{self.address}/{length}", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
        ):
            subprocess.run([*self._inside(), "ip", *words], check=True)

    def start(self) -> None:
        """Start the engine, and return when it answers."""
        (self.folder / "pid").unlink(missing_ok=True)
        (self.folder / "exec/containerd/containerd.pid").unlink(missing_ok=True)
        argv = [
            *self._inside(), "dockerd", "--config-file", str(self.folder / "daemon.json"),
            "--data-root", str(self.folder / "data"), "--exec-root", str(self.folder / "exec"),
            "--pidfile", str(self.folder / "pid"), "-H", self.host, "--iptables=false", "--ip6tables=false",
            *self._listening(),
        ]  # fmt: skip
        environment = {**os.environ, "PATH": f"{_PROGRAMS}:{os.environ['PATH']}"}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True, env=environment)
        self._starts += 1
        until(self.answers, 120, f"{self.name} answers")

    def _listening(self) -> list[str]:
        """The words for TLS on its address, with the client's certificate asked for."""
        if self._certificates is None:
            return []
        files = [f"--tls{kind}={self._certificates / kind}.pem" for kind in ("cert", "key")]
        ca = f"--tlscacert={self._certificates / 'ca.pem'}"
        return ["-H", self.tcp, "--tlsverify", ca, *files]

    @property
    def tcp(self) -> str:
        return f"tcp://{self.address}:2376"

    @property
    def is_started(self) -> bool:
        return self._process is not None

    def answers(self) -> bool:
        try:
            self.get("/_ping")
        except (docker.errors.DockerException, OSError, ValueError):
            return False
        return True

    def _inside(self) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.name}"]

    def docker(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the Docker CLI on this engine, as the operator would."""
        environment = {**os.environ, "DOCKER_HOST": self.host}
        return subprocess.run(["docker", *words], check=check, capture_output=True, text=True, env=environment)

    def get(self, path: str, **params: str) -> Any:
        with contextlib.closing(docker.APIClient(base_url=self.host, version=_API, timeout=30)) as client:
            response = client.get(f"{client.base_url}{path}", params=params)
            return response.json() if "json" in response.headers.get("Content-Type", "") else response.text

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal to dockerd, and with SIGKILL to all that it had started; wait until it is gone."""
        if self._process is None:
            return
        if number is signal.SIGKILL:
            self._kill_all()
        else:
            self._process.send_signal(number)
        self._process.wait(120)
        self._process = None

    def _kill_all(self) -> None:
        """All that was started from this node's folder: dockerd, containerd, and the shims with what they run."""
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if str(self.folder).encode() in (place / "cmdline").read_bytes() and int(place.name) != os.getpid():
                    os.kill(int(place.name), signal.SIGKILL)

    def close(self) -> None:
        self.end()
        self._kill_all()
        for _ in range(self._starts + 1):  # dockerd binds its data folder onto itself at each start
            subprocess.run(["umount", str(self.folder / "data")], check=False, capture_output=True)
        _ip("netns", "del", self.name, check=False)
        for place in _mounts_below(self.folder):
            subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)


class SwarmLab:
    """A swarm of managers, and a registry that all of them reach."""

    def __init__(self, managers: int = 1, certificates: Path | None = None) -> None:
        """`certificates`: a folder that is filled with those of the nodes, which listen with TLS then."""
        newer_docker.need()
        self._id = uuid.uuid4().hex[:6]
        self._switch = f"dss{self._id}"
        net = f"198.19.{random.randrange(256)}"  # RFC 2544: for tests
        _ip("netns", "add", self._switch)
        _ip("-n", self._switch, "link", "add", "br0", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "br0", "up")
        _ip("link", "add", self._switch, "type", "veth", "peer", "name", "host", "netns", self._switch)
        _ip("-n", self._switch, "link", "set", "host", "master", "br0", "up")
        _ip("addr", "add", f"{net}.1/24", "dev", self._switch)
        _ip("link", "set", self._switch, "up")
        self.registry = FakeRegistry(address=f"{net}.1")
        self.registry.__enter__()
        addresses = [f"{net}.{10 + number}" for number in range(managers)]
        if certificates is not None:
            _make_certificate(certificates, addresses)
        self.nodes = [
            SwarmNode(f"ds{self._id}{number}", address, self._switch, f"{net}.0/24", certificates)
            for number, address in enumerate(addresses)
        ]

    def start(self) -> None:
        for node in self.nodes:
            node.join_network(24)
            node.start()
        first, *others = self.nodes
        first.docker("swarm", "init", "--advertise-addr", first.address)
        token = first.docker("swarm", "join-token", "-q", "manager").stdout.strip()
        for node in others:
            node.docker("swarm", "join", "--token", token, "--advertise-addr", node.address, f"{first.address}:2377")

    def close(self) -> None:
        for node in self.nodes:
            node.close()
        self.registry.close()
        _ip("netns", "del", self._switch, check=False)
        _ip("link", "del", self._switch, check=False)

    @property
    def manager(self) -> SwarmNode:
        """The first that runs."""
        return next(node for node in self.nodes if node.is_started)

    def leader(self) -> SwarmNode:
        (found,) = [each for each in self.manager.get("/nodes") if each["ManagerStatus"].get("Leader")]
        return next(node for node in self.nodes if found["ManagerStatus"]["Addr"].startswith(f"{node.address}:"))


@contextlib.contextmanager
def swarm(managers: int = 1, certificates: Path | None = None) -> Iterator[SwarmLab]:
    """Run a swarm for the length of a block."""
    lab = SwarmLab(managers, certificates)
    try:
        lab.start()
        yield lab
    finally:
        lab.close()


@dataclass
class SwarmShop(Shop):
    """A stack with one service `web` in the lab's swarm, its file in a folder, and the updater beside it."""

    lab: SwarmLab = field(kw_only=True)
    deploy: Mapping[str, Any] = field(default_factory=dict, kw_only=True)  # `deploy` of the service in the file
    has_file: bool = field(default=True, kw_only=True)
    of_no_stack: str = field(default="", kw_only=True)  # the name of another service, which the updater looks after

    def __post_init__(self) -> None:
        self.name = f"dau{uuid.uuid4().hex[:6]}"
        self.engine_host = self.lab.manager.host
        self.cert_path: Path | None = None  # of the managers' TLS, by which the updater is to ask them then

    @property
    def repository(self) -> str:
        """One of its own: the registry is that of several tests."""
        return f"{self.registry.host}/team/{self.name}"

    def push(self, tag: str, image: Build) -> Pushed:
        return self.registry.push(f"team/{self.name}", tag, self.own(image))

    @property
    def swarm_name(self) -> str:
        return f"{self.name}_web"

    def write(self, tag: str = "1.0", text: str | None = None) -> None:
        deploy = json.dumps({"update_config": {"order": "start-first"}, **(self.deploy or {"replicas": 2})})
        self.compose_file.write_text(
            text or f"# the shop\nservices:\n  web:\n    image: {self.repository}:{tag}  # kept\n    deploy: {deploy}\n"
        )

    def up(self, *words: str) -> None:
        """Deploy the stack as its operator does, and wait until it runs."""
        self.lab.manager.docker("stack", "deploy", "-d", *words, "-c", str(self.compose_file), self.name)
        until(self.is_steady, 120, f"{self.swarm_name} runs")

    def down(self) -> None:
        self.lab.manager.docker("stack", "rm", self.name, check=False)

    def config(self) -> dict[str, Any]:
        made = super().config()
        service = made["services"][0]
        del service["compose_file"], service["compose_service"]
        of_stack = {"stack": self.name, "compose_service": "web"}
        file = {"compose_file": str(self.compose_file)} if self.has_file else {}
        if self.cert_path is not None:
            engine = {"hosts": [node.tcp for node in self.lab.nodes], "cert_path": str(self.cert_path)}
            made["engines"] = {"prod": engine}
            service["engine"] = "prod"
        place = {"swarm_service": self.of_no_stack} if self.of_no_stack else {**of_stack, **file}
        registry = {"insecure_http": True, **self.policy.get("registry_config", {})}
        service.update({"image": f"{self.repository}:1.0", "registry_config": registry, **place})
        return made

    # --------------------------------------------------------------------------------------------- what there is now

    def spec(self) -> Any:
        return self.service()["Spec"]

    def service(self) -> Any:
        return self.lab.manager.get(f"/services/{self.swarm_name}")

    def image(self) -> str:
        return str(self.spec()["TaskTemplate"]["ContainerSpec"]["Image"])

    def tasks(self) -> list[Any]:
        filters = json.dumps({"service": [self.swarm_name]})
        return list(self.lab.manager.get("/tasks", filters=filters))

    def running(self) -> dict[str, str]:
        """The image of each task that runs and shall run, by the task's id."""
        wanted = [task for task in self.tasks() if task["DesiredState"] == "running"]
        return {
            task["ID"]: task["Spec"]["ContainerSpec"]["Image"]
            for task in wanted
            if task["Status"]["State"] == "running"
        }

    def is_steady(self) -> bool:
        """Whether all replicas run what the spec says, and nothing is at work."""
        found = self.service()
        state = (found.get("UpdateStatus") or {}).get("State")
        count = (found["Spec"]["Mode"].get("Replicated") or {}).get("Replicas", 1)
        image = found["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]
        running = self.running()
        return (
            len(running) == count and set(running.values()) == {image} and state not in ("updating", "rollback_started")
        )

    def pinned(self, tag: str, pushed: Pushed) -> str:
        return f"{self.repository}:{tag}@{pushed.digest}"


def _make_certificate(folder: Path, addresses: Sequence[str]) -> None:
    """One self-signed certificate for all nodes and the client, as DOCKER_CERT_PATH has it."""
    folder.mkdir()
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    names = ",".join(f"IP:{address}" for address in addresses)
    subject = ["-subj", "/CN=swarm", "-addext", f"subjectAltName={names}"]
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *files, *subject]
    subprocess.run(argv, check=True, capture_output=True)
    shutil.copy(folder / "cert.pem", folder / "ca.pem")


def _ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=not check)


def _mounts_below(folder: Path) -> list[str]:
    """The places below a folder on which something is mounted, the deepest first."""
    places = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return sorted((place for place in places if place.startswith(str(folder))), reverse=True)

"""A Docker Swarm on this machine alone: private engines in network namespaces, for the demo and tests.

The bridge between them is in a namespace, too: on this machine's own, the rules of its engine's firewall
would count. The engine is the newer one that `scripts/setup --with-newer-docker` brings: Swarm's rollback of
20.10 has known faults. `nsenter` and not `ip netns exec`, which would hide the control groups from dockerd.
Nothing here touches the machine's own engine.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import docker
from demo_stage import DemoFailed
from demo_visitor import until

NEWER_DOCKER = Path("/usr/local/lib/dau-newer-docker")  # as scripts/setup has it
_API = "1.44"
_ANSWER_SECONDS = 300
_END_SECONDS = 120
_NAMESPACES = Path("/run/netns")


class NamespaceNode:
    """One engine in a namespace, with an address on the bridge of its swarm."""

    def __init__(self, name: str, address: str, bridge: Bridge, certificates: Path | None = None) -> None:
        self.name, self.address, self._certificates = name, address, certificates
        self.folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))  # short: socket paths may have 108 characters
        self._bridge = bridge
        (self.folder / "daemon.json").write_text(json.dumps({"insecure-registries": [bridge.network]}))
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    @property
    def host(self) -> str:
        """Return the engine's socket, as DOCKER_HOST has it."""
        return f"unix://{self.folder}/docker.sock"

    @property
    def tcp(self) -> str:
        """Return the engine's address with TLS, as DOCKER_HOST has it."""
        return f"tcp://{self.address}:2376"

    @property
    def is_started(self) -> bool:
        """Return whether the engine was started, and not ended by us."""
        return self._process is not None

    def join_network(self) -> None:
        """Give the node's namespace an address on the bridge."""
        self._bridge.join(self.name)
        for words in (
            ("addr", "add", f"{self.address}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
        ):
            subprocess.run([*self._inside(), "ip", *words], check=True)

    def start(self) -> None:
        """Start the engine, and return when it answers."""
        self.launch()
        self.await_answer()

    def launch(self) -> None:
        """Start the engine, and return at once."""
        (self.folder / "pid").unlink(missing_ok=True)
        (self.folder / "exec/containerd/containerd.pid").unlink(missing_ok=True)
        argv = [
            *self._inside(), "dockerd", "--config-file", str(self.folder / "daemon.json"),
            "--data-root", str(self.folder / "data"), "--exec-root", str(self.folder / "exec"),
            "--pidfile", str(self.folder / "pid"), "-H", self.host, "--iptables=false", "--ip6tables=false",
            *self._listening(),
        ]  # fmt: skip
        environment = {**os.environ, "PATH": f"{NEWER_DOCKER / 'bin'}:{os.environ['PATH']}"}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=environment,
            )
        self._starts += 1

    def await_answer(self) -> None:
        """Return when the engine answers. Raises DemoFailed if it ends, or never does."""
        process = self._process
        assert process is not None
        until(lambda: process.poll() is not None or self.answers(), _ANSWER_SECONDS)
        if not self.answers():
            raise DemoFailed(
                f"the engine of {self.name} does not answer: {(self.folder / 'log').read_text()[-600:]}"
            )

    def _listening(self) -> list[str]:
        """Return the words for TLS on its address, with the client's certificate asked for."""
        if self._certificates is None:
            return []
        files = [f"--tls{kind}={self._certificates / kind}.pem" for kind in ("cert", "key")]
        ca = f"--tlscacert={self._certificates / 'ca.pem'}"
        return ["-H", self.tcp, "--tlsverify", ca, *files]

    def answers(self) -> bool:
        """Return whether the engine answers now."""
        try:
            self.get("/_ping")
        except (docker.errors.DockerException, OSError, ValueError):
            return False
        return True

    def _inside(self) -> list[str]:
        return ["nsenter", f"--net={_NAMESPACES / self.name}"]

    def docker(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the Docker CLI on this engine, as the operator would."""
        environment = {**os.environ, "DOCKER_HOST": self.host}
        return subprocess.run(
            ["docker", *words], check=check, capture_output=True, text=True, env=environment
        )

    def get(self, path: str, **params: str) -> Any:
        """Return the engine's answer to a GET: parsed if it is JSON, else its text."""
        with contextlib.closing(docker.APIClient(base_url=self.host, version=_API, timeout=30)) as client:
            response = client.get(f"{client.base_url}{path}", params=params)
            return response.json() if "json" in response.headers.get("Content-Type", "") else response.text

    def ask_to_end(self) -> None:
        """Ask the engine to end, and do not wait for it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal to dockerd, and with SIGKILL to all that it had started; wait until it is gone."""
        if self._process is None:
            return
        if number is signal.SIGKILL:
            kill_all(self.folder)
        else:
            self._process.send_signal(number)
        pid = self._process.pid
        if not _has_ended(pid, _END_SECONDS):
            os.kill(pid, signal.SIGKILL)
            _has_ended(pid, _END_SECONDS)
        self._process = None

    def close(self) -> None:
        self.end()
        _ip("netns", "del", self.name, check=False)
        remove_folder(self.folder)


def _has_ended(pid: int, seconds: float) -> bool:
    """Wait for a child to end.

    Not by Popen.wait, which waits for a lock that an interrupt in Popen.poll may have left held.
    """

    def is_gone() -> bool:
        try:
            return os.waitpid(pid, os.WNOHANG)[0] != 0
        except ChildProcessError:  # Popen.poll was faster
            return True

    return until(is_gone, seconds)


class Bridge:
    """What connects the nodes of one swarm, and this machine, by addresses that nobody else has here."""

    def __init__(self, name: str) -> None:
        """Name a bridge that `open` makes.

        `name`: of the namespace and of this machine's end, at most 13 characters long.
        """
        self.name = name
        self._prefix = _free_network()

    @property
    def network(self) -> str:
        """Return its addresses, as a CIDR block."""
        return f"{self._prefix}.0/24"

    @property
    def own_address(self) -> str:
        """Return this machine's address on it."""
        return self.address(1)

    def address(self, number: int) -> str:
        """Return the address with this number."""
        return f"{self._prefix}.{number}"

    def open(self) -> None:
        """Make the namespace, the bridge in it, and this machine's end."""
        _ip("netns", "add", self.name)
        _ip("-n", self.name, "link", "add", "br0", "type", "bridge")
        _ip("-n", self.name, "link", "set", "br0", "up")
        _ip("link", "add", self.name, "type", "veth", "peer", "name", "host", "netns", self.name)
        _ip("-n", self.name, "link", "set", "host", "master", "br0", "up")
        _ip("addr", "add", f"{self.own_address}/24", "dev", self.name)
        _ip("link", "set", self.name, "up")

    def join(self, node: str) -> None:
        """Make a node's namespace, whose `eth0` is on the bridge."""
        _ip("netns", "add", node)
        _ip("link", "add", "eth0", "netns", node, "type", "veth", "peer", "name", node, "netns", self.name)
        _ip("-n", self.name, "link", "set", node, "master", "br0", "up")

    def close(self) -> None:
        _ip("netns", "del", self.name, check=False)
        _ip("link", "del", self.name, check=False)


class Cluster:
    """A swarm of managers."""

    def __init__(self, name: str, managers: int, certificates: Path | None = None) -> None:
        """Name the nodes that `start` makes.

        `name`: what its namespaces and folders begin with, at most 13 characters. `certificates`: a folder
        that is filled with those of the nodes, which listen with TLS then.
        """
        self.bridge = Bridge(name)
        addresses = [self.bridge.address(10 + number) for number in range(managers)]
        if certificates is not None:
            _make_certificate(certificates, addresses)
        self.nodes = [
            NamespaceNode(f"{name}{number}", address, self.bridge, certificates)
            for number, address in enumerate(addresses)
        ]

    def start(self) -> None:
        """Bring all up, on the bridge that is open, and let them form the swarm."""
        for node in self.nodes:
            node.join_network()
            node.launch()
        for node in self.nodes:
            node.await_answer()
        first, *others = self.nodes
        first.docker("swarm", "init", "--advertise-addr", first.address)
        token = first.docker("swarm", "join-token", "-q", "manager").stdout.strip()
        for node in others:
            node.docker(
                "swarm", "join", "--token", token, "--advertise-addr", node.address, f"{first.address}:2377"
            )

    def close(self) -> None:
        for node in self.nodes:
            node.ask_to_end()
        for node in self.nodes:
            node.close()
        self.bridge.close()

    @property
    def manager(self) -> NamespaceNode:
        """Return the first node that runs."""
        return next(node for node in self.nodes if node.is_started)

    def leader(self) -> NamespaceNode:
        """Return the node that leads."""
        (found,) = [each for each in self.manager.get("/nodes") if each["ManagerStatus"].get("Leader")]
        return next(
            node for node in self.nodes if found["ManagerStatus"]["Addr"].startswith(f"{node.address}:")
        )


def remove_left_over(name: str) -> None:
    """Remove what a cluster of this name has left that was killed.

    That is its processes, mounts, namespaces and folders.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{name}[0-9]-*"):
        if folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.geteuid():
            remove_folder(folder)
    for namespace in sorted(_NAMESPACES.glob(f"{name}*")):
        _ip("netns", "del", namespace.name, check=False)
    _ip("link", "del", name, check=False)


def remove_folder(folder: Path) -> None:
    """Remove a node's folder, and first whatever still runs from it or is mounted below it."""
    kill_all(folder)
    for place in _mounts_below(folder):
        subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)


def kill_all(folder: Path) -> None:
    """Kill all that was started from a node's folder.

    That is dockerd, containerd, their shims, and what ran in containers.
    """

    def is_none_left() -> bool:
        found = [*_processes_of(folder)]
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not found

    until(is_none_left, _END_SECONDS)


def _processes_of(folder: Path) -> Iterator[int]:
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_started_there = f"{folder}/".encode() in (place / "cmdline").read_bytes()
            if (is_started_there or _is_contained(place, folder)) and int(place.name) != os.getpid():
                yield int(place.name)


def _is_contained(process: Path, folder: Path) -> bool:
    """Return whether a process runs in a container of the node.

    Its command names no folder, but its root is mounted from one there (the fifth field is the place, see man
    5 proc_pid_mountinfo).
    """
    mounts = (process / "mountinfo").read_text().splitlines()
    return any(line.split()[4] == "/" and f"{folder}/" in line for line in mounts)


def _free_network() -> str:
    """Return the first three numbers of a network for tests (RFC 2544) that this machine does not use."""
    used = subprocess.run(["ip", "-4", "-o", "addr"], check=True, capture_output=True, text=True).stdout
    while True:
        prefix = f"198.19.{secrets.randbelow(256)}"
        if f" {prefix}." not in used:
            return prefix


def _make_certificate(folder: Path, addresses: Sequence[str]) -> None:
    """Make one self-signed certificate for all nodes and the client, as DOCKER_CERT_PATH has it."""
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
    """Return the places below a folder on which something is mounted, the deepest first.

    A place is there twice if two mounts are on it.
    """
    places = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return sorted((place for place in places if place.startswith(f"{folder}/")), reverse=True)

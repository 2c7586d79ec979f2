"""A Debian machine with systemd as process 1, in a container: what install.sh and the unit are tried on.

It has the host's engine inside, by its socket; its image is made once (debootstrap, from the machine's own
mirror, with the wheels that install.sh needs) and found again by its tag. Two capabilities are enough, with
cgroup v1 and v2 alike.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import debian
from tests.support.lab import ROOT, until

_IMAGE = "dau-test-systemd"
_LABEL = "docker-auto-updater.test=systemd"
_PACKAGES = "systemd,systemd-sysv,dbus,python3,python3-venv,ca-certificates,acl,bash-completion,logrotate"
_REQUIREMENTS = (ROOT / "requirements.txt", ROOT / "requirements-apprise.txt")
_RECIPE = 2  # raise it when the steps below change
_SOCKET = Path("/var/run/docker.sock")
_HIDDEN = (  # no consoles; no first-boot wizard; nothing that fetches anything
    "getty.target", "console-getty.service", "apt-daily.timer", "apt-daily-upgrade.timer",
    "systemd-firstboot.service",
    "systemd-networkd.service", "systemd-resolved.service", "systemd-timesyncd.service", "e2scrub_all.timer",
)  # fmt: skip


_TIMERS = ("dpkg-db-backup", "fstrim", "logrotate", "systemd-tmpfiles-clean")  # some of them come at midnight


class Machine:
    """A running machine. Its folder `shared` is the same path on the host, for Compose projects."""

    def __init__(self, name: str, shared: Path) -> None:
        self.name = name
        self.shared = shared

    def run(self, *argv: str, check: bool = True, seconds: float = 400) -> subprocess.CompletedProcess[str]:
        """Run a command as root; both its channels come back as one text."""
        words = ["docker", "exec", self.name, *argv]
        done = subprocess.run(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds, check=False
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}")
        return done

    def shell(self, script: str, *, check: bool = True) -> str:
        return self.run("bash", "-euc", script, check=check).stdout.strip()

    def write(self, path: str, text: str) -> None:
        """Write a file as its owner and mode are; a new one belongs to root."""
        words = ["docker", "exec", "-i", self.name, "sh", "-c", 'cat >"$1"', "sh", path]
        subprocess.run(words, input=text, text=True, check=True)

    def read(self, path: str) -> str:
        return self.run("cat", path).stdout

    def exists(self, path: str) -> bool:
        return self.run("test", "-e", path, check=False).returncode == 0

    def show(self, name: str) -> str:
        """Return a property of the service, as systemd has it now."""
        return self.run("systemctl", "show", "-P", name, "docker-updater").stdout.strip()

    def journal(self) -> str:
        return self.run("journalctl", "-u", "docker-updater", "--no-pager", "-o", "cat").stdout


@contextmanager
def machine(engine: Path = _SOCKET) -> Iterator[Machine]:
    """Provide a fresh machine, and none when it is over.

    `engine`: the socket of the engine that it has inside.
    """
    made_of = image()
    name = f"dau-test-systemd-{uuid.uuid4().hex[:8]}"
    shared = Path(tempfile.mkdtemp(prefix="dau-test-", dir="/srv"))
    shared.chmod(0o755)
    try:
        subprocess.run(_start_words(name, made_of, shared, engine), check=True, capture_output=True)
        made = Machine(name, shared)
        until(lambda: _is_up(made), 120, "systemd is up")
        made.run("groupadd", "--non-unique", "--gid", str(engine.stat().st_gid), "docker")
        yield made
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", name], check=False, capture_output=True)
        shutil.rmtree(shared, ignore_errors=True)


def _start_words(name: str, made_of: str, shared: Path, engine: Path) -> list[str]:
    """Return the options of `docker run` under which systemd works.

    It needs the cgroup tree and file systems of its own for /run; SYS_ADMIN is for what units are confined
    by. The host's network, because the engine takes a registry without TLS only on its own loopback.
    """
    words = ["docker", "run", "--detach", "--name", name, "--hostname", "machine", "--network", "host"]
    words += ["--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--cgroupns", "host"]
    words += ["--security-opt", "apparmor=unconfined", "--stop-signal", "SIGRTMIN+3"]
    words += ["--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:exec", "--env", "container=docker"]
    words += _cgroup_words()
    for source, target in (
        (engine, "/run/docker.sock"),
        (_docker_binary(), "/usr/bin/docker:ro"),
        (compose_plugin(), "/usr/libexec/docker/cli-plugins/docker-compose:ro"),
        (ROOT, "/src:ro"),
        (shared, str(shared)),
    ):
        words += ["--volume", f"{source}:{target}"]
    return [*words, made_of, "/sbin/init", *(f"systemd.mask={timer}.timer" for timer in _TIMERS)]


def _cgroup_words() -> list[str]:
    """cgroup v2 is one tree.

    With v1 there is one a controller, in a tmpfs which systemd would change for the host too: it gets a tmpfs
    of its own, with the host's trees in it.
    """
    tree = Path("/sys/fs/cgroup")
    if (tree / "cgroup.controllers").exists():
        return ["--volume", f"{tree}:{tree}:rw"]
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    trees = [
        place for place, kind in mounts if kind in ("cgroup", "cgroup2") and place.startswith(f"{tree}/")
    ]
    return ["--tmpfs", str(tree), *(word for place in trees for word in ("--volume", f"{place}:{place}:rw"))]


def _is_up(made: Machine) -> bool:
    return made.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")


def _docker_binary() -> Path:
    found = shutil.which("docker")
    assert found is not None, "no docker command"
    return Path(found).resolve()


def compose_plugin() -> Path:
    """Return the Compose plugin of this machine, one static binary."""
    said = subprocess.run(
        ["docker", "info", "--format", "{{json .ClientInfo}}"], capture_output=True, check=True
    ).stdout
    plugins = json.loads(said).get("Plugins") or []
    return Path(next(each["Path"] for each in plugins if each["Name"] == "compose")).resolve()


# ------------------------------------------------------------------------------------------------------ image


def image() -> str:
    """Return the name of the image, which is made if it is not there. One process at a time makes it."""
    suite = debian.codename()
    base = f"{_IMAGE}:base-{_mark(suite, _PACKAGES, str(_RECIPE))}"
    whole = f"{_IMAGE}:{_mark(base, *(file.read_text() for file in _REQUIREMENTS))}"
    with (Path(tempfile.gettempdir()) / f"{_IMAGE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_there(whole):
            if not _is_there(base):
                _make_base(base, suite)
            _add_wheels(base, whole)
            _remove_others(base, whole)
    return whole


def _make_base(name: str, suite: str) -> None:
    with tempfile.TemporaryDirectory(prefix="dau-test-", dir="/var/tmp") as folder:
        root = Path(folder) / "root"
        debian.make_root(root, suite, _PACKAGES)
        for unit in _HIDDEN:
            (root / "etc/systemd/system" / unit).unlink(missing_ok=True)
            (root / "etc/systemd/system" / unit).symlink_to("/dev/null")
        pipe = f"tar --create --directory {root} . | docker import - {name}"
        subprocess.run(["bash", "-o", "pipefail", "-c", pipe], check=True, capture_output=True)


def _add_wheels(base: str, name: str) -> None:
    """Add the wheels of all requirements for the machine's own Python.

    install.sh then needs no network there.
    """
    said = subprocess.run(
        ["docker", "run", "--rm", "--network", "none", base, "python3", "--version"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    version = re.sub(r"Python (\d+\.\d+).*", r"\1", said.strip())
    with tempfile.TemporaryDirectory(prefix="dau-test-", dir="/var/tmp") as folder:
        argv = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--dest",
            folder,
        ]
        argv += ["--only-binary=:all:", "--python-version", version]
        argv += [word for file in _REQUIREMENTS for word in ("-r", str(file))]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
        made = f"dau-test-systemd-{uuid.uuid4().hex[:8]}"
        subprocess.run(["docker", "create", "--name", made, base, "true"], check=True, capture_output=True)
        try:
            subprocess.run(
                ["docker", "cp", f"{folder}/.", f"{made}:/wheels"], check=True, capture_output=True
            )
            argv = ["docker", "commit", "--change", f"LABEL {_LABEL}", made, name]
            subprocess.run(argv, check=True, capture_output=True)
        finally:
            subprocess.run(["docker", "rm", "--force", made], check=False, capture_output=True)


def _remove_others(*kept: str) -> None:
    """Images of former recipes and requirements."""
    found = subprocess.run(
        ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}", _IMAGE], capture_output=True
    )
    for name in sorted(set(found.stdout.decode().split()) - set(kept), reverse=True):
        subprocess.run(["docker", "rmi", name], check=False, capture_output=True)


def _is_there(image: str) -> bool:
    return (
        subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode
        == 0
    )


def _mark(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]

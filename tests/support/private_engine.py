"""A second dockerd for tests that stop or kill it.

It has its own data, socket and bridge, and nothing that uses it.
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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import docker

from tests.support.lab import until

# With the folder $2 at the same place in the system $1, make that the root of this process alone, and become
# the rest. (A chroot would not do: what is run in a container later starts from the real root of the mount
# namespace.)
_ENTER = """
mount --bind "$1" "$1"
mkdir -p "$1$2" "$1/before"
mount --bind "$2" "$1$2"
for place in proc sys dev; do mount --rbind "/$place" "$1/$place"; done
cd "$1"
pivot_root . before
umount --lazy /before
shift 2
exec "$@"
"""


class PrivateEngine:
    """Start it, kill it, start it again. Its containers need `network_mode: none`.

    `root`: a folder with a system whose engine is to run, in place of this machine's; `settings`: its
    daemon.json; `programs`: a folder whose programs come before this machine's.
    """

    def __init__(
        self,
        root: Path | None = None,
        settings: Mapping[str, Any] | None = None,
        programs: Path | None = None,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dau-"))  # short: socket paths may have 108 characters
        (self.folder / "daemon.json").write_text(json.dumps(settings or {}))
        self._bridge = f"dau-{uuid.uuid4().hex[:8]}"
        self._root = root
        self._path = f"{programs}:{os.environ['PATH']}" if programs else os.environ["PATH"]
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    @property
    def host(self) -> str:
        return f"unix://{self.folder}/docker.sock"

    def start(self) -> None:
        """Start the engine, and return when it answers."""
        for stale in ("pid", "exec/containerd/containerd.pid"):
            (self.folder / stale).unlink(missing_ok=True)
        self._make_bridge()
        log = (self.folder / "log").open("ab")
        argv = [
            *self._entry(), "dockerd", "--config-file", str(self.folder / "daemon.json"),
            "--data-root", str(self.folder / "data"), "--exec-root", str(self.folder / "exec"),
            "--pidfile", str(self.folder / "pid"), "-H", self.host,
            "--bridge", self._bridge, "--iptables=false", "--ip6tables=false",
        ]  # fmt: skip
        environment = {**os.environ, "PATH": self._path}
        self._process = subprocess.Popen(
            argv, stdout=log, stderr=log, start_new_session=True, env=environment
        )
        self._starts += 1
        until(self.answers, 120, "the private engine answers")

    def _make_bridge(self) -> None:
        """With `--bridge none` dockerd would remove docker0, which is the first engine's."""
        if not Path("/sys/class/net", self._bridge).exists():
            # RFC 2544: for tests
            address = f"198.18.{random.randrange(256)}.{random.randrange(16) * 16 + 1}/28"
            for words in (
                ("link", "add", self._bridge, "type", "bridge"),
                ("addr", "add", address, "dev", self._bridge),
            ):
                subprocess.run(["ip", *words], check=True)

    def _entry(self) -> list[str]:
        if self._root is None:
            return []
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        shell = ["unshare", "--mount", "--propagation", "private", "env", path, "sh", "-euc", _ENTER, "enter"]
        return [*shell, str(self._root), str(self.folder)]

    def answers(self) -> bool:
        try:
            client = docker.DockerClient(base_url=self.host, timeout=30)
            client.ping()
            client.close()
        except (docker.errors.DockerException, OSError):
            return False
        return True

    def end(self, number: signal.Signals) -> None:
        """Send a signal to dockerd and wait until it is gone."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(120)
            self._process = None

    def lose_power(self) -> None:
        """Take everything of the engine away at once, as when the host loses its power.

        That is dockerd, containerd, the shims, and what ran in the containers.
        """
        client = docker.DockerClient(base_url=self.host)
        pids = [each.attrs["State"]["Pid"] for each in client.containers.list(ignore_removed=True)]
        client.close()
        subprocess.run(["pkill", "-KILL", "-f", str(self.folder)], check=False)
        # one that has just ended has 0, and that would mean the tests themselves
        for pid in filter(None, pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait(120)
            self._process = None

    def close(self) -> None:
        """Stop it and remove all that it had."""
        if self.answers():
            client = docker.DockerClient(base_url=self.host)
            for container in client.containers.list(all=True):
                with contextlib.suppress(docker.errors.APIError):
                    container.remove(force=True)
            client.close()
        self.end(signal.SIGTERM)
        for _ in range(self._starts + 1):  # dockerd binds its data folder onto itself at each start
            subprocess.run(["umount", str(self.folder / "data")], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", self._bridge], check=False, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)

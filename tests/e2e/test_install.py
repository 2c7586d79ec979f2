"""install.sh before it does anything: what it refuses, with which words, and what a dry run says and leaves
alone.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.lab import ROOT

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="what comes after the question for root needs root")
pytestmark = pytest.mark.xdist_group("install")  # one installer at a time on a machine
COMMANDS = ("bash", "cat", "cut", "date", "dirname", "flock", "grep", "id", "mktemp", "readlink", "rm", "sed",
            "sha256sum", "tail", "tr", "basename")  # fmt: skip
PLACES = (
    "/opt/docker-auto-updater", "/etc/docker-auto-updater", "/var/lib/docker-auto-updater",
    "/usr/local/bin/docker-updater", "/etc/systemd/system/docker-updater.service",
)  # fmt: skip


class Host:
    """A PATH of which the test decides what is on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "bin"
        self.folder.mkdir()
        for name in COMMANDS:
            (self.folder / name).symlink_to(
                next(p for p in (Path("/usr/bin") / name, Path("/bin") / name) if p.exists())
            )

    def add(self, name: str, script: str) -> None:
        """Put a command of the test's own on the PATH, in place of the machine's, which stays as it is."""
        path = self.folder / name
        path.unlink(missing_ok=True)  # a link leads to the machine's own
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def install(self, *words: str, before: Sequence[str] = ()) -> tuple[int, str]:
        """Run install.sh with this PATH; its exit status, and what it said on both channels."""
        argv = [*before, "/bin/bash", str(self.folder.parent / "source" / "install.sh"), *words]
        done = subprocess.run(
            argv, env={"PATH": str(self.folder)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout


@pytest.fixture
def host() -> Iterator[Host]:
    """A machine that has all it takes, and what is shipped in a folder `source`.

    Its folder can be reached by every user, which pytest's own, and the one in which this checkout lies, need
    not.
    """
    with tempfile.TemporaryDirectory(prefix="dau-test-") as folder:
        Path(folder).chmod(0o755)
        source = Path(folder) / "source"
        source.mkdir(mode=0o755)
        for name in {"install.sh", *shipped()}:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, source / name)
        (source / "install.sh").chmod(0o755)
        yield complete(Host(Path(folder)))


def shipped() -> list[str]:
    """The names that install.sh copies."""
    text = (ROOT / "install.sh").read_text()
    return text.split("for entry in ")[1].split("; do")[0].replace("\\\n", " ").split()


def complete(made: Host) -> Host:
    made.add("python3", 'case "$*" in *sys.version,*) echo 3.12;; esac; exit 0')
    made.add("docker", "exit 0")
    made.add("getent", "echo docker:x:999:")
    return made


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--colour"], "unknown option --colour"),
        (["--user"], "--user needs a value"),
        (["--wheels", ""], "--wheels needs a value"),
        (["--purge"], "--purge goes with --uninstall"),
    ],
)
def test_a_wrong_call_is_explained(host: Host, words: list[str], said: str) -> None:
    status, text = host.install(*words)
    assert status == 2
    assert said in text
    assert "Usage:" in text


@needs_root
def test_help_needs_no_root_and_names_every_option(host: Host) -> None:
    status, text = host.install("--help", before=["/usr/bin/setpriv", "--reuid=65534", "--clear-groups"])
    assert status == 0
    for option in ("--user", "--wheels", "--python", "--uninstall", "--purge", "--dry-run"):
        assert option in text


@needs_root
def test_without_root_it_says_how_to_call_it(host: Host) -> None:
    status, text = host.install(
        "--user", "root", before=["/usr/bin/setpriv", "--reuid=65534", "--clear-groups"]
    )
    assert status == 1
    assert "needs root; run: sudo" in text
    assert "'--user' 'root'" in text


@needs_root
@pytest.mark.parametrize(
    ("spoil", "words", "said"),
    [
        (lambda host: host.add("python3", "exit 1"), [], "no Python 3.11 or newer"),
        (lambda host: None, ["--python", "/none"], "no Python 3.11 or newer at /none"),
        (lambda host: host.add("python3", '[[ $* != *ensurepip* ]]'), [], "apt-get install python3-venv"),
        (lambda host: (host.folder / "docker").unlink(), [], "no docker command"),
        (lambda host: host.add("docker", "exit 1"), [], "Docker Compose is missing"),
        (lambda host: host.add("getent", "exit 2"), [], "there is no group docker"),
        (lambda host: host.add("getent", "exit 2"), ["--user", "jane"], "there is no user jane"),
        (lambda host: None, ["--user", "nobody"], "usermod -aG docker nobody"),
        (lambda host: None, ["--wheels", "/none"], "/none is no folder"),
    ],
    ids=["no Python", "no such Python", "no venv", "no Docker", "no Compose", "no group", "no such user",
         "a user without the engine", "no wheels"],
)  # fmt: skip
def test_what_is_missing_is_said_with_a_remedy_before_anything_is_done(
    host: Host, spoil: object, words: list[str], said: str
) -> None:
    assert callable(spoil)
    spoil(host)
    there = [place for place in PLACES if Path(place).exists()]
    status, text = host.install(*words)
    assert status == 1
    assert "install: FAILED: " in text
    assert said in text
    assert [place for place in PLACES if Path(place).exists()] == there


@needs_root
def test_a_dry_run_says_each_step_and_does_none(host: Host) -> None:
    """There is not even a command on this PATH that could change anything."""
    status, text = host.install("--dry-run", "--user", "root")
    assert (status, [line for line in text.splitlines() if "not found" in line]) == (0, [])
    said = [line.removeprefix("install: would ") for line in text.splitlines() if "install: would " in line]
    assert said[0].startswith("put the program into /opt/docker-auto-updater/releases/")
    assert "run `docker-updater --test` with it" in said
    assert "keep the log in /var/log/docker-auto-updater, for root" in said
    status, text = host.install("--dry-run", "--uninstall", "--purge")
    assert status == 0
    assert "would remove /opt/docker-auto-updater" in text
    assert (
        "would remove /etc/docker-auto-updater, /var/lib/docker-auto-updater, /var/log/docker-auto-updater"
        in text
    )


def test_what_is_shipped_is_what_the_program_takes() -> None:
    """Everything that install.sh copies is there under the name it has in the script."""
    missing = [name for name in shipped() if not (ROOT / name).exists()]
    assert missing == []

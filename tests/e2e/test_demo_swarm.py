"""`scripts/demo --swarm` plays to its end, and leaves nothing behind, also if it is interrupted."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support import newer_docker
from tests.support.lab import until

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("swarm demo")]

ROOT = Path(__file__).parents[2]


def started() -> subprocess.Popen[str]:
    newer_docker.need()
    argv = [sys.executable, str(ROOT / "scripts" / "demo_swarm.py")]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def said_by(child: subprocess.Popen[str]) -> str:
    """All that the demo says until it ends; one that hangs must not stay in the way of the next."""
    try:
        return child.communicate(timeout=580)[0]
    finally:
        child.kill()


def left_behind() -> list[str]:
    places = [*Path("/run/netns").glob("dau-demo*"), *Path("/sys/class/net").glob("dau-demo*")]
    folder = Path(tempfile.gettempdir())
    folders = [*folder.glob("dau-demo*"), *folder.glob("docker-updater-swarm-demo-*")]
    of_processes = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes()
        except OSError:
            continue
        if b"/dau-demo" in words:
            of_processes.append(words.decode(errors="replace"))
    return [*map(str, [*places, *folders]), *of_processes]


def test_it_ends_as_announced_and_leaves_nothing() -> None:
    said = said_by(child := started())
    assert child.returncode == 0, said
    assert "as announced" in said.splitlines()[-2], said
    seen = re.findall(r"the visitor: (\d+) requests, 0 failed .*; longest gap [0-9.]+ s", said)
    assert len(seen) == 6, said
    assert all(int(requests) > 0 for requests in seen)
    assert left_behind() == []


def test_interrupted_in_the_middle_it_leaves_nothing() -> None:
    child = started()
    until(lambda: [*Path("/run/netns").glob("dau-demo2")], 300, "the last node has its namespace")
    child.send_signal(signal.SIGINT)
    said = said_by(child)
    assert child.returncode == 130, said
    assert "Interrupted." in said
    assert left_behind() == []

"""An engine that keeps its images in containerd's store, as new installations do since Docker 29.

It is Debian 13's.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import debian
from tests.support.private_engine import PrivateEngine

_SETTINGS = {"features": {"containerd-snapshotter": True}}
_SUITE, _PACKAGES = "trixie", "docker.io,iptables,ca-certificates"
_KEPT = Path("/var/tmp") / f"dau-test-engine-{_SUITE}-1"  # raise the number when the packages change


@contextmanager
def containerd_engine() -> Iterator[PrivateEngine]:
    """Run it for the length of a block. This machine's own engine serves if it is new enough."""
    made = PrivateEngine(None if _own_version() >= 24 else _root(), _SETTINGS)
    made.start()
    try:
        yield made
    finally:
        made.close()


def _own_version() -> int:
    said = subprocess.run(["dockerd", "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"version (\d+)", said)
    assert match, said
    return int(match[1])


def _root() -> Path:
    """Return the system, made once and kept. One process at a time makes it."""
    with Path(f"{_KEPT}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _KEPT.exists():
            folder = Path(tempfile.mkdtemp(prefix="dau-test-", dir=_KEPT.parent))
            debian.make_root(folder, _SUITE, _PACKAGES)
            os.rename(folder, _KEPT)  # noqa: PTH104 - whole or not at all
    return _KEPT

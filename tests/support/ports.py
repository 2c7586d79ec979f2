"""Ports that a test chooses now and something else listens on later."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

_KEPT: list[int] = []  # open files: each is the lock on a port, for as long as this process lives
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """Return a port on which nobody listens.

    It lies below those that the system hands out by itself, and is this process's among all that ask here:
    nobody comes first, neither a connection nor another test.
    """
    folder = Path(tempfile.gettempdir()) / f"dau-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    highest = min(int(_RANGE.read_text().split()[0]), 32768)
    while True:
        port = random.randrange(10_000, highest)
        lock = os.open(folder / str(port), os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(lock)
            continue
        _KEPT.append(lock)
        return port

"""The updater in a process whose interpreter tells of every process that is started in it.

    python -m tests.support.audited LOG [ARGUMENT ...]

runs `docker_updater.py ARGUMENT ...` and writes a line to LOG for each audit event that starts a process
(https://docs.python.org/3/library/audit_events.html). Nothing of ours is replaced: the hook is the
interpreter's own.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

STARTS = frozenset(
    {
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.posix_spawn",
        "os.spawn",
        "os.system",
        "pty.spawn",
        "subprocess.Popen",
    }
)


def listen(log: Path) -> None:
    """Write a line to `log` for each start of a process from now on; a hook cannot be taken away again."""
    log.touch()

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event in STARTS:
            with log.open("a") as file:
                file.write(f"{event} {arguments}\n")

    sys.addaudithook(hear)


if __name__ == "__main__":
    listen(Path(sys.argv[1]))
    import docker_updater  # heard as well

    sys.exit(docker_updater.main(sys.argv[2:]))

"""Requests to an updater that already runs: `--retry` and `--rollback` leave a file, the daemon takes it.

A request that nobody took expires: what was asked for a day ago may not be wanted today.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from updater_core.errors import UpdaterError
from updater_core.host import files

FOLDER = "requests"  # beside the state
LONGEST_WAIT = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class OperatorRequest:
    """`kind` is `retry` or `rollback`, `service` a service's name, `at` when it was asked."""

    kind: str
    service: str
    at: datetime

    def is_old(self, now: datetime) -> bool:
        """Whether it was made more than a day ago, or by a clock that ran ahead by more than that."""
        return abs(now - self.at) > LONGEST_WAIT


def leave(folder: Path, request: OperatorRequest) -> None:
    """Write a request into the folder of the running updater, readable for it; the same request twice is one."""
    path = folder / f"{request.kind}-{request.service}.json"
    record = {"kind": request.kind, "service": request.service, "at": request.at.isoformat()}
    files.write_atomically(path, json.dumps(record).encode())
    if os.geteuid() == 0:
        reader = folder.parent.stat()
        for each in (folder, path):
            os.chown(each, reader.st_uid, reader.st_gid, follow_symlinks=False)  # the reader may write the folder


def take(folder: Path) -> Iterator[OperatorRequest]:
    """Every request that waits, by name; each is gone once the next one is asked for, so that one which is cut off is
    carried out again. What cannot be read is no request, and is removed if possible."""
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        with suppress(UpdaterError, ValueError, KeyError, TypeError):
            record = json.loads(files.read(path))
            at = datetime.fromisoformat(record["at"]).astimezone(UTC)
            yield OperatorRequest(str(record["kind"]), str(record["service"]), at)
        with suppress(UpdaterError):
            files.remove(path)


def wake(lock: Path) -> bool:
    """Ask the holder of an instance lock to look now (SIGUSR1); Returns False if there is none."""
    try:
        process = int(lock.read_text("ascii").strip())
        if process <= 1:  # 0 would mean ourselves, -1 everybody (man 2 kill)
            return False
        os.kill(process, signal.SIGUSR1)
    except (OSError, ValueError):
        return False
    return True

"""What an owner asks of an updater that already runs: `--retry` and `--rollback` leave a note, the daemon takes it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from updater_core import files

FOLDER = "requests"  # beside the state


@dataclass(frozen=True, slots=True)
class Request:
    """`kind` is `retry` or `rollback`, `service` a service's name."""

    kind: str
    service: str


def leave(folder: Path, request: Request) -> None:
    """Put a request where the running updater finds it; the same one twice is one."""
    path = folder / f"{request.kind}-{request.service}.json"
    files.write_atomically(path, json.dumps(asdict(request)).encode())


def take(folder: Path) -> Iterator[Request]:
    """Every request that waits, oldest name first; each is gone once it is handed out. Damaged ones are dropped."""
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        data = files.read(path)
        files.remove(path)
        try:
            record = json.loads(data)
            yield Request(str(record["kind"]), str(record["service"]))
        except (ValueError, KeyError, TypeError):
            continue


def wake(lock: Path) -> bool:
    """Ask the holder of an instance lock to look now (SIGUSR1); False where there is none to ask."""
    try:
        os.kill(int(lock.read_text("ascii").strip()), signal.SIGUSR1)
    except (OSError, ValueError):
        return False
    return True

"""Orders to an updater that already runs: the command line leaves a file for each, the daemon takes it.

An order that nobody took expires: what was asked for a day ago may not be wanted today.
"""

from __future__ import annotations

import json
import math
import os
import re
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from updater_core import reference
from updater_core.errors import StateError, UpdaterError
from updater_core.host import files
from updater_core.state.orders import KINDS, OperatorOrder

FOLDER = "requests"  # beside the state
LONGEST_WAIT = timedelta(hours=24)
LONGEST_PAUSE_SECONDS = 10 * 366 * 86400.0
_ID = re.compile(r"[0-9a-f]{32}")
_TEXT = re.compile(r"[^\x00-\x1f\x7f]{0,1000}")
_LONGEST_BYTES = 10_000


@dataclass(frozen=True, slots=True)
class QueuedOrder:
    """An order in the queue, with the file that it lies in."""

    path: Path
    order: OperatorOrder


def is_old(order: OperatorOrder, now: datetime) -> bool:
    """Return whether it was made more than a day ago, or by a clock that ran ahead by more than that."""
    return abs(now - order.at) > LONGEST_WAIT


def leave(folder: Path, order: OperatorOrder) -> None:
    """Write an order into the folder of the running updater, readable for it; the same order twice is one.

    One that was refused takes the place of none that waits. Raises StateError if the folder cannot be
    written.
    """
    path = folder / f"{'refused-' if order.refusal else ''}{order.kind}-{order.service}.json"
    record = {
        "kind": order.kind,
        "service": order.service,
        "at": order.at.isoformat(),
        "id": order.id,
        "who": order.who,
        "digest": order.digest,
        "seconds": order.seconds,
        "refusal": order.refusal,
    }
    staged = path.with_name(f"{path.name}.{order.id or 'new'}.staged")
    files.write_atomically(staged, json.dumps(record).encode())
    try:
        if os.geteuid() == 0:
            reader = folder.parent.stat()
            for each in (folder, staged):
                # the reader may write the folder
                os.chown(each, reader.st_uid, reader.st_gid, follow_symlinks=False)
        staged.replace(path)  # only now: the reader takes it at once, and removes what it may not read
    except OSError as error:
        raise StateError(
            f"{path} cannot be written: {error.strerror}", "see who may write its folder"
        ) from error


def done(waiting: QueuedOrder) -> None:
    """Remove the file of an order that was carried out; one that was asked for once more meanwhile stays."""
    if _is_same(waiting):
        with suppress(UpdaterError):
            files.remove(waiting.path)


def waiting_in(folder: Path) -> list[QueuedOrder]:
    """Return what waits, the earliest first; what is no order is removed if possible."""
    found = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        order = _read(path)
        if order is not None:
            found.append(QueuedOrder(path, order))
            continue
        with suppress(UpdaterError):
            files.remove(path)
    return sorted(found, key=lambda each: each.order.at)


def _is_same(waiting: QueuedOrder) -> bool:
    """Return whether the file still holds the order that was taken; it may have been given once more."""
    return _read(waiting.path) == waiting.order


def _read(path: Path) -> OperatorOrder | None:
    with suppress(UpdaterError, OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        if path.stat().st_size <= _LONGEST_BYTES:
            return _order(json.loads(files.read(path)))
    return None


def _order(record: Mapping[str, Any]) -> OperatorOrder:
    """Return the order in a record. Raises ValueError if it is none."""
    seconds = record.get("seconds")
    if seconds is not None and not (math.isfinite(seconds) and 0 < seconds <= LONGEST_PAUSE_SECONDS):
        raise ValueError("this is no length of a pause")
    if str(record["kind"]) not in KINDS:
        raise ValueError("there is no such order")
    digest = str(record.get("digest") or "")
    return OperatorOrder(
        kind=str(record["kind"]),
        service=str(record["service"]),
        at=datetime.fromisoformat(record["at"]).astimezone(UTC),
        id=_matching(_ID, record.get("id")),
        who=_matching(re.compile(r"[^\x00-\x1f\x7f]{0,80}"), record.get("who")),
        digest=digest if reference.is_digest(digest) else "",
        seconds=None if seconds is None else float(seconds),
        refusal=_matching(_TEXT, record.get("refusal")),
    )


def _matching(pattern: re.Pattern[str], text: Any) -> str:
    return text if isinstance(text, str) and pattern.fullmatch(text) else ""


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

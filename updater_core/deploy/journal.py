"""The journal: what is in the middle of happening, on the disk before it happens.

One file for each update in flight. It holds all that a rollback needs, so that the next start can finish or
undo what a killed one began.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from updater_core.errors import StateError
from updater_core.host import files
from updater_core.models import Cause, Plan
from updater_core.state.codec import decode, encode, parse
from updater_core.vocabulary.dated import HookRun

_PLAN_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


class Phase(StrEnum):
    """How far an update has come. Nothing visible has changed before `APPLYING`."""

    PREPARED = "prepared"
    APPLYING = "applying"
    SWITCHING = "switching"  # behind the point of no return: a kill is followed by carrying on
    COMMITTED = "committed"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    ROLLBACK_FAILED = "rollback_failed"
    TAKEN_OVER = "taken_over"


_UNFINISHED = {Phase.PREPARED, Phase.APPLYING, Phase.SWITCHING, Phase.ROLLING_BACK}


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One update in flight.

    `cause`: why it goes back; `rollback`: why going back failed; `hooks`: those that ran, or run.
    """

    id: str
    phase: Phase
    plan: Plan[Any]
    cause: Cause | None = None
    rollback: Cause | None = None
    hooks: tuple[HookRun, ...] = ()

    @property
    def service(self) -> str:
        return self.plan.name

    @property
    def is_unfinished(self) -> bool:
        """Return whether the update has not ended.

        One that has ended stays in the journal only until its event is in the outbox.
        """
        return self.phase in _UNFINISHED


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """A file of the journal that is damaged, or of a version that this one does not know.

    `service` is empty if not even that is known. It counts as unfinished: nobody knows how far its update has
    come.
    """

    id: str
    path: Path
    problem: str
    service: str = ""
    is_unfinished: bool = True


@dataclass(frozen=True, slots=True)
class _Written:
    """A record as it lies on the disk."""

    id: str
    phase: Phase
    plan: dict[str, Any]
    cause: Cause | None = None
    rollback: Cause | None = None
    hooks: tuple[HookRun, ...] = ()


OpenRecord = JournalRecord | UnreadableRecord


class Journal(Protocol):
    """What is in the middle of happening, synced to disk before it happens.

    Every method may raise StateError.
    """

    def write(self, record: JournalRecord) -> None:
        """Put a record in the place of its plan's former one; it is on the disk when this returns.

        Raises StateError if it cannot be written; the former record is whole then.
        """

    def read_all(self) -> Sequence[OpenRecord]:
        """Return the records of all updates that have not ended, also those that cannot be understood."""

    def close(self, plan_id: str) -> None:
        """Forget a plan's record; no error if there is none."""


class JournalFolder:
    """The journal as a folder of files, each named after its plan's id.

    `read_plan` makes a plan of its JSON values, or raises ValueError: only the plan's target knows all of it.
    """

    def __init__(self, directory: Path, read_plan: Callable[[Mapping[str, Any]], Plan[Any]]) -> None:
        self._directory, self._read_plan = directory, read_plan

    def write(self, record: JournalRecord) -> None:
        """Put a record in the place of its plan's former one, synced with its folder.

        Raises StateError if it cannot be written; the former record is whole then.
        """
        data = json.dumps(encode(record), indent=1, allow_nan=False).encode("ascii")
        files.write_atomically(self._path(record.id), data)

    def read_all(self) -> Sequence[OpenRecord]:
        """Return the open records, by id. Raises StateError if the folder cannot be read."""
        try:
            names = sorted(entry.name for entry in self._directory.iterdir())
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StateError(f"the journal {self._directory} cannot be read: {error.strerror}") from error
        listed = [self._directory / name for name in names if name.endswith(".json") and name[0] != "."]
        return tuple(record for record in map(self._read, listed) if record is not None)

    def close(self, plan_id: str) -> None:
        """Remove a record for good; no error if there is none."""
        files.remove(self._path(plan_id))

    def clear_strays(self) -> None:
        """Remove half-written files of a killed process. Only for the one who holds the lock."""
        files.clear_own_strays(self._directory)

    def _read(self, path: Path) -> OpenRecord | None:
        """Return the record in a file; None if another thread has closed it since the folder was listed."""
        try:
            raw = parse(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            return UnreadableRecord(path.stem, path, error.strerror or "it cannot be read")
        except (ValueError, RecursionError):
            return UnreadableRecord(path.stem, path, "it is damaged")
        if not isinstance(raw, dict) or raw.get("id") != path.stem:
            return UnreadableRecord(path.stem, path, "it is damaged")
        try:
            written = decode(_Written, raw)
            plan = self._read_plan(written.plan)
        except ValueError as error:
            return UnreadableRecord(path.stem, path, f"it is of another version ({error})", _service_in(raw))
        return JournalRecord(written.id, written.phase, plan, written.cause, written.rollback, written.hooks)

    def _path(self, plan_id: str) -> Path:
        if not _PLAN_ID.fullmatch(plan_id):
            raise ValueError(f"{plan_id!r} cannot name a journal file")
        return self._directory / f"{plan_id}.json"


def _service_in(raw: dict[str, object]) -> str:
    """Return the service's name, in the place that it has in every version."""
    plan = raw.get("plan")
    name = plan.get("name") if isinstance(plan, dict) else None
    return name if isinstance(name, str) else ""

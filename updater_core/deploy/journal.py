"""The journal: what is in the middle of happening, on the disk before it happens.

One file for each update in flight. It holds all that a rollback needs, so that the next start can finish or undo what
a killed one began.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from updater_core.errors import StateError
from updater_core.host import files
from updater_core.models import Cause, Plan
from updater_core.state.codec import decode, encode

_PLAN_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


class JournalFolder:
    """The journal as a folder. A record is a mapping of JSON values whose `id` is its plan's."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, record: Mapping[str, Any]) -> None:
        """Put a record in the place of its plan's former one; when this returns it is on the disk, file and folder.

        StateError where it cannot be written; the former record is whole then.
        """
        files.write_atomically(self._path(record["id"]), json.dumps(record, indent=1, allow_nan=False).encode("ascii"))

    def read_all(self) -> Sequence[Mapping[str, Any]]:
        """The open records, by id. One that is damaged is `{"damaged": <path>, "id": <id by its name>}`."""
        try:
            names = sorted(entry.name for entry in self._directory.iterdir())
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StateError(f"the journal {self._directory} cannot be read: {error.strerror}") from error
        return tuple(_read(self._directory / name) for name in names if name.endswith(".json") and name[0] != ".")

    def close(self, plan_id: str) -> None:
        """Remove a record for good; no error where there is none."""
        files.remove(self._path(plan_id))

    def clear_strays(self) -> None:
        """Remove half-written files of a killed process. Only for the one who holds the lock."""
        files.clear_own_strays(self._directory)

    def _path(self, plan_id: str) -> Path:
        if not _PLAN_ID.fullmatch(plan_id):
            raise ValueError(f"{plan_id!r} cannot name a journal file")
        return self._directory / f"{plan_id}.json"


def plan_to_dict(plan: Plan) -> dict[str, Any]:
    """A plan as JSON values."""
    record: dict[str, Any] = encode(plan)
    return record


def plan_from_dict(record: Mapping[str, Any]) -> Plan:
    """The plan that `plan_to_dict` took apart; ValueError where a part is missing or of another type."""
    return decode(Plan, record)


def cause_to_dict(cause: Cause) -> dict[str, Any]:
    """A cause as JSON values."""
    record: dict[str, Any] = encode(cause)
    return record


def cause_from_dict(record: Mapping[str, Any]) -> Cause:
    """The cause that `cause_to_dict` took apart; ValueError where a part is missing or of another type."""
    return decode(Cause, record)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        record = None
    if isinstance(record, dict) and record.get("id") == path.stem:
        return record
    return {"damaged": str(path), "id": path.stem}

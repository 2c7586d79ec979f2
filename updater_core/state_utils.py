"""The state file: load with recovery, save with backups. What it holds and how it changes is in `state/`."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from updater_core.errors import StateError
from updater_core.host import files
from updater_core.state.codec import decode, encode, parse
from updater_core.state.records import State, count, renewed

VERSION = 1
CORRUPT_KEPT = 3
_STAMP = "%Y%m%dT%H%M%S%fZ"  # sorts by name as by time
FALLBACK = "updater_state.json"  # in the working directory
READ_REMEDY = "run it with sudo, or as the user or in the group that the updater runs as"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A usable state; `problem` is a sentence if the file could not be used, and says what is used."""

    state: State
    problem: str | None = None


def load(path: Path, backup_dir: Path | None, now: datetime) -> Loaded:
    """Return the remembered state: from the file, else from the newest good backup, else a new one.

    A backup is used if the file is damaged, missing or of a newer version. A damaged file is moved aside as
    `NAME.corrupt-<time>`.
    """
    found = peek(path, backup_dir)
    if found.problem and path.is_file():
        _move_aside(path, now)
    return found


def peek(path: Path, backup_dir: Path | None) -> Loaded:
    """Return what `load` returns, and change nothing on the disk: for `--plan` and `--status`."""
    backups = _backups(path, backup_dir)
    if not path.exists() and not backups:
        return Loaded(State())
    try:
        return Loaded(_read(path))
    except StateError as error:
        return _restored(str(error), backups)


def look(configured: Path, backup_dir: Path | None) -> tuple[Path, Loaded]:
    """Return the path of the state that a running updater keeps, and the state; change nothing on the disk.

    It may be readable for a user who may not write it. Raises StateError if it is there and cannot be read:
    an empty memory would be untrue.
    """
    fallback = Path.cwd() / FALLBACK
    try:
        return configured, Loaded(_read(configured))
    except StateError as error:
        cause = error.__cause__
        if isinstance(cause, (FileNotFoundError, NotADirectoryError)):
            is_elsewhere = fallback.is_file() and not files.is_writable(configured)
            place = fallback if is_elsewhere else configured
            return place, peek(place, backup_dir)
        if isinstance(cause, OSError):
            raise StateError(f"STATE_FILE: {error}", READ_REMEDY) from cause
        return configured, peek(configured, backup_dir)


def save(state: State, path: Path, backups: int, backup_dir: Path | None, now: datetime) -> str | None:
    """Write the state, and a backup of it if more has changed than the times of checks.

    Returns None, or a sentence on a backup that could not be written. Raises StateError if the state itself
    could not be written; the old file is whole then.
    """
    record = {"version": VERSION, **encode(replace(state, saved_at=now))}
    data = json.dumps(record, allow_nan=False).encode("ascii")  # with indent it would take ten times as long
    is_changed = not _is_same(state, path)
    files.write_atomically(path, data)
    if not is_changed:
        return None
    try:
        _back_up(data, path, backups, backup_dir, now)
    except StateError as error:
        return f"the state is saved, its backup is not: {error}"
    return None


def resolve_state_path(configured: Path) -> tuple[Path, str | None]:
    """Return the path where the state is kept, and a sentence if that is not the configured one.

    If that one is not writable, `./updater_state.json` is used.
    """
    if files.is_writable(configured):
        return configured, None
    fallback = Path.cwd() / FALLBACK
    return (
        fallback,
        f"{configured} is not writable, the state is kept in {fallback}; fix its permissions or STATE_FILE",
    )


# ---------------------------------------------------------------------------------------------------- details


def _read(path: Path) -> State:
    """Return the state in a file. Raises StateError with the reason if it is not one."""
    try:
        return _parse(parse(path.read_bytes()))
    except OSError as error:
        raise StateError(f"the state {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise StateError(f"the state {path} is damaged: {error}") from error


def _parse(record: Any) -> State:
    if not isinstance(record, dict) or not isinstance(record.get("version"), int):
        raise ValueError("it is no state file")
    if record["version"] > VERSION:
        raise ValueError(
            f"it was written by a newer program (version {record['version']}, known is {VERSION})"
        )
    if record["version"] < 1:
        raise ValueError(f"there is no version {record['version']}")
    return decode(State, renewed(record))


def _restored(problem: str, backups: list[Path]) -> Loaded:
    for backup in backups:
        try:
            state = _read(backup)
        except StateError:
            continue
        sentence = f"{problem}; the backup {backup} is used instead"
        return Loaded(count(state, "state_restores"), sentence)
    sentence = f"{problem}; there is no good backup, so the state starts afresh from what runs"
    return Loaded(count(State(), "state_restores"), sentence)


def _is_same(state: State, path: Path) -> bool:
    """Return whether `path` holds `state` already, but for the times of checks: no backup is needed then."""
    try:
        return _without_times(_read(path)) == _without_times(state)
    except StateError:
        return False


def _without_times(state: State) -> State:
    services = {
        name: replace(each, last_check=None, last_success=None) for name, each in state.services.items()
    }
    return replace(state, services=services, saved_at=None)


def _back_up(data: bytes, path: Path, kept: int, backup_dir: Path | None, now: datetime) -> None:
    if kept > 0:
        for ahead in _matching(backup_dir or path.parent, f"{path.name}.", ".bak"):
            if (
                ahead.name > f"{path.name}.{_stamp(now)}.bak"
            ):  # of a clock that ran ahead: it must not pass for the newest
                files.remove(ahead)
        files.write_atomically((backup_dir or path.parent) / f"{path.name}.{_stamp(now)}.bak", data)
    for old in _backups(path, backup_dir)[max(kept, 0) :]:
        files.remove(old)


def _backups(path: Path, backup_dir: Path | None) -> list[Path]:
    """Return the backups of a state file, newest first."""
    return _matching(backup_dir or path.parent, f"{path.name}.", ".bak")


def _move_aside(path: Path, now: datetime) -> None:
    """Keep a damaged file for whoever wants to look; if it cannot be moved, the next save replaces it."""
    try:
        files.move(path, path.with_name(f"{path.name}.corrupt-{_stamp(now)}"))
        for old in _matching(path.parent, f"{path.name}.corrupt-", "")[CORRUPT_KEPT:]:
            files.remove(old)
    except StateError:
        return


def _matching(folder: Path, head: str, tail: str) -> list[Path]:
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        return []
    ours = sorted((name for name in names if _is_stamped(name, head, tail)), reverse=True)
    return [folder / name for name in ours]


def _is_stamped(name: str, head: str, tail: str) -> bool:
    """Return whether a name is exactly ours, so that no foreign file is ever rotated away."""
    if not (name.startswith(head) and name.endswith(tail)):
        return False
    try:
        datetime.strptime(name.removeprefix(head).removesuffix(tail), _STAMP)
    except ValueError:
        return False
    return True


def _stamp(now: datetime) -> str:
    return now.astimezone(UTC).strftime(_STAMP)

"""Locks between processes: exclusive flocks (man 2 flock), which end with the last process that holds one."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from updater_core.errors import LockHeld, StateError
from updater_core.protocols import Clock

_POLL_SECONDS = 0.2
_LET_IT_END = "Wait for it, or stop it."
# a folder says nobody's number, and is held by what an updater with another state has begun
_LET_ONE_WORK = (
    "nothing to do if that one ends soon; else see `docker-updater` and `docker compose` in `ps`, and let "
    "one updater alone look after it"
)


def acquire_lock(path: Path, *, clock: Clock, wait_seconds: float = 0.0, inheritable: bool = False) -> int:
    """Lock a file of ours and return the descriptor that holds the lock; `release_lock` lets go.

    With `inheritable` a child started with this descriptor in `pass_fds` holds the lock too, for as long as
    it lives. The file stays: removing it would let two processes lock two files of one name.

    Raises LockHeld if another process has it after `wait_seconds` or when a stop is asked for, StateError if
    the file cannot be opened.
    """
    descriptor = _open_file(path)
    try:
        _wait_for(descriptor, path, clock, wait_seconds)
    except LockHeld:
        raise
    except OSError as error:
        os.close(descriptor)
        raise StateError(
            f"the file system of {path} refuses a lock: {error.strerror}", "Keep the state on a local disk."
        ) from error
    # the number is for the reader of a message; a full disk is no reason to fail
    with contextlib.suppress(OSError):
        # The number of the holder before may have had more digits.
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    os.set_inheritable(descriptor, inheritable)
    return descriptor


def acquire_folder_lock(folder: Path, *, clock: Clock, wait_seconds: float) -> int | None:
    """Lock a folder of the operator's for us and for children that inherit the lock; it is not changed.

    Returns None if the folder cannot be opened or its file system refuses: our own lock is held besides.
    Raises LockHeld if somebody else has it, as for a file.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    # A folder that we may not read, or a network file system without locks: two updaters of one machine are
    # still kept apart by our own lock.
    except OSError:
        return None
    try:
        _wait_for(descriptor, folder, clock, wait_seconds)
    except LockHeld as error:
        raise LockHeld(f"the folder {folder} is being worked in by another updater", _LET_ONE_WORK) from error
    except OSError:
        os.close(descriptor)
        return None
    os.set_inheritable(descriptor, True)
    return descriptor


def folder_objection(folder: Path) -> str:
    """Return why a folder cannot be locked, so that an updater with another state is not kept out of it.

    Empty if it can be, or is. For `--test`.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        return f"{folder} cannot be opened: {error.strerror}"
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return ""
    except OSError as error:
        return f"the file system of {folder} refuses a lock: {error.strerror}"
    finally:
        os.close(descriptor)
    return ""


def release_lock(descriptor: int) -> None:
    """Release a lock. A child that inherited it still holds it."""
    os.close(descriptor)


def _open_file(path: Path) -> int:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # No link is followed: in a folder that others may write to, it could lead to any file.
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StateError(
            f"the lock {path} cannot be opened: {error.strerror}", "Make its folder writable."
        ) from error


def _wait_for(descriptor: int, path: Path, clock: Clock, wait_seconds: float) -> None:
    deadline = clock.monotonic() + wait_seconds
    while not _try_lock(descriptor):
        if clock.monotonic() >= deadline or clock.wait(_POLL_SECONDS):
            holder = _holder(descriptor)
            os.close(descriptor)
            raise LockHeld(f"{path} is held by another instance ({holder})", _LET_IT_END)


def _holder(descriptor: int) -> str:
    try:
        return f"process {os.pread(descriptor, 20, 0).decode('ascii', 'replace').strip() or 'unknown'}"
    except OSError:
        return "unknown"


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

"""Files on disk: all writing is here.

A file of the operator's is replaced whole or not at all; our own files likewise.

Why each step is there was measured on ext4 (R:deploy §2.4): the temporary file lies in the target's own
folder, is synced before it is renamed, and the folder is synced after; a link is followed to the file it
names, a hard link is refused; the last moment's check against a busy editor is renameat2's RENAME_EXCHANGE
(man 2 rename).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import glob
import os
import stat
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

from updater_core.errors import ChangedOnDisk, StateError, UpdaterError
from updater_core.host import in_place, permissions
from updater_core.vocabulary.snapshot import FileIdentity, Snapshot

Exchange = Callable[[Path, Path], bool]

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # linux/fs.h
_CANNOT_EXCHANGE = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_OWN_TAG = "new"  # of the temporary files that `write_atomically` makes


# --------------------------------------------------------------------------------------- the operator's files


def read(path: Path) -> bytes:
    """Return the bytes of a file. Raises UpdaterError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def snapshot(path: Path) -> Snapshot:
    """Return what a file that is to be replaced holds and which file it is.

    Raises UpdaterError with a remedy if it may not be replaced: no regular file, several hard links, a mode
    without the file owner's write bit, a file, a folder or a file system that takes no writes from us.
    """
    real = Path(os.path.realpath(path))
    try:
        found = os.lstat(real)
        refusal = permissions.objection(real, found)
        if refusal:
            raise UpdaterError(*refusal)
        data, identity = _look(real)
    except OSError as error:
        raise _unreadable(path, error) from error
    return Snapshot(path, real, data, identity)


def objection(path: Path) -> tuple[str, str] | None:
    """Return why a file could not be replaced, with what to do about it; None if it could. For `--test`."""
    real = Path(os.path.realpath(path))
    try:
        return permissions.objection(real, os.lstat(real))
    except OSError as error:
        return f"{path} cannot be looked at: {error.strerror}", permissions.editing_remedy(real)


def stage(snapshot: Snapshot, data: bytes, tag: str) -> Path:
    """Write `data` beside the target, with its mode, owner, group and extended attributes, and sync it.

    Returns the path, `.NAME.dau-<tag>`, a name that Compose does not look for. Raises UpdaterError if the
    disk is full or an attribute cannot be kept; nothing is left behind then. Beside another user's file, it
    is readable for us only.
    """
    staged = staged_path(snapshot.path, tag)
    try:
        staged.unlink(missing_ok=True)  # by its name ours, of an attempt that was killed
        _create(staged, data, like=None if permissions.is_in_place(snapshot.path.stat()) else snapshot.path)
    except OSError as error:
        discard(staged)
        raise _unwritable(snapshot.path, error) from error
    return staged


def commit(snapshot: Snapshot, staged: Path, exchange: Exchange | None = None) -> None:
    """Put the staged file in the target's place.

    Raises ChangedOnDisk if the target is not what was read any more.

    `exchange` swaps two files in one step and returns False if the file system cannot; the real one by
    default. Two kinds of file are written in place: another user's, so that its owner, mode and ACL stay, and
    a single file that is bind-mounted into our container, which cannot be renamed over (EBUSY).
    """
    try:
        if not _is_unchanged(snapshot, snapshot.path):
            raise _changed(snapshot)
        _replace(snapshot, staged, exchange or _exchange)
        _sync_folder(snapshot.path.parent)
    except FileNotFoundError as error:
        raise _changed(snapshot) from error
    except OSError as error:
        raise _unwritable(snapshot.path, error) from error
    finally:
        discard(staged)


def overwrite(snapshot: Snapshot, data: bytes) -> None:
    """Write into the target itself, which takes no further space: for a rollback on a full disk.

    Raises ChangedOnDisk if the target is not what was read; a write that fails half-way is undone.
    """
    if not _is_unchanged(snapshot, snapshot.path):
        raise _changed(snapshot)
    try:
        in_place.overwrite(snapshot, data)
    except OSError as error:
        raise _unwritable(snapshot.path, error) from error


def write_beside(path: Path, data: bytes, tag: str) -> Path:
    """Write a copy beside a file, for Compose to read in its place.

    Raises UpdaterError if the folder takes none.
    """
    copy = staged_path(path, tag)
    try:
        copy.unlink(missing_ok=True)
        _create(copy, data)
    except OSError as error:
        discard(copy)
        raise _unwritable(copy, error) from error
    return copy


def staged_path(path: Path, tag: str) -> Path:
    """Return the path to which `stage` writes."""
    return path.with_name(f".{path.name}.dau-{tag}")


def discard(staged: Path) -> None:
    """Remove a staged file; no error if it is gone."""
    with contextlib.suppress(OSError):
        staged.unlink(missing_ok=True)


def remove_strays(directory: Path, tag: str) -> None:
    """Remove what a killed attempt with this tag left: `.NAME.dau-<tag>` and the copy of the old bytes.

    A file that was torn in the middle of a write in place is restored first.
    """
    for stray in list(directory.glob(f".*.dau-{glob.escape(tag)}")):
        kept, name = in_place.kept_path(stray), stray.name.removeprefix(".").removesuffix(f".dau-{tag}")
        try:
            if kept.exists():
                in_place.restore_torn(directory / name, kept, stray)
        except OSError as error:
            raise _unwritable(directory / name, error) from error
        discard(kept)
        discard(stray)


# ---------------------------------------------------------------------------------------------- our own files


def write_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write one of our own files so that after any crash the old one or the new one is whole on the disk.

    Its folder is made if it is missing. Raises StateError if the disk is full or refuses; the old file stays.
    """
    staged = staged_path(path, _OWN_TAG)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        staged.unlink(missing_ok=True)
        _create(staged, data, mode=mode)
        staged.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        discard(staged)
        refused = _unwritable(path, error)
        raise StateError(str(refused), refused.remedy) from error


def remove(path: Path) -> None:
    """Remove one of our own files for good (the folder is synced); no error if it is gone.

    Raises StateError if that is refused.
    """
    try:
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            _sync_folder(path.parent)
    except OSError as error:
        raise StateError(
            f"{path} cannot be removed: {error.strerror}", "Check the folder's permissions."
        ) from error


def move(path: Path, target: Path) -> None:
    """Rename one of our own files within its file system. Raises StateError if that is refused."""
    try:
        path.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise StateError(
            f"{path} cannot be renamed: {error.strerror}", "Check the folder's permissions."
        ) from error


def clear_own_strays(directory: Path) -> None:
    """Remove what a killed `write_atomically` left in a folder of ours. Only for the holder of the lock."""
    remove_strays(directory, _OWN_TAG)


# ----------------------------------------------------------------------------------------------------- places


def free_bytes(path: Path) -> int:
    """Return the bytes that an unprivileged process may still write on the disk of `path`.

    Raises UpdaterError if that is unknown.
    """
    try:
        space = os.statvfs(_nearest(path))
    except OSError as error:
        raise UpdaterError(f"the free space at {path} is unknown: {error.strerror}") from error
    return space.f_bavail * space.f_frsize


def is_writable(path: Path) -> bool:
    """Return whether a file, and the folder in which it is or would be made, can be written."""
    if os.access(path, os.F_OK) and not (
        path.is_file() and os.access(path, os.R_OK | os.W_OK, effective_ids=True)
    ):
        return False
    folder = _nearest(path.parent)
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK, effective_ids=True)


def _nearest(path: Path) -> Path:
    absolute = path.absolute()
    return next(place for place in (absolute, *absolute.parents) if os.access(place, os.F_OK))


# ---------------------------------------------------------------------------------------------------- details


def _look(path: Path) -> tuple[bytes, FileIdentity]:
    """Return bytes and identity of one and the same file, read through one descriptor; no link, no pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        data = file.read()
    return data, FileIdentity(
        found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, sha256(data).hexdigest()
    )


def _is_unchanged(snapshot: Snapshot, place: Path) -> bool:
    """Return whether the file at `place` is what was read, and the given path still leads to it."""
    if Path(os.path.realpath(snapshot.asked)) != snapshot.path:
        return False
    try:
        return _look(place)[1] == snapshot.identity
    except OSError:
        return False


def _replace(snapshot: Snapshot, staged: Path, exchange: Exchange) -> None:
    if permissions.is_in_place(snapshot.path.stat()):
        _overwrite(snapshot, staged)
        return
    try:
        exchanged = exchange(staged, snapshot.path)
        if not exchanged:
            staged.replace(snapshot.path)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        _overwrite(snapshot, staged)
        return
    if exchanged and not _is_unchanged(snapshot, staged):
        staged.replace(snapshot.path)  # an editor was faster than the check: put its file back over ours
        raise _changed(snapshot)


def _overwrite(snapshot: Snapshot, staged: Path) -> None:
    """Keep the old bytes on the disk beside the file while it is being written (see `remove_strays`)."""
    kept = in_place.kept_path(staged)
    discard(kept)
    try:
        _create(kept, snapshot.data)
        _sync_folder(kept.parent)
        in_place.overwrite(snapshot, staged.read_bytes())
    finally:
        discard(kept)


def _exchange(left: Path, right: Path) -> bool:
    """Swap two files in one step. Returns False if kernel, C library or file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    arguments = (_AT_FDCWD, os.fsencode(left), _AT_FDCWD, os.fsencode(right), ctypes.c_uint(_RENAME_EXCHANGE))
    if renameat2(*arguments) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(right))


def _create(path: Path, data: bytes, like: Path | None = None, mode: int = 0o600) -> None:
    """Create a synced file, with all attributes of `like` but the times.

    They come last: writing drops some.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        in_place.write_all(descriptor, data)
        if like is None:
            os.fchmod(descriptor, mode)
        else:
            _copy_attributes(like, descriptor)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy_attributes(source: Path, descriptor: int) -> None:
    """Copy the file owner before the mode, because a change of owner drops the set-id bits.

    Equal attributes are not written again: a security label that we may not set is mostly there already, by
    inheritance.
    """
    found = source.stat()
    if (found.st_uid, found.st_gid) != (os.fstat(descriptor).st_uid, os.fstat(descriptor).st_gid):
        os.fchown(descriptor, found.st_uid, found.st_gid)
    present = dict(_attributes(descriptor))
    for name, value in _attributes(source):
        if present.get(name) != value:
            os.setxattr(descriptor, name, value)
    os.fchmod(descriptor, stat.S_IMODE(found.st_mode))


def _attributes(file: Path | int) -> Iterator[tuple[str, bytes]]:
    try:
        names = os.listxattr(file)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return
    for name in names:
        yield name, os.getxattr(file, name)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot sync a folder
            raise
    finally:
        os.close(descriptor)


def _changed(snapshot: Snapshot) -> ChangedOnDisk:
    message = f"{snapshot.asked} was changed by someone else in the meantime"
    return ChangedOnDisk(message, "Nothing to do: the next cycle reads it again.")


def _unreadable(path: Path, error: OSError) -> UpdaterError:
    return UpdaterError(f"{path} cannot be read: {error.strerror}", permissions.reading_remedy(path))


def _unwritable(path: Path, error: OSError) -> UpdaterError:
    if error.errno in _NO_SPACE:
        return UpdaterError(
            f"{path} cannot be written: disk full", f"Free some space on the disk of {path.parent}."
        )
    return UpdaterError(f"{path} cannot be written: {error.strerror}", "Check permissions and mount options.")

"""Writing over a file without replacing it: for one that another user owns, or that is mounted by itself.

Such a write can be cut in two by a power cut. So the old bytes are kept beside the file while it lasts, and
the clean-up after a process that died restores a torn file: one whose every byte is the old text's or the new
one's. Anything else is an edit by the operator, and stays.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from updater_core.vocabulary.snapshot import Snapshot

_NO_SUCH_CALL = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
_KEPT = "-kept"


def kept_path(staged: Path) -> Path:
    """Return the path of the old bytes while the file that `staged` is for is written."""
    return staged.with_name(staged.name + _KEPT)


def overwrite(snapshot: Snapshot, data: bytes) -> None:
    """Write new bytes into the same file, synced; a failure half-way is undone.

    Raises OSError if the disk is full or refuses.
    """
    _overwrite(snapshot.path, snapshot.data, data)


def restore_torn(path: Path, kept: Path, staged: Path) -> None:
    """Put the old bytes of `kept` back if `path` is torn between them and those of `staged`.

    Raises OSError if one of them cannot be read or written.
    """
    old, new, found = kept.read_bytes(), staged.read_bytes(), path.read_bytes()
    if found not in (old, new) and is_torn(found, old, new):
        _overwrite(path, found, old)


def is_torn(found: bytes, old: bytes, new: bytes) -> bool:
    """Return whether `found` is what an unfinished write of `new` over `old` leaves.

    >>> is_torn(b"app:2.1" + bytes(2), b"app:1.0", b"app:2.1.1"), is_torn(b"app:29", b"app:19", b"app:2")
    (True, True)
    >>> is_torn(b"app:2.1 # mine", b"app:1.0", b"app:2.1.1"), is_torn(b"app:3", b"app:1", b"app:2")
    (False, False)
    """
    size = max(len(old), len(new))
    each = zip(found, old.ljust(size, b"\0"), new.ljust(size, b"\0"), strict=False)
    return len(found) == size and all(now in (before, after) for now, before, after in each)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`: one write may take less than it is given."""
    unwritten = memoryview(data)
    while unwritten:
        unwritten = unwritten[os.write(descriptor, unwritten) :]


def _overwrite(path: Path, old: bytes, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if data:
            # A full disk is found before the first byte of the old text is gone.
            _reserve(descriptor, len(data))
        _fill(descriptor, data)
    except OSError:
        # The blocks of the old text are still there, so this needs no space.
        _fill(descriptor, old)
        raise
    finally:
        os.close(descriptor)


def _reserve(descriptor: int, size: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in _NO_SUCH_CALL:  # a file system that has no such call
            raise


def _fill(descriptor: int, data: bytes) -> None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    write_all(descriptor, data)
    # After the bytes and not before: a file that is too long for a moment is still all there.
    os.ftruncate(descriptor, len(data))
    os.fsync(descriptor)

"""How much space is left on the file systems of the host that an engine uses."""

from __future__ import annotations

import os

_SCARCE_BYTES = 64 * 2**20
_SCARCE_SHARE = 0.01


def scarce(path: str) -> str:
    """Return how little is left on the file system of a path, in words; empty if enough is, or nobody knows.

    Less than 64 MiB and less than a hundredth of it is too little; so is no inode for one more file. One that
    can only be read was never written to, and is no matter.
    """
    try:
        found = os.statvfs(path)
    except OSError:
        return ""
    if not found.f_blocks or found.f_flag & os.ST_RDONLY:
        return ""
    left, size = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    if left < min(_SCARCE_BYTES, size * _SCARCE_SHARE):
        return f"the disk of {path} is full ({left // 1024} KiB are left)"
    if found.f_files and not found.f_favail:
        return f"the disk of {path} is full (it takes no more files)"
    return ""

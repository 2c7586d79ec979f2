"""What tells that a file is another one than a moment ago, without reading it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileStamp:
    """The identity of a file. Two are equal only if the file was neither replaced nor written in between.

    A size and a time of writing are not enough: a file put in the place of another may have both, as one that
    a configuration tool writes with a fixed time. The inode shows such a replacement, and the time of change,
    which nobody can set, a file written in place. All are 0 if the file is there and may not be looked at:
    reading it says why.
    """

    device: int = 0
    inode: int = 0
    size: int = 0
    written_ns: int = 0
    changed_ns: int = 0


def stamp_of(path: Path) -> FileStamp | None:
    """Return the stamp of a file or folder, links followed; None if it is not there."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return FileStamp()
    return FileStamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

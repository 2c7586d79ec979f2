"""A file as it was read, so that a change of it by somebody else is seen before it is replaced."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """What tells a file from every other and from itself a moment ago."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A file of the operator's as it was read.

    `asked` is the path as given, `path` the regular file it leads to.
    """

    asked: Path
    path: Path
    data: bytes
    identity: FileIdentity

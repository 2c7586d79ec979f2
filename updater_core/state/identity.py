"""The id of an updater: of the folder that its state is kept in. Two updaters on one engine differ in it."""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
from pathlib import Path

from updater_core.errors import StateError
from updater_core.host import files

ID_FILE = "updater_id"  # install.sh reads it too
_ID = re.compile(r"[0-9a-f]{12}")


def read_or_create(folder: Path) -> tuple[str, str | None]:
    """Return the id that is kept in a folder, and a sentence if it could not be kept there.

    It is made of what tells the folder from others at first, so that it is the same again if it could not be
    kept; from then on it is what the file says, so that it stays when the folder is moved.
    """
    known = read(folder)
    if known:
        return known, None
    path = folder / ID_FILE
    with contextlib.suppress(OSError):  # writing says what is wrong
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = _made_for(folder)
    try:
        files.write_atomically(path, f"{made}\n".encode("ascii"))
    except StateError as error:
        return made, f"the id of this updater is not kept: {error}"
    return made, None


def read(folder: Path) -> str:
    """Return the id that is kept in a folder; empty if there is none."""
    try:
        text = (folder / ID_FILE).read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
    return text if _ID.fullmatch(text) else ""


def _made_for(folder: Path) -> str:
    """Containers see their folders under equal paths, hosts may share an engine: so host and inode count."""
    real = folder.resolve()
    try:
        found = real.stat()
    except OSError:
        place = ""
    else:
        place = f"{found.st_dev}:{found.st_ino}"
    return hashlib.sha256(f"{socket.gethostname()}\n{real}\n{place}".encode()).hexdigest()[:12]

"""Who may edit a file, and how to grant it: asked before anything is written, and by `--test`.

Another user's file is edited if its file owner granted that by group or ACL. It is then written in place, because a
file that is renamed over it would belong to us; the file owner and root replace it whole.
"""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from pathlib import Path


def objection(path: Path, found: os.stat_result) -> tuple[str, str] | None:
    """Return why a file may not be edited, with a remedy; None if it may. `path` is no link, `found` its status.

    `os.access` heeds groups and ACLs, and says no on a read-only mount and after `chattr +i` too.
    """
    if not stat.S_ISREG(found.st_mode):
        return f"{path} is not a regular file", "Point compose_file at the file itself."
    if found.st_nlink > 1:
        return f"{path} has {found.st_nlink} hard links", "Replace the further links by symbolic ones, or by copies."
    if not found.st_mode & stat.S_IWUSR:
        return f"{path} is write-protected by its mode", f"Run `chmod u+w {path}` to let the updater edit it."
    if is_in_place(found) and not _may(path, os.R_OK | os.W_OK):
        return f"{path} belongs to {_name(found.st_uid)}, and {_name(os.geteuid())} may not edit it", grant(path)
    if not _may(path, os.W_OK):
        return f"{path} cannot be written", "Check for a read-only mount, `chattr +i`, and permissions."
    if not _may(path.parent, os.W_OK | os.X_OK):
        return f"the folder {path.parent} cannot be written, and the new file is made there first", grant(path)
    return None


def is_in_place(found: os.stat_result) -> bool:
    """Return whether a file with this status keeps its file owner only if it is written in place."""
    return os.geteuid() not in (0, found.st_uid)


def grant(path: Path) -> str:
    """Return the command by which the file owner, or root, lets this user edit a file and its folder.

    The folder's default ACL is for the file that an editor puts in this one's place later.
    """
    user, folder = _name(os.geteuid()), shlex.quote(str(path.parent))
    access = f"sudo setfacl -m u:{user}:rw {shlex.quote(str(path))}"
    return f"Run `{access} && sudo setfacl -m u:{user}:rwx,d:u:{user}:rwX {folder}`, or run the updater as root."


def grants(path: Path) -> tuple[str, ...]:
    """Return the commands by which root lets this user read and edit a file: each closed folder above it, the folder
    itself (what an editor puts there later too), and the file. A file that cannot be seen yet is granted by its path.
    """
    user, folder = _name(os.geteuid()), path.absolute().parent
    closed = [each for each in reversed(folder.parents) if not _may(each, os.X_OK)]
    entry = tuple(f"sudo setfacl -m u:{user}:x {shlex.quote(str(each))}" for each in closed if _is_seen(each))
    return (
        *entry,
        f"sudo setfacl -m u:{user}:rwx,d:u:{user}:rwX {shlex.quote(str(folder))}",
        f"sudo setfacl -m u:{user}:rw {shlex.quote(str(path))}",
    )


def _is_seen(folder: Path) -> bool:
    """Whether a folder above a closed one can be looked at; those below it cannot, and may be open."""
    return os.path.isdir(folder)  # noqa: PTH112 - False if it cannot be looked at


def reading_remedy(path: Path) -> str:
    """Return what to do about a file that cannot be read."""
    if not _may(path, os.F_OK) or _may(path, os.R_OK):  # not there, or behind a folder that we may not enter
        blocked = next((folder for folder in reversed(path.absolute().parents) if not _may(folder, os.X_OK)), None)
        if blocked is None or not blocked.is_dir():
            return "Check the path and its permissions."
        return f"Run `sudo setfacl -m u:{_name(os.geteuid())}:x {shlex.quote(str(blocked))}` to let the updater in."
    return f"Run `sudo setfacl -m u:{_name(os.geteuid())}:r {shlex.quote(str(path))}` to let the updater read it."


def _may(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=True)


def _name(user_id: int) -> str:
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return str(user_id)

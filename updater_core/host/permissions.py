"""Who may edit a file, and how to grant it: asked before anything is written, and by `--test`.

Another user's file is edited if its file owner granted that by group or ACL. It is then written in place,
because a file that is renamed over it would belong to us; the file owner and root replace it whole.
"""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from pathlib import Path

_CHECK_THE_PATH = "Check the path and its permissions."


def objection(path: Path, found: os.stat_result) -> tuple[str, str] | None:
    """Return why a file may not be edited, with a remedy; None if it may.

    `path` is no link, `found` its status.

    `os.access` heeds groups and ACLs, and says no on a read-only mount and after `chattr +i` too.
    """
    if not stat.S_ISREG(found.st_mode):
        return f"{path} is not a regular file", "Point compose_file at the file itself."
    # A file is replaced by renaming a new one over it, after which the other name would keep the old text.
    if found.st_nlink > 1:
        return (
            f"{path} has {found.st_nlink} hard links",
            "Replace the further links by symbolic ones, or by copies.",
        )
    # For root every file is writable, so the mode is asked: the file owner has said no.
    if not found.st_mode & stat.S_IWUSR:
        return f"{path} is write-protected by its mode", f"Run `chmod u+w {path}` to let the updater edit it."
    if is_in_place(found) and not _may(path, os.R_OK | os.W_OK):
        return f"{path} belongs to {_name(found.st_uid)}, and {_name(os.geteuid())} may not edit it", grant(
            path
        )
    if not _may(path, os.W_OK):
        return f"{path} cannot be written", "Check for a read-only mount, `chattr +i`, and permissions."
    if not _may(path.parent, os.W_OK | os.X_OK):
        # For an edit in place too: the old bytes are kept beside the file while it is written.
        return f"the folder {path.parent} cannot be written, and the new file is made there first", grant(
            path
        )
    return None


def open_to_others(path: Path) -> tuple[str, str] | None:
    """Return who besides root and this user may change a file, with a remedy; None if nobody may.

    To put another file in its place counts as a change. For a file whose words become programs of ours. A
    link
    is judged by what it leads to, and by the folder that it lies in.
    """
    for each in dict.fromkeys(
        (path.absolute(), path.absolute().parent, path.resolve(), path.resolve().parent)
    ):
        found = each.stat()
        name = shlex.quote(str(each))
        if found.st_uid not in (0, os.geteuid()):
            return f"{each} belongs to {_name(found.st_uid)}", f"Run `sudo chown root {name}`."
        # In `/tmp` nobody can put another file in the place of ours.
        is_sticky_folder = stat.S_ISDIR(found.st_mode) and bool(found.st_mode & stat.S_ISVTX)
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not is_sticky_folder:
            return f"{each} may be changed by others than its file owner", f"Run `sudo chmod go-w {name}`."
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
    return (
        f"Run `{access} && sudo setfacl -m u:{user}:rwx,d:u:{user}:rwX {folder}`, or run the updater as root."
    )


def grants(path: Path) -> tuple[str, ...]:
    """Return the commands by which root lets this user read and edit a file.

    They are for each folder above it from the first closed one on (what lies below that one cannot be seen),
    for its own folder (what an editor puts there later too), and for the file.
    """
    user, folder = _name(os.geteuid()), path.absolute().parent
    behind = [each for each in _folders_behind(path) if each != folder]
    return (
        *(f"sudo setfacl -m u:{user}:x {shlex.quote(str(each))}" for each in behind),
        f"sudo setfacl -m u:{user}:rwx,d:u:{user}:rwX {shlex.quote(str(folder))}",
        f"sudo setfacl -m u:{user}:rw {shlex.quote(str(path))}",
    )


def editing_remedy(path: Path) -> str:
    """Return what to do about a file that cannot be looked at and may have to be edited.

    If a closed folder hides it, nobody can see from here what else Compose reads beside it, so all of that is
    granted with it.
    """
    if closed_above(path) is None:
        return _CHECK_THE_PATH
    commands = " && ".join((*grants(path), folder_grants(path.parent)))
    return f"Run `{commands}`, or run the updater as root."


def _folders_behind(path: Path) -> list[Path]:
    """Return the folders above a path from the first closed one on, from the top; none if none is closed."""
    closed = closed_above(path)
    above = reversed(path.absolute().parents)
    return [each for each in above if closed is not None and closed in (each, *each.parents)]


def folder_grants(folder: Path, access: str = "rw") -> str:
    """Return the command by which root lets this user at the Compose files of a hidden folder.

    Which those are is judged by their names alone.
    """
    names = r"\( -name '*.y*ml' -o -name '*.env' -o -name '.env*' \)"
    acl = f"setfacl -m u:{_name(os.geteuid())}:{access}"
    return f"sudo find {shlex.quote(str(folder))} -maxdepth 1 -type f {names} -exec {acl} {{}} +"


def closed_above(path: Path) -> Path | None:
    """Return the first folder above a path that may not be entered; None if there is none.

    None, too, if the path ends before it.
    """
    # From the top: below a closed folder nothing can be seen, so the first one is the one to open.
    for folder in reversed(path.absolute().parents):
        # `os.path` and not `Path`, which raises for what may not be looked at.
        if not os.path.isdir(folder):  # noqa: PTH112
            return None
        if not _may(folder, os.X_OK):
            return folder
    return None


def reading_remedy(path: Path) -> str:
    """Return what to do about a file that cannot be read: one command for it and what is closed above it.

    What Compose may read beside it is granted with it if nobody can see that from here.
    """
    user, behind = _name(os.geteuid()), _folders_behind(path)
    if not behind and (not _may(path, os.F_OK) or _may(path, os.R_OK)):
        return _CHECK_THE_PATH
    commands = [
        *(f"sudo setfacl -m u:{user}:x {shlex.quote(str(each))}" for each in behind),
        *([folder_grants(path.parent, "r")] if behind else ()),
        f"sudo setfacl -m u:{user}:r {shlex.quote(str(path))}",
    ]
    return f"Run `{' && '.join(commands)}` to let the updater read it."


def _may(path: Path, mode: int) -> bool:
    # By the effective user: a service manager or sudo may have changed it.
    return os.access(path, mode, effective_ids=True)


def _name(user_id: int) -> str:
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return str(user_id)

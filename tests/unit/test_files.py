"""`files` on real files: what may be replaced, that it is replaced whole, and that an operator's edit always
wins.
"""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from updater_core.errors import ChangedOnDisk, StateError, UpdaterError
from updater_core.host import files, in_place

ROOT = Path(__file__).resolve().parents[2]
OLD = b"services:\n  web:\n    image: app:1\n"
NEW = b"services:\n  web:\n    image: app:2\n"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and changes of owner need root")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "compose.yml"
    path.write_bytes(OLD)
    return path


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def replace(path: Path, data: bytes, exchange: files.Exchange | None = None) -> None:
    snapshot = files.snapshot(path)
    files.commit(snapshot, files.stage(snapshot, data, "t1"), exchange)


def fill(folder: Path) -> None:
    """Leave no byte free."""
    with (folder / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(b"x" * 4096)


def cannot_exchange(left: Path, right: Path) -> bool:
    return False


# ----------------------------------------------------------------------------------------- an operator's file


@pytest.mark.parametrize("exchange", [None, cannot_exchange], ids=["exchange", "plain rename"])
def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(
    target: Path, exchange: files.Exchange | None
) -> None:
    replace(target, NEW, exchange)
    assert target.read_bytes() == NEW
    assert list(target.parent.iterdir()) == [target]


@needs_root
def test_mode_owner_group_and_extended_attributes_stay(target: Path) -> None:
    os.setxattr(target, "user.note", b"mine")
    os.chown(target, 1234, 4321)
    target.chmod(0o2640)
    replace(target, NEW)
    found = target.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (1234, 4321, 0o2640)
    assert os.getxattr(target, "user.note") == b"mine"


def test_a_link_stays_a_link_and_its_target_is_replaced(target: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "docker-compose.yml"
    link.parent.mkdir()
    link.symlink_to(target)
    replace(link, NEW)
    assert link.is_symlink()
    assert target.read_bytes() == NEW
    assert list(link.parent.iterdir()) == [link]


def test_a_staged_file_is_not_what_compose_would_discover(target: Path) -> None:
    staged = files.stage(files.snapshot(target), NEW, "t1")
    assert staged == target.parent / ".compose.yml.dau-t1"


def test_a_staged_file_of_a_killed_attempt_is_replaced(target: Path) -> None:
    snapshot = files.snapshot(target)
    files.stage(snapshot, b"half", "t1")
    assert files.stage(snapshot, NEW, "t1").read_bytes() == NEW


def make_hard_link(path: Path) -> None:
    path.with_name("second").hardlink_to(path)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (make_hard_link, "hard links"),
        (make_folder, "not a regular file"),
        (make_pipe, "not a regular file"),
        (lambda path: path.chmod(0o444), "write-protected"),
        (lambda path: path.unlink(), "cannot be read"),
    ],
    ids=["hard link", "folder", "pipe", "read-only mode", "missing"],
)
def test_a_file_that_is_not_ours_to_replace_is_refused_with_a_remedy(
    target: Path, spoil: object, words: str
) -> None:
    assert callable(spoil)
    spoil(target)
    with pytest.raises(UpdaterError, match=words) as caught:
        files.snapshot(target)
    assert caught.value.remedy


@needs_root
def test_a_read_only_mount_is_noticed_before_anything_is_written(tiny_disk: Path) -> None:
    path = tiny_disk / "compose.yml"
    path.write_bytes(OLD)
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    with pytest.raises(UpdaterError, match="cannot be written"):
        files.snapshot(path)


# ---------------------------------------------------------------------------------------- another user's file

STRANGER, TEAM = 65534, 54321
_AS_STRANGER = """
import os, sys
from pathlib import Path
from updater_core.host import files
os.setgroups([54321]); os.setgid(65534); os.setuid(65534)
path = Path(sys.argv[1])
try:
    files.objection(path) and print("objection:", *files.objection(path))
    snapshot = files.snapshot(path)
    files.commit(snapshot, files.stage(snapshot, path.read_bytes().replace(b"app:1", b"app:2.0.1"), "t1"))
except files.UpdaterError as error:
    print("refused:", error, error.remedy)
"""


@pytest.fixture
def shared() -> Iterator[Path]:
    """A compose file in a folder that others than we can reach, which pytest's own folders are not."""
    with tempfile.TemporaryDirectory(prefix="dau-test-") as place:
        Path(place).chmod(0o755)
        path = Path(place) / "project" / "compose.yml"
        path.parent.mkdir()
        path.write_bytes(OLD)
        yield path


def by_stranger(path: Path, program: str = _AS_STRANGER) -> str:
    """What happens when a user that belongs to TEAM edits `path`."""
    argv = [sys.executable, "-c", program, str(path)]
    return subprocess.run(argv, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def grant_to_group(path: Path) -> None:
    for each, mode in ((path, 0o664), (path.parent, 0o775)):
        os.chown(each, 1234, TEAM)
        each.chmod(mode)


def acl(bits: int) -> bytes:
    """An access ACL as the kernel keeps it (linux/posix_acl_xattr.h).

    Rwx for the file owner, `bits` for STRANGER.
    """
    entries = [(0x01, 7, -1), (0x02, bits, STRANGER), (0x04, 0, -1), (0x10, bits, -1), (0x20, 0, -1)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)


def grant_by_acl(path: Path) -> None:
    for each, bits in ((path, 6), (path.parent, 7)):
        os.chown(each, 1234, 1234)
        os.setxattr(each, "system.posix_acl_access", acl(bits))


@needs_root
@pytest.mark.parametrize("grant", [grant_to_group, grant_by_acl])
def test_another_users_file_is_written_in_place_if_its_owner_granted_that(
    shared: Path, grant: object
) -> None:
    assert callable(grant)
    grant(shared)
    before, attributes = shared.stat(), {name: os.getxattr(shared, name) for name in os.listxattr(shared)}
    assert by_stranger(shared) == ""
    after = shared.stat()
    assert shared.read_bytes() == OLD.replace(b"app:1", b"app:2.0.1")
    assert (after.st_ino, after.st_uid, after.st_gid, after.st_mode) == (
        before.st_ino, before.st_uid, before.st_gid, before.st_mode,
    )  # fmt: skip
    assert {name: os.getxattr(shared, name) for name in os.listxattr(shared)} == attributes
    assert list(shared.parent.iterdir()) == [shared]


@needs_root
@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "words"),
    [
        (0o644, 0o775, "belongs to root, and nobody may not edit it"),
        (0o664, 0o755, "the folder"),
        (0o600, 0o775, "may not edit it"),
        (0o600, 0o700, "cannot be looked at"),
    ],
    ids=["readable only", "folder closed to writing", "not readable", "folder closed"],
)
def test_another_users_file_is_refused_with_the_command_that_grants_it(
    shared: Path, file_mode: int, folder_mode: int, words: str
) -> None:
    for each, mode in ((shared, file_mode), (shared.parent, folder_mode)):
        os.chown(each, 0, TEAM if mode & 0o070 else 0)
        each.chmod(mode)
    said = by_stranger(shared)
    assert words in said
    assert "sudo setfacl -m u:nobody:" in said
    assert str(shared.parent) in said
    assert shared.read_bytes() == OLD


@needs_root
def test_another_users_file_with_an_operators_edit_in_between_stays_the_owners(shared: Path) -> None:
    grant_to_group(shared)
    os.chown(shared, STRANGER + 1, TEAM)
    said = by_stranger(shared, _AS_STRANGER.replace("files.commit(", "os.utime(path); files.commit("))
    assert "was changed by someone else" in said
    assert shared.read_bytes() == OLD
    assert list(shared.parent.iterdir()) == [shared]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (NEW[:20] + OLD[20:], OLD),
        (NEW[:-4] + bytes(len(NEW) - len(OLD)) + NEW[-4:], None),
        (NEW, NEW),
        (OLD, OLD),
        (b"the operator's own\n", b"the operator's own\n"),
    ],
    ids=["torn", "longer by an operator", "written", "not begun", "an operator's edit"],
)
def test_a_write_in_place_that_was_cut_in_two_is_put_back(
    target: Path, found: bytes, expected: bytes | None
) -> None:
    """What a machine leaves that lost its power: the staged file and the old bytes lie beside a torn one."""
    staged = files.stage(files.snapshot(target), NEW, "t1")
    in_place.kept_path(staged).write_bytes(OLD)
    target.write_bytes(found)
    files.remove_strays(target.parent, "t1")
    assert target.read_bytes() == (found if expected is None else expected)
    assert list(target.parent.iterdir()) == [target]


@needs_root
def test_a_process_that_dies_while_it_writes_in_place_leaves_what_puts_the_file_back(target: Path) -> None:
    subprocess.run(["mount", "--bind", str(target), str(target)], check=True)
    try:
        snapshot = files.snapshot(target)
        staged = files.stage(snapshot, OLD.replace(b"app:1", b"app:2.0.1"), "t1")
        dying = (
            "import os, sys; from pathlib import Path; from updater_core.host import files, in_place\n"
            "in_place._fill = lambda descriptor, data: (os.write(descriptor, data[:33]), os._exit(9))\n"
            "files.commit(files.snapshot(Path(sys.argv[1])), Path(sys.argv[2]))"
        )
        done = subprocess.run([sys.executable, "-c", dying, str(target), str(staged)], cwd=ROOT, check=False)
        assert done.returncode == 9
        assert target.read_bytes() not in (OLD, staged.read_bytes())
        files.remove_strays(target.parent, "t1")
        assert target.read_bytes() == OLD
        assert list(target.parent.iterdir()) == [target]
    finally:
        subprocess.run(["umount", str(target)], check=True)


@pytest.mark.parametrize("exchange", [None, cannot_exchange], ids=["exchange", "plain rename"])
def test_a_size_that_stays_does_not_hide_an_operators_edit(
    target: Path, exchange: files.Exchange | None
) -> None:
    snapshot = files.snapshot(target)
    staged = files.stage(snapshot, NEW, "t1")
    before = target.stat()
    with target.open("r+b") as file:
        file.write(OLD.replace(b"app:1", b"app:9"))
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ChangedOnDisk):
        files.commit(snapshot, staged, exchange)
    assert b"app:9" in target.read_bytes()
    assert not staged.exists()


def test_a_file_with_the_same_bytes_but_another_inode_counts_as_changed(target: Path) -> None:
    snapshot = files.snapshot(target)
    staged = files.stage(snapshot, NEW, "t1")
    other = target.with_name("other")
    other.write_bytes(OLD)
    other.replace(target)
    with pytest.raises(ChangedOnDisk):
        files.commit(snapshot, staged)
    assert target.read_bytes() == OLD


@pytest.mark.parametrize("leads_to", ["same bytes", "nothing"])
def test_a_file_replaced_by_a_link_counts_as_changed(target: Path, leads_to: str) -> None:
    snapshot = files.snapshot(target)
    staged = files.stage(snapshot, NEW, "t1")
    target.rename(target.with_name("moved"))
    target.symlink_to("moved" if leads_to == "same bytes" else "gone")
    with pytest.raises(ChangedOnDisk):
        files.commit(snapshot, staged)
    assert target.is_symlink()
    assert not staged.exists()


def test_a_link_that_leads_elsewhere_by_now_counts_as_changed(target: Path, tmp_path: Path) -> None:
    link, other = tmp_path / "link.yml", tmp_path / "other.yml"
    other.write_bytes(OLD)
    link.symlink_to(target)
    snapshot = files.snapshot(link)
    staged = files.stage(snapshot, NEW, "t1")
    link.unlink()
    link.symlink_to(other)
    with pytest.raises(ChangedOnDisk):
        files.commit(snapshot, staged)
    assert target.read_bytes() == other.read_bytes() == OLD


def test_a_file_that_is_gone_is_not_made_anew(target: Path) -> None:
    snapshot = files.snapshot(target)
    staged = files.stage(snapshot, NEW, "t1")
    target.unlink()
    with pytest.raises(ChangedOnDisk):
        files.commit(snapshot, staged)
    assert list(target.parent.iterdir()) == []


def test_an_editor_faster_than_the_last_check_gets_its_file_back(target: Path) -> None:
    def editor_then_exchange(left: Path, right: Path) -> bool:
        right.write_bytes(b"the operator's\n")
        return files._exchange(left, right)

    with pytest.raises(ChangedOnDisk):
        replace(target, NEW, editor_then_exchange)
    assert target.read_bytes() == b"the operator's\n"
    assert list(target.parent.iterdir()) == [target]


@needs_root
@pytest.mark.parametrize("data", [NEW, b"short\n", NEW * 9, b""], ids=["same", "shorter", "longer", "empty"])
def test_a_bind_mounted_file_is_written_in_place(target: Path, data: bytes) -> None:
    subprocess.run(["mount", "--bind", str(target), str(target)], check=True)
    try:
        inode = target.stat().st_ino
        replace(target, data)
        assert target.read_bytes() == data
        assert target.stat().st_ino == inode
        assert list(target.parent.iterdir()) == [target]
    finally:
        subprocess.run(["umount", str(target)], check=True)


@needs_root
def test_a_full_disk_leaves_the_operators_file_and_no_other(tiny_disk: Path) -> None:
    path = tiny_disk / "compose.yml"
    path.write_bytes(OLD)
    fill(tiny_disk)
    snapshot = files.snapshot(path)
    with pytest.raises(UpdaterError, match="disk full") as caught:
        files.stage(snapshot, NEW, "t1")
    assert "Free some space" in caught.value.remedy
    assert path.read_bytes() == OLD
    assert {each.name for each in tiny_disk.iterdir()} == {"compose.yml", "ballast"}


@needs_root
def test_a_full_disk_under_a_bind_mounted_file_leaves_its_bytes(tiny_disk: Path, tmp_path: Path) -> None:
    """The staged file has space in its folder, the file that is mounted over the target lies on the full
    disk.
    """
    (tiny_disk / "source").write_bytes(OLD)
    path = tmp_path / "compose.yml"
    path.write_bytes(b"covered\n")
    subprocess.run(["mount", "--bind", str(tiny_disk / "source"), str(path)], check=True)
    try:
        fill(tiny_disk)
        with pytest.raises(UpdaterError, match="disk full"):
            replace(path, NEW * 2000)
        assert path.read_bytes() == OLD
    finally:
        subprocess.run(["umount", str(path)], check=True)


def test_only_strays_of_the_same_tag_are_removed(tmp_path: Path) -> None:
    names = [
        ".compose.yml.dau-t1",
        ".env.dau-t1",
        ".compose.yml.dau-t2",
        "compose.yml",
        ".dau-t1x",
        "x.dau-t1",
    ]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    files.remove_strays(tmp_path, "t1")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[2:])


def test_a_tag_with_wildcards_removes_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".compose.yml.dau-t1").write_bytes(b"")
    files.remove_strays(tmp_path, "*")
    assert (tmp_path / ".compose.yml.dau-t1").exists()


# ---------------------------------------------------------------------------------------------- our own files


def test_an_own_file_is_written_for_its_owner_only_and_its_folder_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "state.json"
    files.write_atomically(path, b"1")
    files.write_atomically(path, b"2")
    assert path.read_bytes() == b"2"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0
    assert list(path.parent.iterdir()) == [path]


@needs_root
def test_a_full_disk_keeps_the_old_own_file_whole(tiny_disk: Path) -> None:
    path = tiny_disk / "state.json"
    files.write_atomically(path, b"old")
    fill(tiny_disk)
    with pytest.raises(StateError, match="disk full"):
        files.write_atomically(path, b"new" * 10_000)
    assert path.read_bytes() == b"old"
    assert {each.name for each in tiny_disk.iterdir()} == {"state.json", "ballast"}


def test_a_folder_in_the_way_is_a_state_error(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot be written"):
        files.write_atomically(tmp_path, b"x")


def test_removing_what_is_gone_is_no_error(tmp_path: Path) -> None:
    files.remove(tmp_path / "none")
    files.remove(tmp_path / "no folder" / "none")


# ----------------------------------------------------------------------------------------------------- places


@needs_root
def test_free_bytes_are_those_of_the_place_even_before_it_exists(tiny_disk: Path) -> None:
    assert files.free_bytes(tiny_disk / "not" / "yet") <= 65536


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("new.json", True),
        ("deep/er/new.json", True),
        ("compose.yml", True),
        ("compose.yml/x", False),
        (".", False),
    ],
)
def test_a_place_is_writable_if_a_file_could_be(target: Path, name: str, expected: bool) -> None:
    assert files.is_writable(target.parent / name) is expected


def test_reading_what_is_not_there_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(UpdaterError, match="nowhere"):
        files.read(tmp_path / "nowhere")

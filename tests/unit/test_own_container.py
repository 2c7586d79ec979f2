"""A process finds out which container it runs in, with both versions of cgroups, or that it runs in none."""

from __future__ import annotations

from pathlib import Path

import pytest

from updater_core.host.own_container import own_container_id

ID = "4c3f" * 16
MOUNTS = f"""\
1 2 0:50 / / rw - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/ABC
9 1 8:1 /var/lib/docker/containers/{ID}/resolv.conf /etc/resolv.conf rw - ext4 /dev/sda1 rw
9 1 8:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw - ext4 /dev/sda1 rw
"""


@pytest.mark.parametrize(
    ("mounts", "cgroups", "expected"),
    [
        (MOUNTS, "0::/\n", ID),
        ("", f"12:cpu:/docker/{ID}\n", ID),
        ("", f"12:cpu:/system.slice/docker-{ID}.scope\n", ID),
        ("1 2 8:1 / / rw - ext4 /dev/sda1 rw\n", "0::/user.slice/user-0.slice/session-1.scope\n", None),
        # a host whose own folder of containers is mounted somewhere is no container
        (f"9 1 8:1 / /var/lib/docker/containers/{ID}/mounts/shm rw - tmpfs shm rw\n", "0::/\n", None),
    ],
)
def test_the_container_is_notified_by_its_mounts_or_its_groups(
    tmp_path: Path, mounts: str, cgroups: str, expected: str | None
) -> None:
    (tmp_path / "mounts").write_text(mounts)
    (tmp_path / "cgroups").write_text(cgroups)
    assert own_container_id(tmp_path / "mounts", tmp_path / "cgroups") == expected


def test_nothing_to_read_means_no_container(tmp_path: Path) -> None:
    assert own_container_id(tmp_path / "a", tmp_path / "b") is None

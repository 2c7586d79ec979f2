"""A file that was replaced or written is seen to be another one, whatever its size and time say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from updater_core.host.stamp import stamp_of


def replace_alike(path: Path, text: str) -> None:
    """Put another file in the place of one, with its size and time."""
    found = path.stat()
    beside = path.with_name("beside")
    beside.write_text(text)
    os.utime(beside, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert beside.stat().st_size == found.st_size
    beside.replace(path)


def write_alike(path: Path, text: str) -> None:
    """Write a file in place, and give it the time that it had."""
    found = path.stat()
    path.write_text(text)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert path.stat().st_size == found.st_size


@pytest.mark.parametrize("change", [replace_alike, write_alike])
def test_a_stamp_is_another_one_after_a_change_that_size_and_time_hide(
    change: object, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_text("one")
    before = stamp_of(path)
    assert before == stamp_of(path)
    change(path, "two")  # type: ignore[operator]
    assert stamp_of(path) != before
    path.unlink()
    assert stamp_of(path) is None

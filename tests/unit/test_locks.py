"""Locks between processes: held once, waited for, inherited if that is asked for."""

from __future__ import annotations

import fcntl
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from updater_core.errors import LockHeld, StateError
from updater_core.host.locks import acquire_folder_lock, acquire_lock, folder_objection, release_lock


class StillClock:
    """A clock that moves only when something waits on it; `stops` makes a wait end with a stop."""

    def __init__(self, stops: bool = False) -> None:
        self.seconds = 0.0
        self.stops = stops

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> bool:
        self.seconds += seconds
        return self.stops

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def test_a_lock_is_held_once_and_says_by_whom(tmp_path: Path) -> None:
    clock = StillClock()
    first = acquire_lock(tmp_path / "lock", clock=clock)
    with pytest.raises(LockHeld, match=str(os.getpid())):
        acquire_lock(tmp_path / "lock", clock=clock)
    release_lock(first)
    release_lock(acquire_lock(tmp_path / "lock", clock=clock))


def test_waiting_for_a_lock_ends_at_its_time(tmp_path: Path) -> None:
    clock = StillClock()
    first = acquire_lock(tmp_path / "lock", clock=clock)
    with pytest.raises(LockHeld):
        acquire_lock(tmp_path / "lock", clock=clock, wait_seconds=30)
    assert 30 <= clock.seconds < 31
    release_lock(first)


def test_waiting_for_a_lock_ends_when_a_stop_is_asked_for(tmp_path: Path) -> None:
    clock = StillClock(stops=True)
    first = acquire_lock(tmp_path / "lock", clock=clock)
    with pytest.raises(LockHeld):
        acquire_lock(tmp_path / "lock", clock=clock, wait_seconds=30)
    assert clock.seconds < 1
    release_lock(first)


def test_a_child_that_inherits_the_lock_holds_it_after_us(tmp_path: Path) -> None:
    clock = StillClock()
    lock = acquire_lock(tmp_path / "lock", clock=clock, inheritable=True)
    assert os.get_inheritable(lock)
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=(lock,))
    release_lock(lock)
    try:
        with pytest.raises(LockHeld):
            acquire_lock(tmp_path / "lock", clock=clock)
    finally:
        child.communicate(b"")
    release_lock(acquire_lock(tmp_path / "lock", clock=clock))


def test_a_lock_is_not_inherited_unless_asked(tmp_path: Path) -> None:
    lock = acquire_lock(tmp_path / "lock", clock=StillClock())
    assert not os.get_inheritable(lock)
    assert fcntl.fcntl(lock, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    release_lock(lock)


def test_a_lock_in_an_impossible_place_is_a_state_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="cannot be opened"):
        acquire_lock(tmp_path / "file" / "lock", clock=StillClock())


def test_a_folder_is_locked_for_us_and_our_children_and_nothing_in_it_changes(tmp_path: Path) -> None:
    clock = StillClock()
    first = acquire_folder_lock(tmp_path, clock=clock, wait_seconds=0)
    assert first is not None
    assert os.get_inheritable(first)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(LockHeld, match="worked in by another updater") as held:
        acquire_folder_lock(tmp_path, clock=clock, wait_seconds=30)
    assert str(tmp_path) in str(held.value)
    assert "let one updater alone" in held.value.remedy
    release_lock(first)
    again = acquire_folder_lock(tmp_path, clock=clock, wait_seconds=0)
    assert again is not None
    release_lock(again)


def test_a_folder_that_cannot_be_locked_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in ("file", "not-there"):
        assert acquire_folder_lock(tmp_path / place, clock=StillClock(), wait_seconds=0) is None
        assert str(tmp_path / place) in folder_objection(tmp_path / place)
    held = acquire_folder_lock(tmp_path, clock=StillClock(), wait_seconds=0)
    assert folder_objection(tmp_path) == ""  # held, so it can be
    release_lock(held or -1)
    assert folder_objection(tmp_path) == ""

"""The id of an updater, and that of two updaters only one works on the states in one folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from updater_core import config_utils
from updater_core.app.wiring import only_instance
from updater_core.errors import LockHeld
from updater_core.host.clock import SystemClock
from updater_core.models import Config
from updater_core.state import identity


def test_it_stays_with_the_folder_wherever_that_is_moved(tmp_path: Path) -> None:
    first = tmp_path / "a" / "state"
    made, note = identity.read_or_create(first)
    assert (len(made), note) == (12, None)
    assert identity.read_or_create(first) == (made, None)
    moved = first.rename(tmp_path / "moved")
    assert identity.read_or_create(moved) == (made, None)
    assert identity.read(moved) == made


def test_folders_that_follow_each_other_in_one_place_differ(tmp_path: Path) -> None:
    """As the folders of two containers do, each of which sees its own under the same path."""
    place, kept = tmp_path / "state", tmp_path / "kept"
    first, _ = identity.read_or_create(place)
    place.rename(kept)  # its inode stays taken
    second, _ = identity.read_or_create(place)
    assert first != second


@pytest.mark.parametrize("text", ["", "../../etc", "5F0C9A31D2E4", "5f0c9a31d2e4f", "\x80\xff"])
def test_a_damaged_id_is_made_again(tmp_path: Path, text: str) -> None:
    made, _ = identity.read_or_create(tmp_path)
    (tmp_path / identity.ID_FILE).write_bytes(text.encode("latin-1"))
    assert identity.read(tmp_path) == ""
    assert identity.read_or_create(tmp_path) == (made, None)


def test_one_that_cannot_be_kept_is_the_same_the_next_time_and_says_so(tmp_path: Path) -> None:
    (tmp_path / identity.ID_FILE).mkdir()  # no file can take its place
    (made, note), (again, _) = identity.read_or_create(tmp_path), identity.read_or_create(tmp_path)
    assert made == again
    assert note is not None
    assert identity.ID_FILE in note
    shutil.rmtree(tmp_path / identity.ID_FILE)
    assert identity.read_or_create(tmp_path) == (made, None)


def _config(path: Path) -> Config:
    return config_utils.parse({"state_file": str(path), "services": []}, {}, "config.json")


def test_two_states_in_one_folder_exclude_each_other(tmp_path: Path) -> None:
    clock = SystemClock()
    one, two = _config(tmp_path / "prod.json"), _config(tmp_path / "test.json")
    with only_instance(one, clock):
        with pytest.raises(LockHeld, match="in the same folder") as refused, only_instance(two, clock):
            pass
        assert "STATE_FILE" in refused.value.remedy
        with pytest.raises(LockHeld, match=r"prod\.json\.lock is held"), only_instance(one, clock):
            pass
        with only_instance(_config(tmp_path / "another" / "prod.json"), clock):
            pass
    with only_instance(two, clock):
        pass

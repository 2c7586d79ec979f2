"""Which volumes of an old container its successor would not have, by Compose's rule."""

from __future__ import annotations

from typing import Any

import pytest

from updater_core.targets.compose.preflight import mounts
from updater_core.targets.compose.preflight.mounts import Mounts

ANONYMOUS = "0f" * 32
NOTHING = Mounts({}, {}, frozenset(), frozenset())


def model(*volumes: Any, **more: Any) -> dict[str, Any]:
    return {
        "name": "shop",
        "services": {"db": {"volumes": list(volumes), **more}},
        "volumes": {"data": {"name": "real"}},
    }


@pytest.mark.parametrize(
    ("written", "lost"),
    [
        ({"type": "volume", "source": "data", "target": "/data"}, False),
        ({"type": "volume", "source": "data", "target": "/data/"}, False),
        ({"type": "volume", "source": "other", "target": "/data"}, True),
        ({"type": "volume", "source": "data", "target": "/data2"}, True),
        ({"type": "bind", "source": "/srv/data", "target": "/data"}, True),
        ({"type": "tmpfs", "target": "/data"}, True),
        ({"type": "volume", "target": "/data"}, False),
        ("data:/data:rw", False),
        ("/data", False),
        ("/srv/data:/data", True),
    ],
)
def test_a_named_volume_is_kept_if_the_model_mounts_it_there(written: Any, lost: bool) -> None:
    wanted = mounts.of_service(model(written), "db")
    assert bool(mounts.not_carried_over([("real", "/data")], wanted, frozenset(), ())) is lost


def test_a_tmpfs_takes_the_place_of_a_volume() -> None:
    for written in ("/data", ["/data:size=1m"]):
        wanted = mounts.of_service(model(tmpfs=written), "db")
        assert mounts.not_carried_over([(ANONYMOUS, "/data")], wanted, frozenset({"/data"}), ()) != ()


@pytest.mark.parametrize("declared", [(), ("/data/",), ("/",), ("/data/sub",), ("/dat",)])
def test_an_anonymous_volume_is_carried_over_only_to_a_volume_of_the_same_spelling(
    declared: tuple[str, ...],
) -> None:
    volume = (ANONYMOUS, "/data")
    assert mounts.not_carried_over([volume], NOTHING, frozenset(declared), ()) == (volume,)
    assert mounts.not_carried_over([volume], NOTHING, frozenset({"/data", *declared}), ()) == ()


def test_a_borrowed_volume_is_kept_as_long_as_it_is_lent() -> None:
    volume = (ANONYMOUS, "/data")
    assert mounts.not_carried_over([volume], NOTHING, frozenset(), [volume]) == ()
    assert mounts.not_carried_over([volume], NOTHING, frozenset(), [("1e" * 32, "/data")]) == (volume,)


@pytest.mark.parametrize(
    ("old", "new", "mounted", "wanted", "moved"),
    [
        ({"/a"}, {"/b"}, {"/a"}, set(), True),
        ({"/a"}, {"/b"}, {"/a", "/b"}, set(), False),  # both places are mounted
        ({"/a"}, {"/b"}, {"/a"}, {"/b"}, False),  # the operator has prepared it
        ({"/a"}, {"/b"}, set(), set(), False),  # nothing of the old place was kept anywhere
        ({"/a"}, set(), {"/a"}, set(), False),  # a VOLUME that is only not declared any more
        ({"/a"}, {"/a", "/b"}, {"/a"}, set(), False),  # one more
        ({"/a/"}, {"/a"}, {"/a"}, set(), False),
        ({"/a", "/c"}, {"/b", "/c"}, {"/c"}, set(), False),
    ],
)
def test_data_have_moved_if_the_new_place_is_not_mounted(
    old: set[str], new: set[str], mounted: set[str], wanted: set[str], moved: bool
) -> None:
    ready = Mounts({}, dict.fromkeys(wanted, "/srv"), frozenset(), frozenset())
    found = mounts.moved_place(frozenset(old), frozenset(new), frozenset(mounted), ready)
    assert found == (("/a", "/b") if moved else None)


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({}, "shop_data"),
        ({"name": "other"}, "other"),
        ({"external": True}, "data"),
        ({"external": {"name": "old-way"}}, "old-way"),
        ({"external": True, "name": "given"}, "given"),
        ({"name": "a$$b"}, "a$b"),
    ],
)
def test_the_engines_name_of_a_volume(facts: dict[str, Any], name: str) -> None:
    assert mounts.real_name({"name": "shop", "volumes": {"data": facts}}, "volumes", "data") == name

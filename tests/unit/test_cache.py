"""The one memory of the process: bounded in number, in time, and by what a value was made of."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.set_clock import SetClock
from updater_core.caching.cache import Cache


def test_a_value_is_there_until_its_time_is_over() -> None:
    clock = SetClock()
    cache: Cache[str] = Cache(clock.monotonic)
    assert cache.put("short", "a", 60.0) == "a"
    cache.put("long", "b")
    clock.advance(59.0)
    assert (cache.get("short"), "short" in cache) == ("a", True)
    clock.advance(1.0)
    assert (cache.get("short"), "short" in cache, cache.get("long")) == (None, False, "b")
    assert cache.items() == [("long", "b")]


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_what_is_over_at_once_is_not_kept_and_takes_the_old_value_away(seconds: float) -> None:
    cache: Cache[str] = Cache(SetClock().monotonic)
    cache.put("key", "old")
    assert cache.put("key", "new", seconds) == "new"
    assert cache.get("key") is None


def test_a_new_value_has_a_time_of_its_own() -> None:
    clock = SetClock()
    cache: Cache[str] = Cache(clock.monotonic)
    cache.put("key", "old", 10.0)
    cache.put("key", "new", 100.0)
    clock.advance(50.0)
    assert cache.get("key") == "new"


def test_the_least_recently_used_leave_if_there_are_too_many() -> None:
    cache: Cache[int] = Cache(most=3)
    for number in range(3):
        cache.put(number, number)
    cache.get(0)
    cache.put(3, 3)
    assert sorted(value for _, value in cache.items()) == [0, 2, 3]


def test_a_value_is_made_again_only_if_its_basis_is_another_one() -> None:
    cache: Cache[int] = Cache()
    made = list[str]()

    def make(name: str) -> int:
        made.append(name)
        return len(made)

    found = [cache.made_of("file", (basis,), lambda basis=basis: make(basis)) for basis in "aabba"]  # type: ignore[misc]
    assert (found, made) == ([1, 1, 2, 2, 3], ["a", "b", "a"])
    assert len(cache.items()) == 1  # the one before is not kept


def test_what_could_not_be_made_is_tried_again() -> None:
    cache: Cache[str] = Cache()

    def fail() -> str:
        raise OSError("a disk that fails for a moment")

    with pytest.raises(OSError, match="for a moment"):
        cache.made_of("file", 1, fail)
    assert cache.made_of("file", 1, lambda: "text") == "text"


def test_a_value_may_be_empty() -> None:
    cache: Cache[tuple[str, ...]] = Cache()
    assert cache.made_of("file", 1, tuple) == ()
    assert cache.made_of("file", 1, lambda: ("again",)) == ()
    assert "file" in cache


def test_what_nobody_used_is_forgotten() -> None:
    cache: Cache[str] = Cache()
    for name in ("asked", "made", "put", "idle"):
        cache.made_of(name, 1, lambda: "value")
    cache.forget_unused()
    assert len(cache.items()) == 4  # each is as new as the look
    cache.get("asked")
    cache.made_of("made", 1, lambda: "again")
    cache.put("put", "value")
    cache.forget_unused()
    assert sorted(str(name) for name, _ in cache.items()) == ["asked", "made", "put"]
    cache.forget_unused()
    assert cache.items() == []


def test_values_are_forgotten_by_key() -> None:
    cache: Cache[int] = Cache()
    for number in range(6):
        cache.put(number, number)
    assert (cache.drop(0), cache.drop(0)) == (True, False)
    cache.keep(lambda key: key != 1)
    assert [key for key, _ in cache.items()] == [2, 3, 4, 5]
    cache.clear()
    assert cache.items() == []
    cache.put(2, 7)
    assert cache.get(2) == 7


class Ticking:
    """A clock that goes on at each look: everything runs out between two looks at it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        self.seconds += 1.0
        return self.seconds


@pytest.mark.parametrize("seconds", range(1, 12))
def test_a_value_that_runs_out_at_this_very_moment_is_no_error(seconds: int) -> None:
    cache: Cache[str] = Cache(Ticking().monotonic)
    for name in ("a", "b", "c"):
        cache.put(name, name, float(seconds))
    assert cache.get("a") in ("a", None)
    cache.items()
    cache.drop("a")
    cache.forget_unused()
    cache.keep(lambda _: False)
    assert cache.items() == []


def test_many_threads_may_use_it_at_once() -> None:
    cache: Cache[int] = Cache(most=50)
    start = threading.Barrier(4)

    def work(own: int) -> None:
        start.wait()
        for number in range(2000):
            cache.put(number % 100, own)
            cache.get((number + own) % 100)
            cache.made_of((own, number % 7), number % 3, lambda number=number: number)  # type: ignore[misc]
            if number % 500 == own:
                cache.forget_unused()
                cache.drop(number % 100)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work, own) for own in range(4)]:
            done.result()
    assert len(cache.items()) <= 50

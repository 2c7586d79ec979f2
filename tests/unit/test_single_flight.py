"""One first, the others wait."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.lab import until
from updater_core.caching.single_flight import SingleFlight

LONG = 60.0  # for what must come; nothing is judged by it
OTHERS = 4


def waiting(flights: SingleFlight) -> int:
    """How many wait for the flight of `key`; nothing but the future itself knows."""
    flight = flights._under_way.get("key")
    return len(flight._condition._waiters) if flight else 0  # type: ignore[attr-defined]


class Slow:
    """A question whose answer is held back. `count`: how often it was asked."""

    def __init__(self) -> None:
        self.count, self.is_asked, self.may_answer = 0, threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.count += 1
        self.is_asked.set()
        assert self.may_answer.wait(LONG)
        return "answer"


def test_an_answer_is_computed_once_and_kept_until_it_is_forgotten() -> None:
    flights, slow = SingleFlight(), Slow()
    with ThreadPoolExecutor(OTHERS + 1) as pool:
        asked = [pool.submit(flights.get, "key", slow) for _ in range(OTHERS + 1)]
        assert slow.is_asked.wait(LONG)
        assert flights.known("key") is None
        slow.may_answer.set()
        assert {each.result(LONG) for each in asked} == {"answer"}
    assert (flights.get("key", slow), flights.known("key"), slow.count) == ("answer", "answer", 1)
    flights.forget_all()
    assert (flights.get("key", slow), slow.count) == ("answer", 2)


def test_an_error_is_an_answer_too() -> None:
    flights = SingleFlight()

    def fail() -> str:
        raise ValueError("asked")

    for ask in (fail, lambda: "never asked"):
        with pytest.raises(ValueError, match="asked"):
            flights.get("key", ask)
    assert flights.known("key") is None


def test_what_is_shared_is_for_those_alone_who_ask_at_the_same_time() -> None:
    flights, slow = SingleFlight(), Slow()
    with ThreadPoolExecutor(OTHERS + 1) as pool:
        asked = [pool.submit(flights.share, "key", slow)]
        assert slow.is_asked.wait(LONG)
        asked += [pool.submit(flights.share, "key", slow) for _ in range(OTHERS)]
        until(lambda: waiting(flights) == OTHERS)
        slow.may_answer.set()
        assert {each.result(LONG) for each in asked} == {"answer"}
    assert slow.count == 1
    assert (flights.share("key", slow), slow.count) == ("answer", 2)


def test_a_shared_error_reaches_everyone_and_is_not_kept() -> None:
    flights = SingleFlight()

    def fail() -> str:
        raise ValueError("asked")

    with pytest.raises(ValueError, match="asked"):
        flights.share("key", fail)
    assert flights.share("key", lambda: "answer") == "answer"


def test_the_first_goes_alone_and_the_others_side_by_side_after_it() -> None:
    flights, order, together = SingleFlight(), list[str](), threading.Barrier(OTHERS)
    is_first, may_end = threading.Event(), threading.Event()

    def first() -> None:
        with flights.first("key"):
            is_first.set()
            assert may_end.wait(LONG)
            order.append("first")

    def other() -> None:
        with flights.first("key"):
            order.append("other")
            together.wait(LONG)  # which they pass only if all of them are here

    with ThreadPoolExecutor(OTHERS + 2) as pool:
        asked = [pool.submit(first)]
        assert is_first.wait(LONG)
        with flights.first("another key"):  # waits for nobody
            asked += [pool.submit(other) for _ in range(OTHERS)]
        until(lambda: waiting(flights) == OTHERS)
        may_end.set()
        for each in asked:
            each.result(LONG)
    assert order == ["first"] + ["other"] * OTHERS


def test_after_a_first_one_that_failed_the_next_one_goes_first() -> None:
    flights, is_first, may_end = SingleFlight(), threading.Event(), threading.Event()

    def fail() -> bool:
        """Whether another one was met while this one was going first."""
        with contextlib.suppress(ValueError), flights.first("key"):
            is_first.set()
            assert may_end.wait(LONG)
            has_met = meets()
            raise ValueError("it failed")
        return has_met

    meeting = threading.Barrier(2)

    def meets() -> bool:
        try:
            meeting.wait(0.1)  # nobody comes: that is what is right, however long it takes
        except threading.BrokenBarrierError:
            meeting.reset()
            return False
        return True

    with ThreadPoolExecutor(OTHERS + 1) as pool:
        asked = [pool.submit(fail) for _ in range(OTHERS + 1)]
        assert is_first.wait(LONG)
        until(lambda: waiting(flights) == OTHERS)
        may_end.set()
        assert not any(each.result(LONG) for each in asked)


def test_a_first_one_that_takes_too_long_holds_nobody_up() -> None:
    flights, is_first, may_end = SingleFlight(), threading.Event(), threading.Event()

    def first() -> None:
        with flights.first("key"):
            is_first.set()
            assert may_end.wait(LONG)

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(first)
        assert is_first.wait(LONG)
        with flights.first("key", 0.0):
            assert not asked.done()
        may_end.set()
        asked.result(LONG)

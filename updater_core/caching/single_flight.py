"""One first, the others wait: what several threads want at the same time is done once.

There is no other such device. A plain lock is held for other things: to change several fields together; to
let what a host wants one by one go one by one (`Transport`); and around what only one thread may do at a time
(`Trust`, and an object of a library's that is not made for threads: `EcrApi`, `Identity`, whose errors name
the one who asked and so are not shared). `Batches` gathers different questions into one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar, cast

T = TypeVar("T")


class SingleFlight:
    """Answers that are computed once for all who ask. Errors are answers too. Safe to use from many threads.

    `get` keeps an answer until it is forgotten; `share` has it for those alone who ask while it is computed;
    `first` has no answer: the others wait for the first one's end, and then do the same themselves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[Hashable, Future[Any]] = {}
        self._under_way: dict[Hashable, Future[Any]] = {}

    def get(self, key: Hashable, ask: Callable[[], T]) -> T:
        """Return the answer to `key`: by `ask`, here or in the thread that came first."""
        with self._lock:
            known = self._answers.get(key)
            mine: Future[Any] = known or self._answers.setdefault(key, Future())
        if known is None:
            _settle(mine, ask)
        return cast(T, mine.result())

    def known(self, key: Hashable) -> object | None:
        """Return the answer to `key` if it is there already and is no error, else None."""
        with self._lock:
            answer = self._answers.get(key)
        return answer.result() if answer and answer.done() and not answer.exception() else None

    def forget_all(self) -> None:
        """Forget every answer."""
        with self._lock:
            self._answers = {}

    def share(self, key: Hashable, ask: Callable[[], T]) -> T:
        """Return what `ask` gives, here or in the thread that asks for `key` just now.

        Who comes a moment too late asks anew, so `ask` begins with a look whether that is still necessary."""
        mine, before = self._begin(key)
        if before is not None:
            return cast(T, before.result())
        try:
            _settle(mine, ask)
        finally:
            self._end(key)
        return cast(T, mine.result())

    @contextmanager
    def first(self, key: Hashable, longest_wait_seconds: float | None = None) -> Iterator[None]:
        """Let one go ahead with `key`, and the others wait for its end: then they go side by side.

        If the first one raises, the next one goes first. A first one that takes longer than others may wait
        holds nobody up."""
        mine, before = self._begin(key)
        while before is not None:
            if not _has_failed(before, longest_wait_seconds):
                yield
                return
            mine, before = self._begin(key)
        try:
            yield
        except BaseException as error:
            self._end(key)
            mine.set_exception(error)
            raise
        self._end(key)
        mine.set_result(None)

    def _begin(self, key: Hashable) -> tuple[Future[Any], Future[Any] | None]:
        """Return a flight of our own, and the one that is under way: then ours is none."""
        with self._lock:
            before = self._under_way.get(key)
            mine: Future[Any] = before or self._under_way.setdefault(key, Future())
        return mine, before

    def _end(self, key: Hashable) -> None:
        with self._lock:
            del self._under_way[key]


def _has_failed(first: Future[Any], longest_wait_seconds: float | None) -> bool:
    """Wait for the end of a flight; return whether it failed. One that takes too long has not."""
    try:
        return first.exception(longest_wait_seconds) is not None
    except TimeoutError:
        return False


def _settle(future: Future[Any], ask: Callable[[], Any]) -> None:
    try:
        future.set_result(ask())
    except BaseException as error:  # whoever waits must not wait for ever
        future.set_exception(error)

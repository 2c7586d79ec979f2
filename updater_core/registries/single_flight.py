"""One first, the others wait: what several threads want at the same time is done once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar, cast

T = TypeVar("T")


class SingleFlight:
    """Answers that are computed once for all who ask, and kept until they are forgotten. Errors are answers too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[Hashable, Future[Any]] = {}

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


def _settle(future: Future[Any], ask: Callable[[], Any]) -> None:
    try:
        future.set_result(ask())
    except BaseException as error:  # whoever waits must not wait for ever
        future.set_exception(error)

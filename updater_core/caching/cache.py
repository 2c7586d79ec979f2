"""The one memory of this process: values by key, bounded in number, and if they say so in time.

Whatever is looked up and may be forgotten is kept in a `Cache`. Not in one are: what would be lost by
forgetting it (the backoff of a host, a refused login: records, which are written to the state), the answers
of one cycle (`SingleFlight`, `Batches`), what lives as long as a connection or a thread, and pure functions,
which have `functools.lru_cache`.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from cachetools import TLRUCache

MOST_REMEMBERED = 8192

V = TypeVar("V")


@dataclass(slots=True)
class _Entry(Generic[V]):
    """A value, what it was made of, and until when it is good (seconds of the cache's clock)."""

    value: V
    basis: object
    end: float
    is_used: bool = True  # since `forget_unused` was last called


class Cache(Generic[V]):
    """Values by key; the least recently used leave if there are too many. Safe to use from many threads.

    `monotonic`: a clock in seconds that is never set; only what has an age needs one.
    """

    def __init__(self, monotonic: Callable[[], float] | None = None, most: int = MOST_REMEMBERED) -> None:
        self._lock = threading.Lock()
        self._monotonic = monotonic or _no_time
        self._entries: TLRUCache[Hashable, _Entry[V], float] = TLRUCache(
            most, ttu=lambda _key, entry, _now: entry.end, timer=self._monotonic
        )

    def get(self, key: Hashable) -> V | None:
        """Return the value of `key`, or None if there is none that is still good."""
        entry = self._entry(key)
        return entry.value if entry else None

    def put(self, key: Hashable, value: V, seconds: float = math.inf) -> V:
        """Remember a value, for ever or for so many seconds; return it."""
        self._put(key, _Entry(value, None, self._monotonic() + seconds))
        return value

    def made_of(self, key: Hashable, basis: object, make: Callable[[], V]) -> V:
        """Return the value of `key` if it was made of an equal `basis`, else what `make` returns.

        `make` may run in several threads at once: nobody waits for another one's disk.
        """
        entry = self._entry(key)
        if entry is None or entry.basis != basis:
            entry = _Entry(make(), basis, math.inf)
            self._put(key, entry)
        return entry.value

    def drop(self, key: Hashable) -> bool:
        """Forget a value; return whether there was one."""
        with self._lock:
            was_there = key in self._entries
            self._remove(key)
        return was_there

    def keep(self, is_wanted: Callable[[Hashable], bool]) -> None:
        """Forget every value whose key is not wanted."""
        with self._lock:
            for key, _ in self._all():
                if not is_wanted(key):
                    self._remove(key)

    def forget_unused(self) -> None:
        """Forget every value that nobody asked for, or put, since this was last called."""
        with self._lock:
            for key, entry in self._all():
                if not entry.is_used:
                    self._remove(key)
                entry.is_used = False

    def clear(self) -> None:
        """Forget every value."""
        with self._lock:
            self._entries.clear()

    def items(self) -> list[tuple[Hashable, V]]:
        """Return every key with its value, as they are now."""
        with self._lock:
            return [(key, entry.value) for key, entry in self._all()]

    def __contains__(self, key: Hashable) -> bool:
        return self._entry(key) is not None

    def _entry(self, key: Hashable) -> _Entry[V] | None:
        with self._lock:
            entry = self._found(key)
            if entry is not None:
                entry.is_used = True
            return entry

    def _put(self, key: Hashable, entry: _Entry[V]) -> None:
        with self._lock:
            self._entries[key] = entry

    def _all(self) -> list[tuple[Hashable, _Entry[V]]]:
        found = ((key, self._found(key)) for key in list(self._entries))
        return [(key, entry) for key, entry in found if entry is not None]

    def _found(self, key: Hashable) -> _Entry[V] | None:
        """Return the entry of a key; `TLRUCache.get` may raise for one that runs out at this moment."""
        try:
            return self._entries[key]
        except KeyError:
            return None

    def _remove(self, key: Hashable) -> None:
        """Remove an entry, if there is one: it may run out at this very moment, which is an error there."""
        with contextlib.suppress(KeyError):
            del self._entries[key]


def _no_time() -> float:
    """Return the time of a cache in which nothing has an age."""
    return 0.0

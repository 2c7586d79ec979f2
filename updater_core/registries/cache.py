"""The one memory of the registry clients: values by key, bounded in number and, if they say so, in time."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from cachetools import TLRUCache

MOST_REMEMBERED = 8192

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class _Entry(Generic[V]):
    """A value, and the moment from which it is not good any more (seconds since 1970)."""

    value: V
    end: float


class Cache(Generic[V]):
    """Values by key. The least recently used leave if there are too many. Safe to use from many threads."""

    def __init__(self, now: Callable[[], datetime], most: int = MOST_REMEMBERED) -> None:
        self._lock = threading.Lock()
        self._entries: TLRUCache[Hashable, _Entry[V], float] = TLRUCache(
            most, ttu=lambda _key, entry, _now: entry.end, timer=lambda: now().timestamp()
        )

    def get(self, key: Hashable) -> V | None:
        """Return the value of `key`, or None if there is none that is still good."""
        with self._lock:
            entry = self._entries.get(key)
        return entry.value if entry else None

    def put(self, key: Hashable, value: V, until: datetime | None = None) -> V:
        """Remember a value, until a moment if one is given; return it."""
        with self._lock:
            self._entries[key] = _Entry(value, until.timestamp() if until else math.inf)
        return value

    def drop(self, key: Hashable) -> bool:
        """Forget a value; return whether there was one."""
        with self._lock:
            return self._entries.pop(key, None) is not None

    def entries(self) -> dict[Hashable, V]:
        """Return every value that is still good, by its key."""
        with self._lock:
            self._entries.expire()
            return {key: entry.value for key, entry in self._entries.items()}

    def __contains__(self, key: Hashable) -> bool:
        return self.get(key) is not None

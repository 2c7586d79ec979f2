"""The one memory that all threads share: replaced as a whole by changes that nothing comes between."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from updater_core.state.records import State

Change = Callable[[State], State]


class SharedState:
    """The state of a process. Any thread may read it and change it, and no change is lost.

    What `state` returned is frozen, and may be old by the time it is used: a change is made of the state that
    `change` hands over, never of one that was read before.
    """

    def __init__(self, state: State) -> None:
        self._lock = threading.Lock()
        self._state = state

    @property
    def state(self) -> State:
        """Return what is remembered now."""
        return self._state

    def change(self, change: Change) -> bool:
        """Replace the state by what `change` makes of it, and return whether that is another one.

        `change` must be pure and quick: it runs while all others wait, and must not use this object.
        """
        with self._lock:
            before = self._state
            self._state = change(before)
            return self._state is not before

    def part(self, name: str, key: str) -> State:
        """Return the state of one service and its repository (`ImageRef.key`) alone.

        So a change of each of many costs no more than their number.
        """
        return _part(self._state, name, key)

    def fold(self, name: str, key: str, change: Change) -> State:
        """Put a change of this part into the state, and return the part as it is then."""
        with self._lock:
            before = _part(self._state, name, key)
            after = change(before)
            self._state = _with_part(self._state, before, after)
            return after


def _part(state: State, name: str, key: str) -> State:
    services = {name: state.services[name]} if name in state.services else {}
    return State(services, {key: state.seen[key]} if key in state.seen else {})


def _with_part(state: State, before: State, after: State) -> State:
    """Return the state with what a change has made of one part; nothing that stayed is copied."""
    if after.services != before.services:
        state = replace(state, services={**state.services, **after.services})
    if after.seen != before.seen:
        state = replace(state, seen={**state.seen, **after.seen})
    return state

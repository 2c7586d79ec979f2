"""Projects that are changed side by side, each in a thread, never two that touch the same thing.

How many pull and restart at the same time is limited by `Slots`, for that loads the host; how many wait in
their gates is not, for that costs nothing and may take hours.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TypeVar

from updater_core.models import Outcome
from updater_core.protocols import Clock

_LOOK_AGAIN_SECONDS = 0.5  # for a stop: a thread that waits for another is woken by nothing else
Work = Callable[[], Sequence[Outcome]]
T = TypeVar("T")


def _nothing() -> None:
    """Nobody waits for the end."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a piece of work is for, `names` of services, and what it keeps to itself (`Target.locked_by`)."""

    names: frozenset[str]
    locks: frozenset[str]

    def meets(self, other: Claim) -> bool:
        """Return whether the two may not go at the same time."""
        return bool(self.names & other.names or self.locks & other.locks)

    def joined(self, other: Claim) -> Claim:
        """Return the claim of both."""
        return Claim(self.names | other.names, self.locks | other.locks)


@dataclass(slots=True, eq=False)
class _UnderWay:
    """A piece of work in its thread; `error` is of any kind, for a bug must not get lost there either."""

    claim: Claim
    has_ended: bool = False
    outcomes: Sequence[Outcome] = ()
    error: BaseException | None = None


class Workers:
    """The work that is under way. One thread, the main one, begins it and takes what came of it.

    `watched` is entered by each thread for as long as it works, and tells whoever looks after this process
    that it is alive; `on_end` is called in it when it ends.
    """

    def __init__(
        self,
        watched: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext,
        on_end: Callable[[], None] = _nothing,
    ) -> None:
        self._watched, self._on_end = watched, on_end
        self._changed = threading.Condition()
        self._all: list[_UnderWay] = []

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Return what is claimed by work that nobody has taken yet, in the order in which it began."""
        with self._changed:
            return tuple(each.claim for each in self._all)

    @property
    def names(self) -> frozenset[str]:
        """Return the services that are worked on."""
        return frozenset(name for claim in self.claims for name in claim.names)

    def in_the_way(self, wanted: Claim) -> Claim | None:
        """Return what keeps `wanted` waiting; None if it may begin."""
        return next((claim for claim in self.claims if claim.meets(wanted)), None)

    def begin(self, claim: Claim, work: Work) -> None:
        """Do `work` in a thread. Nothing that is in its way may be under way."""
        started = _UnderWay(claim)
        with self._changed:
            self._all.append(started)
        name = f"update of {', '.join(sorted(claim.names))}"
        # If the main thread dies, all end with it as if killed: the journal knows how far each has come.
        threading.Thread(target=self._run, args=(started, work), name=name, daemon=True).start()

    def take_ended(self) -> list[Outcome]:
        """Return what came of the work that has ended since the last call; its claims are free from now on.

        Raises what the work raised.
        """
        with self._changed:
            ended = [each for each in self._all if each.has_ended]
            self._all = [each for each in self._all if each not in ended]
        for each in ended:
            if each.error is not None:
                raise each.error
        return [outcome for each in ended for outcome in each.outcomes]

    def has_ended(self) -> bool:
        """Return whether there is something to take."""
        with self._changed:
            return any(each.has_ended for each in self._all)

    def await_end(self, clock: Clock) -> None:
        """Return when something has ended, or for a sign of life after a moment."""
        with self._changed:
            self._changed.wait_for(lambda: any(each.has_ended for each in self._all), _LOOK_AGAIN_SECONDS)
        clock.wait(0)

    def _run(self, started: _UnderWay, work: Work) -> None:
        try:
            with self._watched():
                started.outcomes = work()
        except BaseException as error:
            started.error = error
        with self._changed:
            started.has_ended = True
            self._changed.notify_all()
        self._on_end()


@dataclass(slots=True)
class Slots:
    """At most so many updates that pull and restart at once.

    The one that comes to its gate gives its slot back, and needs none for what follows: a rollback waits for
    nobody.
    """

    most: Callable[[], int] = lambda: 1
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _taken_by: set[str] = field(default_factory=set)

    @contextlib.contextmanager
    def held(self, name: str, clock: Clock) -> Iterator[None]:
        """Hold a slot for service `name` for the length of a block, or until `give_back`.

        Waits for one; if a stop is asked for meanwhile, the block begins without: it has to find that out
        itself.
        """
        self._take(name, clock)
        try:
            yield
        finally:
            self.give_back(name)

    def give_back(self, name: str) -> None:
        """Let the next one begin; nothing happens if `name` holds none."""
        with self._changed:
            self._taken_by.discard(name)
            self._changed.notify_all()

    def _take(self, name: str, clock: Clock) -> None:
        while not clock.wait(0):
            with self._changed:
                if len(self._taken_by) < self.most():
                    self._taken_by.add(name)
                    return
                self._changed.wait(_LOOK_AGAIN_SECONDS)


def grouped(found: Sequence[tuple[Claim, T]]) -> list[tuple[Claim, list[T]]]:
    """Return what may not go at the same time together, in its order, with the claim of all of it.

    >>> web, db, log = (Claim(frozenset({name}), frozenset({place})) for name, place in ["ax", "by", "cx"])
    >>> [items for _, items in grouped([(web, 1), (db, 2), (log, 3)])]
    [[2], [1, 3]]
    """
    groups: list[tuple[Claim, list[T]]] = []
    for claim, item in found:
        items = [item]
        for other in [each for each in groups if each[0].meets(claim)]:
            claim, items = claim.joined(other[0]), [*other[1], *items]
            groups.remove(other)
        groups.append((claim, items))
    return groups

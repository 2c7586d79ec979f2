"""What a registry's challenge teaches for the repositories that are asked about next: one challenge for each host.

A lesson is how a challenge was answered, and it is good for whoever got it: the same host, asked as the same person
under the same rules of where a token may be asked for. Only a host that answers every repository alike teaches
anything (behind one address there may be several, each with a realm of its own).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

LONGEST_TURN_SECONDS = 2.0
_REPOSITORY = "\0"


@dataclass(frozen=True, slots=True)
class Lesson:
    """How to ask up front: with the password where there is no realm, else with a token of that realm."""

    realm: str = ""
    service: str | None = None
    scopes: tuple[str, ...] = ()

    def about(self, old: str, new: str) -> Lesson:
        """The lesson for another repository: the same scopes, naming that one.

        >>> Lesson("https://a/t", None, ("aws", "repository:a/b:pull")).about("a/b", "c").scopes
        ('aws', 'repository:c:pull')
        """
        scopes = tuple(scope.replace(f"repository:{old}:", f"repository:{new}:") for scope in self.scopes)
        return Lesson(self.realm, self.service, scopes)


class LearnedChallenges:
    """The lessons of a process, by asker. Safe to use from many threads."""

    def __init__(self, longest_turn_seconds: float = LONGEST_TURN_SECONDS) -> None:
        self._longest_turn_seconds = longest_turn_seconds
        self._lock = threading.Lock()
        self._lessons: dict[Hashable, Lesson | None] = {}
        self._turns: dict[Hashable, threading.Event] = {}
        self._used: set[Hashable] = set()

    def learn(self, asker: Hashable, repository: str, lesson: Lesson) -> None:
        """Remember how a challenge for a repository was answered. A second answer of another kind unteaches for good:
        there is no telling which of them the next repository wants."""
        general = lesson.about(repository, _REPOSITORY)
        with self._lock:
            if self._lessons.setdefault(asker, general) != general:
                self._lessons[asker] = None

    def of(self, asker: Hashable, repository: str) -> Lesson | None:
        """How to ask about a repository up front; None where nothing is known, or nothing for certain."""
        with self._lock:
            general = self._lessons.get(asker)
        return general.about(_REPOSITORY, repository) if general else None

    @contextmanager
    def turn(self, asker: Hashable, *, has_password: bool) -> Iterator[None]:
        """Let the first question of an asker go alone, for all can learn from its answer: eight at once would be
        challenged eight times, and a wrong password be tried eight times. With a password to be tried everybody waits
        for its end; without one, a first question that takes long holds nobody up."""
        with self._lock:
            self._used.add(asker)
            before = self._turns.get(asker)
            mine = before or self._turns.setdefault(asker, threading.Event())
        if before:
            before.wait(None if has_password else self._longest_turn_seconds)
            yield
            return
        try:
            yield
        except BaseException:
            self.end_turns(lambda each: each == asker)  # nothing was learned
            raise
        finally:
            mine.set()

    def end_turns(self, askers: Callable[[Hashable], bool]) -> None:
        """The next question of these goes alone again: what was learned of them is not good any more."""
        with self._lock:
            self._turns = {asker: each for asker, each in self._turns.items() if not askers(asker)}

    def new_cycle(self) -> None:
        """Forget whom the last cycle had no use for: rotated credentials must not pile up."""
        with self._lock:
            self._lessons = {asker: each for asker, each in self._lessons.items() if asker in self._used}
            self._turns = {asker: each for asker, each in self._turns.items() if asker in self._used}
            self._used = set()

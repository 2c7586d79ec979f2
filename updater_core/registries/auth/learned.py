"""A cache of authentication challenges: a host challenges once, and the next requests come with the answer.

A learned challenge is how one was answered. It is valid for its asker only: the same host, asked with the
same account under the same rules of where a token may be asked for. It is used only if a host challenges all
repositories alike (behind one address there may be several registries, each with a realm of its own).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from updater_core.registries.single_flight import SingleFlight

LONGEST_WAIT_SECONDS = 2.0
_REPOSITORY = "\0"


@dataclass(frozen=True, slots=True)
class LearnedChallenge:
    """How to ask up front: with the password if there is no realm, else with a token of that realm."""

    realm: str = ""
    service: str | None = None
    scopes: tuple[str, ...] = ()

    def about(self, old: str, new: str) -> LearnedChallenge:
        """Return the challenge for another repository: the same scopes, naming that one.

        >>> LearnedChallenge("https://a/t", None, ("aws", "repository:a/b:pull")).about("a/b", "c").scopes
        ('aws', 'repository:c:pull')
        """
        scopes = tuple(scope.replace(f"repository:{old}:", f"repository:{new}:") for scope in self.scopes)
        return LearnedChallenge(self.realm, self.service, scopes)


class ChallengeCache:
    """The learned challenges of a process, by asker. Safe to use from many threads."""

    def __init__(self, longest_wait_seconds: float = LONGEST_WAIT_SECONDS) -> None:
        self._longest_wait_seconds = longest_wait_seconds
        self._lock = threading.Lock()
        self._challenges: dict[Hashable, LearnedChallenge | None] = {}
        self._flights = SingleFlight()
        self._known: set[Hashable] = set()  # askers whose first question has ended
        self._used: set[Hashable] = set()

    def remember(self, asker: Hashable, repository: str, learned: LearnedChallenge) -> None:
        """Remember how a challenge for a repository was answered.

        If a host challenges two repositories differently, nothing is predicted for that host any more.
        """
        general = learned.about(repository, _REPOSITORY)
        with self._lock:
            if self._challenges.setdefault(asker, general) != general:
                self._challenges[asker] = None

    def of(self, asker: Hashable, repository: str) -> LearnedChallenge | None:
        """Return how to ask about a repository up front; None if nothing is known, or nothing for certain."""
        with self._lock:
            general = self._challenges.get(asker)
        return general.about(_REPOSITORY, repository) if general else None

    @contextmanager
    def first_alone(self, asker: Hashable, *, has_password: bool) -> Iterator[None]:
        """Let the first question of an asker go alone, because its answer is of use to all others.

        Eight at once would be challenged eight times, and a wrong password be tried eight times. If a
        password is tried, the others wait for its end; else a first question that takes long holds nobody up.
        """
        with self._lock:
            self._used.add(asker)
            is_known = asker in self._known
        if is_known:
            yield
            return
        with self._flights.first(asker, None if has_password else self._longest_wait_seconds):
            yield
            with self._lock:
                self._known.add(asker)

    def let_next_go_alone(self, askers: Callable[[Hashable], bool]) -> None:
        """Let the next question of these askers go alone again: what is known of them is no longer valid."""
        with self._lock:
            self._known = {asker for asker in self._known if not askers(asker)}

    def new_cycle(self) -> None:
        """Forget askers that the last cycle did not use: rotated credentials must not pile up."""
        with self._lock:
            self._challenges = {
                asker: each for asker, each in self._challenges.items() if asker in self._used
            }
            self._known &= self._used
            self._used = set()

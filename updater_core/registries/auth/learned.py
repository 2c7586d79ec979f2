"""A cache of authentication challenges: a host challenges once, and the next requests come with the answer.

A learned challenge is how one was answered. It is valid for its asker only: the same host, asked with the
same account under the same rules of where a token may be asked for. It is used only if a host challenges all
repositories alike (behind one address there may be several registries, each with a realm of its own).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from updater_core.caching.cache import Cache
from updater_core.caching.single_flight import SingleFlight

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


@dataclass(frozen=True, slots=True)
class _AskerKnowledge:
    """What is known of an asker.

    `learned` is without a repository's name; `is_alike`: every repository was challenged like that;
    `is_answered`: its first question has ended.
    """

    learned: LearnedChallenge | None = None
    is_alike: bool = True
    is_answered: bool = False


_NOTHING = _AskerKnowledge()


class ChallengeCache:
    """The learned challenges of a process, by asker. Safe to use from many threads."""

    def __init__(self, longest_wait_seconds: float = LONGEST_WAIT_SECONDS) -> None:
        self._longest_wait_seconds = longest_wait_seconds
        self._lock = threading.Lock()  # of what is known of an asker and is changed
        self._askers: Cache[_AskerKnowledge] = Cache()
        self._flights = SingleFlight()

    def remember(self, asker: Hashable, repository: str, learned: LearnedChallenge) -> None:
        """Remember how a challenge for a repository was answered.

        If a host challenges two repositories differently, nothing is predicted for that host any more.
        """
        general = learned.about(repository, _REPOSITORY)
        with self._lock:
            known = self._askers.get(asker) or _NOTHING
            is_alike = known.is_alike and known.learned in (None, general)
            self._askers.put(asker, replace(known, learned=general, is_alike=is_alike))

    def of(self, asker: Hashable, repository: str) -> LearnedChallenge | None:
        """Return how to ask about a repository up front; None if nothing is known, or nothing for certain."""
        known = self._askers.get(asker) or _NOTHING
        if known.learned is None or not known.is_alike:
            return None
        return known.learned.about(_REPOSITORY, repository)

    @contextmanager
    def first_alone(self, asker: Hashable, *, has_password: bool) -> Iterator[None]:
        """Let the first question of an asker go alone, because its answer is of use to all others.

        Eight at once would be challenged eight times, and a wrong password be tried eight times. If a
        password is tried, the others wait for its end; else a first question that takes long holds nobody up.
        """
        if (self._askers.get(asker) or _NOTHING).is_answered:
            yield
            return
        with self._flights.first(asker, None if has_password else self._longest_wait_seconds):
            yield
            self._note_answered(asker, is_answered=True)

    def let_next_go_alone(self, askers: Callable[[Hashable], bool]) -> None:
        """Let the next question of these askers go alone again: what is known of them is no longer valid."""
        for asker, _ in self._askers.items():
            if askers(asker):
                self._note_answered(asker, is_answered=False)

    def new_cycle(self) -> None:
        """Forget askers that the last cycle did not use: rotated credentials must not pile up."""
        self._askers.forget_unused()

    def _note_answered(self, asker: Hashable, *, is_answered: bool) -> None:
        with self._lock:
            known = self._askers.get(asker) or _NOTHING
            self._askers.put(asker, replace(known, is_answered=is_answered))

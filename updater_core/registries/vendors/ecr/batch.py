"""Questions about one repository that come one by one, from many threads, and go out together.

Nobody waits for others to come. The first question of a cycle takes along every tag whose service was opened
already, and all that the last cycle asked; while a call is under way further questions gather for the next
one. So many services of one repository cost one call. `SingleFlight` would not do: it shares one answer, this
gathers different questions.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from updater_core.errors import RegistryError
from updater_core.registries.vendors.ecr.api import ImageMissing

MOST_AT_ONCE = 100  # image ids in one DescribeImages

Answers = Mapping[str, str | RegistryError]


class Batches:
    """The digests of one repository's tags in this cycle. Safe to use from many threads.

    `prepare` makes ready what `ask` needs; `ask` answers for every name, an error being an answer too;
    `cycle` is an object that is another one in the next cycle."""

    def __init__(
        self,
        prepare: Callable[[], None],
        ask: Callable[[Sequence[str]], Answers],
        cycle: Callable[[], object],
    ) -> None:
        self._prepare, self._ask, self._cycle = prepare, ask, cycle
        self._lock = threading.Lock()
        self._calling = threading.Lock()
        self._now: object = None
        self._asked: dict[str, None] = {}
        self._expected: dict[str, None] = {}
        self._missing: set[str] = set()  # asked by themselves: one that is not there spoils a call for all
        self._answers: dict[str, str | RegistryError] = {}

    def get(self, name: str) -> str:
        """Return the digest behind a tag (or a digest). Raises the error that `ask` had for it."""
        with self._lock:
            self._turn()
            self._asked[name] = None
        with self._calling:
            with self._lock:
                answer = self._answers.get(name)
            if answer is None:
                self._call(name)
                answer = self._answers[name]
        if isinstance(answer, RegistryError):
            raise answer
        return answer

    def expect(self, name: str) -> None:
        """Let the next call take along a tag that is likely to be asked for."""
        with self._lock:
            self._turn()
            self._expected[name] = None

    def note(self, digests: Mapping[str, str]) -> None:
        """Remember what a complete list of the tags said in this cycle."""
        with self._lock:
            self._turn()
            self._answers.update(digests)

    def _turn(self) -> None:
        """Begin a new cycle if there is one."""
        now = self._cycle()
        if now is not self._now:
            self._now, self._expected = now, self._asked
            self._asked, self._answers = {}, {}

    def _call(self, name: str) -> None:
        self._prepare()
        with self._lock:
            open_names = [n for n in {name: None, **self._asked, **self._expected} if n not in self._answers]
            self._expected = {}
        if name in self._missing:
            self._take(self._ask([name]))
            return
        together = [n for n in open_names if n not in self._missing]
        for start in range(0, len(together), MOST_AT_ONCE):
            self._take(self._ask(together[start : start + MOST_AT_ONCE]))

    def _take(self, answers: Answers) -> None:
        with self._lock:
            self._answers.update(answers)
            self._missing -= {name for name, answer in answers.items() if isinstance(answer, str)}
            self._missing |= {name for name, answer in answers.items() if isinstance(answer, ImageMissing)}

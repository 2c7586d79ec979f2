"""The operator's regular expressions on tags: Python's grammar, matched with a limit on the time they take.

Pure.

An expression such as `^(a|aa)+$` can take longer than the universe will last on one tag, and Python's `re`
cannot be stopped in it. So the grammar is checked by `re`, which is what the operator knows, and the matching
is done by the `regex` library, which reads the same grammar and takes a time limit.
"""

from __future__ import annotations

import functools
import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SECONDS_OF_A_CHOICE = 1.0  # of CPU; 20,000 tags take 0.03 with an expression that is sound
_LONGEST = 4096
_MOST_COPIES = 10_000
_MOST_GROUPS = 100  # one in the other, several hundred would go beyond the depth of Python's stack
_COUNTED = re.compile(r"(\)\s*)?\{([0-9]+)")
_REMEDY = "write it so that no repeat is within a repeat and no two alternatives begin alike: a+ for (a|aa)+"


class TooSlow(Exception):
    """An expression used up the time of its decision.

    The message names its key and the tag at which it was stopped.

    No UpdaterError: the decision that it interrupts makes a Hold of it, and nobody else ever sees it."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


@dataclass(slots=True)
class MatchBudget:
    """The CPU seconds that all expressions of one decision may take together.

    `stopwatch` gives CPU seconds so far; without one each match has the whole time for itself.
    """

    stopwatch: Callable[[], float] | None = None
    left_seconds: float = SECONDS_OF_A_CHOICE

    def spend(self, match: Callable[[float], Any]) -> Any:
        """Return what `match` returns within the seconds left. Raises TimeoutError if it takes longer."""
        if self.left_seconds <= 0:
            raise TimeoutError
        if self.stopwatch is None:
            return match(self.left_seconds)
        started = self.stopwatch()
        try:
            return match(self.left_seconds)
        finally:
            self.left_seconds -= self.stopwatch() - started


@dataclass(frozen=True, slots=True)
class Expression:
    """One compiled expression. `key` is its option in the configuration."""

    key: str
    text: str
    groups: frozenset[str]
    fullmatch: Callable[..., Any]

    def match(self, tag: str, budget: MatchBudget) -> Any:
        """Return the match object for the whole tag, None if it does not match.

        Raises TooSlow if the budget's time is over.
        """
        try:
            return budget.spend(lambda seconds: self.fullmatch(tag, timeout=seconds))
        except TimeoutError:
            shown = self.text if len(self.text) <= 60 else f"{self.text[:59]}…"
            wrong = (
                f"{self.key} {shown!r} takes too long: stopped at the tag {tag} after a second of work in all"
            )
            raise TooSlow(wrong, f"change {self.key}: {_REMEDY}") from None


@functools.lru_cache(maxsize=256)
def compiled(key: str, text: str) -> Expression:
    """Return the expression `text` of the option `key`, in which `problem` found nothing wrong."""
    import regex  # only if there is an expression: it takes 2 MB

    pattern = regex.compile(text, regex.VERSION0)
    return Expression(key, text, frozenset(pattern.groupindex), pattern.fullmatch)


def problem(text: str) -> str | None:
    """Return a sentence on what is wrong with a regular expression, or None."""
    if not text:
        return "an empty expression matches no tag; write one such as ^staging-[a-f0-9]{7}$"
    if len(text) > _LONGEST:
        return f"an expression of {len(text)} characters; write at most {_LONGEST}"
    if text.count("(") > _MOST_GROUPS:
        return f"an expression of {text.count('(')} groups; write at most {_MOST_GROUPS}"
    copies = _copies(text)
    if copies > _MOST_COPIES:
        return (
            f"{text!r} asks for {copies} repeats, a tag has at most 128 characters; write smaller "
            "numbers "
            "in {…}"
        )
    try:
        with warnings.catch_warnings():  # what a later Python may read differently does not matter today
            warnings.simplefilter("ignore", FutureWarning)
            re.compile(text)
            compiled("", text)
    except (re.error, ValueError, RecursionError, OverflowError) as error:
        return f"{text!r} is not a regular expression: {error}"
    except Exception as error:  # what `regex` refuses in words of its own
        return f"{text!r} is a regular expression that is not supported: {error}"
    return None


def _copies(text: str) -> int:
    """Return how often the counted repeats may write out what they repeat: those of groups may be nested.

    >>> _copies("[a-f0-9]{8}-[a-f0-9]{4}"), _copies("(a{100}){200}")
    (8, 20000)
    """
    counts = [(bool(found[1]), int(found[2][:9])) for found in _COUNTED.finditer(text)]
    plain = max((count for is_group, count in counts if not is_group and count), default=1)
    return plain * math.prod(count for is_group, count in counts if is_group and count)

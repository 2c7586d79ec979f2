"""Lists of 20,000 tags: of every kind that repositories have, and of kinds that only an attacker pushes."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping

_VARIANTS = (
    "",
    "-alpine",
    "-slim",
    "-bookworm",
    "-alpine3.19",
    "-fpm",
    "-jdk17",
    "-windowsservercore-ltsc2022",
)
_PRERELEASES = ("alpha", "beta", "rc")
_LONGEST_TAG = 128

TagAt = Callable[[int], str]

KINDS: Mapping[str, tuple[str, TagAt]] = {
    "releases": ("1.2.3", lambda n: f"{n // 400}.{n // 20 % 20}.{n % 20}"),
    "variants": ("1.2.3-alpine", lambda n: f"{n // 800}.{n // 40 % 20}.{n // 8 % 5}{_VARIANTS[n % 8]}"),
    "prereleases": ("10.0.0", lambda n: f"{n // 800}.{n // 40 % 20}.0-{_PRERELEASES[n % 3]}.{n % 40}"),
    "glued prereleases": ("10.0.0", lambda n: f"{n // 800}.{n // 40 % 20}.0{_PRERELEASES[n % 3]}{n % 40}"),
    "nightlies": ("1.10.0", lambda n: f"1.{n // 99}.{n % 99}-nightly.{20200101 + n}.{commit(n)}"),
    "builds by commit": ("1.2.3", lambda n: f"main-{commit(n)}"),
    "commits behind versions": ("1.2.3", lambda n: f"1.{n // 99}.{n % 99}-{n % 200}-g{commit(n)}"),
    "variants of one tag each": ("1.2.3", lambda n: f"1.2.{n % 99}-variant{commit(n)}x"),
    "words of one tag each": ("1.2.3", lambda n: f"1.2.{n % 99}-{words(n, '-')}"),
    "texts in front of one tag each": ("1.2.3", lambda n: f"{words(n, '')}-{n % 30}.2.1"),
    "changes": ("1.2.3", lambda n: f"pr-{n}-1.2.{n % 9}-{commit(n)}"),
    "counters": ("4.0.1.2-ls1", lambda n: f"4.0.{n // 500}.{n % 500}-ls{n % 300}"),
    "dates and times": ("RELEASE.2024-01-01T00-00-00Z", lambda n: f"RELEASE.{_moment(n)}"),
    "updates of Java": ("8u0-b00-jre", lambda n: f"{8 + n % 3}u{n // 100}-b{n % 100:02d}-jre"),
    "long words": ("1.2.3", lambda n: f"{'a-' * 60}{n}"),
    "long numbers": ("1.2.3", lambda n: f"1.{n}.{'.'.join(str((n + i) % 97) for i in range(38))}"),
    "long counters": ("1.2.3", lambda n: f"1.2.{n}-{'-'.join(f'r{(n + i) % 7}' for i in range(35))}"),
    "long commits": ("1.2.3", lambda n: commit(n) * 18),
}

# Those of which a repository may have 20,000. Of tags by date and time the largest has some hundred, and of
# the others only somebody who means harm would push as many.
USUAL = frozenset(
    {
        "releases",
        "variants",
        "prereleases",
        "glued prereleases",
        "nightlies",
        "builds by commit",
        "commits behind versions",
        "counters",
        "updates of Java",
    }
)


def of_kind(kind: str, count: int) -> tuple[str, list[str]]:
    """Return a current tag, and `count` tags of a kind with a few releases among them."""
    current, tag_at = KINDS[kind]
    releases = [f"1.{number}.0" for number in range(count // 200)]
    names = dict.fromkeys(itertools.chain([current], releases, (tag_at(n)[:_LONGEST_TAG] for n in _all())))
    return current, list(itertools.islice(names, count))


def _all() -> Iterator[int]:
    return iter(range(60_000))


def commit(number: int) -> str:
    """Return seven digits of a hash, for one number always the same."""
    return hashlib.sha256(str(number).encode()).hexdigest()[:7]


def words(number: int, separator: str) -> str:
    """Return four words that are for one number always the same."""
    digits = hashlib.sha256(str(number).encode()).hexdigest()[:20].translate(_LETTERS)
    return separator.join(digits[start : start + 5] for start in range(0, 20, 5))


_LETTERS = str.maketrans("0123456789abcdef", "ghijklnoqstuwxyz")


def _moment(number: int) -> str:
    day, second = divmod(number, 80)
    date = f"{2000 + day // 336}-{day // 28 % 12 + 1:02d}-{day % 28 + 1:02d}"
    return f"{date}T{second % 24:02d}-{second % 60:02d}-00Z"

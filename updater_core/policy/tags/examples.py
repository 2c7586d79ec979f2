"""Which tag with a version stands for a tag that names none, to be written in its place. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from updater_core.policy.tags.reading import FamilyVersion
from updater_core.policy.tags.tail import Numbers
from updater_core.policy.tags.variant import split_variant


def example_for(tag: str, versions: Iterable[tuple[str, FamilyVersion]]) -> str | None:
    """Return the highest release with the words of `tag`, which names no version; None if there is none.

    `versions`: tags with their versions. The numbers in `tag` have to be the first of the version.

    >>> from updater_core.policy.tags.reading import read
    >>> names = ("7.9", "focal-20240911", "alpine-7.0.5", "alpine-7.2.1", "1.2-fpm", "1.3-rc1-fpm")
    >>> versions = [(name, read(name)) for name in names]
    >>> [example_for(tag, versions) for tag in ("latest", "focal", "alpine-7.0-latest", "fpm", "slim")]
    ['7.9', 'focal-20240911', 'alpine-7.0.5', '1.2-fpm', None]
    """
    words, numbers = _words(tag), tuple(number for group in split_variant(tag)[1] for number in group)
    fitting = [
        (version.numbers, name)
        for name, version in versions
        if _words(version.prefix + version.tail.shape) == words and _begins_with(version, numbers)
    ]
    return max(fitting, default=((), None))[1]


def _begins_with(version: FamilyVersion, numbers: Numbers) -> bool:
    """Return whether a version is a release whose first numbers are these."""
    return not version.tail.prerelease and version.numbers[: len(numbers)] == numbers


def _words(text: str) -> frozenset[str]:
    """Return the words of a tag without its numbers, `v` and `latest`."""
    words = split_variant(text)[0].replace("_", "-").split("-")
    return frozenset(words) - {"", "#", "v", "latest"}

"""Replay decisions over the true history of repositories' tags, and judge each of them.

    python -m benchmarks.tag_history FILE [--decisions N] [--seed TEXT] [--wrong]

FILE (plain or .gz) is JSON: repository -> list of [unix time, tag, content id] in order of time; a tag
appears again when its content changes. At N moments of each repository, a service that runs one of the tags
of that time is decided for with the list of tags of that time. The judge shares no code with what it judges:
it only compares the texts of the two tags.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from updater_core.models import Decision, Follow, Hold, ImageRef, Policy, Tag, Update
from updater_core.policy.observation import Ask, History, Observation
from updater_core.policy.select import decide

Event = tuple[float, str, str]  # unix time, tag, content id

POLICIES: Mapping[str, Policy] = {
    "follow: patch": Policy(follow=Follow.PATCH),
    "follow: minor": Policy(follow=Follow.MINOR),
    "follow: major": Policy(follow=Follow.MAJOR),
    'semver_pattern: "*"': Policy(semver_pattern="*"),
    "tag_regex: (?P<version>.+)": Policy(tag_regex="(?P<version>.+)"),
}
KEPT_NUMBERS = {"follow: patch": 2, "follow: minor": 1}  # a newer tag beyond the step leaves no service stuck
VERDICTS = ("lower", "other variant", "other precision", "prerelease", "stuck")

_VERSION = re.compile(r"(?:^|(?<=[-_])|(?<=[^0-9]\.))v?[0-9]+(?:\.[0-9]+|(?=$|-|_|u[0-9]))")
_COMMIT = re.compile(r"-(?=[0-9a-f]*[a-f])(?=[0-9a-f]*[0-9])[0-9a-f]{7,40}(?![0-9A-Za-z])")
_TOKEN = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_PRERELEASE = re.compile(
    r"(?:-[0-9]+(?:\.[0-9]+)+\.(?=beta|dev)|(?<=[0-9])|(?<![A-Za-z]))"  # `-333.4.beta` of Dart
    r"(?:alpha|beta|rc|cr|preview|pre|ea|tp|milestone|dev|snapshot|m(?=[0-9])|a(?=[0-9])|b(?=[0-9]))[-._]?[0-9]*+(?![A-Za-z])",
    re.IGNORECASE,
)
_COUNTERS = re.compile(r"(?:^|[-_.])(?:r|ls|p|v|build)?$|^u$|^-b$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ReplayedMoment:
    """A service that runs `tag` at a time at which the repository has these tags, each with its content."""

    repository: str
    tag: str
    contents: Mapping[str, str]


def main() -> int:
    """Replay the choices, print a line for each policy; return 1 if a choice is judged wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument(
        "--decisions", type=int, default=50, help="for each repository and policy (default: 50)"
    )
    parser.add_argument("--seed", default="", help="for other moments than those of every other run")
    parser.add_argument("--wrong", action="store_true", help="print each choice that is judged wrong")
    arguments = parser.parse_args()
    history = _read(arguments.file)
    print(f"{'policy':26} {'decisions':>9} {'updates':>8} " + " ".join(f"{name:>15}" for name in VERDICTS))
    faults = 0
    for name, policy in POLICIES.items():
        counts = Counter[str]()
        for moment in _moments(history, arguments.decisions, arguments.seed):
            outcome = _decide(moment, policy)
            verdict = judge(moment.tag, outcome, moment.contents, KEPT_NUMBERS.get(name, 0))
            counts.update(["decisions", verdict, "updates" if isinstance(outcome, Update) else "holds"])
            if verdict and arguments.wrong:
                print(f"  {verdict}: {moment.repository}:{moment.tag} -> {_shown(outcome)}")
        faults += sum(counts[verdict] for verdict in VERDICTS[:-1])
        cells = " ".join(f"{counts[verdict]:>15}" for verdict in VERDICTS)
        print(f"{name:26} {counts['decisions']:>9} {counts['updates']:>8} {cells}")
    return 1 if faults else 0


def _read(path: Path) -> Mapping[str, Sequence[Event]]:
    data = path.read_bytes()
    loaded = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    return {name: list(map(_event, events)) for name, events in loaded.items()}


def _event(row: Sequence[Any]) -> Event:
    time, tag, content = row
    return float(time), tag, content


def _moments(history: Mapping[str, Sequence[Event]], count: int, seed: str) -> Iterator[ReplayedMoment]:
    """Yield moments of each repository, the same in every run with the same seed."""
    for repository, events in sorted(history.items()):
        chance = random.Random(repository + seed)  # noqa: S311 - a sample, no secret
        for at in sorted(chance.choices(range(len(events)), k=count)):
            contents = {tag: content for _, tag, content in events[: at + 1]}
            yield ReplayedMoment(repository, chance.choice(sorted(contents)), contents)


def _decide(moment: ReplayedMoment, policy: Policy) -> Decision:
    current = ImageRef("docker.io", f"library/{moment.repository}", moment.tag)
    tags = tuple(map(Tag, moment.contents))
    observation = Observation(current, frozenset({_digest(moment.contents[moment.tag])}), tags=tags)
    while True:
        outcome = decide(observation, policy, History(), datetime(2026, 1, 1, tzinfo=UTC))
        if not isinstance(outcome, Ask):
            return outcome
        answers = {tag: _digest(moment.contents[tag]) for tag in outcome.digests}
        observation = replace(observation, digests={**observation.digests, **answers})


def _digest(content: str) -> str:
    return "sha256:" + hashlib.sha256(str(content).encode()).hexdigest()


def _shown(outcome: Decision) -> str:
    return (
        f"held: {outcome.reason} {outcome.detail}" if isinstance(outcome, Hold) else str(outcome.target.tag)
    )


# -------------------------------------------------------------------------------------------------- the judge


def judge(tag: str, outcome: Decision, contents: Mapping[str, str], kept: int = 0) -> str:
    """Return what is wrong with a decision for a service that runs `tag`; empty if nothing is.

    `kept`: how many numbers of the version the policy keeps.

    >>> from updater_core.models import ImageRef, Reason, Update
    >>> judge("16.3", Update(ImageRef("docker.io", "library/postgres", "9.6.24")), {})
    'other precision'
    >>> chosen = Update(ImageRef("docker.io", "a", "0.20.0-windowsservercore-1809"))
    >>> judge("windowsservercore-1809", chosen, {})
    ''
    >>> judge("16.3", Hold(Reason.SAME_DIGEST), {"16.4": "b"})
    'stuck'
    """
    if isinstance(outcome, Update):
        new = str(outcome.target.tag)
        if new == tag:
            return ""
        # `windowsservercore-1809` is the variant's name
        is_word = not _VERSION.search(tag) or new.endswith(f"-{tag}")
        return _from_word(tag, new, contents) if is_word else compare_texts(tag, new)
    others = (other for other in contents if contents[other] != contents.get(tag))
    newer = next((other for other in others if is_newer(tag, other) and _keeps(tag, other, kept)), None)
    return "stuck" if newer else ""


def _keeps(tag: str, other: str, count: int) -> bool:
    """Return whether the first numbers of two tags are the same, as far as a policy keeps them."""
    before, after = _TOKEN.search(tag), _TOKEN.search(other)
    if before is None or after is None:
        return False
    return _parts(before[0])[:count] == _parts(after[0])[:count]


def _from_word(tag: str, new: str, contents: Mapping[str, str]) -> str:
    """Return what is wrong with going from a tag without a version, such as `latest` or `alpine`.

    Its variant has to stay, and the same content must not have a higher version already.
    """
    variant = re.sub(r"^latest-?", "", tag)
    kept = new.endswith(f"-{variant}") if variant else re.fullmatch(r"v?[0-9.]+", new)
    if not kept:  # `alpine3.19` may go to `alpine3.20`
        return compare_texts(tag, new) if re.search(r"[0-9]", tag) else "other variant"
    same = [other for other, content in contents.items() if content == contents.get(tag)]
    return "lower" if any(is_newer(new, other) for other in same) else ""


def compare_texts(old: str, new: str) -> str:
    """Return what is wrong with going from one tag to the other; empty if nothing is."""
    old, new = _COMMIT.sub("-commit", old), _COMMIT.sub("-commit", new)
    if _PRERELEASE.search(new) and not _PRERELEASE.search(old):
        return "prerelease"
    if _PRERELEASE.search(old):
        old, new = _PRERELEASE.sub("", old).strip("-._"), _PRERELEASE.sub("", new).strip("-._")
        old, new = re.sub(r"[-._]{2,}", "-", old), re.sub(r"[-._]{2,}", "-", new)
    old_words, new_words = _TOKEN.split(old), _TOKEN.split(new)
    if old_words != new_words:
        return "other precision" if _TOKEN.sub("", old) == _TOKEN.sub("", new) else "other variant"
    return _compare_numbers(old_words, _TOKEN.findall(old), _TOKEN.findall(new))


def _compare_numbers(words: Sequence[str], old: Sequence[str], new: Sequence[str]) -> str:
    """Return what is wrong with the numbers that differ.

    The first one that differs is the version; behind it only counters may differ.
    """
    changed = [place for place, (before, after) in enumerate(zip(old, new, strict=True)) if before != after]
    if not changed:
        return ""
    first = changed[0]
    if any(old[place].count(".") != new[place].count(".") for place in changed):
        return "other precision"
    steps = pairwise(range(first, len(old)))
    if any(place in changed and not _COUNTERS.search(words[place]) for _, place in steps):
        return "other variant"
    return "lower" if _parts(new[first]) < _parts(old[first]) else ""


def is_newer(old: str, new: str) -> bool:
    """Return whether `new` is a later tag of exactly the shape of `old`.

    That is the same text but for a higher first number.
    """
    start = re.match(r"v?(?=[0-9])", old)
    if start is None or _PRERELEASE.search(old) or _PRERELEASE.search(new):
        return False
    before, after = _TOKEN.search(old), _TOKEN.search(new)
    if before is None or after is None:
        return False
    around = (old[: before.start()], old[before.end() :]) == (new[: after.start()], new[after.end() :])
    if not around or before[0].count(".") != after[0].count("."):
        return False
    return _parts(before[0]) < _parts(after[0]) and not _counts_differently(before[0], after[0])


def _counts_differently(old: str, new: str) -> bool:
    first, second = _parts(old)[0], _parts(new)[0]
    return second > 1900 and first < 1000


def _parts(number: str) -> tuple[int, ...]:
    return tuple(map(int, number.split(".")))


if __name__ == "__main__":
    sys.exit(main())

"""After a rollback that the operator asked for: only a release newer than the one that was left counts.

Pure.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from updater_core import reference
from updater_core.models import Decision, Hold, ImageRef, Reason, Update, retry_command
from updater_core.policy.observation import History, Observation
from updater_core.vocabulary.dated import LeftRelease

_NOTHING_NEWER = {Reason.SAME_DIGEST, Reason.NO_CANDIDATE, Reason.DOWNGRADE, Reason.QUARANTINED}


def still_counts(left: LeftRelease, current: ImageRef, running_digests: Set[str]) -> bool:
    """Return whether what the operator's rollback went back to is still wanted (`current`), and runs.

    If not, the operator has chosen anew.
    """
    kept = reference.parse(left.kept_reference)
    is_wanted = (kept.key, kept.tag) == (current.key, current.tag) or not current.tag
    return is_wanted and not running_digests.isdisjoint(left.kept_as)


def as_if_left_still_ran(
    left: LeftRelease, observation: Observation, history: History
) -> tuple[Observation, History]:
    """Return the observation and history as if the release that was left still ran.

    So every order, and each rule of it, means the same by what is newer than that release.
    """
    was = reference.with_default_tag(reference.parse(left.reference))
    digest = observation.current.digest and next(filter(reference.is_digest, left.known_as), None)
    current = replace(observation.current, tag=was.tag, digest=digest)
    pushed = {was.tag: left.pushed_at} if was.tag and left.pushed_at else {}
    as_left = replace(observation, current=current, running_digests=frozenset(left.known_as))
    return as_left, replace(history, pushed={**history.pushed, **pushed})


def newer_than_left(
    left: LeftRelease, observation: Observation, history: History, outcome: Decision
) -> Decision:
    """Return the decision for what runs, from the one for the release that was left."""
    if isinstance(outcome, Update):
        target = replace(outcome.target, name=observation.current.name)
        is_kept = target.digest in observation.running_digests
        return _stays_back(left, observation, history) if is_kept else replace(outcome, target=target)
    is_settled = outcome.reason in _NOTHING_NEWER
    return (
        replace(_stays_back(left, observation, history), rejected=outcome.rejected) if is_settled else outcome
    )


def _stays_back(left: LeftRelease, observation: Observation, history: History) -> Hold:
    was = reference.with_default_tag(reference.parse(left.reference))
    digest = next(filter(reference.is_digest, left.known_as), None)
    return Hold(
        Reason.QUARANTINED,
        (
            f"{was.text} was left by a rollback, asked for on {left.since:%Y-%m-%d %H:%M} UTC; only a newer "
            "release counts"
        ),
        (
            "nothing to do, a newer release is taken; to go on to this one again: "
            f"{retry_command(history.service)}"
        ),
        available=replace(observation.current, tag=was.tag, digest=digest),
    )

"""The operator's decisions: pause, skip, approval; who made them, and how long they count. Pure.

Each is for one service; a pause may be for all. Times are aware UTC.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from updater_core.vocabulary.dated import AwareTime
from updater_core.vocabulary.image_ref import ImageRef

# The registry moves on; a release that was skipped twenty skips ago is not offered any more.
SKIPS_KEPT = 20


@dataclass(frozen=True, slots=True)
class Pause:
    """No updates since `since`, asked for by `who`; `until` None: until they are resumed."""

    since: AwareTime
    who: str
    until: AwareTime | None = None

    def counts(self, now: datetime) -> bool:
        """Return whether the pause is not over."""
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True)
class Skip:
    """An image that is not taken, under whatever tag it appears."""

    digest: str
    reference: str
    since: AwareTime
    who: str


@dataclass(frozen=True, slots=True)
class Approval:
    """What was asked of the operator for one image, and the answer.

    `others`: the digests of images of other repositories that move with it. Without an answer (`given_at` is
    None) the question counts until `expires_at`, with one the approval does. `link_hash`: of the one-time
    link that was sent.
    """

    digest: str
    reference: str
    asked_at: AwareTime
    expires_at: AwareTime
    given_at: AwareTime | None = None
    who: str = ""
    others: tuple[str, ...] = ()
    link_hash: str = ""

    def is_of(self, target: ImageRef, others: Sequence[ImageRef] = ()) -> bool:
        """Return whether it is about exactly this image, and those that move with it."""
        # By digest: a tag may be moved to another image between question and answer.
        return self.digest == target.digest and self.others == digests_of(others)

    def counts(self, now: datetime) -> bool:
        """Return whether it was approved, and is so still."""
        return self.given_at is not None and now < self.expires_at

    def is_open(self, now: datetime) -> bool:
        """Return whether the question still waits for its answer."""
        return self.given_at is None and now < self.expires_at


@dataclass(frozen=True, slots=True)
class Decisions:
    """What the operator has decided of one service."""

    pause: Pause | None = None
    skips: tuple[Skip, ...] = ()
    approval: Approval | None = None

    def skip_of(self, digest: str | None) -> Skip | None:
        """Return the skip of an image by its digest, or None."""
        return next((skip for skip in self.skips if skip.digest == digest), None)

    def without_skip(self, digest: str) -> Decisions:
        """Return the decisions without the skip of this digest; the same if there is none."""
        return replace(self, skips=tuple(skip for skip in self.skips if skip.digest != digest))

    def with_skip(self, skip: Skip) -> Decisions:
        """Return the decisions with one more image that is not taken; an approval of it is void."""
        others = self.without_skip(skip.digest).skips
        is_approved = self.approval is not None and self.approval.digest == skip.digest
        return replace(
            self, skips=(skip, *others)[:SKIPS_KEPT], approval=None if is_approved else self.approval
        )


def digests_of(images: Sequence[ImageRef]) -> tuple[str, ...]:
    """Return what identifies these images together, in an order that does not depend on theirs."""
    return tuple(sorted(image.digest or image.text for image in images))


def question(target: ImageRef, others: Sequence[ImageRef], now: datetime, seconds: float) -> Approval:
    """Return the question whether this image may be taken, with `seconds` to answer it."""
    expires_at = now + timedelta(seconds=seconds)
    return Approval(target.digest or "", target.text, now, expires_at, others=digests_of(others))


def answered(approval: Approval, who: str, now: datetime, seconds: float) -> Approval:
    """Return the approval that `who` gave, good for `seconds` from now."""
    # The link is used up by any answer, whichever way it came.
    return replace(approval, given_at=now, who=who, expires_at=now + timedelta(seconds=seconds), link_hash="")


def pause_in_force(own: Pause | None, of_all: Pause | None, now: datetime) -> Pause | None:
    """Return the pause that counts now, the longer one of a service's own and that of all; None if neither.

    >>> from datetime import UTC
    >>> day = datetime(2026, 5, 1, tzinfo=UTC)
    >>> pause_in_force(Pause(day, "ann", day), Pause(day, "bob"), day).who
    'bob'
    """
    counting = [pause for pause in (own, of_all) if pause is not None and pause.counts(now)]
    return max(counting, key=_end, default=None)


def _end(pause: Pause) -> tuple[bool, float]:
    return pause.until is None, pause.until.timestamp() if pause.until else 0.0


def command(order: str, name: str) -> str:
    """Return the command of an order, ready to be pasted into a shell.

    >>> command("approve", "web")
    'sudo docker-updater --approve web'
    """
    return f"sudo docker-updater --{order} {shlex.quote(name)}"

"""What a selection looks at, what it remembers, and what it may still ask; one decision to be made.

No rules.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar, cast

from updater_core.caching.cache import Cache
from updater_core.models import Hold, ImageRef, Policy, Quarantined, Reason, Rejected, Tag
from updater_core.policy.bounded_regex import MatchBudget
from updater_core.policy.patterns import Selector, excluder
from updater_core.vocabulary.dated import LeftRelease, Seen


class TimeSource(StrEnum):
    """The source of a tag's time. Times of two sources are never compared."""

    REGISTRY = "registry"
    FIRST_SEEN = "first_seen"


@dataclass(frozen=True, slots=True)
class History:
    """What is remembered and matters to a choice.

    `seen` is keyed by tag, `digest_seen` by digest; `pushed`: when the registry last said that the current
    tag was pushed.
    """

    quarantine: Mapping[str, Quarantined] = field(default_factory=dict)
    seen: Mapping[str, Seen] = field(default_factory=dict)
    digest_seen: Mapping[str, datetime] = field(default_factory=dict)
    pushed: Mapping[str, datetime] = field(default_factory=dict)
    service: str = "NAME"  # what it is called, for commands in remedies
    left: LeftRelease | None = None


@dataclass(frozen=True, slots=True)
class SignatureVerdict:
    """`key`: the name of the key that signed the image.

    Else `reason` (`not_signed`, `bad_signature`) and `detail`.
    """

    key: str | None = None
    reason: Reason | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything a decision looks at, at one moment.

    `current`: what the operator's file says. `running_digests`: every digest, in the file's repository, by
    which the running image is known (also its id); empty = it never came from a registry. `digests`: tag to
    digest, as the registry answered so far; `signatures`: by digest, who signed the image. `tags`: the
    complete list, None if the policy needs none. `clock`: whose times they carry.
    """

    current: ImageRef
    running_digests: frozenset[str]
    digests: Mapping[str, str] = field(default_factory=dict)
    created: Mapping[str, datetime | None] = field(default_factory=dict)
    signatures: Mapping[str, SignatureVerdict] = field(default_factory=dict)
    tags: tuple[Tag, ...] | None = None
    clock: TimeSource = TimeSource.REGISTRY
    contents: Mapping[str, Hold | None] | None = None  # tag to why it is not taken, once that was asked


@dataclass(frozen=True, slots=True)
class Ask:
    """The choice cannot be made yet: something has to be asked of the registry first.

    That is digests of tags, build times of their images, what they lead to, or who signed an image, which
    then has its tag and its digest.
    """

    digests: tuple[str, ...] = ()
    created: tuple[str, ...] = ()
    contents: tuple[str, ...] = ()
    signatures: tuple[ImageRef, ...] = ()


Rank = Any  # within one CandidateSet all ranks are of one comparable kind
MatchedTag = tuple[Tag, str]  # a tag that the selector means, and the text of it that is compared
T = TypeVar("T")


class Memo:
    """Results that were computed from a list of tags, kept while what they were computed from is the same.

    A decision that asks for a digest is made again with the answer; 20,000 tags need not be filtered and
    ranked again. `budget`: the time that the operator's expressions may take in one decision.
    """

    def __init__(self, budget: MatchBudget | None = None) -> None:
        self.budget = budget or MatchBudget()
        self._known: Cache[Any] = Cache()

    def get(self, context: SelectionContext, what: str, work: Callable[[], T]) -> T:
        """Return what `work` makes of the case; `work` must not read the observation's digests."""
        observation = replace(context.observation, digests={}, created=dict(context.observation.created))
        return self.remembered(what, (observation, context.policy, context.history.seen, context.now), work)

    def remembered(self, what: str, basis: object, work: Callable[[], T]) -> T:
        """Return what `work` makes of `basis`, which is all that it may read."""
        return cast(T, self._known.made_of(what, basis, work))


@dataclass(frozen=True, slots=True)
class SelectionContext:
    """One decision to be made, with the policy's selector taken out of its text."""

    observation: Observation
    policy: Policy
    history: History
    now: datetime
    selector: Selector
    memo: Memo = field(default_factory=Memo, compare=False, repr=False)

    @property
    def current(self) -> str:
        """Return the current tag's name; empty if the reference is a digest alone."""
        reference = self.observation.current
        return reference.tag or ("" if reference.digest else "latest")

    @property
    def current_text(self) -> str | None:
        """Return the part of the current tag that is compared; None if the policy does not mean that tag."""
        if not self.current or excluder(self.policy.tag_exclude, self.memo.budget)(self.current):
            return None
        return self.selector.extract(self.current)


@dataclass(frozen=True, slots=True)
class CandidateSet:
    """The tags that may be chosen. `floor`: the current tag's rank, None if it has none.

    `hint` is the Hold to return if in the end there is no other reason for the current tag to stay.
    """

    ranked: Sequence[tuple[Rank, Tag]]
    floor: Rank | None
    rejected: tuple[Rejected, ...]
    superlative: str
    hint: Hold | None = None


def unique_by_name(tags: Sequence[Tag]) -> list[Tag]:
    """Return the tags by name. If a changing list has a name twice, the later push counts."""
    ordered = sorted(tags, key=lambda tag: tag.name)
    if len({tag.name for tag in tags}) == len(tags):
        return ordered
    groups = itertools.groupby(ordered, key=lambda tag: tag.name)
    return [max(group, key=lambda t: (_stamp(t.pushed_at), t.digest or "")) for _, group in groups]


def _stamp(time: datetime | None) -> float:
    return time.timestamp() if time else float("-inf")

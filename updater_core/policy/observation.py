"""What a selection looks at, what it remembers, and what it may still ask. Values; no rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from updater_core.models import AwareTime, Hold, ImageRef, Quarantined, Reason, Tag


class TimeSource(StrEnum):
    """The source of a tag's time. Times of two sources are never compared."""

    REGISTRY = "registry"
    FIRST_SEEN = "first_seen"


@dataclass(frozen=True, slots=True)
class Seen:
    """What our own clock knows of a tag: its digest when we first saw it (None = not asked), and when that was.

    `baseline` marks tags of the very first listing: they were there before us, so among them only `created_at`, the
    image's own build time, can order; any tag that came later is newer than all of them. `gone_since`: not listed.
    """

    digest: str | None
    seen_at: AwareTime
    baseline: bool = False
    created_at: AwareTime | None = None
    gone_since: AwareTime | None = None


@dataclass(frozen=True, slots=True)
class LeftRelease:
    """What an operator's rollback has left. As long as what it went back to is kept, only a newer release counts."""

    reference: str
    known_as: tuple[str, ...]  # its digest and its local id
    kept_reference: str
    kept_as: tuple[str, ...]
    since: AwareTime
    pushed_at: AwareTime | None = None  # its tag, by the registry's clock


@dataclass(frozen=True, slots=True)
class History:
    """What is remembered and matters to a choice. `seen` is keyed by tag, `digest_seen` by digest; `pushed`: when the
    registry last said that the current tag was pushed."""

    quarantine: Mapping[str, Quarantined] = field(default_factory=dict)
    seen: Mapping[str, Seen] = field(default_factory=dict)
    digest_seen: Mapping[str, datetime] = field(default_factory=dict)
    pushed: Mapping[str, datetime] = field(default_factory=dict)
    service: str = "NAME"  # what it is called, for commands in remedies
    left: LeftRelease | None = None


@dataclass(frozen=True, slots=True)
class SignatureVerdict:
    """`key`: the name of the key that signed the image. Else `reason` (`not_signed`, `bad_signature`) and `detail`."""

    key: str | None = None
    reason: Reason | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything a decision looks at, at one moment.

    `current`: what the operator's file says. `running_digests`: every digest, in the file's repository, by which the
    running image is known (also its id); empty = it never came from a registry. `digests`: tag to digest, as the
    registry answered so far; `signatures`: by digest, who signed the image. `tags`: the complete list, None if the
    policy needs none. `clock`: whose times they carry.
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
    """The choice cannot be made yet: digests of tags, build times of their images, or what they lead to are needed, or
    who signed an image, which then has its tag and its digest."""

    digests: tuple[str, ...] = ()
    created: tuple[str, ...] = ()
    contents: tuple[str, ...] = ()
    signatures: tuple[ImageRef, ...] = ()

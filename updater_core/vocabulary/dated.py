"""Values with a time, as they are written to files: what is known of a release, and how a hook ended.

They are in one module because of the type of their times: one leaf below this module would make every chain
of imports longer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

# of what is written to a file: a time without its zone is refused when it is read
AwareTime = Annotated[datetime, Meta(tz=True)]


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What an image says of itself in its labels, and when it was built.

    The labels are `org.opencontainers.image.version`, `.source` and `.url`. Empty is what it does not say;
    all of
    it is text of its publisher's, or of its base image's.

    https://github.com/opencontainers/image-spec/blob/main/annotations.md
    """

    version: str = ""
    source: str = ""
    url: str = ""
    built_at: AwareTime | None = None


NO_FACTS = ImageFacts()


@dataclass(frozen=True, slots=True)
class ReleaseStep:
    """An update in versions: from which to which, as far as tags and labels say, and where its notes are.

    `size`: major, minor, patch, prerelease, downgrade, rebuild (the same version), or tag (no versions to
    compare). `is_same_tag`: only the digest changes. `built_at`: of the new image. `notes_url` is empty if
    nobody can say.
    """

    from_version: str = ""
    to_version: str = ""
    size: str = ""
    is_same_tag: bool = False
    built_at: AwareTime | None = None
    notes_url: str = ""


NO_STEP = ReleaseStep()


@dataclass(frozen=True, slots=True)
class Seen:
    """What our own clock knows of a tag: when we first saw it, and its digest then (None = not asked).

    `baseline` marks tags of the very first listing: they were there before us, so among them only
    `created_at`, the image's own build time, can order; any tag that came later is newer than all of them.
    `gone_since`: not listed.
    """

    digest: str | None
    seen_at: AwareTime
    baseline: bool = False
    created_at: AwareTime | None = None
    gone_since: AwareTime | None = None


@dataclass(frozen=True, slots=True)
class ListComparison:
    """What came of comparing the tags that a vendor's API knows with those that the registry itself lists.

    `is_complete`: the API lacked none. It counts for `hours`, until `until`; then they are compared again.
    """

    is_complete: bool
    hours: int
    until: AwareTime


@dataclass(frozen=True, slots=True)
class LeftRelease:
    """What an operator's rollback has left.

    As long as what it went back to is kept, only a newer release counts.

    `others`: what the images of other repositories that ran with it are known as, by their repositories."""

    reference: str
    known_as: tuple[str, ...]  # its digest and its local id
    kept_reference: str
    kept_as: tuple[str, ...]
    since: AwareTime
    pushed_at: AwareTime | None = None  # its tag, by the registry's clock
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class HookKind(StrEnum):
    """When a hook runs: before anything is stopped, before the release counts as proven, or at the end.

    `ON_FAILURE` and `ON_SUCCESS` follow an update whose end is certain.
    """

    PRE_UPDATE = "pre_update"
    POST_UPDATE = "post_update"
    ON_FAILURE = "on_failure"
    ON_SUCCESS = "on_success"


class HookResult(StrEnum):
    """How a hook ended.

    `begun`: it has not, as far as is known; `interrupted`: the updater ended before it did.
    """

    BEGUN = "begun"
    DONE = "done"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class HookRun:
    """One run of a hook.

    `output` is the end of what it wrote, without secrets; `exit_code` is None if it did not end by itself;
    `detail` says what went wrong, or is empty.
    """

    kind: HookKind
    begun: AwareTime
    result: HookResult = HookResult.BEGUN
    exit_code: int | None = None
    seconds: float = 0.0
    output: str = ""
    detail: str = ""

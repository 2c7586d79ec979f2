"""What is known of a release: its image's own words, when its tag was first seen, the size of the step.

Values only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from msgspec import Meta

_AwareTime = Annotated[datetime, Meta(tz=True)]


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
    built_at: _AwareTime | None = None


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
    built_at: _AwareTime | None = None
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
    seen_at: _AwareTime
    baseline: bool = False
    created_at: _AwareTime | None = None
    gone_since: _AwareTime | None = None


@dataclass(frozen=True, slots=True)
class LeftRelease:
    """What an operator's rollback has left.

    As long as what it went back to is kept, only a newer release counts.

    `others`: what the images of other repositories that ran with it are known as, by their repositories."""

    reference: str
    known_as: tuple[str, ...]  # its digest and its local id
    kept_reference: str
    kept_as: tuple[str, ...]
    since: _AwareTime
    pushed_at: _AwareTime | None = None  # its tag, by the registry's clock
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

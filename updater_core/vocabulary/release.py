"""What an image says of the release in it, and what an update is in versions. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from msgspec import Meta

_AwareTime = Annotated[datetime, Meta(tz=True)]


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What an image says of itself: its labels `org.opencontainers.image.version`, `.source` and `.url`, and
    when it was built. Empty is what it does not say; all of it is text of its publisher's, or of its base
    image's.

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

"""Which image a service wants, and whether it is taken by itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

SELECTORS = ("follow", "tag_pattern", "tag_regex", "semver_pattern")  # at most one of them in a service


class Mode(StrEnum):
    """How an update goes: by itself, after an approval, or not at all (it is only reported)."""

    AUTO = "auto"
    NOTIFY = "notify"
    APPROVE = "approve"


class Bump(StrEnum):
    """The largest step between two versions that an update may take."""

    PATCH = "patch"
    MINOR = "minor"
    MAJOR = "major"


class Follow(StrEnum):
    """How far a service follows its image: the digest behind its tag, or versions up to a size of step."""

    TAG = "tag"
    PATCH = "patch"
    MINOR = "minor"
    MAJOR = "major"


@dataclass(frozen=True, slots=True)
class Policy:
    """Which image a service wants. At most one of the three patterns is set; without any, `follow` counts."""

    follow: Follow = Follow.TAG
    tag_pattern: str | None = None
    tag_regex: str | None = None
    semver_pattern: str | None = None
    semver_range: str | None = None
    max_bump: Bump = Bump.MAJOR
    allow_prerelease: bool = False
    tag_exclude: tuple[str, ...] = ()
    min_age_seconds: float = 0.0
    allow_downgrade: bool = False
    allow_scheme_jump: bool = False
    follow_variant: bool = False
    pin_digest: bool = False
    mode: Mode = Mode.AUTO
    approval_expires_seconds: float = 7 * 86400.0
    public_keys: tuple[str, ...] = ()  # paths; an image has to be signed by one of them, if there is any

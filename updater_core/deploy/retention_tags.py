"""The local names under which images are retained.

install.sh imports this too, with nothing installed. Pure.
"""

from __future__ import annotations

import hashlib
import re

# `.invalid` never resolves (RFC 2606): nobody can pull or push it.
RETENTION_PREFIX = "docker-updater.invalid/retained-for-rollback/"
FOUND, PULLED = "found-", "pulled-"  # an image that was there before us, and one that we pulled
FORMER_PREFIX, _FORMER_PULLED = "docker-updater.invalid/hold/", "brought-"  # of earlier versions
_PLAIN = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")  # with "--" in it, a name is one of ours


def retention_name(service: str, image_id: str, origin: str) -> str:
    """Return the local name under which an image of a service is retained.

    >>> retention_name("web", "sha256:0123456789abcdef", PULLED)
    'docker-updater.invalid/retained-for-rollback/web:pulled-0123456789ab'
    """
    return f"{retention_prefix(service)}{origin}{image_id.removeprefix('sha256:')[:12]}"


def retention_prefix(service: str) -> str:
    """Return what all names of a service begin with.

    Names of services may differ in case only, names of repositories may not: a short hash tells apart those
    that cannot be written as they are.

    >>> retention_prefix("Web").rpartition("/")[2], retention_prefix("my_web.1").rpartition("/")[2]
    ('web--29751047:', 'my_web.1:')
    """
    if _PLAIN.fullmatch(service):
        return f"{RETENTION_PREFIX}{service}:"
    return f"{RETENTION_PREFIX}{_simplified(service)}--{_hash(service)}:"


def former_prefix(service: str) -> str:
    """Return what the names of a service began with in earlier versions."""
    return f"{FORMER_PREFIX}{_simplified(service)}-{_hash(service)}:"


def prefixes(service: str) -> tuple[str, str]:
    """Return everything that names of a service may begin with."""
    return retention_prefix(service), former_prefix(service)


def origin_of(name: str) -> str:
    """Return how an image with this name came to be here, by a name of today or of earlier versions.

    >>> origin_of(retention_name("web", "1", FOUND))
    'found-'
    >>> origin_of("docker-updater.invalid/hold/web-4b5e57f6:brought-1")
    'pulled-'
    """
    tag = name.rpartition(":")[2]
    return PULLED if tag.startswith((PULLED, _FORMER_PULLED)) else FOUND


def _simplified(service: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", service.lower()).strip("-")


def _hash(service: str) -> str:
    return hashlib.sha256(service.encode()).hexdigest()[:8]

"""The local names under which images are retained. install.sh imports this too, with nothing installed. Pure."""

from __future__ import annotations

import hashlib
import re

HOLD_PREFIX = "docker-updater.invalid/hold/"  # `.invalid` never resolves (RFC 2606): nobody can pull or push it
FOUND, BROUGHT = "found-", "brought-"  # an image that was there before us, and one that we pulled


def hold_name(service: str, image_id: str, origin: str) -> str:
    """The local name under which an image of a service is held.

    >>> hold_name("web", "sha256:0123456789abcdef", BROUGHT)
    'docker-updater.invalid/hold/web-4b5e57f6:brought-0123456789ab'
    """
    return f"{hold_prefix(service)}{origin}{image_id.removeprefix('sha256:')[:12]}"


def hold_prefix(service: str) -> str:
    """Names of services may differ in case only, names of repositories may not: a short hash tells them apart."""
    plain = re.sub(r"[^a-z0-9]+", "-", service.lower()).strip("-")
    mark = hashlib.sha256(service.encode()).hexdigest()[:8]
    return f"{HOLD_PREFIX}{plain}-{mark}:"

"""The local names under which images are retained.

install.sh imports this too, with nothing installed. Pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

# `.invalid` never resolves (RFC 2606): nobody can pull or push it.
RETENTION_PREFIX = "docker-updater.invalid/retained-for-rollback/"
FOUND, PULLED = "found-", "pulled-"  # an image that was there before us, and one that we pulled
FORMER_PREFIX, _FORMER_PULLED = "docker-updater.invalid/hold/", "brought-"  # of earlier versions
_PLAIN = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")  # with "--" in it, a name is one of ours


def retention_name(updater_id: str, service: str, image_id: str, origin: str) -> str:
    """Return the local name under which an updater retains an image of a service.

    >>> retention_name("5f0c9a31d2e4", "web", "sha256:0123456789abcdef", PULLED)
    'docker-updater.invalid/retained-for-rollback/5f0c9a31d2e4/web:pulled-0123456789ab'
    """
    return f"{retention_prefix(updater_id, service)}{origin}{_short(image_id)}"


def retention_prefix(updater_id: str, service: str) -> str:
    """Return what all names of an updater's service begin with.

    `updater_id`: two updaters on one engine may have services of one name. Names of services
    may differ in case only, names of repositories may not: a short hash tells apart those that cannot be
    written as they are.

    >>> retention_prefix("5f0c9a31d2e4", "Web").removeprefix(RETENTION_PREFIX)
    '5f0c9a31d2e4/web--29751047:'
    """
    return f"{updater_prefix(updater_id)}{_written(service)}:"


def updater_prefix(updater_id: str) -> str:
    """Return what all names of an updater begin with."""
    return f"{RETENTION_PREFIX}{updater_id}/"


def folder_of(name: str) -> str:
    """Return what the names of one updater have in common, by one of them.

    >>> folder_of(retention_name("5f0c9a31d2e4", "web", "1", FOUND)) == updater_prefix("5f0c9a31d2e4")
    True
    >>> folder_of("docker-updater.invalid/hold/web-4b5e57f6:brought-1") == FORMER_PREFIX
    True
    """
    return f"{name.rpartition('/')[0]}/"


def removal_command(folder: str) -> str:
    """Return the command that removes every name right below a folder of names, and what only they retain."""
    listed = "docker images --format '{{.Repository}}:{{.Tag}}'"
    return f"{listed} '{folder}*' | xargs -r docker rmi"


def earlier_prefixes(service: str) -> tuple[str, str]:
    """Return what the names of a service began with in earlier versions: those of every updater alike.

    >>> [each.removeprefix("docker-updater.invalid/") for each in earlier_prefixes("my_web.1")]
    ['retained-for-rollback/my_web.1:', 'hold/my-web-1-18b69fc6:']
    """
    return (
        f"{RETENTION_PREFIX}{_written(service)}:",
        f"{FORMER_PREFIX}{_simplified(service)}-{_hash(service)}:",
    )


def earlier_names(service: str, image_ids: Iterable[str]) -> tuple[str, ...]:
    """Return every name that earlier versions may have given these images of a service.

    >>> [each.removeprefix("docker-updater.invalid/") for each in earlier_names("web", ["sha256:0123"])][1::2]
    ['retained-for-rollback/web:pulled-0123', 'hold/web-4b5e57f6:brought-0123']
    """
    without_updater, former = earlier_prefixes(service)
    heads = (
        f"{without_updater}{FOUND}",
        f"{without_updater}{PULLED}",
        f"{former}{FOUND}",
        f"{former}{_FORMER_PULLED}",
    )
    return tuple(f"{head}{_short(image_id)}" for image_id in image_ids for head in heads)


def origin_of(name: str) -> str:
    """Return how an image with this name came to be here, by a name of today or of earlier versions.

    >>> origin_of(retention_name("5f0c9a31d2e4", "web", "1", FOUND))
    'found-'
    >>> origin_of("docker-updater.invalid/hold/web-4b5e57f6:brought-1")
    'pulled-'
    """
    tag = name.rpartition(":")[2]
    return PULLED if tag.startswith((PULLED, _FORMER_PULLED)) else FOUND


def is_retained_by_name(name: str) -> bool:
    """Return whether a local name is one that an updater retains an image by, this one or another."""
    return name.startswith((RETENTION_PREFIX, FORMER_PREFIX))


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]


def _written(service: str) -> str:
    return service if _PLAIN.fullmatch(service) else f"{_simplified(service)}--{_hash(service)}"


def _simplified(service: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", service.lower()).strip("-")


def _hash(service: str) -> str:
    return hashlib.sha256(service.encode()).hexdigest()[:8]

"""Image references: parse, normalise, compare. Pure.

The grammar is distribution/reference's (https://pkg.go.dev/github.com/distribution/reference): the first
component is a domain if it holds a `.` or a `:`, is `localhost`, or is not all lower case; Docker Hub names
of one component live under `library/`.
"""

from __future__ import annotations

import re
from dataclasses import replace

from updater_core.models import ImageRef
from updater_core.net.hosts import is_host_with_port, is_port
from updater_core.net.url_rules import split_port

HUB = "docker.io"
_HUB_ALIASES = {"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"}

_DOMAIN = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])(?::\d+)?"
)
_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_LONGEST_NAME = 255


def parse(text: str) -> ImageRef:
    """Return `text` taken apart. Raises ValueError with a sentence if it is no image reference.

    >>> parse("nginx:1.25").key
    'docker.io/library/nginx'
    >>> parse("localhost:5000/app").tag is None
    True
    >>> parse("nginx:1.25").text
    'nginx:1.25'
    """
    rest, _, digest = text.partition("@")
    name, tag = _split_tag(rest)
    domain, repository = _split_domain(name)
    problem = _problem(domain, repository, tag, digest if "@" in text else None)
    if problem:
        raise ValueError(f"{text!r} is not an image reference: {problem}")
    return ImageRef(domain, repository, tag, digest or None, name)


def is_valid(text: str) -> bool:
    """Return whether `text` is an image reference.

    >>> is_valid("nginx:1.2"), is_valid("nginx:")
    (True, False)
    """
    try:
        parse(text)
    except ValueError:
        return False
    return True


def is_tag(text: str) -> bool:
    """Return whether `text` is within the tag grammar."""
    return _TAG.fullmatch(text) is not None


def is_digest(text: str) -> bool:
    """Return whether `text` is a sha256 or sha512 digest in its canonical spelling."""
    return _DIGEST.fullmatch(text) is not None


def short_digest(digest: str) -> str:
    """Return the algorithm and twelve characters of a digest, as the engine shows image ids.

    >>> short_digest("sha256:" + "0123456789abcdef" * 4)
    'sha256:0123456789ab'
    """
    return digest[: len("sha256:") + 12]


def short(text: str) -> str:
    """Return a reference with its digest cut short, so that it fits a table.

    >>> short("app:1@sha256:" + "0123456789abcdef" * 4), short("app:1")
    ('app:1@sha256:0123456789ab', 'app:1')
    """
    name, at, digest = text.partition("@")
    return f"{name}{at}{short_digest(digest)}"


def with_default_tag(reference: ImageRef) -> ImageRef:
    """Return the reference with `latest` if it names neither tag nor digest, as every engine reads it."""
    return reference if reference.tag or reference.digest else replace(reference, tag="latest")


def same_repository(left: str, right: str) -> bool:
    """Return whether two references, in any spelling, name the same repository.

    >>> same_repository("nginx@sha256:" + "0" * 64, "docker.io/library/nginx:1")
    True
    """
    try:
        return parse(left).key == parse(right).key
    except ValueError:
        return False


def digests_of(repo_digests: tuple[str, ...], repository_key: str) -> frozenset[str]:
    """Return the digests among an image's RepoDigests that belong to a repository (`ImageRef.key`)."""
    return frozenset(d.partition("@")[2] for d in repo_digests if _key(d) == repository_key)


def _key(text: str) -> str | None:
    try:
        return parse(text).key
    except ValueError:  # `<none>@<none>` of a dangling image
        return None


def _split_tag(text: str) -> tuple[str, str | None]:
    head, colon, tail = text.rpartition(":")
    return (head, tail) if colon and "/" not in tail else (text, None)


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or not (set(".:") & set(first) or first == "localhost" or first != first.lower()):
        domain, repository = HUB, name
    else:
        domain, repository = (HUB if first in _HUB_ALIASES else first), rest
    if domain == HUB and "/" not in repository:
        repository = f"library/{repository}"
    return domain, repository


def _problem(domain: str, repository: str, tag: str | None, digest: str | None) -> str | None:
    if not _DOMAIN.fullmatch(domain):
        return f"{domain!r} is not a host name"
    if not is_host_with_port(domain):
        port = split_port(domain)[1]
        wrong_port = bool(port) and not is_port(port)
        return (
            f"the port of {domain!r} is not from 1 to 65535"
            if wrong_port
            else f"{domain!r} is no host there can be"
        )
    if not _PATH.fullmatch(repository):
        return f"{repository!r} is not a repository (lower case letters, digits, '.', '_', '-', '/')"
    if len(domain) + len(repository) + 1 > _LONGEST_NAME:
        return f"its name is longer than {_LONGEST_NAME} characters"
    if re.fullmatch(r"library/[0-9a-f]{64}", repository):
        return "64 hexadecimal characters are an image id, not a name"
    if tag is not None and not is_tag(tag):
        return f"{tag!r} is not a tag"
    if digest is not None and not is_digest(digest):
        return f"{digest!r} is not a digest (sha256:<64 hexadecimal characters>)"
    return None

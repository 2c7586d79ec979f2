"""Where the notes of a release are, by what its image says of its source: a link that is right, or none.

Pure.

Only three hosts are known well enough to build one, and an address is taken apart and built anew: nothing of
what a publisher wrote reaches the link but the account, the repository and the version, each of a form that
the host allows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from updater_core.vocabulary.dated import ImageFacts

_SCHEMES = {"https": 443, "http": 80, "git": 9418, "ssh": 22}
_SCP_FORM = re.compile(r"git@([A-Za-z0-9.-]+):(?!/)(\S+)")  # git@github.com:owner/repository.git
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}", re.ASCII)
_OWNER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,98}[A-Za-z0-9])?", re.ASCII)
_EXACT = re.compile(r"[vV][0-9]+(?:\.[0-9]+)+(?:-[A-Za-z0-9.-]+)?", re.ASCII)
_LONGEST_ADDRESS = 500
# First parts of paths that are pages of the host, and no owners of repositories.
_RESERVED = (
    {"about", "api", "apps", "collections", "contact", "dashboard", "enterprise", "explore"}
    | {
        "features",
        "groups",
        "help",
        "issues",
        "join",
        "login",
        "marketplace",
        "new",
        "notifications",
        "organizations",
    }
    | {
        "orgs",
        "pricing",
        "pulls",
        "readme",
        "search",
        "security",
        "sessions",
        "settings",
        "site",
        "sponsors",
        "stars",
    }
    | {"team", "topics", "trending", "user", "users"}
)
_REPOSITORY_PAGES = {
    "-",
    "blob",
    "branch",
    "commit",
    "commits",
    "issues",
    "raw",
    "releases",
    "src",
    "tags",
    "tree",
}


@dataclass(frozen=True, slots=True)
class SourceRepository:
    """A repository on one of the known hosts; `path` is its owners and its name.

    `is_whole`: no folder of it.
    """

    host: str
    path: str
    is_whole: bool


def notes_url(facts: ImageFacts, version: str) -> str:
    """Return a link to the notes of `version`; empty if the source is not known, or not on a host that is.

    A version that is written as tags are (`v1.5.0`) leads to its own page. Any other one, which may be
    `v1.5.0` or `app-1.5.0` as a tag, leads to the list of releases, searched for it if the host can do that.

    >>> notes_url(ImageFacts(source="git@github.com:acme/api.git"), "v1.5.0")
    'https://github.com/acme/api/releases/tag/v1.5.0'
    >>> notes_url(ImageFacts(source="https://github.com/acme/api"), "1.5.0")
    'https://github.com/acme/api/releases?q=1.5.0&expanded=true'
    >>> notes_url(ImageFacts(source="https://github.com.evil.example/acme/api"), "v1.5.0")
    ''
    """
    repository = repository_of(facts.source) or repository_of(facts.url)
    if repository is None:
        return ""
    if repository.is_whole and _EXACT.fullmatch(version):
        return _of_tag(repository, version)
    return _of_list(repository, version)


def _of_tag(repository: SourceRepository, tag: str) -> str:
    page = "/-/releases" if repository.host == "gitlab.com" else "/releases/tag"
    return f"https://{repository.host}/{repository.path}{page}/{quote(tag, safe='')}"


def _of_list(repository: SourceRepository, version: str) -> str:
    base = f"https://{repository.host}/{repository.path}"
    asked = quote(version, safe="")
    if repository.host == "gitlab.com":
        return f"{base}/-/tags?search={asked}" if version else f"{base}/-/releases"
    if not version:
        return f"{base}/releases"
    return (
        f"{base}/releases?q={asked}&expanded=true"
        if repository.host == "github.com"
        else f"{base}/releases?q={asked}"
    )


def repository_of(address: str) -> SourceRepository | None:
    """Return the repository in an address; None if it is not surely one on GitHub, GitLab or Codeberg.

    >>> repository_of("https://gitlab.com/group/sub/app/-/tree/main")
    SourceRepository(host='gitlab.com', path='group/sub/app', is_whole=False)
    >>> repository_of("https://github.com/orgs/acme"), repository_of("https://acme.example/docs")
    (None, None)
    """
    text = address.strip()
    if len(text) > _LONGEST_ADDRESS or not text.isascii() or re.search(r"[\s\\%]", text):
        return None
    short = _SCP_FORM.fullmatch(text)
    host, path = (short[1].lower(), short[2]) if short else _host_and_path(text.removeprefix("git+"))
    return _in_path(host, path) if host in ("github.com", "gitlab.com", "codeberg.org") else None


def _host_and_path(text: str) -> tuple[str, str]:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return "", ""
    is_usual = parts.scheme in _SCHEMES and port in (None, _SCHEMES.get(parts.scheme))
    user = f"{parts.username or ''}{parts.password or ''}"
    is_anonymous = not user or (user == "git" and parts.scheme == "ssh")
    return (parts.hostname or "", parts.path) if is_usual and is_anonymous else ("", "")


def _in_path(host: str, path: str) -> SourceRepository | None:
    """Return the repository in the path of an address. On GitLab it may stand below several groups."""
    names = path.partition("#")[0].partition("?")[0].strip("/").split("/")
    most = len(names) if host == "gitlab.com" else 2
    end = next(
        (place for place, name in enumerate(names) if place >= 2 and name in _REPOSITORY_PAGES), len(names)
    )
    own = names[: min(end, most)]
    if len(own) < 2 or own[0].lower() in _RESERVED:
        return None
    own[-1] = own[-1].removesuffix(".git")
    is_valid = all(map(_OWNER.fullmatch, own[:-1])) and _NAME.fullmatch(own[-1]) and own[-1].strip(".")
    return SourceRepository(host, "/".join(own), is_whole=len(names) == len(own)) if is_valid else None

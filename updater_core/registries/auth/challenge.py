"""A registry's authentication challenge: parse `WWW-Authenticate`, and judge where credentials may be sent.

Pure.

The grammar is RFC 9110, section 11 (several challenges in one header value, quoted and bare values, token68);
what a realm may be follows the hardening of distribution (registry/proxy/proxyauth.go) and
go-containerregistry (transport/bearer.go): a hostile registry must not turn us against the metadata service,
nor collect another one's credentials.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urljoin

from updater_core.net.url_rules import (
    is_internal,
    is_loopback,
    is_private,
    literal_address,
    split_url,
)

_WORD = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_PARAMETER = re.compile(rf'({_WORD})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s",]*))', re.DOTALL)
_SCHEME = re.compile(rf"({_WORD})(?=[ \t,]|$)")
_TOKEN68 = re.compile(r"([A-Za-z0-9._~+/-]+=*)[ \t]*(?=,|$)")
_SPACE = re.compile(r"[ \t]*")
_SEPARATOR = re.compile(r"[ \t,]*")
_SECOND_LEVEL = {"ac", "co", "com", "edu", "gob", "gov", "ltd", "mil", "ne", "net", "or", "org", "plc", "sch"}


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge: the scheme and the parameters' names in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse(header: str) -> tuple[Challenge, ...]:
    """Return every challenge in a header value. Raises ValueError with a sentence if it cannot be read.

    >>> [c.scheme for c in parse('Bearer realm="https://a/t",scope="*",Basic realm="a"')]
    ['bearer', 'basic']
    >>> parse('Bearer realm="x",service=gcr.io')[0].parameters["service"]
    'gcr.io'
    """
    challenges = []
    position = _after(_SEPARATOR, header, 0)
    while position < len(header):
        challenge, position = _challenge(header, position)
        challenges.append(challenge)
    return tuple(challenges)


def choose(challenges: tuple[Challenge, ...], has_password: bool) -> Challenge | None:
    """Return the challenge to answer: Bearer before Basic, as Docker does; Basic only with a password."""
    bearers = [c for c in challenges if c.scheme == "bearer" and c.parameters.get("realm")]
    basics = [c for c in challenges if c.scheme == "basic"]
    return next(iter(bearers + (basics if has_password or not bearers else [])), None)


def scopes(challenge: Challenge, wanted: str) -> tuple[str, ...]:
    """Return the scopes to ask a token for: the challenge's first (some servers read only that), then ours.

    >>> scopes(Challenge("bearer", {"scope": "a:b:pull,push c"}), "a:b:pull")
    ('a:b:pull,push', 'c', 'a:b:pull')
    """
    return tuple(dict.fromkeys([*challenge.parameters.get("scope", "").split(), wanted]))


def realm_url(challenge: Challenge, request_url: str) -> str:
    """Return the realm as an absolute URL; a relative one begins at the request that was challenged."""
    return urljoin(request_url, challenge.parameters.get("realm", "").strip()).partition("#")[0]


def realm_problem(
    realm: str,
    registry_url: str,
    allowed_hosts: tuple[str, ...],
    with_secret: bool,
    dialled: str = "",
) -> str | None:
    """Return why no token is asked for at `realm` on behalf of the registry, or None if it may be.

    `with_secret`: a credential would be sent along, so the realm must belong to the registry or be allowed by
    name. `dialled`: the address that the registry was reached at, which tells its network better than its
    name; empty if a proxy knows it alone.

    >>> realm_problem("https://auth.docker.io/token", "https://registry-1.docker.io", (), True)
    >>> realm_problem("https://thief.example/token", "https://registry-1.docker.io", (), True)
    'thief.example does not belong to registry-1.docker.io'
    """
    to, registry = split_url(realm), split_url(registry_url)
    if to is None or registry is None or to.username is not None or to.scheme not in ("http", "https"):
        return "it is not a usable http(s) URL"
    # A hostile registry could name a service of this machine's network, or a thief of passwords, as its token
    # server.
    host, home = to.hostname or "", registry.hostname or ""
    known = is_known_realm(realm, registry_url, allowed_hosts)
    both_here = is_loopback(host) and is_loopback(home)
    # A password over http is everybody's; on this machine nobody listens in between.
    if to.scheme == "http" and not both_here and not (registry.scheme == "http" and known):
        return "it is not https"
    # Even without a secret: the answer of a metadata service would come back in a message.
    if not known and not both_here and is_private(host) and not _is_neighbour(host, home, dialled):
        return f"{host} is an address of a private network"
    if with_secret and not known and not both_here and not _same_domain(host, home):
        return f"{host} does not belong to {home}"
    return None


def is_known_realm(realm: str, registry_url: str, allowed_hosts: tuple[str, ...]) -> bool:
    """Return whether a realm is at the registry's own host, or at one that the operator allows."""
    to, registry = split_url(realm), split_url(registry_url)
    if to is None or registry is None:
        return False
    return to.hostname == registry.hostname or _is_allowed(to.hostname or "", to.netloc, allowed_hosts)


def _is_neighbour(host: str, home: str, dialled: str) -> bool:
    """Return whether an address is in the own network like the registry, but not of this link alone.

    That is where clouds keep the credentials of a machine.
    """
    address = literal_address(host)
    is_of_link = address is not None and address.is_link_local
    is_from_inside = is_private(dialled) if dialled else is_internal(home)
    return is_from_inside and not is_of_link and not is_loopback(host)


def realm_remedy(realm: str, registry_url: str) -> str:
    """Return what to do about a realm that `realm_problem` objects to."""
    to, registry = split_url(realm), split_url(registry_url)
    if to is None or registry is None or to.username is not None or to.scheme not in ("http", "https"):
        return (
            "correct the registry's own configuration: its challenge has to name its token service by an "
            "https:// URL without a user name; token_realm_hosts is no help there"
        )
    host = to.hostname or ""
    if to.scheme == "http" and registry.scheme == "https":
        return (
            "let the registry name its token service by https:// (Harbor: external_url or EXT_ENDPOINT with "
            "https://; behind a proxy: that it sends X-Forwarded-Proto); no password or token is sent over "
            "http"
        )
    if is_private(host):
        return (
            f"if the registry's token service really is at {host} in your own network, add {host} to "
            "registry_config.token_realm_hosts; if not, do not use this registry"
        )
    return f"if {host} is the registry's own, add it to registry_config.token_realm_hosts"


def _is_allowed(host: str, netloc: str, allowed: tuple[str, ...]) -> bool:
    """Return whether an entry names the host; a port, and an IPv6 address's brackets, may be left out."""
    names = {name.strip().lower().removesuffix(".") for name in allowed}
    return bool(names & {host.removesuffix("."), f"[{host}]", netloc.lower()})


def _challenge(text: str, start: int) -> tuple[Challenge, int]:
    found = _SCHEME.match(text, start)
    if not found:
        raise ValueError(f"no authentication scheme at {text[start : start + 40]!r}")
    scheme, position = found[1].lower(), _after(_SPACE, text, found.end())
    # `Negotiate abc==` has no parameters; its token would be read as one.
    lone = _TOKEN68.match(text, position)
    if lone:  # of a scheme that we do not speak; it must not be read as a parameter
        return Challenge(scheme), _after(_SEPARATOR, text, lone.end())
    parameters, position = _parameters(text, _after(_SEPARATOR, text, position))
    return Challenge(scheme, parameters), position


def _parameters(text: str, position: int) -> tuple[dict[str, str], int]:
    parameters: dict[str, str] = {}
    while found := _PARAMETER.match(text, position):
        quoted, bare = found[2], found[3]
        if quoted is None and text[found.end() : found.end() + 1] == '"':
            raise ValueError(f"a quote is not closed at {text[position : position + 40]!r}")
        # Names are case-insensitive (RFC 9110, 11.2), values may be quoted and escaped.
        parameters[found[1].lower()] = (
            bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
        )
        position = _after(_SEPARATOR, text, found.end())
    return parameters, position


def _after(pattern: re.Pattern[str], text: str, position: int) -> int:
    found = pattern.match(text, position)
    return found.end() if found else position


def _same_domain(left: str, right: str) -> bool:
    return (
        # The last two numbers of two addresses say nothing of who owns them.
        not (literal_address(left) or literal_address(right))
        and _registrable_domain(left) == _registrable_domain(right)
        and "." in left
    )


def _registrable_domain(host: str) -> str:
    """Return the registrable domain: the last two labels, or three under `co.uk` and its like.

    There is no public suffix list here.
    """
    labels = host.lower().rstrip(".").split(".")
    deep = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL
    return ".".join(labels[-3 if deep else -2 :])

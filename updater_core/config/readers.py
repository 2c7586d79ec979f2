"""How a value that is more than plain is read: addresses, hooks, zones, engines. Pure.

Readers as those of `vocabulary.options.plain`, for options that stand in `config.options` alone.
"""

from __future__ import annotations

import posixpath
import re
import zoneinfo
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from updater_core.models import Secret
from updater_core.net import hosts
from updater_core.vocabulary.hooks import Hook
from updater_core.vocabulary.options.kinds import ENGINE_NAME
from updater_core.vocabulary.options.plain import arguments, seconds, such, text, within
from updater_core.vocabulary.similar import closest

TOKEN_NAME = "[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"  # noqa: S105 - the form of a name
# The characters of a bearer token (RFC 6750, 2.1); twenty of them cannot be guessed over a network.
_API_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{20,256}")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
# A comma may be part of an address (several recipients), so it divides only in front of a new scheme.
_ADDRESS_GAP = re.compile(r"[\s,;]+(?=[A-Za-z0-9][A-Za-z0-9+.-]*://)")
_ADDRESS_AS_PARAMETER = re.compile(r"[?&][^?&=]*=[A-Za-z][A-Za-z0-9+.-]*://")
# A second address whose scheme was mistyped (`,gotify:h/T`, `,gotify//h/T`). By the usual schemes alone: what
# follows a comma may have a colon of its own (an alias of Matrix, a port).
_MISTYPED_ADDRESS = re.compile(
    r"[,;](?:apprise|bark|discord|forms?|gchat|generic|googlechat|gotify|https?|jsons?|mailto|matrix|mmost|"
    r"mattermost|msteams|ntfy|pbul|pover|pushbullet|pushover|rocket|rocketchat|signal|slack|smtp|teams|telegram|"
    r"tgram|webex|workflows|wxteams|xml|zulip)s?(?::/?(?!/)|//)",
    re.IGNORECASE,
)
_LONGEST_HOOK_SECONDS = 86400


def web_address(value: Any) -> Secret:
    """Return an http or https address as a `Secret`: such addresses often hold a token."""
    return Secret(such(hosts.is_web_address)(value))


def addresses(value: Any) -> tuple[Secret, ...]:
    """Return the notification addresses in a text or a list of texts, none twice.

    A text is parted as Apprise parts one: by blanks, commas and semicolons in front of the next `scheme://`.
    An address with a second one in it is refused: whichever service it belongs to would be sent the other's
    token. Only the value of a parameter (`?avatar_url=https://…`) may be an address.
    """
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
        raise ValueError
    found = [each for one in texts for each in _ADDRESS_GAP.split(one.strip().rstrip(",; "))]
    if not found or not all(_ADDRESS.fullmatch(each) for each in found):
        raise ValueError
    # A forgotten blank between two addresses is the usual cause.
    if any(_ADDRESS_AS_PARAMETER.sub("", each).count("://") > 1 for each in found):
        raise ValueError(
            "one address stands inside another, whose service would be sent its token; put a blank or a "
            "comma between the two, or write the inner :// as %3A%2F%2F"
        )
    if any(map(_MISTYPED_ADDRESS.search, found)):
        raise ValueError(
            "behind a comma stands what looks like a second address without its ://, and the service of the "
            "first would be sent its token; write it as scheme://…, or the comma as %2C"
        )
    if len(set(found)) < len(found):
        raise ValueError("it holds the same twice")
    return tuple(Secret(each) for each in found)


def hook(value: Any) -> Hook:
    """Return a hook: a text for `sh -c`, a list of program and arguments, or an object with a `run`."""
    given = value if isinstance(value, dict) else {"run": value}
    unknown = sorted(map(str, given.keys() - {"run", "in", "timeout"}))
    if unknown:
        raise ValueError(f"it has an unknown key {unknown[0][:30]!r}; it may have run, in and timeout")
    place = given.get("in", "host")
    if place not in ("host", "container"):
        raise ValueError('"in" is neither "host" nor "container"')
    try:
        timeout = within(seconds, 0, _LONGEST_HOOK_SECONDS, open_end=True)(given.get("timeout", 300))
    except ValueError:
        raise ValueError(
            'its "timeout" is not a time above 0 and of at most a day, such as 90s or 15m'
        ) from None
    return Hook(arguments(given.get("run")), place == "container", float(timeout))


def http_statuses(value: Any) -> tuple[tuple[int, int], ...]:
    """Return ranges of HTTP statuses, first and last: a number, or a text such as `200-299,401`."""
    return tuple(_status_range(part) for part in re.split(r"[\s,]+", str(value).strip()))


def _status_range(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?", text)
    if not found:
        raise ValueError
    first, last = int(found[1]), int(found[2] or found[1])
    if last < first:
        raise ValueError(f"{text} ends before it begins")
    return first, last


def probe_address(value: Any) -> str:
    """Return an http or https address that holds no login."""
    address = str(such(hosts.is_web_address)(value))
    # The address is part of messages, so a password in it would be too.
    if "@" in urlsplit(address).netloc:
        raise ValueError("a login stands in it, which would be written into log and journal; leave it out")
    return address


def zone(value: Any) -> str:
    """Return the name of a time zone that this machine knows."""
    name = text(value)
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = closest(name, zoneinfo.available_timezones())
        hint = f", the nearest is {near}" if near else ""
        raise ValueError(f"{name!r} is not a time zone this machine knows{hint}") from None
    return name


def api_token(value: Any) -> Secret:
    """Return a `Secret` for the API that nobody guesses, and that a header can carry (RFC 6750)."""
    if not isinstance(value, str):
        raise ValueError
    if not _API_TOKEN.fullmatch(value.strip()):
        raise ValueError(
            "it is too short, too long, or holds other characters than letters, digits and -._~+/="
        )
    return Secret(value.strip())


def public_url(value: Any) -> str:
    """Return the address of a server alone: scheme, host and port."""
    address: str = such(hosts.is_web_address)(value)
    parts = urlsplit(address.rstrip("/"))
    if parts.path or parts.query or parts.fragment or parts.username is not None:
        raise ValueError("it holds more than scheme, host and port")
    return parts.geturl()


def named(value: Any) -> Mapping[str, Any]:
    """Return an object whose keys are usable names."""
    if not isinstance(value, dict):
        raise ValueError
    if not all(isinstance(name, str) and re.fullmatch(TOKEN_NAME, name) for name in value):
        raise ValueError("a name in it is none; write at most 63 letters, digits, '.', '_' and '-'")
    return value


def engines(value: Any) -> Mapping[str, Any]:
    """Return an object whose keys are names of engines."""
    if not isinstance(value, dict):
        raise ValueError
    wrong = [name for name in value if not (isinstance(name, str) and re.fullmatch(ENGINE_NAME, name))]
    if wrong:
        raise ValueError(
            "a name in it is none; write letters, digits, '_' and '-', the first a letter or a digit"
        )
    return value


def path_map(value: Any) -> tuple[tuple[str, str], ...]:
    """Return the folders of an object whose keys and values are absolute paths."""
    if not isinstance(value, dict):
        raise ValueError
    found = []
    for inner, outer in value.items():
        if not all(isinstance(path, str) and path.startswith("/") for path in (inner, outer)):
            raise ValueError("each folder in it, and what it is on this host, must begin with /")
        # `/` becomes an empty prefix, which every path begins with.
        found.append((posixpath.normpath(inner).rstrip("/"), posixpath.normpath(outer).rstrip("/")))
    return tuple(found)


def engine_host(value: Any) -> str:
    """Return the address of an engine: `tcp://HOST:PORT`, or a socket of this machine."""
    if not isinstance(value, str):
        raise ValueError
    if value.startswith("ssh://"):
        tunnel = "ssh -nNT -L /run/engine.sock:/var/run/docker.sock USER@HOST"
        raise ValueError(
            f"an engine is not asked over ssh; write unix:///run/engine.sock, and keep `{tunnel}` running"
        )
    scheme, _, rest = value.partition("://")
    is_tcp = scheme == "tcp" and ":" in rest and hosts.is_host_with_port(rest)
    is_socket = scheme == "unix" and rest.startswith("/") and len(rest) > 1
    if not is_tcp and not is_socket:
        raise ValueError
    return value

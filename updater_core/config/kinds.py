"""The kinds of values that an option may have: what is read, what is said if it is wrong, and its JSON Schema. Pure.

`Kind.read` takes one value, from JSON or from a variable's text. It raises ValueError: without a text if the value is
simply not of its kind, with a sentence if more can be said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from updater_core import models, reference
from updater_core.config import readers
from updater_core.models import Bump, Discover, Follow, Mode
from updater_core.net import hosts
from updater_core.policy import patterns, ranges, windows
from updater_core.policy.operator.kinds import KINDS as ORDERS
from updater_core.vocabulary.handover import UpdateOrder

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value has to be. `noun` and `remedy` complete "… is not <noun>; write <remedy>".

    `schema` is what an editor can check of it: it may accept what `read` refuses, never the other way round.
    """

    noun: str
    remedy: str
    read: readers.Read
    schema: Schema
    secret: bool = False  # the value, right or wrong, is never shown
    is_path: bool = False  # relative and `~` paths are made absolute by the parser
    is_shells: bool = False  # a ${…} in it is for a shell to fill in, not for the parser


# ------------------------------------------------------------------------------------------------ the schema of a value

DEFINITIONS: Mapping[str, Schema] = {
    "variable": {
        "description": "A text that a variable is part of.",
        "type": "string",
        "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*\}",
    },
    "text": {
        "type": "string",
        "pattern": r"^[^\u0000-\u001f\u007f]*[^\s\u0000-\u001f\u007f][^\u0000-\u001f\u007f]*$",
    },
    "secret": {
        "description": "Best as ${NAME}: this file is easily shared.",
        "type": "string",
        "pattern": r"\S",
    },
    "address": {
        "description": "Best as ${NAME}: most addresses hold a password or a token.",
        "anyOf": [
            {
                "type": "string",
                "pattern": r"^\s*[A-Za-z][A-Za-z0-9+.-]*://\S+([\s,;]+[A-Za-z][A-Za-z0-9+.-]*://\S+)*[\s,;]*$",
            },
            {"$ref": "#/$defs/variable"},
        ],
    },
    "duration": {
        "description": "A number with a unit: s, m, h, d or w; seconds if there is none.",
        "type": "string",
        "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*[smhdw]?\s*$",
    },
    "flag": {"enum": ["true", "false", "yes", "no", "on", "off", "1", "0"]},
}


def _defined(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _any(*choices: Schema) -> Schema:
    """One of `choices`, or a text with a variable in it, whose value an editor does not know."""
    return {"anyOf": [*choices, _defined("variable")]}


def _pattern(pattern: str) -> Schema:
    return {"type": "string", "pattern": pattern}


def _enum(spellings: Iterable[str]) -> Schema:
    return {"enum": [*spellings]}


def _or_list(item: Schema, *, fewest: int = 1) -> Schema:
    least = {"minItems": fewest} if fewest else {}
    return {"anyOf": [item, {"type": "array", "items": item, **least, "uniqueItems": True}]}


# ------------------------------------------------------------------------------------------------------------ the kinds

DAY, YEAR = 86400, 366 * 86400
REGISTRY_TYPES = ("docker_hub", "ecr", "gcr", "generic")
REGISTRY_SPELLINGS: Mapping[str, str] = {
    **{name: name for name in REGISTRY_TYPES},
    **dict.fromkeys(("dockerhub", "docker-hub", "hub"), "docker_hub"),
    "aws": "ecr",
    **dict.fromkeys(("artifact_registry", "gar", "google"), "gcr"),
    **dict.fromkeys(("ghcr", "quay", "gitlab", "harbor", "oci", "registry"), "generic"),
}
LEVEL_SPELLINGS: Mapping[str, str] = {
    "debug": "DEBUG", "info": "INFO", "warn": "WARN", "warning": "WARN", "error": "ERROR",
}  # fmt: skip

_POSITIVE = "seconds above 0, at most {} (as a number, or as a text such as 90s, 15m or 1h)"
_FROM_ZERO = "seconds from 0 to {} (as a number, or as a text such as 90s, 72h, 3d or 2w)"


def duration(most: float, *, zero: bool = False) -> Kind:
    """Return the kind of a duration in seconds, at most `most`; 0 is one only if `zero`."""
    remedy = (_FROM_ZERO if zero else _POSITIVE).format(int(most))
    seconds = readers.within(readers.seconds, 0, most, open_end=not zero)
    number = {"type": "number", "minimum" if zero else "exclusiveMinimum": 0, "maximum": int(most)}
    return Kind("a duration", remedy, lambda value: float(seconds(value)), _any(number, _defined("duration")))


def _whole(noun: str, remedy: str, low: int, high: int) -> Kind:
    number = {"type": "integer", "minimum": low, "maximum": high}
    return Kind(noun, remedy, readers.within(readers.integer, low, high), _any(number, _pattern("^[0-9]{1,5}$")))


def _name(noun: str, remedy: str, pattern: str) -> Kind:
    return Kind(noun, remedy, readers.matching(pattern), _any(_pattern(f"^{pattern}$")))


def _choice(noun: str, remedy: str, spellings: Mapping[str, Any]) -> Kind:
    return Kind(noun, remedy, readers.one_of(spellings), _any(_enum(spellings)))


_TEXT = _defined("text")
_HOST_NAME = "[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?"
_EVENT = f"({'|'.join(models.KINDS)})"
_SERVICE_NAME = "[A-Za-z0-9._-]+"

FLAG = Kind("a yes or no", "true or false", readers.flag, _any({"type": "boolean"}, _defined("flag")))
TEXT = Kind("a text", "a text that is not empty, or leave the key out", readers.text, _TEXT)
SECRET = Kind(
    "a text",
    "a text that is not empty, best as ${VARIABLE}, or leave the key out",
    readers.secret,
    _defined("secret"),
    secret=True,
)
URL = Kind(
    "a web address",
    "one such as https://example.com/hook",
    readers.hidden(readers.web_address),
    _any(_pattern("^https?://[^ ]+$")),
    secret=True,
)
ADDRESSES = Kind(
    "a notification address or a list of them",
    "slack://…, mailto://… or another that Apprise knows",
    readers.addresses,
    _or_list(_defined("address")),
    secret=True,
)
EVENTS = Kind(
    "a kind of event or a list of them",
    f"one or more of {', '.join(models.KINDS)}",
    readers.many(readers.one_of({kind: kind for kind in models.KINDS}), between=r"[\s,]+"),
    _any(
        _pattern(rf"^\s*{_EVENT}([\s,]+{_EVENT})*\s*$"),
        _or_list(_any(_enum(models.KINDS)))["anyOf"][1],
    ),
)
PATH = Kind("a path", "the path of a file or folder", readers.text, _TEXT, is_path=True)
PATHS = Kind(
    "a path or a list of paths",
    "a path, or a list of different paths",
    readers.many(readers.text),
    _or_list(_TEXT),
    is_path=True,
)
LEVEL = Kind(
    "a log level",
    "DEBUG, INFO, WARN or ERROR",
    readers.one_of(LEVEL_SPELLINGS),
    _any(_enum(spelling.upper() for spelling in LEVEL_SPELLINGS)),
)
FORMAT = _choice("a log format", "plain or json", {"plain": "plain", "json": "json"})
SIDE_BY_SIDE = _whole("a whole number", "a whole number from 1 to 100", 1, 100)
COUNT = _whole("a whole number", "a whole number from 0 to 1000", 0, 1000)
PORT = _whole("a port", "a whole number from 1 to 65535, or leave it out for no metrics", 1, 65535)
HOST = Kind(
    "a host name or address",
    "one such as 127.0.0.1 or 0.0.0.0",
    readers.such(hosts.is_host),
    _any(_pattern(rf"^({_HOST_NAME}|\[?[0-9A-Fa-f:]*:[0-9A-Fa-f:]*\]?)$")),
)
HOSTS = Kind(
    "a host name or a list of them",
    "host or host:port (1 to 65535), with neither scheme nor path",
    readers.many(readers.such(hosts.is_host_with_port), fewest=0),
    _or_list(_any(_pattern(rf"^({_HOST_NAME}|\[[0-9A-Fa-f:]+\])(:[0-9]{{1,5}})?$")), fewest=0),
)
NAME = _name(
    "a usable name",
    "at most 63 letters, digits, '.', '_' and '-', the first a letter or a digit",
    "[A-Za-z0-9][A-Za-z0-9_.-]{0,62}",
)
IMAGE = Kind(
    "an image reference",
    "one such as nginx:1.27 or ghcr.io/acme/web:v1.4.2",
    readers.parsed(reference.parse),
    _any(_pattern(r"^[A-Za-z0-9\[][^\s$]*$")),
)
COMPOSE_SERVICES = Kind(
    "a Compose service or a list of them",
    "the names as they stand under `services:` in the file",
    readers.many(readers.matching(_SERVICE_NAME)),
    _or_list(_any(_pattern(f"^{_SERVICE_NAME}$"))),
)
PROJECT = _name(
    "a Compose project name",
    "lower case letters, digits, '_' and '-', the first a letter or a digit",
    "[a-z0-9][a-z0-9_-]*",
)
STACK = _name(
    "the name of a stack or a Swarm service",
    "letters, digits, '.', '_' and '-', the first a letter or a digit",
    "[A-Za-z0-9][A-Za-z0-9_.-]*",
)
ENGINE_NAME = _name(
    "the name of an engine",
    "letters, digits, '_' and '-', the first a letter or a digit",
    readers.ENGINE_NAME,
)
ENGINES = Kind(
    "an object",
    'an object with a name for each, such as {"prod": {"hosts": ["tcp://10.0.0.1:2376"]}}',
    readers.engines,
    {
        "type": "object",
        "propertyNames": _pattern(f"^{readers.ENGINE_NAME}$"),
        "additionalProperties": _defined("engine"),
    },
)
API_TOKEN = Kind(
    "a token for the API",
    "20 to 256 letters, digits and -._~+/=, best as ${VARIABLE}; `openssl rand -hex 32` makes one",
    readers.hidden(readers.api_token),
    _defined("secret"),
    secret=True,
)
API_TOKENS = Kind(
    "an object",
    'an object with a name for each, such as {"ci": {"token": "${CI_TOKEN}", "may": ["update"]}}',
    readers.named,
    {
        "type": "object",
        "propertyNames": _pattern(f"^{readers.TOKEN_NAME}$"),
        "additionalProperties": _defined("api_token"),
    },
)
API_RIGHTS = Kind(
    "an order or a list of them",
    f"one or more of {', '.join(ORDERS)}",
    readers.many(readers.one_of({kind: kind for kind in ORDERS}), fewest=0),
    _or_list(_any(_enum(ORDERS)), fewest=0),
)
PUBLIC_URL = Kind(
    "a web address without path",
    "one such as https://updates.example.com",
    readers.public_url,
    _any(_pattern("^https?://[^/?#@ ]+/?$")),
)
ENGINE_HOSTS = Kind(
    "an engine's address or a list of them",
    "tcp://HOST:PORT or unix:///PATH",
    readers.many(readers.engine_host),
    _or_list(_any(_pattern(r"^(tcp://[^/@ ]+:[0-9]{1,5}|unix:///[^ ]+)$"))),
)
PATH_MAP = Kind(
    "an object",
    'an object of absolute paths, such as {"/data/compose": "/srv/portainer/compose"}',
    readers.path_map,
    {"type": "object", "propertyNames": _pattern("^/"), "additionalProperties": _pattern("^/")},
)
REGISTRY_TYPE = _choice(
    "a registry type",
    "docker_hub, ecr, gcr or generic, or leave it out: the image's host decides",
    REGISTRY_SPELLINGS,
)
GLOB = Kind("a glob", "one such as staging-*", readers.checked(patterns.check_tag_pattern), _TEXT)
REGEX = Kind(
    "a regular expression", "one such as ^staging-[a-f0-9]{7}$", readers.checked(patterns.check_tag_regex), _TEXT
)
SEMVER = Kind(
    "a SemVer pattern",
    "plain text around one *, such as v* or v*-alpine",
    readers.checked(patterns.check_semver_pattern),
    _any(_pattern(r"^[^*]*\*[^*]*$")),
)
RANGE = Kind("a version range", "one such as >=1.4 <3 or ^2.1", readers.checked(ranges.check_range), _TEXT)
EXCLUDES = Kind(
    "a pattern or a list of them",
    "globs such as *-debug, or regexp: and a regular expression",
    readers.many(readers.checked(patterns.check_exclude), fewest=0),
    _or_list(_TEXT, fewest=0),
)
BUMP = _choice("a size of step", "patch, minor or major", {bump.value: bump for bump in Bump})
FOLLOW = _choice("a step to follow", "tag, patch, minor or major", {follow.value: follow for follow in Follow})
MODE = _choice("a mode", "auto, approve or notify", {mode.value: mode for mode in Mode})
GROUPING = _choice("a grouping of messages", "cycle or each", {name: name for name in ("cycle", "each")})
ORDER = _choice("an update order", "stop-first or start-first", {order.value: order for order in UpdateOrder})
ARGUMENTS = Kind(
    "a command",
    'a list of words such as ["/app/drain", "--now"], or a text for sh -c',
    readers.arguments,
    {"anyOf": [_TEXT, {"type": "array", "items": {"type": "string"}, "minItems": 1}]},
)
PLATFORM = _name(
    "a platform", "os/architecture such as linux/amd64 or linux/arm64/v8", "[a-z0-9]+/[a-z0-9_]+(/[a-z0-9]+)?"
)
WINDOWS = Kind(
    "a maintenance window",
    "HH:MM-HH:MM, several with commas, days in front: sat 23:00-02:30",
    readers.parsed(windows.parse_windows),
    _any(_pattern("[0-9]{1,2}:[0-9]{2}")),
)
ZONE = Kind(
    "a time zone",
    "an IANA name such as Europe/Berlin or UTC",
    readers.zone,
    _any(_pattern("^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$")),
)
_PROGRAM: Schema = {
    "anyOf": [
        {"type": "string", "pattern": r"\S"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
    ]
}
_DURATION: Schema = {"anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": DAY}, _defined("duration")]}
HOOK = Kind(
    "a hook",
    'a program with its arguments such as ["/usr/local/bin/backup", "web"], a text for `sh -c`, or an object with run, '
    "in and timeout",
    readers.hook,
    {
        "anyOf": [
            *_PROGRAM["anyOf"],
            {
                "type": "object",
                "required": ["run"],
                "additionalProperties": False,
                "properties": {"run": _PROGRAM, "in": _enum(["host", "container"]), "timeout": _DURATION},
            },
        ]
    },
    is_shells=True,
)
PROBE = Kind(
    "a web address",
    "one such as http://127.0.0.1:8080/health",
    readers.probe_address,
    _any(_pattern("^https?://[^ @]+$")),
)
STATUSES = Kind(
    "HTTP statuses",
    "one or more of 100 to 599, such as 200, 200-299 or 200-204,401",
    readers.http_statuses,
    _any(
        {"type": "integer", "minimum": 100, "maximum": 599}, _pattern(r"^\s*[1-5][0-9]{2}([-\s,]+[1-5][0-9]{2})*\s*$")
    ),
)
DISCOVER = _choice("a way to discover", "off, labelled or all", {mode.value: mode for mode in Discover})
GLOBS = Kind(
    "a glob or a list of them",
    "globs such as traefik or staging/*, in one text with commas between",
    readers.many(readers.text, between=r"[\s,]+"),
    _or_list(_TEXT),
)
DEFAULTS = Kind("an object", "an object with keys of a service", readers.instance(dict), _defined("defaults"))
SERVICES = Kind(
    "a list",
    "a list of objects, one for each service",
    readers.instance(list),
    {"type": "array", "items": _defined("service")},
)
SIGNATURE = Kind("an object", "an object with public_key", readers.instance(dict), _defined("signature"))
TABLE = Kind("an object", "an object with the registry's keys", readers.instance(dict), _defined("registry_config"))

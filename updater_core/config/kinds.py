"""The kinds of values of our own options, beside the plain ones of `vocabulary.options.kinds`. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from updater_core import models, reference
from updater_core.config import readers
from updater_core.models import Bump, Discover, Follow, Mode
from updater_core.net import hosts
from updater_core.policy import patterns, ranges, windows
from updater_core.policy.operator.kinds import KINDS as ORDERS
from updater_core.vocabulary.options import plain
from updater_core.vocabulary.options.kinds import DAY as DAY  # all kinds are known under this place
from updater_core.vocabulary.options.kinds import (
    ENGINE_NAME,
    PLAIN_TEXT,
    any_of,
    defined,
    enum,
    or_list,
    pattern,
    whole,
    word,
)
from updater_core.vocabulary.options.kinds import FLAG as FLAG
from updater_core.vocabulary.options.kinds import NAME as NAME
from updater_core.vocabulary.options.kinds import PATH as PATH
from updater_core.vocabulary.options.kinds import PATHS as PATHS
from updater_core.vocabulary.options.kinds import SECRET as SECRET
from updater_core.vocabulary.options.kinds import TEXT as TEXT
from updater_core.vocabulary.options.kinds import YEAR as YEAR
from updater_core.vocabulary.options.kinds import choice as choice
from updater_core.vocabulary.options.kinds import duration as duration
from updater_core.vocabulary.options.option import Kind, Schema

LEVEL_SPELLINGS: Mapping[str, str] = {
    "debug": "DEBUG", "info": "INFO", "warn": "WARN", "warning": "WARN", "error": "ERROR",
}  # fmt: skip

_HOST_NAME = "[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?"
_EVENT = f"({'|'.join(models.KINDS)})"

URL = Kind(
    "a web address",
    "one such as https://example.com/hook",
    plain.hidden(readers.web_address),
    any_of(pattern("^https?://[^ ]+$")),
    secret=True,
)
ADDRESSES = Kind(
    "a notification address or a list of them",
    "slack://…, mailto://… or another that Apprise knows",
    readers.addresses,
    or_list(defined("address")),
    secret=True,
)
EVENTS = Kind(
    "a kind of event or a list of them",
    f"one or more of {', '.join(models.KINDS)}",
    plain.many(plain.one_of({kind: kind for kind in models.KINDS}), between=r"[\s,]+"),
    any_of(
        pattern(rf"^\s*{_EVENT}([\s,]+{_EVENT})*\s*$"),
        or_list(any_of(enum(models.KINDS)))["anyOf"][1],
    ),
)
LEVEL = Kind(
    "a log level",
    "DEBUG, INFO, WARN or ERROR",
    plain.one_of(LEVEL_SPELLINGS),
    any_of(enum(spelling.upper() for spelling in LEVEL_SPELLINGS)),
)
FORMAT = choice("a log format", "plain or json", {"plain": "plain", "json": "json"})
SIDE_BY_SIDE = whole("a whole number", "a whole number from 1 to 100", 1, 100)
COUNT = whole("a whole number", "a whole number from 0 to 1000", 0, 1000)
PORT = whole("a port", "a whole number from 1 to 65535, or leave it out for no metrics", 1, 65535)
HOST = Kind(
    "a host name or address",
    "one such as 127.0.0.1 or 0.0.0.0",
    plain.such(hosts.is_host),
    any_of(pattern(rf"^({_HOST_NAME}|\[?[0-9A-Fa-f:]*:[0-9A-Fa-f:]*\]?)$")),
)
HOSTS = Kind(
    "a host name or a list of them",
    "host or host:port (1 to 65535), with neither scheme nor path",
    plain.many(plain.such(hosts.is_host_with_port), fewest=0),
    or_list(any_of(pattern(rf"^({_HOST_NAME}|\[[0-9A-Fa-f:]+\])(:[0-9]{{1,5}})?$")), fewest=0),
)
IMAGE = Kind(
    "an image reference",
    "one such as nginx:1.27 or ghcr.io/acme/web:v1.4.2",
    plain.parsed(reference.parse),
    any_of(pattern(r"^[A-Za-z0-9\[][^\s$]*$")),
)
ENGINES = Kind(
    "an object",
    'an object with a name for each, such as {"prod": {"hosts": ["tcp://10.0.0.1:2376"]}}',
    readers.engines,
    {
        "type": "object",
        "propertyNames": pattern(f"^{ENGINE_NAME}$"),
        "additionalProperties": defined("engine"),
    },
)
API_TOKEN = Kind(
    "a token for the API",
    "20 to 256 letters, digits and -._~+/=, best as ${VARIABLE}; `openssl rand -hex 32` makes one",
    plain.hidden(readers.api_token),
    defined("secret"),
    secret=True,
)
API_TOKENS = Kind(
    "an object",
    'an object with a name for each, such as {"ci": {"token": "${CI_TOKEN}", "may": ["update"]}}',
    readers.named,
    {
        "type": "object",
        "propertyNames": pattern(f"^{readers.TOKEN_NAME}$"),
        "additionalProperties": defined("api_token"),
    },
)
API_RIGHTS = Kind(
    "an order or a list of them",
    f"one or more of {', '.join(ORDERS)}",
    plain.many(plain.one_of({kind: kind for kind in ORDERS}), fewest=0),
    or_list(any_of(enum(ORDERS)), fewest=0),
)
PUBLIC_URL = Kind(
    "a web address without path",
    "one such as https://updates.example.com",
    readers.public_url,
    any_of(pattern("^https?://[^/?#@ ]+/?$")),
)
ENGINE_HOSTS = Kind(
    "an engine's address or a list of them",
    "tcp://HOST:PORT or unix:///PATH",
    plain.many(readers.engine_host),
    or_list(any_of(pattern(r"^(tcp://[^/@ ]+:[0-9]{1,5}|unix:///[^ ]+)$"))),
)
PATH_MAP = Kind(
    "an object",
    'an object of absolute paths, such as {"/data/compose": "/srv/portainer/compose"}',
    readers.path_map,
    {"type": "object", "propertyNames": pattern("^/"), "additionalProperties": pattern("^/")},
)
GLOB = Kind("a glob", "one such as staging-*", plain.checked(patterns.check_tag_pattern), PLAIN_TEXT)
REGEX = Kind(
    "a regular expression",
    "one such as ^staging-[a-f0-9]{7}$",
    plain.checked(patterns.check_tag_regex),
    PLAIN_TEXT,
)
SEMVER = Kind(
    "a SemVer pattern",
    "plain text around one *, such as v* or v*-alpine",
    plain.checked(patterns.check_semver_pattern),
    any_of(pattern(r"^[^*]*\*[^*]*$")),
)
RANGE = Kind("a version range", "one such as >=1.4 <3 or ^2.1", plain.checked(ranges.check_range), PLAIN_TEXT)
EXCLUDES = Kind(
    "a pattern or a list of them",
    "globs such as *-debug, or regexp: and a regular expression",
    plain.many(plain.checked(patterns.check_exclude), fewest=0),
    or_list(PLAIN_TEXT, fewest=0),
)
BUMP = choice("a size of step", "patch, minor or major", {bump.value: bump for bump in Bump})
FOLLOW = choice("a step to follow", "tag, patch, minor or major", {follow.value: follow for follow in Follow})
MODE = choice("a mode", "auto, approve or notify", {mode.value: mode for mode in Mode})
GROUPING = choice("a grouping of messages", "cycle or each", {name: name for name in ("cycle", "each")})
PLATFORM = word(
    "a platform", "os/architecture such as linux/amd64 or linux/arm64/v8", "[a-z0-9]+/[a-z0-9_]+(/[a-z0-9]+)?"
)
WINDOWS = Kind(
    "a maintenance window",
    "HH:MM-HH:MM, several with commas, days in front: sat 23:00-02:30",
    plain.parsed(windows.parse_windows),
    any_of(pattern("[0-9]{1,2}:[0-9]{2}")),
)
ZONE = Kind(
    "a time zone",
    "an IANA name such as Europe/Berlin or UTC",
    readers.zone,
    any_of(pattern("^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$")),
)
_PROGRAM: Schema = {
    "anyOf": [
        {"type": "string", "pattern": r"\S"},
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
    ]
}
_DURATION: Schema = {
    "anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": DAY}, defined("duration")]
}
HOOK = Kind(
    "a hook",
    'a program with its arguments such as ["/usr/local/bin/backup", "web"], a text for `sh -c`, or an '
    "object with run, "
    "in and timeout",
    readers.hook,
    {
        "anyOf": [
            *_PROGRAM["anyOf"],
            {
                "type": "object",
                "required": ["run"],
                "additionalProperties": False,
                "properties": {"run": _PROGRAM, "in": enum(["host", "container"]), "timeout": _DURATION},
            },
        ]
    },
    is_shells=True,
)
PROBE = Kind(
    "a web address",
    "one such as http://127.0.0.1:8080/health",
    readers.probe_address,
    any_of(pattern("^https?://[^ @]+$")),
)
STATUSES = Kind(
    "HTTP statuses",
    "one or more of 100 to 599, such as 200, 200-299 or 200-204,401",
    readers.http_statuses,
    any_of(
        {"type": "integer", "minimum": 100, "maximum": 599},
        pattern(r"^\s*[1-5][0-9]{2}([-\s,]+[1-5][0-9]{2})*\s*$"),
    ),
)
DISCOVER = choice("a way to discover", "off, labelled or all", {mode.value: mode for mode in Discover})
GLOBS = Kind(
    "a glob or a list of them",
    "globs such as traefik or staging/*, in one text with commas between",
    plain.many(plain.text, between=r"[\s,]+"),
    or_list(PLAIN_TEXT),
)
DEFAULTS = Kind("an object", "an object with keys of a service", plain.instance(dict), defined("defaults"))
SERVICES = Kind(
    "a list",
    "a list of objects, one for each service",
    plain.instance(list),
    {"type": "array", "items": defined("service")},
)
SIGNATURE = Kind("an object", "an object with public_key", plain.instance(dict), defined("signature"))
TABLE = Kind(
    "an object", "an object with the registry's keys", plain.instance(dict), defined("registry_config")
)

"""Every option there is: its key, kind, default, variable and meaning, in one table. Pure.

The table is the single truth for the parser, the JSON Schema and the README (tests hold them together). A `Kind` reads
one value, from JSON or from a variable's text, and raises ValueError: without a text where the value is simply not of
its kind, with a sentence where more can be said.
"""

from __future__ import annotations

import difflib
import re
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from updater_core import models, reference
from updater_core.models import Bump, Mode, Secret
from updater_core.net import hosts
from updater_core.policy import select, windows

Read = Callable[[Any], Any]
TOP, SERVICE, REGISTRY = "top", "service", "registry_config"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value has to be. `noun` and `remedy` complete "… is not <noun>; write <remedy>"."""

    noun: str
    remedy: str
    read: Read
    secret: bool = False  # the value, right or wrong, is never shown
    is_path: bool = False  # relative and `~` paths are made absolute by the parser


@dataclass(frozen=True, slots=True)
class Field:
    """One option. `default` is as it would stand in JSON, None = none; `variable` is the one that beats the file."""

    where: str  # top | service | registry_config
    key: str
    kind: Kind
    default: Any
    description: str
    variable: str | None = None
    required: bool = False


# ---------------------------------------------------------------------------------------------------- reading a value

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"\s*(-?[0-9]+(?:\.[0-9]+)?)\s*([smhdw]?)\s*")
_INTEGER = re.compile(r"\s*(-?[0-9]{1,18})\s*")
_FLAGS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def _seconds(value: Any) -> float:
    if isinstance(value, str):
        found = _DURATION.fullmatch(value)
        if not found:
            raise ValueError
        return float(found[1]) * _UNITS[found[2] or "s"]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError
    return value


def _integer(value: Any) -> int:
    if isinstance(value, str):
        found = _INTEGER.fullmatch(value)
        if not found:
            raise ValueError
        return int(found[1])
    if isinstance(value, float) and value.is_integer():  # JSON knows one kind of number: 5.0 is 5
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError
    return value


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or value.strip().lower() not in _FLAGS:
        raise ValueError
    return _FLAGS[value.strip().lower()]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    if not value.strip():
        raise ValueError("it is empty")
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError("it holds a control character or a line break")
    return _writable(value)


def _writable(text: str) -> str:
    """The text; ValueError where it holds half a character, which no file, path or request can take."""
    try:
        text.encode("utf-8", "surrogateescape")  # bytes of a variable that are no UTF-8 come as such
    except UnicodeEncodeError:
        raise ValueError("it holds half a character (such as \\ud800)") from None
    return text


def _secret(value: Any) -> Secret:
    if not isinstance(value, str):
        raise ValueError
    if not value.strip():
        raise ValueError("it is empty")
    return Secret(_writable(value))


def _hidden(read: Read) -> Read:
    def hidden(value: Any) -> Any:
        try:
            return read(value)
        except ValueError:
            raise ValueError from None

    return hidden


def _within(read: Callable[[Any], float], low: float, high: float, *, open_end: bool = False) -> Read:
    def bounded(value: Any) -> float:
        number = read(value)
        if not (low < number <= high if open_end else low <= number <= high):  # NaN is in no range
            raise ValueError(f"{str(value)[:30]} is out of range")
        return number

    return bounded


def _one_of(spellings: Mapping[str, Any]) -> Read:
    def one(value: Any) -> Any:
        if not isinstance(value, str) or value.strip().lower() not in spellings:
            raise ValueError
        return spellings[value.strip().lower()]

    return one


def _matching(pattern: str) -> Read:
    return _such(lambda text: re.fullmatch(pattern, text) is not None)


def _such(is_good: Callable[[str], bool]) -> Read:
    def such(value: Any) -> str:
        if not is_good(_text(value)):
            raise ValueError
        return str(value)

    return such


def _web_address(value: Any) -> Secret:
    return Secret(_such(hosts.is_web_address)(value))


def _checked(check: Callable[[str], str | None]) -> Read:
    def checked(value: Any) -> str:
        problem = check(_text(value))
        if problem:
            raise ValueError(problem)
        return str(value)

    return checked


def _many(read: Read, *, fewest: int = 1, between: str = "") -> Read:
    def many(value: Any) -> tuple[Any, ...]:  # `between` parts one text, as it must in a variable
        items = (re.split(between, value.strip()) if between else [value]) if isinstance(value, str) else value
        if not isinstance(items, list):
            raise ValueError
        if len(items) < fewest:
            raise ValueError("it is empty")
        found = tuple(read(item) for item in items)
        if len(set(found)) < len(found):
            raise ValueError("it holds the same twice")
        return found

    return many


def _zone(value: Any) -> str:
    text = _text(value)
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = difflib.get_close_matches(text, sorted(zoneinfo.available_timezones()), 1)
        hint = f", the nearest is {near[0]}" if near else ""
        raise ValueError(f"{text!r} is not a time zone this machine knows{hint}") from None
    return text


def _parsed(parse: Callable[[str], Any]) -> Read:
    return lambda value: parse(_text(value))


def _instance(kind: type) -> Read:
    def instance(value: Any) -> Any:
        if not isinstance(value, kind):
            raise ValueError
        return value

    return instance


# ------------------------------------------------------------------------------------------------------------ the kinds

_DAY, _YEAR = 86400, 366 * 86400
_ADDRESS = _matching(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
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


def _duration(high: float, *, zero: bool = False) -> Kind:
    remedy = (_FROM_ZERO if zero else _POSITIVE).format(int(high))
    seconds = _within(_seconds, 0, high, open_end=not zero)
    return Kind("a duration", remedy, lambda value: float(seconds(value)))


FLAG = Kind("a yes or no", "true or false", _flag)
TEXT = Kind("a text", "a text that is not empty, or leave the key out", _text)
SECRET = Kind("a text", "a text that is not empty, best as ${VARIABLE}, or leave the key out", _secret, secret=True)
URL = Kind("a web address", "one such as https://example.com/hook", _hidden(_web_address), secret=True)
ADDRESSES = Kind("a notification address or a list of them", "slack://…, mailto://… or another that Apprise knows",
                 _many(_hidden(lambda value: Secret(_ADDRESS(value))), between=r"\s+"), secret=True)  # fmt: skip
EVENTS = Kind("a kind of event or a list of them", f"one or more of {', '.join(models.KINDS)}",
              _many(_one_of({kind: kind for kind in models.KINDS}), between=r"[\s,]+"))  # fmt: skip
PATH = Kind("a path", "the path of a file or folder", _text, is_path=True)
PATHS = Kind("a path or a list of paths", "a path, or a list of different paths", _many(_text), is_path=True)
LEVEL = Kind("a log level", "DEBUG, INFO, WARN or ERROR", _one_of(LEVEL_SPELLINGS))
FORMAT = Kind("a log format", "plain or json", _one_of({"plain": "plain", "json": "json"}))
COUNT = Kind("a whole number", "a whole number from 0 to 1000", _within(_integer, 0, 1000))
PORT = Kind("a port", "a whole number from 1 to 65535, or leave it out for no metrics", _within(_integer, 1, 65535))
HOST = Kind("a host name or address", "one such as 127.0.0.1 or 0.0.0.0",
            _such(hosts.is_host))  # fmt: skip
HOSTS = Kind("a host name or a list of them", "host or host:port (1 to 65535), with neither scheme nor path",
             _many(_such(hosts.is_host_with_port), fewest=0))  # fmt: skip
NAME = Kind("a usable name", "at most 63 letters, digits, '.', '_' and '-', the first a letter or a digit",
            _matching(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"))  # fmt: skip
IMAGE = Kind("an image reference", "one such as nginx:1.27 or ghcr.io/acme/web:v1.4.2", _parsed(reference.parse))
COMPOSE_SERVICES = Kind("a Compose service or a list of them", "the names as they stand under `services:` in the file",
                        _many(_matching(r"[A-Za-z0-9._-]+")))  # fmt: skip
PROJECT = Kind("a Compose project name", "lower case letters, digits, '_' and '-', the first a letter or a digit",
               _matching(r"[a-z0-9][a-z0-9_-]*"))  # fmt: skip
REGISTRY_TYPE = Kind("a registry type", "docker_hub, ecr, gcr or generic, or leave it out: the image's host decides",
                     _one_of(REGISTRY_SPELLINGS))  # fmt: skip
GLOB = Kind("a glob", "one such as staging-*", _checked(select.check_tag_pattern))
REGEX = Kind("a regular expression", "one such as ^staging-[a-f0-9]{7}$", _checked(select.check_tag_regex))
SEMVER = Kind("a SemVer pattern", "plain text around one *, such as v* or v*-alpine",
              _checked(select.check_semver_pattern))  # fmt: skip
RANGE = Kind("a version range", "one such as >=1.4 <3 or ^2.1", _checked(select.check_range))
EXCLUDES = Kind("a pattern or a list of them", "globs such as *-debug, or regexp: and a regular expression",
                _many(_checked(select.check_exclude), fewest=0))  # fmt: skip
BUMP = Kind("a size of step", "patch, minor or major", _one_of({bump.value: bump for bump in Bump}))
MODE = Kind("a mode", "auto or notify", _one_of({mode.value: mode for mode in Mode}))
PLATFORM = Kind("a platform", "os/architecture such as linux/amd64 or linux/arm64/v8",
                _matching(r"[a-z0-9]+/[a-z0-9_]+(?:/[a-z0-9]+)?"))  # fmt: skip
WINDOWS = Kind("a maintenance window", "HH:MM-HH:MM, several with commas, days in front: sat 23:00-02:30",
               _parsed(windows.parse_windows))  # fmt: skip
ZONE = Kind("a time zone", "an IANA name such as Europe/Berlin or UTC", _zone)
SERVICES = Kind("a list", "a list of objects, one for each service", _instance(list))
TABLE = Kind("an object", "an object with the registry's keys", _instance(dict))

# ------------------------------------------------------------------------------------------------------------ the table


def _top(key: str, kind: Kind, default: Any, description: str) -> Field:
    return Field(TOP, key, kind, default, description, variable=key.upper())


def _service(key: str, kind: Kind, default: Any, description: str, *, required: bool = False) -> Field:
    return Field(SERVICE, key, kind, default, description, required=required)


def _registry(key: str, kind: Kind, default: Any, description: str) -> Field:
    return Field(REGISTRY, key, kind, default, description)


FIELDS: tuple[Field, ...] = (
    Field(TOP, "services", SERVICES, None, "The services to keep up to date, one object each.", required=True),
    _top("check_interval", _duration(30 * _DAY), 3600, "Seconds from one check to the next."),
    _top("health_timeout", _duration(_DAY), 180, "Seconds a new container may take to become healthy."),
    _top("health_stable", _duration(_DAY, zero=True), 10, "Seconds it must then stay up without a restart."),
    _top("compose_timeout", _duration(_DAY), 120, "Seconds one Compose command may take."),
    _top("log_level", LEVEL, "INFO", "The least serious message that is logged."),
    _top("log_format", FORMAT, "plain", "plain for people, json for log collectors."),
    _top("log_file", PATH, "/var/log/docker-auto-updater/docker_updater.log", "The log file; it rotates itself."),
    _top("state_file", PATH, "/var/lib/docker-auto-updater/updater_state.json",
         "Where the updater keeps what it remembers between checks."),
    _top("state_backups", COUNT, 5, "How many older copies of the state are kept."),
    _top("state_backup_dir", PATH, None, "The folder of those copies; left out, they lie beside the state file."),
    _top("metrics_port", PORT, None, "The port that Prometheus reads; left out, nothing listens."),
    _top("metrics_host", HOST, "127.0.0.1", "The address on which the metrics port listens."),
    _top("webhook_url", URL, None, "The address that is told of every update and rollback."),
    _top("webhook_secret", SECRET, None, "The key that signs those messages, so that the receiver can trust them."),
    _top("notify_urls", ADDRESSES, None, "Chats, mailboxes and phones that are told too, as addresses of Apprise."),
    _top("notify_events", EVENTS, "update,rollback",
         "What is told of; available, failed and recovered are told on request."),
    _top("maintenance_window", WINDOWS, None, "When updates may happen; left out, at any time. Checks never stop."),
    _top("timezone", ZONE, None, "The time zone of the maintenance windows; left out, the machine's own."),
    _top("pause_updates", FLAG, False, "Checks go on, but no update is made."),
    _top("docker_hub_username", TEXT, None, "The Docker Hub account for services that name none of their own."),
    _top("docker_hub_password", SECRET, None, "That account's password or, better, an access token."),

    _service("name", NAME, None, "The name of this entry in logs, status and metrics.", required=True),
    _service("image", IMAGE, None, "The image as the Compose file has it.", required=True),
    _service("compose_file", PATHS, None, "The Compose file, or a list where the project is started with several.",
             required=True),
    _service("compose_service", COMPOSE_SERVICES, None,
             "The Compose service, or a list of services that run one image and are updated as one.", required=True),
    _service("compose_project", PROJECT, None, "The Compose project, needed where one file runs under several names."),
    _service("registry_type", REGISTRY_TYPE, None, "The kind of registry; left out, the image's host decides."),
    _service("registry_config", TABLE, None, "Credentials and settings for this service's registry."),
    _service("enabled", FLAG, True, "false leaves the service alone."),
    _service("tag_pattern", GLOB, None, "Follow the tag pushed last among those this glob matches."),
    _service("tag_regex", REGEX, None,
             "Follow the tag pushed last among those this matches as a whole; a group called version or compare orders "
             "them instead."),
    _service("semver_pattern", SEMVER, None, "Follow the highest version among the tags this matches."),
    _service("semver_range", RANGE, None, "The versions that are allowed."),
    _service("max_bump", BUMP, "major", "The largest step from the current version that is taken."),
    _service("allow_prerelease", FLAG, False, "Versions such as 2.0.0-rc.1 count too."),
    _service("tag_exclude", EXCLUDES, [], "Tags that are never taken: globs, or regular expressions after regexp:."),
    _service("min_age", _duration(10 * _YEAR, zero=True), 0, "How old a release must be before it is taken."),
    _service("allow_downgrade", FLAG, False, "A version or push older than the current one may be taken."),
    _service("pin_digest", FLAG, False, "Write the digest behind the tag into the Compose file."),
    _service("mode", MODE, "auto", "auto updates; notify only tells that there is something new."),
    _service("health_timeout", _duration(_DAY), None, "As the global key, for this service."),
    _service("health_stable", _duration(_DAY, zero=True), None, "As the global key, for this service."),
    _service("start_stopped", FLAG, False, "Update and start the service even where it is stopped."),
    _service("allow_drift", FLAG, False, "Update even where the Compose file was changed since it was last applied."),
    _service("platform", PLATFORM, None, "The platform of the image; left out, the engine's own."),
    _service("maintenance_window", WINDOWS, None, "When this service may be updated, in place of the global window."),
    _service("timezone", ZONE, None, "The time zone of this service's window; left out, the global one."),
    _service("pause_updates", FLAG, False, "Checks go on, but this service is not updated."),

    _registry("username", TEXT, None, "The account at this registry."),
    _registry("password", SECRET, None, "That account's password or, better, an access token."),
    _registry("insecure_http", FLAG, False, "Speak http to this registry, where it offers no https."),
    _registry("token_realm_hosts", HOSTS, [],
              "Further hosts that may be given this registry's credentials, where its tokens come from elsewhere."),
    _registry("region", TEXT, None, "ECR: the region, where the image's host does not name it."),
    _registry("aws_access_key_id", TEXT, None, "ECR: a static access key; a role is better."),
    _registry("aws_secret_access_key", SECRET, None, "ECR: the secret that belongs to the access key."),
    _registry("aws_session_token", SECRET, None, "ECR: the session token of temporary keys."),
    _registry("aws_profile", TEXT, None, "ECR: a profile of the AWS configuration files."),
    _registry("project_id", TEXT, None, "Google: the project, where it is not the one of the credentials."),
    _registry("service_account_path", PATH, None, "Google: the service account's JSON key file."),
)  # fmt: skip

BY_PLACE: Mapping[str, Mapping[str, Field]] = {
    where: {field.key: field for field in FIELDS if field.where == where} for where in (TOP, SERVICE, REGISTRY)
}

"""The configuration: from a file, a `.env` and the environment to one `Config`, or to every problem at once.

The environment beats `.env`, `.env` beats the file, the file beats the defaults; an empty variable counts as not set.
The options themselves stand in `config.options`. Only `load`, `read_environment` and `default_dotenv_path` touch the
disk.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from dotenv.parser import Binding, parse_stream

from updater_core.config.messages import instead, problem, shown, shown_key
from updater_core.config.options import BY_PLACE, REGISTRY, SELECTORS, SERVICE, TOP, Option
from updater_core.errors import ConfigError
from updater_core.models import Config, Follow, ServiceConfig, Settings
from updater_core.net.url_rules import is_loopback
from updater_core.reference import HUB, host_type

DEFAULT_PATH = "/etc/docker-auto-updater/updater_config.json"
_Record = TypeVar("_Record")
_EDITORS_KEYS = ("$schema",)
_TWICE = object()  # under this key, which no JSON can hold, `load` hands `parse` the keys that an object repeats
_VENDOR = re.compile(
    r"(?:AWS|GOOGLE)_\w+|(?:HTTPS?|NO)_PROXY|(?:https?|no)_proxy|SSL_CERT_FILE|(?:REQUESTS|CURL)_CA_BUNDLE"
    r"|DOCKER_(?:HOST|CONTEXT|CONFIG|TLS|TLS_VERIFY|CERT_PATH)"
)

# ------------------------------------------------------------------------------------------------ files and variables


def default_config_path(environment: Mapping[str, str]) -> Path:
    """Return `CONFIG_FILE`, or the path to which the installer writes the file."""
    return Path(environment.get("CONFIG_FILE") or DEFAULT_PATH)


def default_dotenv_path(config_path: Path, environment: Mapping[str, str]) -> Path | None:
    """Return the path of the `.env` beside the configuration file; None if there is none.

    Without `CONFIG_FILE`, the one in the working directory is the second choice.
    """
    folders = [config_path.parent] if environment.get("CONFIG_FILE") else [config_path.parent, Path()]
    return next((folder / ".env" for folder in folders if _is_there(folder / ".env")), None)


def read_environment(environment: Mapping[str, str], dotenv: Path | None) -> dict[str, str]:
    """Return the variables of `dotenv` (nothing in it is interpolated), overlaid by those of the environment.

    A file that is not there counts as empty. Raises ConfigError with every line that is no assignment.
    """
    if dotenv is None or not _is_there(dotenv):
        return dict(environment)
    text = _file_text(dotenv, "let the updater's user read it, or take it away")
    bindings = list(parse_stream(io.StringIO(text)))
    wrong = [binding for binding in bindings if _sets_nothing(binding)]
    if wrong:
        raise ConfigError([f"{dotenv}: line {_line(b)} sets nothing; write NAME=value, quotes closed" for b in wrong])
    keyed = [(binding.key, binding.value) for binding in bindings if binding.key is not None]
    return {key: value for key, value in keyed if value is not None} | dict(environment)


def _sets_nothing(binding: Binding) -> bool:
    return binding.error or (binding.key is not None and binding.value is None)


def vendor_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that libraries read from the process: AWS, Google, proxies, certificates, the engine."""
    return {name: value for name, value in environment.items() if value and _VENDOR.fullmatch(name)}


def load(path: Path, environment: Mapping[str, str]) -> Config:
    """Return the configuration in the file `path`. Raises ConfigError, also if it cannot be read or is no JSON."""
    place = path.absolute()  # not resolved: the file's paths start beside the path that was given, which may be a link
    text = _file_text(place, "copy updater_config.json there, or name your file with CONFIG_FILE")
    try:
        raw = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        at = f"{place}: line {error.lineno}, column {error.colno}"
        raise ConfigError([f"{at}: not JSON ({error.msg}); fix it there or just before"]) from None
    except (ValueError, RecursionError):
        raise ConfigError([f"{place}: a number or a nesting beyond all bounds; write a plain configuration"]) from None
    return parse(raw, environment, str(place))


def _object(pairs: list[tuple[str, Any]]) -> dict[Any, Any]:
    keys = [key for key, _ in pairs]
    repeated = sorted({key for key in keys if keys.count(key) > 1}) if len(set(keys)) < len(keys) else []
    return {**dict(pairs), **({_TWICE: repeated} if repeated else {})}


def _file_text(path: Path, remedy: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: not UTF-8 text; save it as UTF-8"]) from None
    except PermissionError as error:
        raise ConfigError([f"{path}: {error.strerror}; run it with sudo, or let your user into its group"]) from error
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror or error}; {remedy}"]) from error


def _is_there(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - Path.exists would raise for a folder that we may not enter


def _line(binding: Binding) -> int:
    """Return the line of the text itself: python-dotenv counts from the blank lines before it."""
    blank = re.match(r"\s*", binding.original.string)
    return binding.original.line + len(re.findall(r"\r\n|\n|\r", blank[0] if blank else ""))


# ------------------------------------------------------------------------------------------------------------ reading


@dataclass(frozen=True, slots=True)
class _Object:
    """One object of the document, read: `at` is its path, `given` the keys that were set, right or wrong."""

    at: str
    values: Mapping[str, Any]
    given: frozenset[str] = frozenset()

    def path(self, key: str) -> str:
        return f"{self.at}.{key}" if self.at else key


def parse(raw: Any, environment: Mapping[str, str], path: str = "") -> Config:
    """Return the configuration in the JSON value `raw`. Relative paths start beside its file, the absolute `path`.

    Raises ConfigError with every problem: `services[2].tag_regex: what is wrong; what to write instead`, or
    `CHECK_INTERVAL: …` if the value comes from a variable.
    """
    reading = _Reading(environment, Path(path).parent)
    top = reading.object(raw, TOP, "")
    entries = [reading.entry(item, f"services[{index}]") for index, item in enumerate(top.values["services"] or ())]
    reading.problems += [*_pair_problems(top, "docker_hub_username", "docker_hub_password")]
    for service, registry in entries:
        reading.problems += [*_selection_problems(service, top), *_registry_problems(service, registry)]
    reading.problems += [*_twin_names(entries), *_twin_groups(entries)]
    if reading.problems:
        raise ConfigError(reading.problems)
    services = tuple(_service(service, registry, top) for service, registry in entries)
    return Config(_settings(top), services, path)


@dataclass(slots=True)
class _Reading:
    """One pass over a document: what it is read with, and the problems met so far."""

    environment: Mapping[str, str]
    folder: Path
    problems: list[str] = field(default_factory=list)

    def entry(self, raw: Any, at: str) -> tuple[_Object, _Object]:
        """Return one of `services`, and its `registry_config`."""
        service = self.object(raw, SERVICE, at)
        return service, self.object(service.values["registry_config"] or {}, REGISTRY, service.path("registry_config"))

    def object(self, raw: Any, place: str, at: str) -> _Object:
        """Return every value of one object: the default if it says nothing, None if it is wrong."""
        options = BY_PLACE[place]
        if not isinstance(raw, dict):
            self.problems.append(f"{at or 'the configuration'}: {shown(raw)} is not an object; write {{…}}")
            return _Object(at, dict.fromkeys(options))
        values: dict[str, Any] = {}
        read = _Object(at, values, frozenset(raw) | {o.key for o in options.values() if self._variable(o)})
        self.problems += [f"{read.path(shown_key(k))}: it stands here twice; keep one" for k in raw.get(_TWICE, ())]
        known = {*options, *(_EDITORS_KEYS if place == TOP else ())}
        unknown = [key for key in raw if isinstance(key, str) and key not in known]
        self.problems += [f"{read.path(shown_key(key))}: unknown key; {instead(key, place)}" for key in unknown]
        values.update({option.key: self._option(option, raw, read) for option in options.values()})
        return read

    def _variable(self, option: Option) -> str:
        return self.environment.get(option.variable, "") if option.variable else ""

    def _option(self, option: Option, raw: Mapping[str, Any], read: _Object) -> Any:
        text = self._variable(option)
        if text:  # a path in a variable starts, as in a shell, at the working directory
            return self._value(option, option.variable or "", text, Path())
        if option.key in raw:
            return self._value(option, read.path(option.key), raw[option.key], self.folder)
        if option.required:
            self.problems.append(f"{read.path(option.key)}: missing; write {option.kind.remedy}")
        return None if option.default is None else option.kind.read(option.default)

    def _value(self, option: Option, at: str, raw: Any, folder: Path) -> Any:
        """Return what `raw` stands for; None, and the problem noted, if it is wrong."""
        kind, is_variable = option.kind, at == option.variable
        try:
            given = raw if is_variable else _mapped(raw, self._substituted)
        except ValueError as error:
            self.problems.append(f"{at}: {error}")
            return None
        try:
            value = kind.read(given)
            return _mapped(value, lambda path: self._absolute(path, folder)) if kind.is_path else value
        except ValueError as error:
            self.problems.append(f"{at}: {problem(option, raw, str(error) if given == raw else '')}")
            return None

    def _substituted(self, text: str) -> str:
        """Return `text` with its variables in place of `${NAME}`. Raises ValueError that names those not set."""
        found = [match[1] for match in _REFERENCE.finditer(text) if match[1] is not None]
        if not all(_CLOSED_NAME.fullmatch(name) for name in found):  # not shown: it may be a piece of a password
            raise ValueError("a ${ in it names no variable; write ${NAME}, or $${ for these two characters")
        unset = sorted({name[:-1] for name in found} - set(self.environment))
        if unset:
            raise ValueError(f"${{{unset[0]}}} is not set; set {', '.join(unset)} in the environment or in .env")
        return _REFERENCE.sub(lambda match: "$" if match[1] is None else self.environment[match[1][:-1]], text)

    def _absolute(self, path: str, folder: Path) -> str:
        if path.startswith("~"):
            user, _, rest = path.partition("/")
            home = self.environment.get("HOME")
            if user != "~" or not home:
                raise ValueError(f"{user} leads nowhere here")
            return os.path.normpath(Path(home) / rest)
        return os.path.normpath(folder / path)


_REFERENCE = re.compile(r"\$\$|\$\{([^}]*\}?)")
_CLOSED_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\}")


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, (list, tuple)):
        return type(value)(change(item) if isinstance(item, str) else item for item in value)
    return value


# ------------------------------------------------------------------------------------------------ what fits together

_Entries = Sequence[tuple[_Object, _Object]]
_SELECT = "write tag_pattern, tag_regex, semver_pattern or follow too"
_ORDER = "write semver_pattern or follow too, or a tag_regex with a group (?P<version>…)"
_OF_VERSIONS = ("semver_range", "max_bump", "follow_variant", "allow_scheme_jump", "allow_prerelease")
_AWS_KEYS = ("region", "aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_profile")
_VENDOR_KEYS = {**dict.fromkeys(_AWS_KEYS, "ecr"), "project_id": "gcr", "service_account_path": "gcr"}


def _has(read: _Object, key: str) -> bool:
    """Return whether a key was set to something else than its default (or to something wrong)."""
    option = BY_PLACE[SERVICE][key]
    return key in read.given and (option.default is None or read.values[key] != option.kind.read(option.default))


def _selection_problems(service: _Object, top: _Object) -> Iterator[str]:
    chosen = [key for key in SELECTORS if key in service.given]
    if len(chosen) > 1:
        yield f"{service.path(chosen[1])}: {' and '.join(chosen)} exclude each other; keep one of them"
    follow = service.values["follow"] if chosen else top.values["follow"]
    is_wrong = chosen == ["follow"] and follow is None  # reported already, so nothing more is said of it
    follows_versions = is_wrong or follow not in (None, Follow.TAG)
    if not follows_versions and chosen in ([], ["follow"]):
        for key in ("tag_exclude", "allow_downgrade"):
            if _has(service, key):
                yield f"{service.path(key)}: nothing selects tags here; {_SELECT}, or take it out"
    if follows_versions and not is_wrong and "max_bump" in service.given:
        yield f"{service.path('max_bump')}: follow names the step already ({follow}); keep one of them"
    if not follows_versions and not _by_version(service):
        for key in _OF_VERSIONS:
            if _has(service, key):
                yield f"{service.path(key)}: nothing orders versions here; {_ORDER}, or take it out"


def _by_version(service: _Object) -> bool:
    expression = service.values["tag_regex"]
    if "tag_regex" in service.given:  # a wrong expression is reported already, so nothing more is said of it
        return expression is None or "version" in re.compile(expression).groupindex
    return "semver_pattern" in service.given


def _registry_problems(service: _Object, registry: _Object) -> Iterator[str]:
    image, written = service.values["image"], service.values["registry_type"]
    yield from _pair_problems(registry, "username", "password")
    yield from _pair_problems(registry, "aws_access_key_id", "aws_secret_access_key")
    if "aws_session_token" in registry.given and "aws_access_key_id" not in registry.given:
        yield f"{registry.path('aws_session_token')}: it belongs to keys; write aws_access_key_id and its secret too"
    for key in ("service_account_path", "aws_access_key_id", "aws_profile"):
        if key in registry.given and "username" in registry.given:
            yield f"{registry.path(key)}: a login besides username and password; write one of the two"
    if image is not None and image.domain == HUB and registry.values["insecure_http"]:
        yield f"{registry.path('insecure_http')}: Docker Hub is asked over https only; take it out"
    if image is None or (written is None and "registry_type" in service.given):
        return
    by_host = host_type(image.domain)
    if written not in (None, "generic", by_host) and not is_loopback(image.domain):
        wrong = f"{written} does not serve {image.domain}"
        yield f"{service.path('registry_type')}: {wrong}; write {by_host}, or leave it out"
    for key, needed in _VENDOR_KEYS.items():
        if key in registry.given and (written or by_host) != needed:
            yield f"{registry.path(key)}: it is for {needed}, and this registry is {written or by_host}; take it out"


def _pair_problems(read: _Object, first: str, second: str) -> Iterator[str]:
    for key, other in ((first, second), (second, first)):
        if key in read.given and other not in read.given:
            yield f"{read.path(key)}: {other} is missing; write both or neither"


def _twin_names(entries: _Entries) -> Iterator[str]:
    first: dict[str, str] = {}
    for service, _ in entries:
        name = service.values["name"]
        if name in first:
            yield f"{service.path('name')}: {first[name]} is called {name} too; write another name"
        elif name:
            first[name] = service.at


def _twin_groups(entries: _Entries) -> Iterator[str]:
    """Yield a problem for each two enabled entries that would edit and restart the same Compose service."""
    taken: list[tuple[_Object, str, str, str | None]] = []
    for service, _ in entries:
        values = service.values
        if not (values["enabled"] and values["compose_file"] and values["compose_service"]):
            continue
        file, project = values["compose_file"][0], values["compose_project"]  # the first file is the project's own
        for name in values["compose_service"]:
            for other, *unit, other_project in taken:
                if unit == [file, name] and (None in (project, other_project) or project == other_project):
                    taken_by = f"{name} of {file} belongs to {other.at} already"
                    yield f"{service.path('compose_service')}: {taken_by}; keep it in one of them"
        taken += [(service, file, name, project) for name in values["compose_service"]]


# --------------------------------------------------------------------------------------------------------- the result


def _settings(top: _Object) -> Settings:
    return _filled(Settings, _by_path(top, TOP))


def _service(service: _Object, registry: _Object, top: _Object) -> ServiceConfig:
    own = replace(service, values=_with_inherited(service.values, top.values))
    return _filled(ServiceConfig, {**_by_path(own, SERVICE), **_by_path(registry, REGISTRY)})


def _with_inherited(values: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a service, with the top level's in place of those that it does not set.

    A zone alone moves the global window into it, a window alone is read in the global zone. Without both there is no
    window of the service's own: the global one counts by itself.
    """
    inherited = ["health_timeout", "health_stable"]
    if values["maintenance_window"] is not None or values["timezone"] is not None:
        inherited += ["maintenance_window", "timezone"]
    if all(values[key] is None for key in SELECTORS):
        inherited.append("follow")
    return {**values, **{key: top[key] for key in inherited if values[key] is None}}


def _by_path(read: _Object, place: str) -> dict[str, Any]:
    """Return what was read, by the field that it fills. What is None stays out: the field's own default stands."""
    given = {option.path: read.values[option.key] for option in BY_PLACE[place].values() if option.path is not None}
    return {path: value for path, value in given.items() if value is not None}


def _filled(kind: type[_Record], values: Mapping[str, Any]) -> _Record:
    """Return a record of `kind` from values by path: `policy.min_age_seconds` is a field of the record in `policy`."""
    own = {path: value for path, value in values.items() if "." not in path}
    inner: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        head, dot, tail = path.partition(".")
        if dot:
            inner.setdefault(head, {})[tail] = value
    kinds = get_type_hints(kind)
    return kind(**own, **{head: _filled(kinds[head], parts) for head, parts in inner.items()})

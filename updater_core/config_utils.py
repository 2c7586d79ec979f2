"""The configuration: from a file, a `.env` and the environment to one `Config`, or to every problem at once.

The environment beats `.env`, `.env` beats the file, the file beats the defaults; an empty variable counts as
not set. The options themselves stand in `config.options`. Only `load`, `read_environment` and
`default_dotenv_path` touch the disk.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dotenv.parser import Binding, parse_stream

from updater_core.config import groups, json_places, not_json, places, rules
from updater_core.config.messages import instead, problem, shown, shown_key
from updater_core.config.options import (
    API_TOKEN,
    BY_PLACE,
    DEFAULTS,
    ENGINE,
    LABEL_KEYS,
    OPTIONS,
    REGISTRY,
    SELECTORS,
    SERVICE,
    SIGNATURE,
    TOP,
    Option,
)
from updater_core.config.result import service_of, settings_of
from updater_core.errors import ConfigError
from updater_core.models import ApiToken, Config, NamedEngine, ServiceConfig
from updater_core.registries.vendors import ENVIRONMENT
from updater_core.vocabulary.dated import HookKind
from updater_core.vocabulary.hooks import Hooks
from updater_core.vocabulary.options.read_object import ReadObject

DEFAULT_PATH = "/etc/docker-auto-updater/updater_config.json"
_EDITORS_KEYS = ("$schema",)
# under this key, which no JSON can hold, `load` hands `parse` the keys that an object repeats
_TWICE = object()
_OF_LIBRARIES = re.compile(
    r"(?:HTTPS?|NO)_PROXY|(?:https?|no)_proxy|SSL_CERT_FILE|(?:REQUESTS|CURL)_CA_BUNDLE"
    rf"|DOCKER_(?:HOST|CONTEXT|CONFIG|TLS|TLS_VERIFY|CERT_PATH)|{ENVIRONMENT}"
)

# ---------------------------------------------------------------------------------------- files and variables


def default_config_path(environment: Mapping[str, str]) -> Path:
    """Return `CONFIG_FILE`, or the path to which the installer writes the file."""
    return Path(environment.get("CONFIG_FILE") or DEFAULT_PATH)


def default_dotenv_path(config_path: Path, environment: Mapping[str, str]) -> Path | None:
    """Return the path of the `.env` beside the configuration file; None if there is none.

    Without `CONFIG_FILE`, the one in the working directory is the second choice.
    """
    # Whoever names a file means what is beside it, and no `.env` of whatever folder they stand in.
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
        raise ConfigError(
            [f"{dotenv}: line {_line(b)} sets nothing; write NAME=value, quotes closed" for b in wrong]
        )
    keyed = [(binding.key, binding.value) for binding in bindings if binding.key is not None]
    return {key: value for key, value in keyed if value is not None} | dict(environment)


def _sets_nothing(binding: Binding) -> bool:
    return binding.error or (binding.key is not None and binding.value is None)


def library_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that libraries read: vendors', proxies, certificates, the engine."""
    return {name: value for name, value in environment.items() if value and _OF_LIBRARIES.fullmatch(name)}


def load(path: Path, environment: Mapping[str, str]) -> Config:
    """Return the configuration in the file `path`.

    Raises ConfigError, also if it cannot be read or is no JSON.
    """
    # not resolved: the file's paths start beside the path that was given, which may be a link
    place = path.absolute()
    text = _file_text(
        place, "let `docker-updater --discover --write` make it, or name your file with CONFIG_FILE"
    )
    try:
        raw = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise ConfigError([f"{place}: {not_json.explanation(text, error)}"]) from None
    # Numbers of more than 4300 digits, which Python refuses, and a nesting beyond its stack.
    except (ValueError, RecursionError):
        raise ConfigError(
            [f"{place}: a number or a nesting beyond all bounds; write a plain configuration"]
        ) from None
    try:
        return parse(raw, environment, str(place))
    except ConfigError as error:
        raise ConfigError(_placed(error.problems, text, place, environment)) from None


def load_or_begin(path: Path, environment: Mapping[str, str]) -> Config:
    """Return the configuration in the file `path`, one without services if it is not there yet or empty."""
    place = path.absolute()
    is_begun = _is_there(place) and (not place.is_file() or bool(_file_text(place, "").strip()))
    return load(path, environment) if is_begun else parse({"services": []}, environment, str(place))


def _placed(problems: Sequence[str], text: str, place: Path, environment: Mapping[str, str]) -> list[str]:
    """Return the problems with the file and the line of each in front; one of a variable names no file."""
    variables = {
        option.variable for option in OPTIONS if option.variable and environment.get(option.variable)
    }
    lines = json_places.lines_of(text)
    placed: list[str] = []
    for problem_text in problems:
        # A problem begins with its key's path by convention, from which the line is found.
        path = problem_text.partition(": ")[0]
        line = json_places.line_of(lines, path)
        at = f"{place}: line {line}: " if line else f"{place}: "
        placed.append(problem_text if path in variables else f"{at}{problem_text}")
    return placed


def _object(pairs: list[tuple[str, Any]]) -> dict[Any, Any]:
    # JSON takes the last of two equal keys without a word; here that would be an option that counts for
    # nothing.
    keys = [key for key, _ in pairs]
    repeated = sorted({key for key in keys if keys.count(key) > 1}) if len(set(keys)) < len(keys) else []
    return {**dict(pairs), **({_TWICE: repeated} if repeated else {})}


def _file_text(path: Path, remedy: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: not UTF-8 text; save it as UTF-8"]) from None
    except PermissionError as error:
        raise ConfigError(
            [f"{path}: {error.strerror}; run it with sudo, or let your user into its group"]
        ) from error
    except FileNotFoundError as error:
        raise ConfigError([f"{path}: {error.strerror}; {remedy}"]) from error
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror or error}; name a file that can be read"]) from error


def _is_there(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - Path.exists would raise for a folder that we may not enter


def _line(binding: Binding) -> int:
    """Return the line of the text itself: python-dotenv counts from the blank lines before it."""
    blank = re.match(r"\s*", binding.original.string)
    return binding.original.line + len(re.findall(r"\r\n|\n|\r", blank[0] if blank else ""))


# ---------------------------------------------------------------------------------------------------- reading


def parse(raw: Any, environment: Mapping[str, str], path: str = "") -> Config:
    """Return the configuration in the JSON value `raw`.

    Relative paths start beside its file, the absolute `path`.

    Raises ConfigError with every problem: `services[2].tag_regex: what is wrong; what to write instead`, or
    `CHECK_INTERVAL: …` if the value comes from a variable.
    """
    reading = _Reading(environment, Path(path).parent)
    top = reading.object(raw, TOP, "")
    reading.defaults = reading.object(top.values["defaults"] or {}, DEFAULTS, "defaults")
    entries = [
        reading.entry(item, f"services[{index}]") for index, item in enumerate(top.values["services"] or ())
    ]
    reading.problems += [*rules.needs_problems(top, TOP)]
    for service, registry in entries:
        reading.problems += rules.service_problems(service, registry, top)
    engines = tuple(reading.engine(name, item) for name, item in (top.values["engines"] or {}).items())
    tokens = reading.api_tokens(top)
    reading.problems += [*rules.api_problems(top, tokens)]
    reading.problems += [*rules.twin_names(entries), *places.twin_groups(entries)]
    # Groups are built from whole services, so they are judged once each entry by itself is right.
    if reading.problems:
        raise ConfigError(reading.problems)
    services = tuple(service_of(service, registry, top) for service, registry in entries)
    wrong = [f"services[{number}].{key}: {text}" for number, key, text in groups.problems(services)]
    if wrong:
        raise ConfigError(wrong)
    settings = replace(settings_of(top), engines=engines, api_tokens=tokens)
    entries_reader = ConfiguredEntries(environment, reading.folder, top, reading.defaults)
    return Config(settings, groups.merged(services), path, entries_reader)


@dataclass(frozen=True, slots=True)
class ConfiguredEntries:
    """Reads an entry that stands in no file, with the defaults and the top level of the configuration."""

    environment: Mapping[str, str]
    folder: Path
    top: ReadObject
    defaults: ReadObject

    @property
    def default_keys(self) -> frozenset[str]:
        """Return the keys that `defaults` sets."""
        return self.defaults.given

    @property
    def default_hooks(self) -> Hooks:
        """Return the hooks that `defaults` sets."""
        return Hooks(**{kind.value: self.defaults.values[kind.value] for kind in HookKind})

    @property
    def label_keys(self) -> frozenset[str]:
        """Return the keys of an entry that a label may set."""
        return LABEL_KEYS

    @property
    def file_keys(self) -> frozenset[str]:
        """Return the keys of an entry, and of its `registry_config`, that a file may set."""
        return frozenset((*BY_PLACE[SERVICE], *BY_PLACE[REGISTRY]))

    def group_problems(self, services: Sequence[ServiceConfig]) -> Iterator[tuple[int, str, str]]:
        """Yield what keeps services from being one group (`groups.problems`)."""
        return groups.problems(services)

    def grouped(self, services: Sequence[ServiceConfig]) -> tuple[ServiceConfig, ...]:
        """Return the services with one in place of those of each group."""
        return groups.merged(services)

    def read(self, raw: Mapping[str, Any], at: str) -> ServiceConfig:
        """Return the service in `raw`. Raises ConfigError with every problem, each beginning with `at`."""
        reading = _Reading(self.environment, self.folder, defaults=self.defaults)
        service, registry = reading.entry(dict(raw), at)
        problems = [*reading.problems, *rules.service_problems(service, registry, self.top)]
        if problems:
            raise ConfigError(problems)
        return service_of(service, registry, self.top)


@dataclass(slots=True)
class _Reading:
    """One pass over a document: what it is read with, and the problems met so far."""

    environment: Mapping[str, str]
    folder: Path
    problems: list[str] = field(default_factory=list)
    defaults: ReadObject | None = None

    def entry(self, raw: Any, at: str) -> tuple[ReadObject, ReadObject]:
        """Return one of `services`, with what its `signature` says, and its `registry_config`."""
        service = self._signed(self._with_defaults(self.object(raw, SERVICE, at)))
        return service, self.object(
            service.values["registry_config"] or {}, REGISTRY, service.path("registry_config")
        )

    def engine(self, name: str, raw: Any) -> NamedEngine:
        """Return one of `engines`."""
        values = self.object(raw, ENGINE, f"engines.{name}").values
        return NamedEngine(name, values["hosts"] or (), values["cert_path"])

    def api_tokens(self, top: ReadObject) -> tuple[ApiToken, ...]:
        """Return the tokens of the API: that of `api_token`, and those of `api_tokens`."""
        alone = top.values["api_token"]
        found = [ApiToken("api", alone)] if alone else []
        for name, raw in (top.values["api_tokens"] or {}).items():
            values = self.object(raw, API_TOKEN, f"api_tokens.{name}").values
            rights = values["may"]
            if values["token"]:
                found.append(ApiToken(name, values["token"], None if rights is None else frozenset(rights)))
        return tuple(found)

    def _signed(self, service: ReadObject) -> ReadObject:
        """Return the service with the keys of its `signature`, by their own option."""
        raw = service.values["signature"]
        if raw is None:
            return service
        signature = self.object(raw, SIGNATURE, service.path("signature"))
        return replace(service, values={**service.values, "public_key": signature.values["public_key"]})

    def _with_defaults(self, service: ReadObject) -> ReadObject:
        """Return the service with what `defaults` says in place of what it does not set.

        One that has a selector of its own takes none from there, and none takes what has no meaning for the
        place that it is deployed to.
        """
        if self.defaults is None:
            return service
        # What is not said, and has a meaning for this service, comes from `defaults`.
        shared = self.defaults.given - service.given - places.without_meaning(service.given)
        if any(key in service.given for key in SELECTORS):
            shared -= {*SELECTORS}
        values = {
            **service.values,
            **{key: self.defaults.values[key] for key in shared & service.values.keys()},
        }
        return replace(service, values=values, given=service.given | shared, inherited=shared)

    def object(self, raw: Any, place: str, at: str) -> ReadObject:
        """Return every value of one object: the default if it says nothing, None if it is wrong."""
        options = BY_PLACE[place]
        if not isinstance(raw, dict):
            self.problems.append(f"{at or 'the configuration'}: {shown(raw)} is not an object; write {{…}}")
            return ReadObject(at, dict.fromkeys(options), is_object=False, options=options)
        values: dict[str, Any] = {}
        given = frozenset(raw) | {o.key for o in options.values() if self._variable(o)}
        read = ReadObject(at, values, given, options=options)
        self.problems += [
            f"{read.path(shown_key(k))}: it stands here twice; keep one" for k in raw.get(_TWICE, ())
        ]
        known = {*options, *(_EDITORS_KEYS if place == TOP else ())}
        unknown = [key for key in raw if isinstance(key, str) and key not in known]
        self.problems += [
            f"{read.path(shown_key(key))}: unknown key; {instead(key, place)}" for key in unknown
        ]
        values.update({option.key: self._option(option, raw, read) for option in options.values()})
        return read

    def _variable(self, option: Option) -> str:
        return self.environment.get(option.variable, "") if option.variable else ""

    def _option(self, option: Option, raw: Mapping[str, Any], read: ReadObject) -> Any:
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
            # In a hook `${NAME}` is the shell's; in a variable it would be a second round of substitution.
            given = raw if is_variable or kind.is_shells else _mapped(raw, self._substituted)
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
        """Return `text` with its variables in place of `${NAME}`.

        Raises ValueError that names those not set.
        """
        found = [match[1] for match in _REFERENCE.finditer(text) if match[1] is not None]
        # not shown: it may be a piece of a password
        if not all(_CLOSED_NAME.fullmatch(name) for name in found):
            raise ValueError("a ${ in it names no variable; write ${NAME}, or $${ for these two characters")
        unset = sorted({name[:-1] for name in found} - set(self.environment))
        if unset:
            raise ValueError(
                f"${{{unset[0]}}} is not set; set {', '.join(unset)} in the environment or in .env"
            )
        return _REFERENCE.sub(
            lambda match: "$" if match[1] is None else self.environment[match[1][:-1]], text
        )

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

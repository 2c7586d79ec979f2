"""From what was read of the file to the records of the configuration: settings, and each service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, get_type_hints

from updater_core.config.options import (
    BY_PLACE,
    REGISTRY,
    SELECTORS,
    SERVICE,
    TOP,
    Option,
)
from updater_core.models import ServiceConfig, Settings
from updater_core.registries.vendors import OF_VENDORS
from updater_core.vocabulary.options.read_object import ReadObject
from updater_core.vocabulary.own_settings import OwnSettings

_CLASSES_OF_VENDORS = {option.settings for option in OF_VENDORS}
_Record = TypeVar("_Record")


def settings_of(top: ReadObject) -> Settings:
    """Return the settings of the whole program, from the top level of the file."""
    own = _owned(top, TOP)
    vendors = tuple(each for each in own if type(each) in _CLASSES_OF_VENDORS)
    targets = tuple(each for each in own if type(each) not in _CLASSES_OF_VENDORS)
    return replace(_filled(Settings, _by_path(top, TOP)), vendors=vendors, targets=targets)


def service_of(service: ReadObject, registry: ReadObject, top: ReadObject) -> ServiceConfig:
    """Return a service of the configuration, from its entry, its `registry_config` and the top level."""
    own = replace(service, values=_with_inherited(service.values, top.values))
    keys = own.values.get("public_key")
    signed = {"policy.public_keys": keys} if keys else {}
    login = {**_by_path(registry, REGISTRY), "registry.vendors": _owned(registry, REGISTRY)}
    of_target = {"target": _owned(own, SERVICE)}
    return _filled(ServiceConfig, {**_by_path(own, SERVICE), **signed, **login, **of_target})


def _owned(read: ReadObject, place: str) -> OwnSettings:
    """Return the settings of each vendor or target of which anything but the defaults was given."""
    options = [option for option in BY_PLACE[place].values() if option.settings is not None]
    classes = dict.fromkeys(option.settings for option in options if option.settings is not None)
    settings = ((kind(**_values_of(kind, options, read)), kind()) for kind in classes)
    return tuple(given for given, default in settings if given != default)


def _values_of(kind: type, options: Sequence[Option], read: ReadObject) -> dict[str, Any]:
    values = {option.key: read.values[option.key] for option in options if option.settings is kind}
    return {key: value for key, value in values.items() if value is not None}


def _with_inherited(values: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a service, with the top level's in place of those that it does not set.

    A zone alone moves the global window into it, a window alone is read in the global zone. Without both
    there is no window of the service's own: the global one counts by itself.
    """
    inherited = ["health_timeout", "health_stable"]
    if values["maintenance_window"] is not None or values["timezone"] is not None:
        inherited += ["maintenance_window", "timezone"]
    if all(values[key] is None for key in SELECTORS):
        inherited.append("follow")
    return {**values, **{key: top[key] for key in inherited if values[key] is None}}


def _by_path(read: ReadObject, place: str) -> dict[str, Any]:
    """Return what was read, by the field that it fills.

    What is None stays out: the field's own default stands.
    """
    given = {
        option.path: read.values[option.key] for option in BY_PLACE[place].values() if option.path is not None
    }
    return {path: value for path, value in given.items() if value is not None}


def _filled(kind: type[_Record], values: Mapping[str, Any]) -> _Record:
    """Return a record of `kind` from values by path: `policy.min_age_seconds` is a field of its `policy`."""
    own = {path: value for path, value in values.items() if "." not in path}
    inner: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        head, dot, tail = path.partition(".")
        if dot:
            inner.setdefault(head, {})[tail] = value
    kinds = get_type_hints(kind)
    return kind(**own, **{head: _filled(kinds[head], parts) for head, parts in inner.items()})

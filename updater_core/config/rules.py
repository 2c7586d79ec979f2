"""What has to fit together in a configuration whose values are each well: selectors, logins, names, services.

Pure.

Each function yields a problem as it is shown: `path: what is wrong; what to write instead`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from updater_core.config.options import BY_PLACE, REGISTRY, SELECTORS
from updater_core.config.places import place_problems
from updater_core.models import ApiToken, Follow, Secret
from updater_core.net.url_rules import is_loopback
from updater_core.registries.vendors import type_of_option, vendor_of
from updater_core.registries.vendors.vendor import GENERIC
from updater_core.vocabulary.options.read_object import ReadObject, is_own

_Entries = Sequence[tuple[ReadObject, ReadObject]]
_SELECT = "write tag_pattern, tag_regex, semver_pattern or follow too"
_ORDER = "write semver_pattern or follow too, or a tag_regex with a group (?P<version>…)"
_OF_VERSIONS = ("semver_range", "max_bump", "follow_variant", "allow_scheme_jump", "allow_prerelease")


def service_problems(service: ReadObject, registry: ReadObject, top: ReadObject) -> list[str]:
    """Return what is wrong with an entry of `services` as a whole."""
    return [
        *place_problems(service, top),
        *selection_problems(service, top),
        *gate_problems(service),
        *registry_problems(service, registry),
    ]


def api_problems(top: ReadObject, tokens: Sequence[ApiToken]) -> Iterator[str]:
    """Yield what is wrong with the API as a whole: nobody would reach it, or two tokens are the same."""
    given = [key for key in ("api_token", "api_tokens", "api_public_url") if top.values[key]]
    if given and "metrics_port" not in top.given:
        yield f"{given[0]}: nothing listens; set metrics_port too, for the API answers there"
    first: dict[Secret, str] = {}
    for token in tokens:
        if token.secret in first:
            yield (
                f"api_tokens.{token.name}: it is the same as that of {first[token.secret]}; make another one"
            )
        first[token.secret] = token.name


def selection_problems(service: ReadObject, top: ReadObject) -> Iterator[str]:
    """Yield what is wrong with the keys that choose an image: two exclude each other, one has no meaning."""
    chosen = [key for key in SELECTORS if key in service.given]
    if len(chosen) > 1:
        yield f"{service.path(chosen[1])}: {' and '.join(chosen)} exclude each other; keep one of them"
    follow = service.values["follow"] if chosen else top.values["follow"]
    is_wrong = chosen == ["follow"] and follow is None  # reported already, so nothing more is said of it
    follows_versions = is_wrong or follow not in (None, Follow.TAG)
    if not follows_versions and chosen in ([], ["follow"]):
        for key in ("tag_exclude", "allow_downgrade"):
            if is_own(service, key):
                yield f"{service.path(key)}: nothing selects tags here; {_SELECT}, or take it out"
    if follows_versions and not is_wrong and "max_bump" in service.given:
        yield f"{service.path('max_bump')}: follow names the step already ({follow}); keep one of them"
    if not follows_versions and not _by_version(service):
        for key in _OF_VERSIONS:
            if is_own(service, key):
                yield f"{service.path(key)}: nothing orders versions here; {_ORDER}, or take it out"


def _by_version(service: ReadObject) -> bool:
    expression = service.values["tag_regex"]
    if "tag_regex" in service.given:  # a wrong expression is reported already, so nothing more is said of it
        return expression is None or "version" in re.compile(expression).groupindex
    return "semver_pattern" in service.given


def gate_problems(service: ReadObject) -> Iterator[str]:
    """Yield the keys of a kind of gate that this service does not have."""
    if "health_status" in service.given - service.inherited and "health_url" not in service.given:
        yield (
            f"{service.path('health_status')}: it is about the answer of health_url; write that too, or "
            "take it out"
        )


def registry_problems(service: ReadObject, registry: ReadObject) -> Iterator[str]:
    """Yield what is wrong with `registry_config`: half a login, two of them, keys of another registry."""
    yield from needs_problems(registry, REGISTRY)
    for key, option in BY_PLACE[REGISTRY].items():
        if option.is_login and key in registry.given and "username" in registry.given:
            yield f"{registry.path(key)}: a login besides username and password; write one of the two"
    image, written = service.values["image"], service.values["registry_type"]
    if image is None:
        return
    by_host = vendor_of(image.domain)
    if by_host.is_https_only and registry.values["insecure_http"]:
        yield f"{registry.path('insecure_http')}: {by_host.title} is asked over https only; take it out"
    if written is None and "registry_type" in service.given:
        return
    if written not in (None, GENERIC, by_host.written) and not is_loopback(image.domain):
        wrong = f"{written} does not serve {image.domain}"
        yield f"{service.path('registry_type')}: {wrong}; write {by_host.written}, or leave it out"
    own = written or by_host.written
    for key in BY_PLACE[REGISTRY]:
        needed = type_of_option(key)
        if key in registry.given and needed not in (None, own):
            yield f"{registry.path(key)}: it is for {needed}, and this registry is {own}; take it out"


def needs_problems(read: ReadObject, place: str) -> Iterator[str]:
    """Yield the keys that lack another one that belongs to them, as a password its user name."""
    for key, option in BY_PLACE[place].items():
        if option.needs and key in read.given and option.needs.key not in read.given:
            yield f"{read.path(key)}: {option.needs.problem}"


def twin_names(entries: _Entries) -> Iterator[str]:
    """Yield a problem for each service with the name of an earlier one."""
    first: dict[str, str] = {}
    for service, _ in entries:
        name = service.values["name"]
        if name in first:
            yield f"{service.path('name')}: {first[name]} is called {name} too; write another name"
        elif name:
            first[name] = service.at

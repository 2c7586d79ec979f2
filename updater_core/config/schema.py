"""The JSON Schema of the configuration, for editors, made from the table of options. Pure.

`updater_config.schema.json` is what `text()` returns; a test compares the two. The schema is a little kinder
than the parser, which alone knows what stands behind a variable.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from updater_core.config.options import (
    API_TOKEN,
    BY_PLACE,
    DEFAULTS,
    ENGINE,
    REGISTRY,
    SERVICE,
    SIGNATURE,
    TOP,
    Option,
)
from updater_core.config.places import PLACE_RELATIONS, PLACES_SCHEMA
from updater_core.vocabulary.options.kinds import DEFINITIONS

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_EDITORS_KEY = {
    "type": "string",
    "description": "The schema that an editor reads this file with; the updater does not.",
}
_DESCRIPTIONS = {
    TOP: (
        "What updater_config.json may hold. Any text may take in variables as ${NAME}; $$ stands for a "
        "dollar sign."
    ),
    SERVICE: "One entry: one or more Compose services that run one image and are updated as one.",
    REGISTRY: "Credentials and settings for one service's registry.",
    ENGINE: "Managers of one Docker Swarm elsewhere.",
    API_TOKEN: "A token for the HTTP API, and what it may do.",
    SIGNATURE: "Whose signature an image needs.",
    DEFAULTS: "Keys of a service, for all services that do not set them.",
}


def _needs(*keys: str) -> dict[str, Any]:
    return {"required": [*keys]}


# Without a default of the top level, a range needs something in the service itself that orders versions.
_ORDERED_RANGE = {
    "semver_range": {"anyOf": [_needs("follow"), _needs("semver_pattern"), _needs("tag_regex")]}
}
_RELATIONS: Mapping[str, Mapping[str, Any]] = {
    TOP: {
        "if": {"properties": {"follow": {"const": "tag"}}},
        "then": {"properties": {"services": {"items": {"dependentSchemas": _ORDERED_RANGE}}}},
    },
    SERVICE: {
        "anyOf": [*PLACES_SCHEMA],
        "dependentSchemas": {
            **PLACE_RELATIONS,
            "follow": {
                "not": {"anyOf": [_needs("tag_pattern"), _needs("tag_regex"), _needs("semver_pattern")]}
            },
            "tag_pattern": {"not": {"anyOf": [_needs("tag_regex"), _needs("semver_pattern")]}},
            "tag_regex": {"not": _needs("semver_pattern")},
        },
    },
    DEFAULTS: {},
    ENGINE: {},
    API_TOKEN: {},
    SIGNATURE: {},
    REGISTRY: {},
}


def schema() -> dict[str, Any]:
    """Return the schema of a whole configuration file, as what `json.dumps` takes."""
    top = _object(TOP)
    top["properties"] = {"$schema": _EDITORS_KEY, **top["properties"]}
    places = {place: _object(place) for place in (SERVICE, REGISTRY, SIGNATURE, ENGINE, API_TOKEN, DEFAULTS)}
    definitions = {**places, **DEFINITIONS}
    return {"$schema": _DIALECT, "title": "Docker Auto-Updater configuration", **top, "$defs": definitions}


def text() -> str:
    """Return the schema as the text of its file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _object(place: str) -> dict[str, Any]:
    options = BY_PLACE[place].values()
    required = [option.key for option in options if option.required]
    return {
        "description": _DESCRIPTIONS[place],
        "type": "object",
        "additionalProperties": False,
        **({"required": required} if required else {}),
        "properties": {option.key: _property(option) for option in options},
        **_needed(place),
        **_RELATIONS[place],
    }


def _needed(place: str) -> dict[str, Any]:
    """Return the keys that need another one.

    A pair is left out if either may come from a variable, which an editor does not see.
    """
    options = BY_PLACE[place]
    needs = {key: option.needs.key for key, option in options.items() if option.needs and not option.variable}
    seen = {key: [other] for key, other in needs.items() if not options[other].variable}
    return {"dependentRequired": seen} if seen else {}


def _property(option: Option) -> dict[str, Any]:
    shown: dict[str, Any] = {"description": option.description}
    if option.doc != option.description:
        shown["markdownDescription"] = option.doc
    if option.variable:
        shown["$comment"] = f"{option.variable} in the environment or in .env beats this."
    if option.default is not None:
        shown["default"] = option.default
    return {**shown, "examples": [*option.examples], **option.kind.schema}

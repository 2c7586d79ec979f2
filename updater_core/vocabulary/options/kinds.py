"""The kinds of plain values that an option may have, and how the JSON Schema of one is put together. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from updater_core.vocabulary.options import plain
from updater_core.vocabulary.options.option import Kind, Schema
from updater_core.vocabulary.secret import Secret

# -------------------------------------------------------------------------------------- the schema of a value

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


def defined(name: str) -> Schema:
    """Return one of `DEFINITIONS`, or a place of the table of options."""
    return {"$ref": f"#/$defs/{name}"}


def any_of(*choices: Schema) -> Schema:
    """Return one of `choices`, or a text with a variable in it, whose value an editor does not know."""
    return {"anyOf": [*choices, defined("variable")]}


def pattern(expression: str) -> Schema:
    """Return a text in which this expression is found."""
    return {"type": "string", "pattern": expression}


def enum(spellings: Iterable[str]) -> Schema:
    """Return one of these texts."""
    return {"enum": [*spellings]}


def or_list(item: Schema, *, fewest: int = 1) -> Schema:
    """Return an item, or a list of at least `fewest` of them, none twice."""
    least = {"minItems": fewest} if fewest else {}
    return {"anyOf": [item, {"type": "array", "items": item, **least, "uniqueItems": True}]}


# -------------------------------------------------------------------------------------------------- the kinds

DAY, YEAR = 86400, 366 * 86400
_POSITIVE = "seconds above 0, at most {} (as a number, or as a text such as 90s, 15m or 1h)"
_FROM_ZERO = "seconds from 0 to {} (as a number, or as a text such as 90s, 72h, 3d or 2w)"


def duration(most: float, *, zero: bool = False) -> Kind:
    """Return the kind of a duration in seconds, at most `most`; 0 is one only if `zero`."""
    remedy = (_FROM_ZERO if zero else _POSITIVE).format(int(most))
    seconds = plain.within(plain.seconds, 0, most, open_end=not zero)
    number = {"type": "number", "minimum" if zero else "exclusiveMinimum": 0, "maximum": int(most)}
    return Kind(
        "a duration", remedy, lambda value: float(seconds(value)), any_of(number, defined("duration"))
    )


def whole(noun: str, remedy: str, low: int, high: int) -> Kind:
    """Return the kind of a whole number from `low` to `high`."""
    number = {"type": "integer", "minimum": low, "maximum": high}
    return Kind(noun, remedy, plain.within(plain.integer, low, high), any_of(number, pattern("^[0-9]{1,5}$")))


def word(noun: str, remedy: str, expression: str) -> Kind:
    """Return the kind of a text that an expression matches as a whole."""
    return Kind(noun, remedy, plain.matching(expression), any_of(pattern(f"^{expression}$")))


def choice(noun: str, remedy: str, spellings: Mapping[str, Any]) -> Kind:
    """Return the kind of a text that is one of `spellings`, in any case; each stands for a value."""
    return Kind(noun, remedy, plain.one_of(spellings), any_of(enum(spellings)))


def secret(value: Any) -> Secret:
    """Return a text of one line or more as a `Secret`."""
    if not isinstance(value, str):
        raise ValueError
    if not value.strip():
        raise ValueError("it is empty")
    return Secret(plain.writable(value))


PLAIN_TEXT = defined("text")

FLAG = Kind("a yes or no", "true or false", plain.flag, any_of({"type": "boolean"}, defined("flag")))
TEXT = Kind("a text", "a text that is not empty, or leave the key out", plain.text, PLAIN_TEXT)
SECRET = Kind(
    "a text",
    "a text that is not empty, best as ${VARIABLE}, or leave the key out",
    secret,
    defined("secret"),
    secret=True,
)
PATH = Kind("a path", "the path of a file or folder", plain.text, PLAIN_TEXT, is_path=True)
PATHS = Kind(
    "a path or a list of paths",
    "a path, or a list of different paths",
    plain.many(plain.text),
    or_list(PLAIN_TEXT),
    is_path=True,
)
NAME = word(
    "a usable name",
    "at most 63 letters, digits, '.', '_' and '-', the first a letter or a digit",
    "[A-Za-z0-9][A-Za-z0-9_.-]{0,62}",
)
ENGINE_NAME = "[A-Za-z0-9][A-Za-z0-9_-]*"  # the form of a key of `engines`
ARGUMENTS = Kind(
    "a command",
    'a list of words such as ["/app/drain", "--now"], or a text for sh -c',
    plain.arguments,
    {"anyOf": [PLAIN_TEXT, {"type": "array", "items": {"type": "string"}, "minItems": 1}]},
)

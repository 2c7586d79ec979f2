"""Put entries at the end of a JSON array in a text, and leave every other byte of it as it is. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class _Array:
    """An array's place: after its `[`, at its `]`, and the end of its last element (None if it is empty)."""

    start: int
    end: int
    last: int | None


def insert(text: str, key: str, entries: Sequence[Mapping[str, Any]]) -> str:
    """Return `text` with `entries` at the end of the array under `key`, which is made if it is missing.

    `key` is at the top level. Raises ValueError with a sentence if the text is no JSON object, or if the key
    holds something else than an array.

    >>> print(insert('{"services": [{"name": "a"}]}', "services", [{"name": "b"}]))
    {"services": [{"name": "a"},
        {
          "name": "b"
        }
      ]}
    """
    if not entries:
        return text
    newline = "\r\n" if "\r\n" in text else "\n"
    step = _indent_of(text)
    written = [_entry(entry, step, newline) for entry in entries]
    array = _array_of(text, key)
    if array is None:
        return _with_new_array(text, key, written, newline)
    joined = f",{newline}".join(written)
    if array.last is None:
        return f"{text[: array.start]}{newline}{joined}{newline}{step}{text[array.end :]}"
    tail = text[array.last : array.end]
    closing = tail if newline in tail else f"{newline}{step}"
    return f"{text[: array.last]},{newline}{joined}{closing}{text[array.end :]}"


def _entry(entry: Mapping[str, Any], step: str, newline: str) -> str:
    lines = json.dumps(entry, indent=len(step) if " " in step else step, ensure_ascii=False).splitlines()
    return newline.join(f"{step * 2}{line}" for line in lines)


def _indent_of(text: str) -> str:
    """Return the indentation of the first key that stands on a line of its own; two spaces if there is none.

    >>> _indent_of('{"a": 1}'), _indent_of('{\\n    "a": 1}')
    ('  ', '    ')
    """
    found = re.search(r'^([ \t]+)"', text, re.MULTILINE)
    return found[1] if found else "  "


def _with_new_array(text: str, key: str, written: Sequence[str], newline: str) -> str:
    start = _SPACE.match(text)
    opening = start.end() if start else 0
    inner = _SPACE.match(text, opening + 1)
    is_empty = inner is not None and text[inner.end() : inner.end() + 1] == "}"
    step = _indent_of(text)
    array = (
        f"{newline}{step}{json.dumps(key)}: [{newline}" + f",{newline}".join(written) + f"{newline}{step}]"
    )
    rest = text[opening + 1 :]
    return f"{text[: opening + 1]}{array}{newline if is_empty else ','}{rest.lstrip() if is_empty else rest}"


def _array_of(text: str, key: str) -> _Array | None:
    """Return the place of a top-level key's array, or None if there is no such key."""
    position = _past_space(text, 0)
    if text[position : position + 1] != "{":
        raise ValueError("it is not a JSON object")
    position = _past_space(text, position + 1)
    while text[position : position + 1] != "}":
        name, position = _value(text, position)
        position = _past_space(text, position)
        position = _past_space(text, position + 1)  # the colon
        if name == key:
            return _array_at(text, position, key)
        _, position = _value(text, position)
        position = _past_space(text, position)
        if text[position : position + 1] == ",":
            position = _past_space(text, position + 1)
    return None


def _array_at(text: str, position: int, key: str) -> _Array:
    if text[position : position + 1] != "[":
        raise ValueError(f"{key} is not an array")
    start, last = position + 1, None
    position = _past_space(text, start)
    while text[position : position + 1] != "]":
        _, last = _value(text, position)
        position = _past_space(text, last)
        if text[position : position + 1] == ",":
            position = _past_space(text, position + 1)
    return _Array(start, position, last)


def _value(text: str, position: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, position)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None


def _past_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position

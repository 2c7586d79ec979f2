"""How one plain value of the configuration is read, from JSON or from a variable's text. Pure.

A reader returns the value. It raises ValueError: without a text if the value is simply not of its kind, with
a sentence if more can be said. The functions that take something return a reader.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Read = Callable[[Any], Any]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"\s*(-?[0-9]+(?:\.[0-9]+)?)\s*([smhdw]?)\s*")
_INTEGER = re.compile(r"\s*(-?[0-9]{1,18})\s*")
_FLAGS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


def seconds(value: Any) -> float:
    """Return a duration in seconds: a number, or a text such as `90`, `90s`, `15m`, `2w`."""
    if isinstance(value, str):
        found = _DURATION.fullmatch(value)
        if not found:
            raise ValueError
        return float(found[1]) * _UNITS[found[2] or "s"]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError
    return value


def integer(value: Any) -> int:
    """Return a whole number, also one in a text."""
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


def flag(value: Any) -> bool:
    """Return a yes or no: a JSON boolean, or one of the usual words."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or value.strip().lower() not in _FLAGS:
        raise ValueError
    return _FLAGS[value.strip().lower()]


def text(value: Any) -> str:
    """Return a text that is neither empty nor of several lines."""
    if not isinstance(value, str):
        raise ValueError
    if not value.strip():
        raise ValueError("it is empty")
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError("it holds a control character or a line break")
    return writable(value)


def writable(text: str) -> str:
    """Return the text.

    Raises ValueError if half a character is in it, which no file, path or request can take.
    """
    try:
        text.encode("utf-8", "surrogateescape")  # bytes of a variable that are no UTF-8 come as such
    except UnicodeEncodeError:
        raise ValueError("it holds half a character (such as \\ud800)") from None
    return text


def arguments(value: Any) -> tuple[str, ...]:
    """Return a program and its arguments: a list as it is, a text as one for `sh -c`.

    >>> arguments("touch /tmp/drain")
    ('sh', '-c', 'touch /tmp/drain')
    """
    words = ["sh", "-c", value] if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError
    program = words[-1] if isinstance(value, str) else "".join(words[:1])
    if not program.strip():
        raise ValueError("it names no program")
    if any("\0" in word for word in words):
        raise ValueError("it holds a NUL character")
    return tuple(map(writable, words))


def hidden(read: Read) -> Read:
    """Read as `read` does, but never say why not: the sentence might hold a piece of a secret."""

    def read_hidden(value: Any) -> Any:
        try:
            return read(value)
        except ValueError:
            raise ValueError from None

    return read_hidden


def within(read: Callable[[Any], float], low: float, high: float, *, open_end: bool = False) -> Read:
    """Read a number from `low` to `high`; with `open_end`, `low` itself is too low."""

    def read_within(value: Any) -> float:
        number = read(value)
        is_high_enough = low < number if open_end else low <= number
        if not (is_high_enough and number <= high):  # so that NaN is in no range
            raise ValueError(f"{str(value)[:30]} is out of range")
        return number

    return read_within


def one_of(spellings: Mapping[str, Any]) -> Read:
    """Read one of `spellings`, in any case, as what it stands for."""

    def read_one(value: Any) -> Any:
        if not isinstance(value, str) or value.strip().lower() not in spellings:
            raise ValueError
        return spellings[value.strip().lower()]

    return read_one


def matching(pattern: str) -> Read:
    """Read a text that `pattern` matches as a whole."""
    return such(lambda value: re.fullmatch(pattern, value) is not None)


def such(is_good: Callable[[str], bool]) -> Read:
    """Read a text that is good."""

    def read_such(value: Any) -> str:
        if not is_good(text(value)):
            raise ValueError
        return str(value)

    return read_such


def checked(check: Callable[[str], str | None]) -> Read:
    """Read a text that `check` finds no problem in; the problem is what the ValueError says."""

    def read_checked(value: Any) -> str:
        problem = check(text(value))
        if problem:
            raise ValueError(problem)
        return str(value)

    return read_checked


def many(read: Read, *, fewest: int = 1, between: str = "") -> Read:
    """Read one value or a list of them, at least `fewest`, none twice.

    `between` is the expression that parts one text into several values, as it must in a variable.
    """

    def parts(value: str) -> list[str]:
        return re.split(between, value.strip()) if between else [value]

    def read_many(value: Any) -> tuple[Any, ...]:
        items = parts(value) if isinstance(value, str) else value
        if not isinstance(items, list):
            raise ValueError
        if len(items) < fewest:
            raise ValueError("it is empty")
        found = tuple(read(item) for item in items)
        if len(set(found)) < len(found):
            raise ValueError("it holds the same twice")
        return found

    return read_many


def parsed(parse: Callable[[str], Any]) -> Read:
    """Read a text as what `parse` makes of it."""
    return lambda value: parse(text(value))


def instance(kind: type) -> Read:
    """Read a value of this JSON type as it is."""

    def read_instance(value: Any) -> Any:
        if not isinstance(value, kind):
            raise ValueError
        return value

    return read_instance

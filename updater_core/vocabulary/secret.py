"""A text that never shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass


class Secret:
    """A string that repr, str, format and pickling never show; only `reveal()` returns it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself, for the one place that sends it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written anywhere")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(("Secret", self._text))

    def __bool__(self) -> bool:
        return bool(self._text)


def secrets_in(value: object) -> Iterator[Secret]:
    """Yield every secret in a dataclass or a tuple, however deep: whoever adds one need not list it anywhere.

    >>> [each.reveal() for each in secrets_in(((1, Secret("a")), "b", Secret("c")))]
    ['a', 'c']
    """
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, tuple):
        for each in value:
            yield from secrets_in(each)
    elif is_dataclass(value):
        for each in fields(value):
            yield from secrets_in(getattr(value, each.name))

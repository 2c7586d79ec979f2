"""Settings that one registry's vendor or one deploy target has, in a class that nobody else knows."""

from __future__ import annotations

from typing import TypeVar

S = TypeVar("S")

OwnSettings = tuple[object, ...]


def own_settings(settings: OwnSettings, kind: type[S]) -> S:
    """Return those of the class `kind`; one with its defaults if there are none.

    >>> own_settings((7, "seven"), str), own_settings((7,), str)
    ('seven', '')
    """
    return next((each for each in settings if isinstance(each, kind)), kind())

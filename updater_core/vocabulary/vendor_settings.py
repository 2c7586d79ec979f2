"""The settings of registries' vendors, each in a class of the vendor's own, which nobody else knows."""

from __future__ import annotations

from typing import TypeVar

S = TypeVar("S")

VendorSettings = tuple[object, ...]


def own_settings(settings: VendorSettings, kind: type[S]) -> S:
    """Return those of the class `kind`; one with its defaults if there are none.

    >>> own_settings((7, "seven"), str), own_settings((7,), str)
    ('seven', '')
    """
    return next((each for each in settings if isinstance(each, kind)), kind())

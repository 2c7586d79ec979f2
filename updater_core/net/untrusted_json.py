"""JSON that somebody else wrote: a registry, a credential helper, a key file. Pure.

Python's own reader raises RecursionError for one that is nested deep enough, and takes NaN, which JSON does
not have.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

DEEPEST = 64  # nothing that we read is nested deeper than ten
IN_THE_WAY = "is there a login page or a proxy in the way?"


def read(text: bytes) -> Any:
    """Return the value in a text.

    Raises ValueError, with nothing of the text in it, if the text is no JSON or nested too deep.

    >>> read(b'{"tags": ["1.0"]}')
    {'tags': ['1.0']}
    """
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if _is_deep(value):
        raise ValueError("its JSON is nested too deep")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def _inside(value: object) -> Any:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()

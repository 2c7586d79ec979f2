"""Frozen records as plain JSON values and back, every type checked. Pure.

What is decoded either has exactly the annotated types or is refused with a ValueError that names the place: a
file of ours that was damaged, or edited by hand, must never come back as a record that only looks right.
"""

from __future__ import annotations

import json
import threading
from typing import Any, NoReturn, TypeVar

import msgspec

Record = TypeVar("Record")

# msgspec reads a dataclass at its first use: two threads that do so at once crash the interpreter.
_ONE_AT_A_TIME = threading.Lock()


def encode(value: object) -> Any:
    """Return `value` (records, mappings, tuples, times, enums, scalars) as what `json.dumps` takes.

    Times become RFC 3339 text. Raises TypeError for every other type, a `Secret` above all.

    >>> from datetime import UTC, datetime
    >>> from updater_core.models import Step, StepTaken
    >>> encode(StepTaken(Step.GATE, datetime(2026, 11, 23, 8, tzinfo=UTC), 1.5))
    {'step': 'gate', 'begun': '2026-11-23T08:00:00Z', 'seconds': 1.5, 'is_back': False}
    """
    return msgspec.to_builtins(value, str_keys=True)


def parse(data: bytes) -> Any:
    """Return the JSON value in `data`.

    Raises ValueError or RecursionError, also for NaN, which JSON does not have.
    """
    return json.loads(data, parse_constant=_refuse)


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def decode(kind: type[Record], value: object) -> Record:
    """Return the record of type `kind` that `encode` made `value` of.

    A field that is missing takes its default; a key that no field has is ignored. Raises ValueError if
    anything else is in it. A time has to be declared as `models.AwareTime`, or one without its zone would
    pass.

    >>> decode(tuple[int, ...], [1, "2"])
    Traceback (most recent call last):
    ...
    msgspec.ValidationError: Expected `int`, got `str` - at `$[1]`
    """
    with _ONE_AT_A_TIME:
        return msgspec.convert(value, kind)

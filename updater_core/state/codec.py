"""Frozen records as plain JSON values and back, every type checked. Pure.

What is decoded either has exactly the annotated types or is refused with a ValueError that names the place: a file of
ours that a disk or a hand has damaged must never come back as a record that only looks right.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from math import isfinite
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

Record = TypeVar("Record")
_PLAIN = frozenset({str, bool, int, float})


def encode(value: object) -> Any:
    """Records, mappings, tuples, sets, times, enums and scalars as what `json.dumps` takes; TypeError for all else.

    >>> encode((datetime.fromisoformat("2026-11-23T08:00:00+00:00"), None, 1))
    ['2026-11-23T08:00:00+00:00', None, 1]
    """
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return _encode_mapping(value)
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if isinstance(value, frozenset):
        return sorted(encode(item) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return {name: encode(getattr(value, name)) for name in _names(type(value))}
    raise TypeError(f"{type(value).__name__} is not written to a file")


def _encode_mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
    """A record that equals the one before it is written once and meant twice: the tags of one listing are alike."""
    coded: dict[str, Any] = {}
    last: object = None
    made: Any = None  # of None
    for key, item in value.items():
        if item is not last and not (type(item) is type(last) and is_dataclass(item) and item == last):
            last, made = item, encode(item)
        coded[str(encode(key))] = made
    return coded


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def decode(kind: type[Record], value: object) -> Record:
    """The record of type `kind` that `encode` made `value` of; ValueError where it is anything else.

    A field that is missing takes its default; a key that no field has is ignored.

    >>> decode(tuple[int, ...], [1, "2"])
    Traceback (most recent call last):
    ...
    ValueError: [1]: not a number without fraction: '2'
    """
    return _decode(kind, value, "")  # type: ignore[no-any-return]


def _decode(kind: Any, value: Any, place: str) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _optional(kind, value, place)
    if origin in (tuple, frozenset):
        return origin(_items(kind, value, place))
    if origin is not None and issubclass(origin, Mapping):
        return dict(_pairs(kind, value, place))
    if is_dataclass(kind):
        return _record(kind, value, place)
    if kind is datetime:
        return _time(value, place)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _member(kind, value, place)
    return _scalar(kind, value, place)


def _optional(kind: Any, value: Any, place: str) -> Any:
    inner = [each for each in get_args(kind) if each is not type(None)]
    if len(inner) != 1:
        raise TypeError(f"{kind} cannot be told apart in a file")
    return None if value is None else _decode(inner[0], value, place)


def _items(kind: Any, value: Any, place: str) -> Iterable[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{place}: not a list")
    inner = get_args(kind)[0]
    return [_decode(inner, item, f"{place}[{index}]") for index, item in enumerate(value)]


def _pairs(kind: Any, value: Any, place: str) -> Iterable[tuple[Any, Any]]:
    if not isinstance(value, dict):
        raise ValueError(f"{place}: not an object")
    key_kind, item_kind = get_args(kind)
    for key, item in value.items():
        yield _decode(key_kind, key, place), _decode(item_kind, item, f"{place}.{key}")


def _record(kind: Any, value: Any, place: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{place}: not an object")
    known: dict[str, Any] = {}
    for name, hint, is_required in _shape(kind):
        if name in value:
            known[name] = _decode(hint, value[name], f"{place}.{name}")
        elif is_required:
            raise ValueError(f"{place}.{name}: missing")
    return kind(**known)


@cache
def _shape(kind: Any) -> tuple[tuple[str, Any, bool], ...]:
    hints = get_type_hints(kind)
    return tuple(
        (each.name, hints[each.name], each.default is MISSING and each.default_factory is MISSING)
        for each in fields(kind)
    )


def _time(value: Any, place: str) -> datetime:
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"{place}: not a time: {value!r}") from None
    if time.tzinfo is None:
        raise ValueError(f"{place}: a time without its zone: {value!r}")
    return time


def _member(kind: type[StrEnum], value: Any, place: str) -> StrEnum:
    try:
        return kind(value)
    except ValueError:
        raise ValueError(f"{place}: not one of {kind.__name__}: {value!r}") from None


def _scalar(kind: Any, value: Any, place: str) -> Any:
    if kind is bool and isinstance(value, bool):
        return value
    if kind is str and isinstance(value, str):
        return value
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
        return float(value)
    words = {bool: "true or false", str: "text", int: "a number without fraction", float: "a number"}
    if kind not in words:
        raise TypeError(f"{kind} is not read from a file")
    raise ValueError(f"{place}: not {words[kind]}: {value!r}")

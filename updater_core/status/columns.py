"""Tables for a terminal: aligned columns that give way to its width. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

WIDTH = 100
_GAP = 2


class Keep(Enum):
    """Which end of a cell stays if its column gives way: of an image the end, where the tag is."""

    BEGINNING = "beginning"
    END = "end"


@dataclass(frozen=True, slots=True)
class Elastic:
    """A column that gives way, down to `least` characters."""

    keep: Keep = Keep.BEGINNING
    least: int = 12


def table(rows: Sequence[Sequence[str]], elastic: Mapping[int, Elastic], width: int = WIDTH) -> list[str]:
    """Return a line for each row. If they are too wide together, the widest of the `elastic` columns give way.

    >>> table([("NAME", "IMAGE"), ("web", "ghcr.io/acme/a-very-long-name:1.2.3")], {1: Elastic(Keep.END)}, width=22)
    ['NAME  IMAGE', 'web   …long-name:1.2.3']
    """
    widths = _fitting([max(map(len, column)) for column in zip(*rows, strict=True)], elastic, width)
    return [_line(row, widths, elastic) for row in rows]


def _fitting(widths: list[int], elastic: Mapping[int, Elastic], width: int) -> list[int]:
    """The widths after one character at a time was taken from the widest column that may give way."""
    fitted = list(widths)
    while sum(fitted) + _GAP * (len(fitted) - 1) > width:
        widest = max(elastic, key=lambda column: fitted[column] - elastic[column].least)
        if fitted[widest] <= elastic[widest].least:
            break
        fitted[widest] -= 1
    return fitted


def _line(row: Sequence[str], widths: Sequence[int], elastic: Mapping[int, Elastic]) -> str:
    cells = [
        _cut(cell, width, elastic.get(column, Elastic()).keep).ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return (" " * _GAP).join(cells).rstrip()


def _cut(text: str, width: int, keep: Keep) -> str:
    if len(text) <= width:
        return text
    return f"…{text[1 - width :]}" if keep is Keep.END else f"{text[: width - 1]}…"

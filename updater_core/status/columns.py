"""Text for a terminal: tables with columns that give way to its width, and lines broken to it. Pure."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

WIDTH = 100
_GAP = 2
# A command is there to be pasted: what stands in backquotes, or begins with a program that our remedies run.
_COMMAND = re.compile(r"`[^`]*`|\b(?:sudo|docker|docker-updater|systemctl|journalctl) [^;,()`]*[^;,()`\s]")
_KEPT_SPACE = "\x1f"


class Keep(Enum):
    """Which end of a cell stays if its column gives way: of an image the end, where the tag is."""

    BEGINNING = "beginning"
    END = "end"


@dataclass(frozen=True, slots=True)
class Elastic:
    """A column that gives way, down to the first of `least` characters.

    If that is not enough for all, down to the second of each column, and so on.
    """

    keep: Keep = Keep.BEGINNING
    least: tuple[int, ...] = (12, 8)


def table(rows: Sequence[Sequence[str]], elastic: Mapping[int, Elastic], width: int = WIDTH) -> list[str]:
    """Return a line for each row.

    If they are too wide together, the widest of the `elastic` columns give way.

    >>> lines = [("NAME", "IMAGE"), ("web", "ghcr.io/acme/a-very-long-name:1.2.3")]
    >>> table(lines, {1: Elastic(Keep.END)}, width=22)
    ['NAME  IMAGE', 'web   …long-name:1.2.3']
    """
    widths = _fitting([max(map(len, column)) for column in zip(*rows, strict=True)], elastic, width)
    return [_line(row, widths, elastic) for row in rows]


def wrapped(text: str, first: str = "", others: str = "", width: int = WIDTH) -> str:
    """Return a text broken between words to the width.

    A command stays in one line, which may be longer for that. `first` and `others`: what the first line and
    those behind it begin with.

    >>> print(wrapped("let it in: sudo setfacl -m u:me:rwX /srv/shop; then go on", "do: ", "    ", width=20))
    do: let it in:
        sudo setfacl -m u:me:rwX /srv/shop;
        then go on
    """
    held = _COMMAND.sub(lambda found: found[0].replace(" ", _KEPT_SPACE), text)
    filled = textwrap.fill(
        held,
        width,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return filled.replace(_KEPT_SPACE, " ")


def _fitting(widths: list[int], elastic: Mapping[int, Elastic], width: int) -> list[int]:
    """Return the widths after one character at a time was taken from the widest column that may give way."""
    fitted = list(widths)
    for stage in range(max(len(each.least) for each in elastic.values())):
        least = {column: each.least[: stage + 1][-1] for column, each in elastic.items()}
        fitted = _narrowed(fitted, least, width)
    return fitted


def _narrowed(widths: list[int], least: Mapping[int, int], width: int) -> list[int]:
    fitted = list(widths)
    while sum(fitted) + _GAP * (len(fitted) - 1) > width:
        widest = max(least, key=lambda column: fitted[column] - least[column])
        if fitted[widest] <= least[widest]:
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

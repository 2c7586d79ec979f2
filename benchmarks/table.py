"""The table that the bench prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_MARKS = {True: "kept", False: "NOT KEPT", None: "printed only"}
_HEADS = ("what", "figure", "budget", "")


@dataclass(frozen=True, slots=True)
class FigureRow:
    """One line of the table. `holds` is None if there is no budget to hold: a figure of this machine."""

    what: str
    figure: str
    budget: str
    holds: bool | None


def text_of(rows: Sequence[FigureRow]) -> str:
    """Return the table as text, its columns one below the other."""
    cells = [_HEADS, *((row.what, row.figure, row.budget, _MARKS[row.holds]) for row in rows)]
    what, figure, budget, mark = (max(map(len, column)) for column in zip(*cells, strict=True))
    lines = [f"{a:<{what}}  {b:>{figure}}  {c:<{budget}}  {d}".rstrip() for a, b, c, d in cells]
    return "\n".join([lines[0], "-" * (what + figure + budget + mark + 6), *lines[1:]])


def counted(counts: Mapping[str, int]) -> str:
    """Return counts as a cell.

    >>> counted({"token": 2, "tags": 1})
    '1 tags, 2 token'
    """
    return ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())) or "none"

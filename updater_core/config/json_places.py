"""The lines on which the keys of a JSON text stand, so that a problem can name its line. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from updater_core.config.messages import shown_key

_TOKEN = re.compile(r'\n|"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_LAST_PART = re.compile(r'(?:\[[0-9]+\]|(?:^|\.)(?:"(?:[^"\\]|\\.)*"|[^."\[\]]+))$')


@dataclass(slots=True)
class _Open:
    """An object or array that is not closed yet: its path, and the key or index of the value read now."""

    path: str
    index: int | None
    key: str | None = None

    def child(self) -> str:
        """Return the path of the value that is read now."""
        if self.index is not None:
            return f"{self.path}[{self.index}]"
        shown = shown_key(self.key or "")
        return f"{self.path}.{shown}" if self.path else shown

    def next(self) -> None:
        """Go on behind a comma."""
        self.key = None
        if self.index is not None:
            self.index += 1


def lines_of(text: str) -> Mapping[str, int]:
    """Return the line, from 1, of each key and element in a JSON text, by its path as problems spell it.

    `text` is JSON that was read already. If a key stands in its object twice, the later line counts.

    >>> lines_of('{"services": [\\n {"name": "a"},\\n {"name": "b"}]}')["services[1].name"]
    3
    """
    return dict(_places(text))


def line_of(lines: Mapping[str, int], path: str) -> int | None:
    """Return the line of a path, or of the nearest thing around it that is there; None if there is none.

    >>> line_of({"services": 2, "services[0]": 3}, "services[0].image"), line_of({"services": 2}, "follow")
    (3, None)
    """
    while path and path not in lines:
        shorter = _LAST_PART.sub("", path)
        path = shorter if shorter != path else ""
    return lines.get(path)


def _places(text: str) -> Iterator[tuple[str, int]]:
    opened: list[_Open] = []
    line = 1
    for piece in _TOKEN.findall(text):
        if piece == "\n":
            line += 1
        elif piece in ("]", "}"):
            opened.pop()
        elif piece == ",":
            opened[-1].next()
        elif piece != ":":
            yield from _begun(opened, piece, line)


def _begun(opened: list[_Open], piece: str, line: int) -> Iterator[tuple[str, int]]:
    """Return the key or the value that a piece begins."""
    inner = opened[-1] if opened else None
    if inner is not None and inner.index is None and inner.key is None:
        inner.key = json.loads(piece)
        yield inner.child(), line
        return
    path = inner.child() if inner is not None else ""
    if inner is not None and inner.index is not None:
        yield path, line
    if piece in ("[", "{"):
        opened.append(_Open(path, 0 if piece == "[" else None))

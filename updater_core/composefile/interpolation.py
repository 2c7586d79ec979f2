"""Variables of a compose file: what a value with `${...}` resolves to, and where each part of it comes from.

Pure.

The grammar is Compose's own (https://docs.docker.com/reference/compose-file/interpolation/ and, for env
files, https://docs.docker.com/compose/how-tos/environment-variables/variable-interpolation/), checked against
2.26.1. Only env files count: the updater gives Compose an environment of its own, in which no variable of the
shell is left.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

# None of these needs quotes in any YAML style or env file, nor does what stands behind an IPv6 address in
# brackets: a plain scalar cannot begin with one.
_REFERENCE_TEXT = re.compile(r"(?:\[[0-9A-Fa-f:]+\])?[A-Za-z0-9._/:@-]+")
_OPENING = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<bare>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)(?P<op>:?[-?+])?)", re.ASCII
)
_NAMED = re.compile(r"\$\{?([A-Za-z_]\w*)", re.ASCII)
_VERSION = re.compile(r"\d+(?:\.\d+)*", re.ASCII)
_ANOTHER = "\0"  # a value that no file can hold


class Source(StrEnum):
    """The source of a piece of a value, and so the place in which it can be written."""

    LITERAL = "literal"
    ASSIGNED = "assigned"
    DEFAULT = "default"
    COMPUTED = "computed"  # `$$`, a variable that is set nowhere: nothing to write to


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a resolved value: `text`, at `at` in the result.

    `start` to `end` is its place in the template, or behind `deepened` in the value of its variable.
    `variable`: the one it comes from, or whose default it stands in.
    """

    text: str
    at: int
    source: Source
    start: int
    end: int
    variable: str = ""

    @property
    def until(self) -> int:
        """Return the position behind its text in the result."""
        return self.at + len(self.text)


def is_reference_text(text: str) -> bool:
    """Return whether `text` has only the characters of an image reference, which need no quoting anywhere."""
    return _REFERENCE_TEXT.fullmatch(text) is not None


# -------------------------------------------------------------------------------------------------- templates


def pieces(template: str, values: Mapping[str, str | None]) -> tuple[Piece, ...] | None:
    """Return the parts of a value as Compose resolves it; None if the text alone does not say.

    None, too, if the value is malformed. A default is taken apart too. A variable that is set nowhere is
    empty, as it is for Compose.

    >>> [(p.text, p.source.value) for p in pieces("app:${TAG:-1.${MINOR}}", {"MINOR": "2"})]
    [('app:', 'literal'), ('1.', 'default'), ('2', 'assigned')]
    """
    return _Expansion(template, values).between(0, len(template), 0, Source.LITERAL, "")


def resolve(template: str, values: Mapping[str, str | None]) -> str | None:
    """Return the value as Compose resolves it, or None if the text alone does not say.

    >>> resolve("${IMAGE:-nginx:${TAG}}", {"TAG": "1.2"})
    'nginx:1.2'
    """
    parts = pieces(template, values)
    return None if parts is None else "".join(part.text for part in parts)


def unset(parts: Iterable[Piece]) -> tuple[str, ...]:
    """Return the variables that a value takes and that are set nowhere."""
    return tuple(
        dict.fromkeys(part.variable for part in parts if part.source is Source.COMPUTED and part.variable)
    )


def variables(text: str) -> frozenset[str]:
    """Return every variable that a text names, as `$V` or in any form of `${V...}`, also within defaults.

    >>> sorted(variables("$A ${B:-${C}} $$D"))
    ['A', 'B', 'C']
    """
    # `$$` is a dollar sign, so the name behind it is text.
    return frozenset(_NAMED.findall(text.replace("$$", ""))) if "$" in text else frozenset()


def uses(text: str, variable: str) -> bool:
    """Return whether `text` takes `variable`, as `$V` or in any form of `${V...}`."""
    return variable in variables(text)


def depends(text: str, variable: str, values: Mapping[str, str | None]) -> bool:
    """Return whether another value of `variable` would make another text; True if the text alone cannot tell.

    >>> depends("${A:-$B}", "B", {"A": "1", "B": "2"}), depends("${A:-$B}", "B", {"B": "2"})
    (False, True)
    """
    # Most texts take no variable, and to resolve one costs more than this look.
    if not uses(text, variable):
        return False
    changed: dict[str, str | None] = {variable: _ANOTHER}
    before = resolve(text, values)
    # a view, for a copy of all values for each text would cost their product
    after = resolve(text, ChainMap(changed, cast("dict[str, str | None]", values)))
    return before is None or before != after


@dataclass(frozen=True, slots=True)
class _Expansion:
    """One template with the values for it; positions count in the whole template."""

    template: str
    values: Mapping[str, str | None]

    def between(
        self, start: int, end: int, at: int, source: Source, variable: str
    ) -> tuple[Piece, ...] | None:
        """Return the pieces of a part of the template.

        Its literals are of `source`, and stand in a default of `variable`.
        """
        found: list[Piece] = []
        while start < end:
            if self.template[start] != "$":
                stop = self.template.find("$", start, end)
                stop = end if stop < 0 else stop
                some: tuple[Piece, ...] = (
                    Piece(self.template[start:stop], at, source, start, stop, variable),
                )
            else:
                step = self._variable(start, end, at)
                if step is None:
                    return None
                some, stop = step
            found += some
            start, at = stop, some[-1].until
        return tuple(found)

    def _variable(self, start: int, end: int, at: int) -> tuple[tuple[Piece, ...], int] | None:
        """Return the pieces that one `$…` makes, and where the template goes on behind it."""
        opening = _OPENING.match(self.template, start, end)
        # A lone `$`, or `${` with a name that Compose rejects: the whole file would be.
        if opening is None:
            return None
        if opening["escaped"]:
            return (Piece("$", at, Source.COMPUTED, start, start + 2),), start + 2
        close = opening.end() if opening["bare"] else _closing(self.template, opening.end(), end)
        # `${V` without an end, or `${V something}`: no operator that Compose knows.
        if close is None or (opening["op"] is None and close != opening.end()):
            return None
        taken = self._taken(opening, close, at)
        return None if taken is None else (taken, close + bool(opening["braced"]))

    def _taken(self, opening: re.Match[str], end: int, at: int) -> tuple[Piece, ...] | None:
        """Return the pieces of one variable; `end` is where what stands behind its operator ends."""
        name, op, start = opening["bare"] or opening["braced"], opening["op"] or "", opening.end()
        value = self.values.get(name)
        # Set, but to a value that the files alone do not tell.
        if name in self.values and value is None:
            return None
        # With a colon an empty value counts as not set.
        is_set = bool(value) if op.startswith(":") else name in self.values
        # `+` gives its text if the variable is set, `-` if it is not.
        if op.endswith("+" if is_set else "-"):
            return self.between(start, end, at, Source.DEFAULT, name) or (
                (Piece("", at, Source.DEFAULT, start, start, name),) if start == end else None
            )
        if op.endswith("+"):
            return (Piece("", at, Source.COMPUTED, start, end, name),)
        if is_set:
            return (Piece(value or "", at, Source.ASSIGNED, start, end, name),)
        # `?` without a value is an error for Compose: there is no text to speak of.
        return None if op.endswith("?") else (Piece("", at, Source.COMPUTED, start, end, name),)


def _closing(template: str, at: int, end: int) -> int | None:
    depth = 1
    while at < end:
        if template.startswith("${", at):
            depth, at = depth + 1, at + 1
        elif template[at] == "}":
            depth -= 1
            if not depth:
                return at
        at += 1
    return None


# -------------------------------------------------------------------------------------------------- rewriting


def writable_pieces(parts: tuple[Piece, ...], name_end: int) -> tuple[Piece, ...] | str:
    """Return the pieces of a reference that an edit may write to, the likeliest first, or why there is none.

    `parts` are the pieces of the reference, `name_end` the length of its name. What stands behind the name
    may be put together from several (`${TAG}${POSTFIX}`), if one of them holds the whole number of the
    version.
    """
    # Only what stands behind the name is the updater's: the repository of an image never changes.
    tail = [piece for piece in parts if _reaches_behind(piece, name_end)]
    if not tail:
        return _behind_the_name(parts)
    written = [p for p in tail if p.text and p.source is not Source.COMPUTED]
    if not written:
        return f"the variable {tail[0].variable or '$$'} is empty"
    text = "".join(p.text for p in parts)
    # A tag such as `${VERSION}-${VARIANT}` moves by its version, so the piece with the number is the one to
    # write.
    start, end = _number(text, name_end)
    overlapping = [p for p in written if p.at < end and p.until > start]
    holding = overlapping if start < end else _naming(written)
    if len(holding) != 1:
        return "the tag is put together from " + " and ".join(p.variable or p.text for p in holding)
    return (*holding, *(p for p in written if p is not holding[0]))


def _behind_the_name(parts: tuple[Piece, ...]) -> tuple[Piece, ...] | str:
    """Return the piece that a tag can follow, for a reference without one, or why there is none."""
    last = parts[-1]
    if last.variable and len(parts) > 1:
        return f"the name ends in the variable {last.variable}"
    return (last,)


def _reaches_behind(piece: Piece, name_end: int) -> bool:
    """Return whether a piece holds text behind the name, or is a variable there, which may be empty."""
    return piece.until > name_end or (bool(piece.variable) and piece.at >= name_end)


def _number(text: str, name_end: int) -> tuple[int, int]:
    """Return the span that says which version it is: the first number, up to the end of a digest if any."""
    number = _VERSION.search(text, name_end)
    digest = text.find("@", name_end)
    if digest < 0:
        return number.span() if number else (0, 0)
    return (number.start() if number and number.start() < digest else digest + 1), len(text)


def _naming(written: list[Piece]) -> list[Piece]:
    """Return the pieces that can name a tag without any number: its variables, or the one literal text."""
    return [p for p in written if p.source is not Source.LITERAL] or written[-1:]


def refill(parts: tuple[Piece, ...], piece: Piece, wanted: str) -> str | None:
    """Return the text that `piece` needs for the whole to read `wanted`, or None if no text can do that.

    >>> parts = pieces("pg:${V}-alpine", {"V": "15"})
    >>> refill(parts, parts[1], "pg:16-alpine"), refill(parts, parts[1], "pg:16")
    ('16', None)
    """
    index = parts.index(piece)
    before = "".join(part.text for part in parts[:index])
    after = "".join(part.text for part in parts[index + 1 :])
    # Compared by length too: prefix and suffix may overlap in a short text, and would leave a piece of
    # negative length.
    if not wanted.startswith(before) or not wanted.endswith(after) or len(wanted) <= len(before) + len(after):
        return None
    text = wanted[len(before) : len(wanted) - len(after)]
    return text if is_reference_text(text) else None

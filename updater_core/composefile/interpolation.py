"""Variables of a compose file: what a value with `${...}` resolves to, which part of it came from where. Pure.

The grammar is Compose's own (https://docs.docker.com/reference/compose-file/interpolation/ and, for env files,
https://docs.docker.com/compose/how-tos/environment-variables/variable-interpolation/), checked against 2.26.1. Only
env files count: the updater gives Compose an environment of its own, in which no variable of the shell is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

BOM = "\ufeff"

_REFERENCE_TEXT = re.compile(r"[A-Za-z0-9._/:@-]+")
_OPENING = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<bare>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*)(?P<op>:?[-?+])?)", re.ASCII
)
_STATEMENT = re.compile(r"(?:export[ \t]+)?(?P<key>[A-Za-z_][\w.\[\]-]*)[ \t]*[=:][ \t]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Assignment:
    """One `KEY=value` of an env file: the span of its value inside the quotes; `value` None where it is not plain."""

    key: str
    value: str | None
    start: int
    end: int


class Source(StrEnum):
    """Where a piece of a value comes from, and so where it can be written."""

    LITERAL = "literal"
    ASSIGNED = "assigned"
    DEFAULT = "default"
    COMPUTED = "computed"  # `:+`, a nested default: nothing to write to


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a resolved value: `text`, at `at` in the result. `start` to `end` is where that text is written in the
    template (the default, for a default), `stop` where the template goes on behind it.
    """

    text: str
    at: int
    source: Source
    start: int
    end: int
    stop: int
    variable: str = ""

    @property
    def until(self) -> int:
        return self.at + len(self.text)


def is_reference_text(text: str) -> bool:
    """Whether `text` has only the characters of an image reference, which need no quoting anywhere."""
    return _REFERENCE_TEXT.fullmatch(text) is not None


# ------------------------------------------------------------------------------------------------------ env files


def assignments(text: str) -> tuple[Assignment, ...]:
    r"""Every assignment of an env file, in order. What is no assignment is passed over.

    >>> [(a.key, a.value) for a in assignments("# c\nexport A='1.2' # x\nB=$A\n")]
    [('A', '1.2'), ('B', None)]
    """
    found: list[Assignment] = []
    at = len(BOM) if text.startswith(BOM) else 0
    while at < len(text):
        if text[at].isspace():
            at += 1
        elif statement := _STATEMENT.match(text, at):
            assignment, at = _assignment(text, statement["key"], statement.end())
            found.append(assignment)
        else:
            at = _line_end(text, at)
    return tuple(found)


def environment(texts: Iterable[str]) -> dict[str, str | None]:
    """What the env files set, the later over the earlier; None for a value that is not plain."""
    return {a.key: a.value for text in texts for a in assignments(text)}


def _assignment(text: str, key: str, start: int) -> tuple[Assignment, int]:
    if start < len(text) and text[start] in "'\"":
        return _quoted(text, key, start)
    end = _line_end(text, start)
    value = text[start:end].split(" #", 1)[0].rstrip()  # a comment needs a space before its `#`, not a tab
    is_plain = "$" not in value
    return Assignment(key, value if is_plain else None, start, start + len(value)), end


def _quoted(text: str, key: str, start: int) -> tuple[Assignment, int]:
    quote = text[start]
    end = start + 1
    while end < len(text) and (text[end] != quote or text[end - 1] == "\\"):
        end += 1
    value = text[start + 1 : end]
    is_plain = end < len(text) and "\\" not in value and not (quote == '"' and "$" in value)
    return Assignment(key, value if is_plain else None, start + 1, end), end + 1


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


# ------------------------------------------------------------------------------------------------------- templates


def pieces(template: str, values: Mapping[str, str | None]) -> tuple[Piece, ...] | None:
    """Take a value apart as Compose resolves it; None where the text alone cannot tell (unset, not plain, malformed).

    >>> [(p.text, p.source.value) for p in pieces("app:${TAG:-1.2}", {})]
    [('app:', 'literal'), ('1.2', 'default')]
    """
    found: list[Piece] = []
    at = start = 0
    while start < len(template):
        piece = _variable(template, start, at, values) if template[start] == "$" else _literal(template, start, at)
        if piece is None:
            return None
        found.append(piece)
        at, start = piece.until, piece.stop
    return tuple(found)


def resolve(template: str, values: Mapping[str, str | None]) -> str | None:
    """The value as Compose resolves it, or None where the text alone cannot tell.

    >>> resolve("${IMAGE:-nginx:${TAG}}", {"TAG": "1.2"})
    'nginx:1.2'
    """
    parts = pieces(template, values)
    return None if parts is None else "".join(part.text for part in parts)


def uses(text: str, variable: str) -> bool:
    """Whether `text` takes `variable`, as `$V` or in any form of `${V...}`."""
    return re.search(rf"\$\{{?{re.escape(variable)}(?!\w)", text.replace("$$", ""), re.ASCII) is not None


def _literal(template: str, start: int, at: int) -> Piece:
    end = template.find("$", start)
    end = len(template) if end < 0 else end
    return Piece(template[start:end], at, Source.LITERAL, start, end, end)


def _variable(template: str, start: int, at: int, values: Mapping[str, str | None]) -> Piece | None:
    opening = _OPENING.match(template, start)
    if opening is None:
        return None
    if opening["escaped"]:
        return Piece("$", at, Source.COMPUTED, start, start + 2, start + 2)
    if opening["bare"]:
        return _taken(opening, "", at, values)
    end = _closing(template, opening.end())
    if end is None or (opening["op"] is None and end != opening.end()):
        return None
    return _taken(opening, template[opening.end() : end], at, values)


def _taken(opening: re.Match[str], argument: str, at: int, values: Mapping[str, str | None]) -> Piece | None:
    """The piece that one variable makes; `argument` is what stands behind its operator."""
    name, op = opening["bare"] or opening["braced"], opening["op"] or ""
    value = values.get(name)
    if name in values and value is None:
        return None
    is_set = bool(value) if op.startswith(":") else name in values
    text, source = value, Source.ASSIGNED
    if op.endswith("+"):
        text, source = (resolve(argument, values) if is_set else ""), Source.COMPUTED
    elif not is_set:
        is_plain = name not in values and "$" not in argument
        text, source = _default(op, argument, values), Source.DEFAULT if is_plain else Source.COMPUTED
    start, end = opening.end(), opening.end() + len(argument)
    return None if text is None else Piece(text, at, source, start, end, end + bool(opening["braced"]), name)


def _default(op: str, argument: str, values: Mapping[str, str | None]) -> str | None:
    return resolve(argument, values) if op.endswith("-") else None


def _closing(template: str, at: int) -> int | None:
    depth = 1
    while at < len(template):
        if template.startswith("${", at):
            depth, at = depth + 1, at + 1
        elif template[at] == "}":
            depth -= 1
            if not depth:
                return at
        at += 1
    return None


# -------------------------------------------------------------------------------------------------------- rewriting


def holder(parts: tuple[Piece, ...], name_end: int) -> Piece | str:
    """The one piece that holds everything of a reference behind its name, or a sentence why there is none.

    `parts` are the pieces of the reference, `name_end` the length of the name. Literals may stand around a single
    variable (`postgres:${VERSION}-alpine`); two variables cannot be told apart.
    """
    tail = [p for p in parts if p.until > name_end or (p.variable and p.at >= name_end)]
    if not tail:
        last = parts[-1]
        return last if not last.variable or len(parts) == 1 else f"the name ends in the variable {last.variable}"
    variables = [p for p in tail if p.source is not Source.LITERAL]
    if len(variables) > 1:
        return "the tag is put together from " + " and ".join(p.variable or "$$" for p in variables)
    if variables and not variables[0].text:
        return f"the variable {variables[0].variable} is empty"
    return variables[0] if variables else tail[-1]


def refill(parts: tuple[Piece, ...], piece: Piece, wanted: str) -> str | None:
    """The text that `piece` needs for the whole to read `wanted`, or None where no text of its can do that.

    >>> parts = pieces("pg:${V}-alpine", {"V": "15"})
    >>> refill(parts, parts[1], "pg:16-alpine"), refill(parts, parts[1], "pg:16")
    ('16', None)
    """
    index = parts.index(piece)
    before, after = ("".join(p.text for p in some) for some in (parts[:index], parts[index + 1 :]))
    if not wanted.startswith(before) or not wanted.endswith(after) or len(wanted) <= len(before) + len(after):
        return None
    text = wanted[len(before) : len(wanted) - len(after)]
    return text if is_reference_text(text) else None

"""Env files: every assignment with its place in the text, and the values that all of them give. Pure.

The grammar is Compose's own
(https://docs.docker.com/compose/how-tos/environment-variables/variable-interpolation/), checked against
2.26.1 and 2.40.3.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from updater_core.composefile.interpolation import Piece, Source, depends, pieces, unset, variables

BOM = "\ufeff"
_T = TypeVar("_T")
_OF_COMPOSE = frozenset({"COMPOSE_PROJECT_NAME"})  # what Compose sets itself, wherever it is started

_STATEMENT = re.compile(r"(?:export[ \t]+)?(?P<key>[A-Za-z_][\w.\[\]-]*)[ \t]*[=:][ \t]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Assignment:
    """One `KEY=value` of an env file: the span of its value inside the quotes.

    `value`: None if it is not plain; `template`: what stands there if it takes other variables, as in
    `TAG=${BASE}-alpine`.
    """

    key: str
    value: str | None
    start: int
    end: int
    template: str | None = None


@dataclass(frozen=True, slots=True)
class Environment:
    """What env files set: each value, None if the text alone does not tell it.

    `parts`: of each value that takes other variables. `taken`: the variables set nowhere that would change a
    value, a default or not.
    """

    values: Mapping[str, str | None] = field(default_factory=dict)
    parts: Mapping[str, tuple[Piece, ...]] = field(default_factory=dict)
    taken: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def open_names(self, text: str) -> frozenset[str]:
        """Return the variables set nowhere that would change a text, also through the values it takes.

        >>> found = environment([assignments("D=${HOME}/x\\nE=1\\n")])
        >>> sorted(found.open_names("$D $E ${PW:-none}"))
        ['HOME', 'PW']
        """
        found: set[str] = set()
        for name in variables(text) - _OF_COMPOSE:
            if depends(text, name, self.values):
                found |= self.taken.get(name, frozenset()) if name in self.values else {name}
        return frozenset(found)

    def blank_names(self, text: str) -> frozenset[str]:
        """Return the variables set nowhere in whose place nothing stands, also within the values it takes."""
        parts = pieces(text, self.values)
        return frozenset(unset(deepened(parts, self))) - _OF_COMPOSE if parts is not None else frozenset()


def assignments(text: str) -> tuple[Assignment, ...]:
    r"""Return every assignment of an env file, in order. What is no assignment is passed over.

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


def environment(files: Iterable[Sequence[Assignment]], given: Environment | None = None) -> Environment:
    r"""Return what env files set, the later over the earlier.

    A value takes the variables that are set before it. `given`: what Compose has besides, which beats them.

    One that two files set takes the value of the first up to Compose 2.26, and that of its own file in 2.40:
    then a value that takes it is not known.

    >>> found = environment([assignments("BASE=1.2\nTAG=${BASE}-alpine\n")])
    >>> found.values["TAG"], [(part.text, part.variable) for part in found.parts["TAG"]]
    ('1.2-alpine', [('1.2', 'BASE'), ('-alpine', 'TAG')])
    """
    given = given or Environment()
    values: dict[str, str | None] = {}
    parts = dict(given.parts)
    taken = dict(given.taken)
    for file in files:
        earlier = dict(values)
        ambiguous: dict[str, str | None] = {}
        known = Environment(ChainMap(dict(given.values), ambiguous, values), parts, taken)
        for each in file:
            found = _value_parts(each, known) if each.template else None
            values[each.key] = each.value if found is None else "".join(part.text for part in found)
            if each.key not in given.values:
                parts[each.key] = found or ()
                taken[each.key] = known.open_names(each.template or "")
            if earlier.get(each.key, values[each.key]) != values[each.key]:
                ambiguous[each.key] = None
    return Environment({**values, **given.values}, _filled(parts), _filled(taken))


def _filled(of: Mapping[str, _T]) -> dict[str, _T]:
    return {name: some for name, some in of.items() if some}


def _value_parts(assignment: Assignment, known: Environment) -> tuple[Piece, ...] | None:
    """Return the pieces of a value that takes other variables; its own text can be written to as well."""
    found = pieces(assignment.template or "", known.values)
    if found is None:
        return None
    own = (Source.LITERAL, Source.DEFAULT)
    parts = (
        replace(p, source=Source.ASSIGNED, variable=assignment.key) if p.source in own else p for p in found
    )
    return tuple(
        deeper for part in parts for deeper in _deeper(part, known, is_own=part.variable == assignment.key)
    )


def deepened(parts: Iterable[Piece], known: Environment) -> tuple[Piece, ...]:
    """Return the pieces with a variable's own pieces in its place, down to the text itself.

    So `start` and `end` of what is assigned count in the value of its variable.
    """
    return tuple(deeper for part in parts for deeper in _deeper(part, known))


def _deeper(part: Piece, known: Environment, *, is_own: bool = False) -> tuple[Piece, ...]:
    if part.source is not Source.ASSIGNED or is_own:
        return (part,)
    inner = known.parts.get(part.variable, ())
    return tuple(replace(each, at=each.at + part.at) for each in inner) or (
        replace(part, start=0, end=len(part.text)),
    )


def _assignment(text: str, key: str, start: int) -> tuple[Assignment, int]:
    if start < len(text) and text[start] in "'\"":
        return _quoted(text, key, start)
    end = _line_end(text, start)
    value = text[start:end].split(" #", 1)[0].rstrip()  # a comment needs a space before its `#`, not a tab
    template = value if "$" in value and "\\" not in value else None
    is_plain = "$" not in value
    return Assignment(key, value if is_plain else None, start, start + len(value), template), end


def _quoted(text: str, key: str, start: int) -> tuple[Assignment, int]:
    quote = text[start]
    end = start + 1
    while end < len(text) and (text[end] != quote or text[end - 1] == "\\"):
        end += 1
    value = text[start + 1 : end]
    is_readable = end < len(text) and "\\" not in value
    takes_others = quote == '"' and "$" in value
    template = value if is_readable and takes_others else None
    is_plain = is_readable and not takes_others
    return Assignment(key, value if is_plain else None, start + 1, end, template), end + 1


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end

"""Why a text is no JSON, in the words of whoever wrote it: a comma too many, a comment, YAML. Pure."""

from __future__ import annotations

import json
import re

_EMPTY = 'the file is empty; write {"services": []}, or let `docker-updater --discover --write` fill it'
_YAML = re.compile(r"---|- |[A-Za-z_][\w-]*:(?:\s|$)")
_ASSIGNMENT = re.compile(r"\[[\w.-]+\]\s*$|(?:export )?[A-Za-z_][\w.-]*\s*=")
_WORD = re.compile(r"[A-Za-z_][\w-]*")
_LITERALS = {
    "True": "true", "yes": "true", "on": "true", "Yes": "true", "TRUE": "true",
    "False": "false", "no": "false", "off": "false", "No": "false", "FALSE": "false",
    "None": "null", "nil": "null",
}  # fmt: skip
_IN_TEXTS = {
    "Unterminated string starting at": "a text begins here that does not end; close its double quotes",
    "Invalid control character at": "a text goes on over the end of its line; close its double quotes",
    "Invalid \\escape": "a \\ in a text; write \\\\ for it",
    "Invalid \\uXXXX escape": "a \\u in a text that names no character; write \\\\u, or its four digits",
    "Extra data": "the document has ended before this; take out what follows, or a } or ] too many",
}


def explanation(text: str, error: json.JSONDecodeError) -> str:
    """Return `line 3, column 5: what is wrong; what to do` for a text that `json` refused with this error."""
    if not text.strip():
        return _EMPTY
    found = _other_language(text)
    if found:
        return found
    position = _comma_too_many(text, error.pos)
    if position is None:
        return f"line {error.lineno}, column {error.colno}: not JSON: {_at(text, error)}"
    line, column = text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)
    return (
        f"line {line}, column {column}: not JSON: a comma too many in front of the closing bracket; take "
        "it out"
    )


def _other_language(text: str) -> str:
    """Return what a text is, if its first line that is no comment shows another language."""
    lines = [line.strip() for line in text.splitlines()]
    first = next((line for line in lines if line and not line.startswith("#")), "")
    if _ASSIGNMENT.match(first):
        return (
            "this is a list of assignments (.env, INI or TOML), not JSON; name the JSON file with CONFIG_FILE"
        )
    if not _YAML.match(first):
        return ""
    return (
        'this is YAML, not JSON; write it with { } around keys and [ ] around lists: {"services": '
        '[{"name": "web", …}]}'
        ', or start from {"services": []} and let `docker-updater --discover --write` fill it'
    )


def _comma_too_many(text: str, position: int) -> int | None:
    """Return the position of a comma before a closing bracket, if that was refused; else None."""
    if text[position : position + 1] == "," and text[position + 1 :].lstrip()[:1] in ("}", "]"):
        return position
    before = text[:position].rstrip()
    return len(before) - 1 if text[position : position + 1] in ("}", "]") and before.endswith(",") else None


def _at(text: str, error: json.JSONDecodeError) -> str:
    """Return what stands at the place of an error, and what to write there."""
    if error.msg in _IN_TEXTS:
        return _IN_TEXTS[error.msg]
    rest = text[error.pos :].lstrip()
    if not rest:
        return "the text ends too early; a }, a ] or a value is missing at its end"
    if rest.startswith(("//", "/*", "#")):
        return "a comment, which JSON does not have; take it out"
    if rest[0] in "'`“”„‘’«":
        return 'another kind of quotes; JSON takes only " around keys and texts'
    return _missing(rest, error.msg)


def _missing(rest: str, message: str) -> str:
    if rest[0] == ",":
        return "a comma too many, or a value is missing in front of it"
    if rest[0] in "]}" and message == "Expecting value":
        return "a value is missing in front of the closing bracket"
    if message == "Expecting ',' delimiter":
        return "a comma is missing in front of this, or a bracket is not closed"
    if message == "Expecting ':' delimiter":
        return "a colon is missing between the key and its value"
    word = _WORD.match(rest)
    if word and word[0] in _LITERALS and message == "Expecting value":
        return f"{word[0]} is no JSON; write {_LITERALS[word[0]]}"
    if word:
        return "a key or text without double quotes; put them around it"
    return f"{message[0].lower()}{message[1:]}; correct it there or just before"

"""The messages about a mistake in the configuration: what is wrong and what to write. Pure.

Nothing that may be a secret is in them, and no value at its whole length.
"""

from __future__ import annotations

import json
import re
from typing import Any

from updater_core.config.options import (
    API_TOKEN,
    BY_PLACE,
    DEFAULTS,
    ENGINE,
    REGISTRY,
    SERVICE,
    SIGNATURE,
    TOP,
    Option,
)
from updater_core.vocabulary.similar import closest

LONGEST_SHOWN = 60
_PLACES = {
    TOP: "at the top of the file",
    SERVICE: "in the service",
    REGISTRY: "in the service's registry_config",
    DEFAULTS: "in defaults",
    SIGNATURE: "in the service's signature",
    ENGINE: "in one of engines",
    API_TOKEN: "in one of api_tokens",
}
# an address, or `user:password@…`; a pinned digest is neither
_MAY_HOLD_A_LOGIN = re.compile(r"://|@(?!sha\d+:)")
_LONG_WORD = re.compile(rf"\S{{{LONGEST_SHOWN + 1},}}")


def problem(option: Option, raw: Any, detail: str) -> str:
    """Return what is wrong with `raw`, and what to write. `detail` is a sentence on it, or empty.

    Nothing is shown of a value in which a secret may stand: that of a secret key, all in `registry_config` or
    in its place, and what looks like an address or a login. Of others at most 60 characters are.
    """
    kind = option.kind
    is_of_registry = option.place == REGISTRY or option.key == "registry_config"
    is_hidden = kind.secret or is_of_registry or may_hold_a_secret(raw)
    may_be_said = bool(detail) and not (is_hidden and _speaks_of(detail, raw))
    wrong = _safe(detail, raw) if may_be_said else ""
    if not wrong:
        wrong = f"{'it' if is_hidden else shown(raw)} is not {kind.noun}"
    return wrong if "; " in wrong else f"{wrong}; write {kind.remedy}"  # some details say what to write


def shown(raw: Any) -> str:
    """Return a value for a message, as JSON would write it, cut short."""
    if isinstance(raw, (list, dict)):
        return "a list" if isinstance(raw, list) else "an object"
    if may_hold_a_secret(raw):
        return "the text"
    return _cut(json.dumps(raw, ensure_ascii=False, default=repr))


def shown_key(key: str) -> str:
    """Return a key for a message: quoted if it is no plain word, cut, not shown if it may hold a login.

    >>> shown_key("tag_regex"), shown_key("pin-digest"), shown_key("me:hunter2")
    ('tag_regex', '"pin-digest"', '(a key)')
    """
    if key.isidentifier() and len(key) <= LONGEST_SHOWN:
        return key
    return "(a key)" if ":" in key or may_hold_a_secret(key) else shown(key)


def instead(key: str, place: str) -> str:
    """Return what to do about a key that is not known in `place`."""
    options = BY_PLACE[place]
    name = key.lower().replace("-", "_")
    near = closest(name, options, 0.7) if len(key) <= LONGEST_SHOWN else None
    elsewhere = [other for other, known in BY_PLACE.items() if key in known and other != place]
    if elsewhere:
        return f"write it {_PLACES[elsewhere[0]]}"
    return f"write {near}" if near else f"take it out, or write one of {', '.join(sorted(options))}"


def may_hold_a_secret(raw: Any) -> bool:
    """Return whether a value looks as if it held an address or a login.

    >>> may_hold_a_secret("https://me:hunter2@ghcr.io/a"), may_hold_a_secret("nginx:1@sha256:0")
    (True, False)
    """
    return any(_MAY_HOLD_A_LOGIN.search(text) for text in _texts(raw))


def _texts(raw: Any) -> list[str]:
    return [each for each in (raw if isinstance(raw, list) else [raw]) if isinstance(each, str)]


def _speaks_of(detail: str, raw: Any) -> bool:
    """Return whether a sentence may repeat a piece of the value; only one that quotes nothing does not."""
    if "'" in detail or '"' in detail:
        return True
    return any(text[:30] in detail for text in _texts(raw) if text)


def _safe(detail: str, raw: Any) -> str:
    for text in _texts(raw):
        if len(text) > LONGEST_SHOWN:
            detail = detail.replace(repr(text), _cut(repr(text))).replace(text, _cut(text))
    return _LONG_WORD.sub(lambda word: _cut(word[0]), detail)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"

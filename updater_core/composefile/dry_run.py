"""Read what `docker compose up` prints, a dry run above all: what happens to containers, networks, volumes.

Every version has a form of its own. These say the same, in Compose 2.17 to 2.40 and in 5.x, plain and (the
last two) with `--progress json`:

    DRY-RUN MODE -  Container shop-web-1  Recreate
    Container shop-web-1 Recreate
    {"dry-run":true,"id":"Container shop-web-1","status":"Recreate"}
    {"id":"Container shop-web-1","status":"Working","text":"Recreate"}
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_STATUS_LINE = re.compile(r"\W*(?:DRY-RUN MODE -\s+)?((?:Container|Network|Volume)\s+\S+)\s+(\w\S*)")
_RESOURCE = re.compile(r"(?:Container|Network|Volume)\s+\S+")
_PROGRESS = {"Working", "Done", "Warning", "Error"}  # how far a step is, not what it does


def read(text: str) -> Mapping[str, frozenset[str]]:
    """Return each resource (`Container shop-web-1`, `Network shop_default`) with every word said of it.

    A word is an action of Compose's own: `Running`, `Recreate`, `Creating`, `Stopping`, `Error`. What is no
    such line is passed over, so an empty result may mean that the form is not known.

    >>> read(" DRY-RUN MODE -  Container shop-web-1  Running ")
    {'Container shop-web-1': frozenset({'Running'})}
    >>> read('{"id":"Container shop-web-1","status":"Working","text":"Recreate"}')
    {'Container shop-web-1': frozenset({'Recreate'})}
    """
    said: dict[str, frozenset[str]] = {}
    for resource, word in _statements(text):
        said[resource] = said.get(resource, frozenset()) | {word}
    return said


def complaints(text: str) -> list[str]:
    """Return the lines of a Compose that failed which say why: no progress, and JSON messages as plain text.

    >>> complaints(' Container a  Running\\n{"error":true,"message":"no such service: web"}\\n')
    ['no such service: web']
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [telling for line in lines if (telling := _complaint(line))]


def _statements(text: str) -> Iterator[tuple[str, str]]:
    for line in map(_plain, text.splitlines()):
        found = _of_object(line) if line.startswith("{") else _of_line(line)
        if found is not None:
            yield found


def _plain(line: str) -> str:
    return _ESCAPE.sub("", line).strip()


def _of_line(line: str) -> tuple[str, str] | None:
    match = _STATUS_LINE.match(line)
    return (_resource(match[1]), match[2].rstrip(":")) if match else None


def _of_object(line: str) -> tuple[str, str] | None:
    """Up to 2.40 `status` is the action itself; later it is how far that is, and `text` the action."""
    found = _object(line)
    resource = str(found.get("id") or "")
    status, words = str(found.get("status") or ""), str(found.get("text") or "").split()
    is_action_in_text = bool(words) and (not status or status in _PROGRESS)
    action = words[0] if is_action_in_text else (status.split() or [""])[0]
    if not action or not _RESOURCE.fullmatch(resource):
        return None
    return _resource(resource), action.rstrip(":")


def _object(line: str) -> Mapping[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _resource(text: str) -> str:
    """Return the resource without the quotes that some versions put around a network's or volume's name."""
    kind, name = text.split(maxsplit=1)
    return f"{kind} {name.strip(chr(34))}"


def _complaint(line: str) -> str:
    """Progress says nothing of why; a JSON line says it in `message` (an error) or `msg` (a log line)."""
    plain = _plain(line)
    if plain.startswith("{"):
        found = _object(plain)
        return str(found.get("message") or found.get("msg") or "") if found else plain
    return "" if _of_line(plain) else plain

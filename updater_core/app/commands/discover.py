"""`docker-updater --discover`: show what runs, and put what is new into the configuration if asked to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from updater_core.app.context import AppContext
from updater_core.config import json_insert
from updater_core.deploy.discovered import Discovered
from updater_core.errors import ConfigError
from updater_core.host import files
from updater_core.status import discovered
from updater_core.targets.survey import HostSurvey
from updater_core.vocabulary.snapshot import Snapshot

Ask = Callable[[str], str]
_EMPTY = '{\n  "services": []\n}\n'


@dataclass(frozen=True, slots=True)
class DiscoverOptions:
    """What was asked for beside the table: JSON in its place; writing; no question before it."""

    as_json: bool = False
    is_writing: bool = False
    is_sure: bool = False


def run(context: AppContext, wanted: DiscoverOptions, ask: Ask = input) -> int:
    """Print what was found and write what is new; return the exit status. Nothing is updated.

    Raises ConfigError if the file cannot take the entries, UpdaterError if it cannot be written.
    """
    host = context.host
    found = HostSurvey(context.config, host.engine, context.targets, host.own_container, host.swarm).run()
    print(discovered.as_json(found) if wanted.as_json else discovered.table(found))
    if wanted.is_writing:
        return _write(Path(context.config.path), found, wanted, ask)
    if found.writable and not wanted.as_json:
        print(
            "Nothing is written yet: add --write to put what is new into the configuration.", file=sys.stderr
        )
    return 0


def _write(path: Path, found: Discovered, wanted: DiscoverOptions, ask: Ask) -> int:
    entries = [each.entry for each in found.writable]
    if not entries:
        print(f"{path}: nothing to add", file=sys.stderr)
        return 0
    # says, before it asks, if it may not be written
    snapshot = files.snapshot(path) if path.exists() else None
    services = f"{len(entries)} service{'s' if len(entries) != 1 else ''}"
    if not wanted.is_sure and not _agreed(f"Add {services} to {path}? [y/N] ", ask):
        print("nothing is written", file=sys.stderr)
        return 1
    text = _added(path, snapshot, entries).encode("utf-8")
    if snapshot is None:
        files.write_atomically(path, text)
    else:
        files.commit(snapshot, files.stage(snapshot, text, "discover"))
    print(f"{path}: {services} added; see what would happen with --plan", file=sys.stderr)
    return 0


def _added(path: Path, snapshot: Snapshot | None, entries: Sequence[Mapping[str, Any]]) -> str:
    """Return the text of the configuration with the entries in it, begun if there is none.

    A byte-order mark stays.
    """
    before = snapshot.data.decode("utf-8") if snapshot else ""
    mark = "\ufeff" if before.startswith("\ufeff") else ""
    text = before.removeprefix(mark)
    try:
        return mark + json_insert.insert(text if text.strip() else _EMPTY, "services", entries)
    except ValueError as error:
        raise ConfigError([f"{path}: {error}; correct it first"]) from None


def _agreed(question: str, ask: Ask) -> bool:
    """Return whether the person at the terminal says yes; nobody at one is a no, with the remedy."""
    if sys.stdin is None or not sys.stdin.isatty():
        print("nobody is there to be asked: add --yes", file=sys.stderr)
        return False
    print(question, end="", file=sys.stderr, flush=True)  # standard output may be JSON
    try:
        return ask("").strip().lower() in ("y", "yes")
    except (EOFError, KeyboardInterrupt):
        print(file=sys.stderr)
        return False

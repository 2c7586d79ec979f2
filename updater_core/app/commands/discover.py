"""`docker-updater --discover`: show what runs, and put what is new into the configuration file if asked to."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from updater_core import targets
from updater_core.app.context import AppContext
from updater_core.config import json_insert
from updater_core.deploy.discovered import Discovered
from updater_core.errors import ConfigError
from updater_core.host import files
from updater_core.status import discovered

Ask = Callable[[str], str]


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
    found = targets.HostSurvey(context.config, context.host.engine, context.targets).run()
    print(discovered.as_json(found) if wanted.as_json else discovered.table(found))
    if not wanted.is_writing:
        if found.new and not wanted.as_json:
            print("Nothing is written yet: add --write to put what is new into the configuration.", file=sys.stderr)
        return 0
    return _write(Path(context.config.path), found, wanted, ask)


def _write(path: Path, found: Discovered, wanted: DiscoverOptions, ask: Ask) -> int:
    entries = [each.entry for each in found.new if each.entry]
    if not entries:
        print(f"{path}: nothing to add, every service that runs is in it", file=sys.stderr)
        return 0
    if not wanted.is_sure and not _agreed(f"Add {len(entries)} services to {path}? [y/N] ", ask):
        print("nothing is written", file=sys.stderr)
        return 1
    snapshot = files.snapshot(path)
    try:
        text = json_insert.insert(files.read(path).decode("utf-8"), "services", entries)
    except ValueError as error:
        raise ConfigError([f"{path}: {error}; correct it first"]) from None
    staged = files.stage(snapshot, text.encode("utf-8"), "discover")
    files.commit(snapshot, staged)
    print(f"{path}: {len(entries)} services added; see them with --plan", file=sys.stderr)
    return 0


def _agreed(question: str, ask: Ask) -> bool:
    """Whether the person at the terminal says yes; nobody at one is a no, with the remedy."""
    if not sys.stdin.isatty():
        print("nobody is there to be asked: add --yes", file=sys.stderr)
        return False
    return ask(question).strip().lower() in ("y", "yes")

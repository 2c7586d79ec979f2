"""The options of a service of a Docker Swarm, besides what every service has. Pure."""

from __future__ import annotations

from typing import Any

from updater_core.targets.file_options import FILE, SERVICE_IN_FILE
from updater_core.targets.swarm.entry.settings import SwarmSettings
from updater_core.vocabulary.options import kinds
from updater_core.vocabulary.options.option import SERVICE, Kind, Option

_NAME = kinds.word(
    "the name of a stack or a Swarm service",
    "letters, digits, '.', '_' and '-', the first a letter or a digit",
    "[A-Za-z0-9][A-Za-z0-9_.-]*",
)
_ENGINE = kinds.word(
    "the name of an engine",
    "letters, digits, '_' and '-', the first a letter or a digit",
    kinds.ENGINE_NAME,
)


def _own(key: str, kind: Kind, default: Any, doc: str, *examples: Any, **more: Any) -> Option:
    return Option(SERVICE, key, kind, default, doc, examples, settings=SwarmSettings, **more)


WHERE = (
    FILE,
    SERVICE_IN_FILE,
    _own("stack", _NAME, None,
         "The stack of a service that runs in a Docker Swarm and is updated there: `web` of `shop` is "
         "`shop_web`.",
         "shop", is_of_one=True),
    _own("swarm_service", _NAME, None,
         "The name of a Swarm service that belongs to no stack.", "web", is_of_one=True),
    _own("run_jobs", kinds.FLAG, False,
         "Swarm: [update jobs](swarm.md#jobs) too. A new image runs a job at once, so that they are only "
         "notified of without it.", True),
    _own("engine", _ENGINE, None,
         "The one of `engines` whose Swarm the service runs in; this host's engine when left out.", "prod",
         is_of_one=True),
)  # fmt: skip

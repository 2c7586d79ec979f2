"""The real updater, that kills itself with SIGKILL before or after its n-th effect.

python -m tests.support.killed_updater CONFIG N before|after     N = 0: run to the end, print each effect on a
line
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from updater_core import config_utils
from updater_core.app import cycle
from updater_core.app.wiring import wire
from updater_core.host import files
from updater_core.host.clock import SystemClock

_EFFECTS = {
    "engine": {"pull", "tag", "untag", "remove_container", "rename_container", "remove_image"},
    "compose": {"up"},
    "journal": {"write", "close"},
    "files": {"stage", "commit", "discard", "remove_strays"},
}


class Suicide:
    """Counts effects; at the chosen one the process is gone, as by a power cut."""

    def __init__(self, at: int, after: bool) -> None:
        self._at, self._after, self._count = at, after, 0

    def wrap(self, kind: str, part: Any) -> Any:
        return _WatchedPart(self, kind, part)

    def effect(self, name: str, act: Any) -> Any:
        self._count += 1
        mine = self._count == self._at
        if self._at == 0:
            print(f"effect {self._count} {name}", flush=True)
        if mine and not self._after:
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            return act()
        finally:
            if mine:
                os.kill(os.getpid(), signal.SIGKILL)


class _WatchedPart:
    def __init__(self, suicide: Suicide, kind: str, part: Any) -> None:
        object.__setattr__(self, "_facts", (suicide, kind, part))

    def __getattr__(self, name: str) -> Any:
        suicide, kind, part = object.__getattribute__(self, "_facts")
        found = getattr(part, name)
        if name not in _EFFECTS[kind]:
            return found
        return lambda *words, **options: suicide.effect(f"{kind}.{name}", lambda: found(*words, **options))

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(object.__getattribute__(self, "_facts")[2], name, value)


def main() -> None:
    path, at, when = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    context = wire(config_utils.load(path, {}), SystemClock())
    suicide = Suicide(at, when == "after")
    context.host.engine = suicide.wrap("engine", context.host.engine)
    context.host.compose = suicide.wrap("compose", context.host.compose)
    context.journal = suicide.wrap("journal", context.journal)
    context.host.files = suicide.wrap("files", files)
    cycle.run(context)


if __name__ == "__main__":
    main()

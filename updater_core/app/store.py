"""The state in memory, together with the file that it is kept in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from updater_core import state_utils
from updater_core.models import Settings
from updater_core.state.records import State


@dataclass(slots=True)
class StateStore:
    """`state` is replaced as a whole, so that other threads may read it; `settings` say how many backups there are,
    and in which folder."""

    state: State
    path: Path
    settings: Settings

    @property
    def folder(self) -> Path:
        """The folder of the state, and of journal, outbox and locks beside it."""
        return self.path.parent

    def save(self, now: datetime) -> str | None:
        """Put the state on the disk. Returns a sentence on a backup that could not be written, else None.

        Raises StateError if the state itself cannot be written; the file is as it was then.
        """
        folder = Path(self.settings.state_backup_dir) if self.settings.state_backup_dir else None
        return state_utils.save(self.state, self.path, self.settings.state_backups, folder, now)

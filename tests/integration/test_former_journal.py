"""A journal that an earlier version left open is ended by this one: each record here is as that version wrote
it.

The form is the one of commit 4c38558: one flat plan, Compose's words beside the neutral ones.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_kill_matrix import BAD, NAME, NEW, OLD, Stage
from tests.support.simulator import Killed, Killer, SimRelease
from updater_core.models import Committed, NotStarted, RollbackFailed, RolledBack, Superseded

CAUSE = {"step": "gate", "reason": "unhealthy", "message": "web is unhealthy", "remedy": "see its log"}
ENDS = {
    "prepared": NotStarted,
    "applying": RolledBack,
    "rolling_back": RolledBack,
    "committed": Committed,
    "rolled_back": RolledBack,
    "rollback_failed": RollbackFailed,
    "taken_over": Superseded,
}


def former_record(made: Stage, phase: str, cause: dict[str, str] | None = None) -> dict[str, Any]:
    file, old, new = str(made.file), f"{NAME}:1.0", f"{NAME}:1.1"
    before = made.before.decode()
    return {
        "id": "p1",
        "phase": phase,
        "plan": {
            "id": "p1",
            "name": "shop",
            "project": {"name": "shop", "directory": str(made.file.parent), "files": [file], "env_files": []},
            "moves": [
                {
                    "service": "web",
                    "old_reference": old,
                    "new_reference": new,
                    "old_image_id": OLD.id,
                    "replicas": 1,
                    "container_ids": [],
                    "was_well": True,
                    "is_one_shot": False,
                    "stop_grace_seconds": 0.5,
                }
            ],
            "target": {
                "domain": "registry.example",
                "repository": "team/app",
                "tag": "1.1",
                "digest": made.target.digest,
                "name": NAME,
            },
            "old_digest": OLD.digest,
            "edits": [
                {
                    "path": file,
                    "before": before,
                    "after": before.replace(f"{old}  # kept", f"{new}  # kept"),
                    "marks": [{"kind": "service", "key": "web", "old": old, "new": new}],
                }
            ],
            "gate": {"timeout_seconds": 3.0, "stable_seconds": 1.0},
            "reason": "newer",
            "companions": [],
            "platform": None,
            "with_dependencies": False,
            "image_id": made.target.id,
            "prior_image_id": None,
            "kept_image_ids": [],
            "kind": "update",
            "sources": {file: before},
            "model_digest": None,
        },
        "cause": cause,
        "rollback": CAUSE if phase == "rollback_failed" else None,
    }


def left_open(folder: Path, release: SimRelease, phase: str, effect: str, *, after: bool) -> Stage:
    """A host whose updater was killed at an effect, with the record that the earlier version would have left
    there.
    """
    folder.mkdir()
    rehearsal = Killer()
    Stage(folder, release, new_tag="1.1").apply(rehearsal)
    for entry in (folder / "journal").iterdir():
        entry.unlink()
    made = Stage(folder, release, new_tag="1.1")
    at = 1 + next(number for number, name in enumerate(rehearsal.log) if effect in name)
    with pytest.raises(Killed):
        made.apply(Killer(at, after))
    has_cause = phase in ("rolling_back", "rolled_back", "rollback_failed", "taken_over")
    record = former_record(made, phase, CAUSE if has_cause else None)
    (folder / "journal" / "p1.json").write_text(json.dumps(record, indent=1))
    return made


@pytest.mark.parametrize(
    "effect", ["replace file", "tag app:1.1", "compose create", "compose stop", "compose start"]
)
def test_an_update_that_an_earlier_version_left_half_way_is_taken_back(tmp_path: Path, effect: str) -> None:
    for number, after in itertools.product(range(2), (False, True)):
        made = left_open(
            tmp_path / f"{number}-{after}", NEW, ("applying", "rolling_back")[number], effect, after=after
        )
        assert isinstance(made.recover(), RolledBack)
        made.assert_whole(OLD)


@pytest.mark.parametrize("phase", ENDS)
def test_every_phase_of_an_earlier_version_has_its_end(tmp_path: Path, phase: str) -> None:
    made = left_open(tmp_path / "host", BAD, phase, "journal applying", after=True)
    assert type(made.recover()) is ENDS[phase]
    assert not list((tmp_path / "host" / "journal").glob("*.json"))

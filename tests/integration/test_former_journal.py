"""A journal that an earlier version left open is ended by this one: each record here is as that version wrote
it.

One form is that of commit 4c38558: one flat plan, Compose's words beside the neutral ones. The other is that
of commit 0b6c6e2: Compose's words in a detail, with dependents called companions.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_kill_matrix import BAD, CHECKED, NAME, NEW, OLD, Stage
from tests.integration.test_swarm_rollouts import Cluster
from tests.support.plans import compose_plan
from tests.support.simulator import Killed, Killer, SimRelease
from updater_core import targets
from updater_core.deploy.journal import Phase
from updater_core.models import Committed, NotStarted, RollbackFailed, RolledBack, Superseded
from updater_core.reference import parse
from updater_core.state.codec import encode
from updater_core.vocabulary.handover import Handover

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


def record_with_detail(made: Stage, phase: str, cause: dict[str, str] | None = None) -> dict[str, Any]:
    """As 0b6c6e2 has written it, every key included."""
    flat = former_record(made, phase, cause)["plan"]
    move = {
        **flat["moves"][0],
        "may_end": False,
        "runs_first": False,
        "healthcheck_seconds": 0.0,
        "volumes": [],
    }
    (edit,) = flat["edits"]
    no_facts = {"version": "", "source": "", "url": "", "built_at": None}
    return {
        "id": "p1",
        "phase": phase,
        "plan": {
            **{key: flat[key] for key in ("id", "name", "old_digest", "reason", "kind")},
            "target": "compose",
            "image": flat["target"],
            "old_reference": move["old_reference"],
            "new_reference": move["new_reference"],
            "old_retained": OLD.id,
            "gate": {**flat["gate"], "url": "", "statuses": [[200, 399]]},
            "detail": {
                "project": {**flat["project"], "home": ""},
                "moves": [move],
                "edits": [{**edit, "marks": [{**edit["marks"][0], "change": None}]}],
                "companions": [],
                "platform": None,
                "allow_volume_change": False,
                "with_dependencies": False,
                "prior_image_id": None,
                "former_tags": {},
                "sources": flat["sources"],
                "model_digest": None,
                "further": [],
                "handover": {"order": None, "drain_command": [], "drain_seconds": 0.0, "run_jobs": False},
                "dependents": [],
            },
            "strategy": "recreate",
            "restarts": "web",
            "was_well": True,
            "new_retained": made.target.id,
            "earlier_retained": [],
            "others": [],
            "healthcheck_seconds": 0.0,
            "old_facts": no_facts,
            "new_facts": no_facts,
        },
        "cause": {**cause, "evidence": []} if cause else None,
        "rollback": {**CAUSE, "evidence": []} if phase == "rollback_failed" else None,
        "hooks": [],
    }


FORMS = {"flat": former_record, "with a detail": record_with_detail}


def left_open(
    folder: Path, release: SimRelease, phase: str, effect: str, *, after: bool, form: str = "flat"
) -> Stage:
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
    record = FORMS[form](made, phase, CAUSE if has_cause else None)
    (folder / "journal" / "p1.json").write_text(json.dumps(record, indent=1))
    return made


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "effect", ["replace file", "tag app:1.1", "compose create", "compose stop", "compose start"]
)
def test_an_update_that_an_earlier_version_left_half_way_is_taken_back(
    tmp_path: Path, effect: str, form: str
) -> None:
    for number, after in itertools.product(range(2), (False, True)):
        folder, phase = tmp_path / f"{number}-{after}", ("applying", "rolling_back")[number]
        made = left_open(folder, NEW, phase, effect, after=after, form=form)
        assert isinstance(made.recover(), RolledBack)
        made.assert_whole(OLD)


@pytest.mark.parametrize(("form", "phase"), [*itertools.product(FORMS, ENDS)])
def test_every_phase_of_an_earlier_version_has_its_end(tmp_path: Path, phase: str, form: str) -> None:
    made = left_open(tmp_path / "host", BAD, phase, "journal applying", after=True, form=form)
    assert type(made.recover()) is ENDS[phase]
    assert not list((tmp_path / "host" / "journal").glob("*.json"))


def test_every_phase_is_tried_in_the_form_of_the_last_version() -> None:
    """But for switching, which only start-first reaches (see below)."""
    assert {phase.value for phase in Phase} - {"switching"} == {*ENDS}


@pytest.mark.parametrize("after", [False, True])
def test_an_update_behind_its_point_of_no_return_is_carried_on(tmp_path: Path, after: bool) -> None:
    """The record is written by this version and given the names of the last one."""
    rehearsal = Killer()
    start_first(tmp_path, "rehearsal").apply(rehearsal)
    at = 1 + next(number for number, name in enumerate(rehearsal.log) if name == "journal switching")
    made = start_first(tmp_path, "host")
    with pytest.raises(Killed):
        made.apply(Killer(at + 1, after))
    (path,) = made.journal_folder.glob("*.json")
    record = json.loads(path.read_text())
    assert record["phase"] == "switching"
    detail = record["plan"]["detail"]
    detail["companions"], detail["dependents"] = detail["dependents"], detail.pop("dependent_projects")
    path.write_text(json.dumps(record))
    assert isinstance(made.recover(), Committed)
    made.assert_whole(CHECKED)


def start_first(folder: Path, name: str) -> Stage:
    (folder / name).mkdir()
    return Stage(folder / name, CHECKED, new_tag="1.1", handover=Handover())


def test_dependents_of_an_earlier_record_are_dependents_still() -> None:
    """With everything that such a record may hold; nothing is lost by the other name."""
    move = {
        "service": "sidecar",
        "old_reference": "s:1",
        "new_reference": "s:1",
        "old_image_id": "id",
        "replicas": 1,
    }
    project = {"name": "shop", "directory": "/srv", "files": ["/srv/c.yml"], "env_files": []}
    detail = {
        "project": project,
        "moves": [{**move, "service": "web"}],
        "companions": [move],
        "model_digest": "d",
    }
    found = targets.read_plan({**encode(compose_plan(parse("app:2"), "app:1")), "detail": detail})
    assert [each.service for each in found.detail.dependents] == ["sidecar"]
    assert (found.detail.model_digest, found.detail.dependent_projects) == ("d", ())
    assert targets.read_plan(encode(found)) == found


# What 0b6c6e2 wrote of an update in a swarm, besides what it wrote of every one.
SWARM_KEYS = {
    "service_id", "swarm_service", "engine", "locked_as", "old_spec", "former_update", "old_image",
    "new_image", "label", "platforms", "known_tasks", "former_run", "nodes", "compose_service", "texts",
    "changes",
}  # fmt: skip
NEUTRAL_KEYS = {
    "id", "name", "target", "image", "old_reference", "new_reference", "old_digest", "old_retained", "gate",
    "reason", "strategy", "restarts", "was_well", "new_retained", "earlier_retained", "kind", "others",
    "healthcheck_seconds", "old_facts", "new_facts",
}  # fmt: skip
RECORD_KEYS = ("id", "phase", "cause", "rollback", "hooks")


@pytest.mark.parametrize("fate", ["well", "dies"])
def test_an_update_in_a_swarm_that_an_earlier_version_left_open_is_ended(tmp_path: Path, fate: str) -> None:
    """Killed at each effect, in every phase that it comes to; the record has the keys of then alone."""
    rehearsal, phases = Killer(), set()
    Cluster(folder_of(tmp_path, "rehearsal"), fate).update(rehearsal)
    for at in range(1, len(rehearsal.log) + 1):
        cluster = Cluster(folder_of(tmp_path, str(at)), fate)
        with pytest.raises(Killed):
            cluster.update(Killer(at, after=True))
        for path in (cluster.folder / "journal").glob("*.json"):
            record = json.loads(path.read_text())
            phases.add(record["phase"])
            path.write_text(json.dumps(as_written_then(record)))
        outcome = cluster.recover()
        if isinstance(outcome, Committed):
            cluster.assert_new()
        elif outcome is not None:
            cluster.assert_back()
    assert phases >= {"prepared", "applying", "committed" if fate == "well" else "rolling_back"}


def folder_of(tmp_path: Path, name: str) -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name


def as_written_then(record: dict[str, Any]) -> dict[str, Any]:
    plan = record["plan"]
    detail = {key: value for key, value in plan["detail"].items() if key in SWARM_KEYS}
    kept = {key: value for key, value in plan.items() if key in NEUTRAL_KEYS}
    return {**{key: record[key] for key in RECORD_KEYS}, "plan": {**kept, "detail": detail}}

"""`journal` and `codec`: what is in the middle of happening comes back exactly, or is called damaged."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.plans import compose_plan
from updater_core.deploy.journal import Journal, JournalFolder, JournalRecord, Phase, UnreadableRecord
from updater_core.errors import StateError
from updater_core.models import Cause, Edit, GatePolicy, ImageRef, Mark, Plan, Project, Reason, Secret, Step
from updater_core.state import codec
from updater_core.targets import read_plan
from updater_core.targets.compose.plan import ComposePlan, DependentProject, Move
from updater_core.vocabulary.image_ref import ImageChange

DETAIL = ComposePlan(
    project=Project(
        "shop", "/opt/shop", ("/opt/shop/compose.yml", "/opt/shop/more.yml"), ("/opt/shop/.env",)
    ),
    moves=(
        Move("web", "app:1", "app:2", "sha256:" + "1" * 64, 2, ("c1", "c2")),
        Move("worker", "app:1", "app:2", "sha256:" + "1" * 64, 0),
    ),
    edits=(
        Edit(
            "/opt/shop/compose.yml",
            "\ufeffa: ü\r\nb: 1",
            "\ufeffa: ü\r\nb: 2",
            (Mark("service", "web", "1", "2"),),
        ),
        Edit("/opt/shop/.env", "A=1-$B", "A=2-$B", (Mark("variable", "A", "1-$B", "2-$B", ("1-", "2-")),)),
    ),
    dependents=(Move("sidecar", "s:1", "s:1", "id", 1),),
    platform="linux/arm64/v8",
    with_dependencies=True,
    prior_image_id="sha256:" + "4" * 64,
    dependent_projects=(
        DependentProject(
            Project("media", "/opt/media", ("/opt/media/compose.yml",)),
            (Move("tool", "t:1", "t:1", "id", 1, ("c3",), volumes=(("data", "/data"),)),),
            {"/opt/media/compose.yml": "services: {}"},
            "5" * 64,
            with_dependencies=True,
        ),
    ),
)
PLAN = compose_plan(
    ImageRef("docker.io", "library/app", "2", "sha256:" + "2" * 64, "app"),
    "app:1",
    "app:2",
    id="20261123T080000-web-1a2b",
    detail=DETAIL,
    gate=GatePolicy(90, 5.5),
    reason="2 is newer than 1",
    new_retained="sha256:" + "3" * 64,
    earlier_retained=("a", "b"),
    kind="owner_rollback",
    others=(ImageChange("ml:1", "sha256:" + "5" * 64, "id-1", "ml:2", None, "id-2"),),
)
CAUSE = Cause(Step.GATE, Reason.UNHEALTHY, "it said no", "look at it")


def record(plan_id: str, phase: Phase = Phase.PREPARED) -> JournalRecord:
    return JournalRecord(plan_id, phase, replace(PLAN, id=plan_id))


def raw_record(folder: Path) -> dict[str, Any]:
    """What is written for a record, as JSON values."""
    JournalFolder(folder, read_plan).write(JournalRecord(PLAN.id, Phase.ROLLING_BACK, PLAN, CAUSE))
    raw: dict[str, Any] = json.loads((folder / f"{PLAN.id}.json").read_text())
    return raw


def read_one(folder: Path, raw: object) -> JournalRecord | UnreadableRecord:
    (folder / f"{PLAN.id}.json").write_text(json.dumps(raw))
    (found,) = JournalFolder(folder, read_plan).read_all()
    return found


@pytest.mark.parametrize(
    "plan", [PLAN, compose_plan(PLAN.image, "a:1", detail=ComposePlan(Project("p", "/", ()), ()))]
)
@pytest.mark.parametrize("cause", [None, CAUSE])
def test_a_record_comes_back_exactly(tmp_path: Path, plan: Plan[ComposePlan], cause: Cause | None) -> None:
    written = JournalRecord(plan.id, Phase.ROLLBACK_FAILED, plan, cause, cause)
    JournalFolder(tmp_path, read_plan).write(written)
    (back,) = JournalFolder(tmp_path, read_plan).read_all()
    assert isinstance(back, JournalRecord)
    assert back == written
    assert back.plan.image.name == plan.image.name  # not part of the comparison


@pytest.mark.parametrize("phase", Phase)
def test_a_record_is_unfinished_until_its_update_has_ended(phase: Phase) -> None:
    ended = {Phase.COMMITTED, Phase.ROLLED_BACK, Phase.ROLLBACK_FAILED, Phase.TAKEN_OVER}
    assert record("a", phase).is_unfinished is (phase not in ended)


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("moves", None, "$.detail.moves"),
        ("edits", [1], "$.detail.edits[0]"),
        ("gate", {"timeout_seconds": True}, "$.gate.timeout_seconds"),
    ],
)
def test_a_plan_with_a_wrong_part_is_refused_by_its_place(
    tmp_path: Path, key: str, value: object, place: str
) -> None:
    raw = raw_record(tmp_path)
    (raw["plan"]["detail"] if key in raw["plan"]["detail"] else raw["plan"])[key] = value
    found = read_one(tmp_path, raw)
    assert isinstance(found, UnreadableRecord)
    assert f"`{place}`" in found.problem
    assert (found.service, found.is_unfinished) == ("web", True)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda raw: raw["plan"]["detail"].pop("moves"), "missing required field `moves`"),
        (lambda raw: raw.pop("plan"), "missing required field `plan`"),
        (lambda raw: raw["plan"].pop("detail"), "its plan is of an unknown form"),
        (lambda raw: raw["plan"].update(target="nowhere"), "nowhere"),
        (lambda raw: raw.update(phase="half_way"), "half_way"),
        (lambda raw: raw.update(cause={"step": "gate"}), "$.cause"),
        (lambda raw: raw.update(plan=["web"]), "$.plan"),
    ],
)
def test_a_record_of_an_unknown_form_says_what_is_wrong_with_it(
    tmp_path: Path, damage: Callable[[dict[str, Any]], object], problem: str
) -> None:
    raw = raw_record(tmp_path)
    damage(raw)
    found = read_one(tmp_path, raw)
    assert isinstance(found, UnreadableRecord)
    assert problem in found.problem
    assert found.path == tmp_path / f"{PLAN.id}.json"


def test_a_secret_is_never_encoded() -> None:
    @dataclass(frozen=True)
    class Careless:
        password: Secret

    with pytest.raises(TypeError):
        codec.encode(Careless(Secret("hunter2")))


def test_a_record_of_the_version_before_is_read_by_its_former_names(tmp_path: Path) -> None:
    """It called the dependents companions, and other projects' services dependents."""
    folder: Journal = JournalFolder(tmp_path / "journal", read_plan)
    folder.write(record("a"))
    (path,) = (tmp_path / "journal").glob("*.json")
    written = json.loads(path.read_text(encoding="utf-8"))
    detail = written["plan"]["detail"]
    assert detail["dependents"]
    assert detail["dependent_projects"]
    detail["companions"], detail["dependents"] = detail["dependents"], detail.pop("dependent_projects")
    path.write_text(json.dumps(written), encoding="utf-8")
    assert folder.read_all() == (record("a"),)


def test_records_come_back_sorted_and_the_newest_phase_wins(tmp_path: Path) -> None:
    folder: Journal = JournalFolder(tmp_path / "journal", read_plan)
    folder.write(record("b"))
    folder.write(record("a"))
    folder.write(record("b", Phase.APPLYING))
    assert folder.read_all() == (record("a"), record("b", Phase.APPLYING))


def test_a_record_is_for_its_owner_only(tmp_path: Path) -> None:
    JournalFolder(tmp_path / "journal", read_plan).write(record("a"))
    assert (tmp_path / "journal" / "a.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o700


def test_a_journal_that_never_was_is_empty(tmp_path: Path) -> None:
    assert JournalFolder(tmp_path / "journal", read_plan).read_all() == ()
    JournalFolder(tmp_path / "journal", read_plan).close("a")


def test_a_closed_record_is_gone_and_the_others_stay(tmp_path: Path) -> None:
    folder = JournalFolder(tmp_path, read_plan)
    folder.write(record("a"))
    folder.write(record("b"))
    folder.close("a")
    folder.close("a")
    assert [each.id for each in folder.read_all()] == ["b"]


@pytest.mark.parametrize("data", [b"", b"\0" * 90, b'{"id": "bad"', b"[]", b'{"id": "other"}', b"\xff"])
def test_a_damaged_record_is_distinguished_and_can_be_closed(tmp_path: Path, data: bytes) -> None:
    folder = JournalFolder(tmp_path, read_plan)
    folder.write(record("good"))
    (tmp_path / "bad.json").write_bytes(data)
    bad, good = folder.read_all()
    assert bad == UnreadableRecord("bad", tmp_path / "bad.json", "it is damaged")
    assert good == record("good")
    folder.close("bad")
    assert len(folder.read_all()) == 1


def test_half_written_files_are_no_records_and_are_cleared(tmp_path: Path) -> None:
    folder = JournalFolder(tmp_path, read_plan)
    (tmp_path / ".a.json.dau-new").write_bytes(b"{")
    assert folder.read_all() == ()
    folder.clear_strays()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("plan_id", ["", "../a", "a/b", ".hidden", "a" * 200])
def test_a_plan_id_never_leads_out_of_the_folder(tmp_path: Path, plan_id: str) -> None:
    with pytest.raises(ValueError, match="cannot name"):
        JournalFolder(tmp_path, read_plan).write(record(plan_id))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_keeps_the_former_record(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], check=True)
    try:
        folder = JournalFolder(tmp_path, read_plan)
        folder.write(record("a"))
        with pytest.raises(StateError, match="disk full"):
            folder.write(JournalRecord("a", Phase.APPLYING, replace(PLAN, id="a", reason="x" * 70_000)))
        assert folder.read_all() == (record("a"),)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_record_that_another_thread_closes_meanwhile_is_no_damaged_one(tmp_path: Path) -> None:
    journal = JournalFolder(tmp_path, read_plan)
    ids = [f"plan-{number}" for number in range(20)]
    is_over = threading.Event()

    def update() -> None:
        while not is_over.is_set():
            for plan_id in ids:
                journal.write(record(plan_id))
            for plan_id in ids:
                journal.close(plan_id)

    worker = threading.Thread(target=update)
    worker.start()
    try:
        for _ in range(100):
            assert not [each for each in journal.read_all() if isinstance(each, UnreadableRecord)]
    finally:
        is_over.set()
        worker.join()

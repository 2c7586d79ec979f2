"""Realistic compose files, byte for byte: tests/golden/compose/<case>/{before,after}.yml (and .env),
case.json.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from updater_core import reference
from updater_core.composefile.edit import NotEditable, SourceFile, decode, encode, put_back, set_image
from updater_core.models import Edit

FOLDERS = sorted(path.parent for path in Path(__file__).parent.parent.glob("golden/compose/*/case.json"))


@dataclass(frozen=True, slots=True)
class SelectionContext:
    """A folder: what is asked (`case.json`), and the files' bytes before and after by the name they get."""

    asked: dict[str, str | list[str]]
    before: dict[str, bytes]
    after: dict[str, bytes]

    def outcome(self) -> tuple[Edit, ...] | NotEditable:
        files = [SourceFile(name, decode(data)) for name, data in self.before.items()]
        compose = [file for file in files if file.path.endswith(".yml")]
        env_files = [file for file in files if file.path.endswith(".env")]
        return set_image(
            compose, env_files, list(self.asked["services"]), reference.parse(str(self.asked["target"]))
        )


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def case(request: pytest.FixtureRequest) -> SelectionContext:
    folder: Path = request.param
    asked = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    before, after = (
        {path.suffix: path.read_bytes() for path in sorted(folder.glob(f"{moment}.*"))}
        for moment in ("before", "after")
    )
    return SelectionContext(asked, before, after)


def test_every_golden_file_becomes_exactly_what_is_expected(case: SelectionContext) -> None:
    outcome = case.outcome()
    if "refused" in case.asked:
        assert isinstance(outcome, NotEditable)
        assert (outcome.reason.value, case.before) == (case.asked["refused"], case.after)
        assert str(case.asked["remedy"]) in outcome.remedy
        return
    assert isinstance(outcome, tuple), outcome
    assert case.before != case.after
    assert {**case.before, **{edit.path: encode(edit.after) for edit in outcome}} == case.after


def test_every_golden_edit_goes_back_beside_its_operators_own_edit(case: SelectionContext) -> None:
    outcome = case.outcome()
    for edit in outcome if isinstance(outcome, tuple) else ():
        edited = f"\n\n# the operator was here: {edit.marks[0].new}\n"
        back = put_back(edit.after + edited, edit)
        assert back is not None
        assert encode(back) == case.before[edit.path] + encode(edited)


def test_there_are_golden_cases() -> None:
    assert len(FOLDERS) >= 12

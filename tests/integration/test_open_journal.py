"""An update that is still in the middle holds its own service, and only that one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import crowd
from updater_core.app import cycle
from updater_core.app.evaluate import look_all
from updater_core.models import Hold, Reason, Update


@pytest.mark.parametrize("plan", [{"name": "service0", "of": "another version"}, {"name": "service0"}])
def test_a_journal_that_cannot_be_ended_holds_its_service_and_stops_no_other(
    tmp_path: Path, plan: dict[str, str]
) -> None:
    with crowd.registry() as registry:
        context, _ = crowd.context(tmp_path, registry.host, 2, 2)
        folder = tmp_path / "state" / "journal"
        folder.mkdir(parents=True)
        (folder / "p1.json").write_text(json.dumps({"id": "p1", "phase": "applying", "plan": plan}))
        report = cycle.run(context)
        assert [one.service.name for one in report.checked] == ["service0", "service1"]
        [one, _] = look_all(context, context.config.services)
        assert one.observed is not None
        newer = replace(one.observed.current, digest="sha256:" + "f" * 64)
        held = cycle.planned(context, replace(one, decision=Update(newer)))
    assert isinstance(held, Hold)
    assert held.reason is Reason.BUSY
    assert [entry.id for entry in context.journal.read_all()] == ["p1"]

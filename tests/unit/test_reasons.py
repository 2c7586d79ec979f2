"""The reason codes: each says how it ends, and the documentation agrees."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from updater_core.models import Reason
from updater_core.state.records import ServiceState, Status, needs_operator
from updater_core.vocabulary import reasons
from updater_core.vocabulary.reasons import ENDINGS, Ending

DOCS = Path(__file__).resolve().parents[2] / "docs" / "troubleshooting.md"
ROW = re.compile(r"^\| `(\w+)` \| [^|]* \| ((?:[^|]|\\\|)*) \|$", re.MULTILINE)


def test_every_reason_has_one_ending() -> None:
    listed = [reason for some in reasons._ENDED_BY.values() for reason in some]
    assert sorted(listed) == sorted(Reason)


def test_what_the_operator_ends_has_something_to_do_in_the_documentation() -> None:
    rows = ROW.findall(DOCS.read_text())
    holds = rows[[code for code, _ in rows].index("same_digest") :]  # behind the rejected tags
    by_operator = {code: remedy for code, remedy in holds if ENDINGS[Reason(code)] is Ending.BY_OPERATOR}
    assert len(by_operator) > 20
    assert [code for code, remedy in by_operator.items() if remedy.startswith(("Nothing", "Wait"))] == []


@pytest.mark.parametrize(
    "reason",
    [
        Reason.VARIABLE_MISSING,
        Reason.VOLUME_MOVED,
        Reason.SECOND_COPY,
        Reason.RELATIVE_BIND,
        Reason.NAMESPACE_SHARED,
        Reason.MISSING_ON_HOST,
        Reason.PORT_TAKEN,
        Reason.DRIFT,
    ],
)
def test_a_service_that_is_held_until_a_person_acts_needs_one(reason: Reason) -> None:
    assert needs_operator(ServiceState(status=Status.WAITING, reason=reason))
    assert needs_operator(ServiceState(status=Status.HELD, reason=reason))


@pytest.mark.parametrize(
    "reason", [Reason.PAUSED, Reason.NOT_RUNNING, Reason.TOO_YOUNG, Reason.DEPENDENCY_NOT_READY, None]
)
def test_a_choice_of_the_operators_and_what_passes_need_nobody(reason: Reason | None) -> None:
    assert not needs_operator(ServiceState(status=Status.WAITING, reason=reason))

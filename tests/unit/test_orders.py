"""What an operator's orders change in memory, when they are refused, and what is said of them."""

from __future__ import annotations

import argparse
import os
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import docker_updater
from updater_core import targets
from updater_core.app.orders import command
from updater_core.errors import ConfigError
from updater_core.models import Config, Mode, Policy, Quarantined, Reason, ServiceConfig, Settings
from updater_core.policy.operator.decisions import Decisions, Pause, Skip, question
from updater_core.reference import parse
from updater_core.state import observed_tags, orders, records
from updater_core.state.orders import ALL, OperatorOrder
from updater_core.state.records import ServiceState, State
from updater_core.status import decided

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
WEB = ServiceConfig("web", parse("acme/web:1"), ("/srv/c.yml",), ("web", "worker"))
APPROVING = replace(WEB, policy=Policy(mode=Mode.APPROVE))
WAITS = ServiceState(available=f"acme/web:2@{A}")


def order(kind: str, name: str = "web", **more: Any) -> OperatorOrder:
    return OperatorOrder(kind, name, NOW, "1" * 32, "ann", **more)


def state(service: ServiceState = WAITS, pause: Pause | None = None) -> State:
    return State({"web": service}, pause=pause)


def refusal(given: OperatorOrder, of: State, service: ServiceConfig | None = WEB) -> str | None:
    found = orders.objection(of, given, service, NOW)
    return None if found is None else found.sentence


@pytest.mark.parametrize(
    ("given", "of", "service", "why"),
    [
        (order("approve"), state(ServiceState()), APPROVING, "no image waits for web"),
        (order("skip"), state(ServiceState()), WEB, "no image waits for web"),
        (order("skip"), state(ServiceState(available="acme/web:2")), WEB,
         "digest of acme/web:2 is not known yet"),
        (order("approve", digest=B), state(), APPROVING, "is not what waits for web any more"),
        (order("approve"), state(), WEB, "the mode of web is auto.*--update web"),
        (order("approve"), state(replace(WAITS, quarantine=(Quarantined(A, "x", Reason.EXITED, NOW),))),
         APPROVING,
         "in quarantine.*--retry web"),
        (order("resume"), state(), WEB, "web is not paused by an order.*pause_updates"),
        (order("resume"), state(pause=Pause(NOW, "bob")), WEB, "paused with all others.*--resume all"),
        (order("resume", ALL), state(), None, "nothing is paused by an order"),
        (order("update"), state(), replace(WEB, enabled=False), "web is disabled"),
        (order("update", ALL), state(), None, "for one service"),
        (order("remove"), state(), WEB, "there is no order 'remove'"),
    ],
)  # fmt: skip
def test_an_order_with_nothing_to_act_on_says_so(
    given: OperatorOrder, of: State, service: ServiceConfig | None, why: str
) -> None:
    found = orders.objection(of, given, service, NOW)
    assert found is not None
    assert not found.is_done
    assert found.remedy
    assert re.search(why, found.sentence)


@pytest.mark.parametrize(
    ("given", "of", "service"),
    [
        (order("approve"), state(), APPROVING),
        (order("approve", digest=A), state(), APPROVING),
        (
            order("approve"),
            state(replace(WAITS, decisions=Decisions(skips=(Skip(A, "x", NOW, "ann"),)))),
            WEB,
        ),
        (order("skip"), state(), WEB),
        (order("pause"), state(), WEB),
        (order("pause", ALL), state(), None),
        (order("resume"), state(replace(WAITS, decisions=Decisions(pause=Pause(NOW, "ann")))), WEB),
        (order("resume", ALL), state(replace(WAITS, decisions=Decisions(pause=Pause(NOW, "ann")))), None),
        (order("rollback"), state(), replace(WEB, enabled=False)),
    ],
)
def test_an_order_with_something_to_act_on_is_taken(
    given: OperatorOrder, of: State, service: ServiceConfig | None
) -> None:
    assert refusal(given, of, service) is None


def test_a_skip_and_an_approval_of_one_image_undo_each_other() -> None:
    approved = orders.approved(state(), order("approve"), NOW, 60.0)
    assert approved.services["web"].decisions.approval is not None
    skipped = orders.skipped(approved, order("skip")).services["web"].decisions
    assert (skipped.approval, [each.digest for each in skipped.skips]) == (None, [A])
    again = orders.approved(orders.skipped(approved, order("skip")), order("approve"), NOW, 60.0)
    assert again.services["web"].decisions.skips == ()


def test_an_approval_answers_the_question_with_all_the_images_in_it() -> None:
    other = parse(f"acme/ml:2@{B}")
    asked = question(parse(f"acme/web:2@{A}"), (other,), NOW, 60.0)
    known = state(replace(WAITS, decisions=Decisions(approval=asked)))
    given = (
        orders.approved(known, order("approve"), NOW + timedelta(seconds=30), 60.0)
        .services["web"]
        .decisions.approval
    )
    assert given is not None
    assert given.is_of(parse(f"acme/web:2@{A}"), (other,))
    assert (given.who, given.expires_at) == ("ann", NOW + timedelta(seconds=90))


def test_resume_all_ends_every_pause_and_a_pause_with_an_end_goes_by_itself() -> None:
    both = orders.paused(orders.paused(state(), order("pause")), order("pause", ALL, seconds=60.0))
    assert orders.resumed(both, ALL) == state()
    later = orders.without_ended_pauses(both, NOW + timedelta(seconds=60))
    assert (later.pause, later.services["web"].decisions.pause) == (None, Pause(NOW, "ann"))
    assert orders.without_ended_pauses(both, NOW + timedelta(seconds=59)) == both


def test_what_was_ordered_follows_a_service_and_goes_with_it() -> None:
    group = targets.identities([WEB])["web"]
    paused = orders.paused(state(replace(WAITS, update_group=group)), order("pause"))
    renamed = observed_tags.follow_names(paused, targets.identities([replace(WEB, name="shop")]))
    assert renamed.services["shop"].decisions.pause is not None
    assert observed_tags.forget_unknown(renamed, [], [], NOW).services == {}


def test_the_record_of_orders_is_bounded_and_has_each_once() -> None:
    of, done = state(), orders.OrderAnswer(is_done=True, text="done")
    for number in range(50):
        of = orders.record(of, replace(order("pause"), id=f"{number:032x}"), done, NOW)
        of = orders.record(of, replace(order("pause"), id=f"{number:032x}"), done, NOW)
    kept = records.service_of(of, "web").orders
    assert [each.id for each in kept] == [f"{number:032x}" for number in range(49, 29, -1)]
    assert orders.find(of, f"{49:032x}") == kept[0]
    assert orders.find(of, "") is None


def test_status_says_what_counts_and_how_it_ends() -> None:
    paused = orders.paused(state(), order("pause", ALL, seconds=3600.0))
    skipped = orders.skipped(paused, order("skip"))
    said = decided.text_of(skipped, ["web"], NOW, UTC)
    assert "all: paused by ann on 2026-05-01 12:00 UTC, until 2026-05-01 13:00 UTC" in said
    assert "web: acme/web:2@sha256:aaaaaaaaaaaa is skipped, by ann" in said
    assert "paused" not in decided.text_of(skipped, ["web"], NOW + timedelta(hours=1), UTC)
    taken = orders.record(skipped, order("skip"), orders.refused("it is gone", "do nothing"), NOW)
    assert "2026-05-01 12:00 UTC skip by ann: refused: it is gone (do nothing)" in decided.orders_of(
        taken, "web", UTC
    )
    assert decided.text_of(State(), ["web"], NOW) == decided.orders_of(State(), "web") == ""


# ------------------------------------------------------------------------------------------- the command line


def test_an_order_of_the_command_line_says_what_for_how_long_and_by_whom() -> None:
    options = docker_updater.parser().parse_args(["--pause", "all", "--for", "3d"])
    given = command.order_of(options, {"SUDO_USER": "ann"}, NOW)
    assert given is not None
    assert (given.kind, given.service, given.seconds, len(given.id)) == ("pause", ALL, 3 * 86400.0, 32)
    assert given.who == ("ann" if os.geteuid() == 0 else command.who_of({}))
    assert command.order_of(docker_updater.parser().parse_args(["--once"]), {}, NOW) is None


@pytest.mark.parametrize("length", ["0", "-1d", "soon", "11y", "99999d", "nan"])
def test_a_length_of_time_that_is_none_says_how_to_write_one(length: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="3d"):
        command.seconds_of(length)


TWO = [
    ["--for", "3d"],
    ["--update", "web", "--for", "3d"],
    ["--update", "web", "--service", "web"],
    ["--update", "web", "--approve", "web"],
]


@pytest.mark.parametrize("words", TWO)
def test_what_does_not_go_together_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        docker_updater.main(words, {})
    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_a_name_that_is_not_there_is_refused_with_the_one_that_was_meant() -> None:
    config = Config(Settings(), (WEB,), "/etc/c.json")
    command.require_service(config, "web", "update")
    command.require_service(config, ALL, "pause")
    with pytest.raises(ConfigError, match="worker moves with web"):
        command.require_service(config, "worker", "update")
    with pytest.raises(ConfigError, match="--update is for one service"):
        command.require_service(config, ALL, "update")
    with pytest.raises(ConfigError, match="no service is called 'db'"):
        command.require_service(config, "db", "pause")

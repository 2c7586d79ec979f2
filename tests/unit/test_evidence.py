"""What is kept of a container that failed: bounded, printable, without secrets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.plans import compose_plan
from updater_core import reference
from updater_core.deploy import evidence
from updater_core.models import Cause, Container, Reason, RollbackFailed, RolledBack, Step
from updater_core.state.outcomes import CHANGES_KEPT, EVIDENCE_KEPT_OF, record_outcome
from updater_core.state.records import State, service_of
from updater_core.vocabulary.evidence import Evidence

IMAGE = reference.parse("app:2@sha256:" + "b" * 64)
NOW = datetime(2026, 11, 28, tzinfo=UTC)


def container(**fields: object) -> Container:
    return Container("c1", "shop-web-1", "shop", "web", "i", "app:2", "exited", "", 0, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("POSTGRES_PASSWORD", "hunter22", "FATAL: hunter22 is wrong"),
        ("API_KEY", "abcdef", "calling with abcdef"),
        ("REDIS_URL", "redis://:pa55word@cache:6379", "no answer from redis://:pa55word@cache:6379"),
        ("DSN", "mysql://root:t0psecret@db", "login root/t0psecret refused"),
        ("x", "y", "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.e30"),
        ("x", "y", 'config {"password": "letmein99"}'),
        ("x", "y", "fetching https://user:letmein99@example.com/x"),
    ],
)
def test_no_secret_of_a_container_is_kept(name: str, value: str, line: str) -> None:
    kept = evidence.of_container(container(health_log=line, error=line), line, {name: value}, str)
    secrets = ("hunter22", "abcdef", "pa55word", "t0psecret", "eyJhbG", "letmein99")
    for text in (kept.log[0], kept.last_probe, kept.error):
        assert "***" in text
        assert not any(secret in text for secret in secrets), text


def test_a_port_or_a_mode_is_no_secret() -> None:
    environment = {"KEY_COUNT": "8080", "MODE": "production", "AUTH": "no"}
    assert evidence.secret_values(environment) == frozenset()


def test_of_a_log_without_end_the_last_lines_are_kept_and_no_more_than_is_bearable() -> None:
    lines = evidence.log_lines("\n".join(f"line {n}" for n in range(1000)), (), str)
    assert (len(lines), lines[-1]) == (evidence.LOG_LINES, "line 999")
    broad = evidence.log_lines("\n".join("x" * 5000 for _ in range(50)), (), str)
    assert 0 < sum(map(len, broad)) <= evidence.LONGEST_LOG


def test_what_would_steer_a_terminal_is_not_kept() -> None:
    (line,) = evidence.log_lines("\x1b[31mred\x1b[0m \x07bell \x1b]0;title\x07", (), str)
    assert line == "red \\x07bell "


def test_the_updaters_own_secrets_are_hidden_too() -> None:
    kept = evidence.of_container(
        container(), "token s3cr3t-hub", {}, lambda text: text.replace("s3cr3t-hub", "***")
    )
    assert kept.log == ("token ***",)


def test_evidence_of_the_latest_failures_only_is_kept() -> None:
    state, seen = State(), (Evidence("c", "app:2", "exited", 1, log=("x",)),)
    for number in range(CHANGES_KEPT + 5):
        cause = Cause(Step.GATE, Reason.EXITED, "exited", evidence=seen)
        at = NOW + timedelta(minutes=number)
        state = record_outcome(
            state, RolledBack(compose_plan(IMAGE, "app:1", id=f"p{number}"), cause), at, at
        )
    changes = service_of(state, "web").changes
    assert [bool(change.evidence) for change in changes] == [
        at < EVIDENCE_KEPT_OF for at in range(CHANGES_KEPT)
    ]


def test_what_keeps_the_old_release_from_running_is_kept_as_well() -> None:
    of_new, of_old = (Evidence(name, "app", "exited", 1) for name in ("new", "old"))
    cause, rollback = (Cause(Step.GATE, Reason.EXITED, "exited", evidence=(one,)) for one in (of_new, of_old))
    state = record_outcome(State(), RollbackFailed(compose_plan(IMAGE, "app:1"), cause, rollback), NOW, NOW)
    assert service_of(state, "web").changes[0].evidence == (of_new, of_old)

"""Who is to blame when Compose could not bring a release up: the release, or the host."""

from __future__ import annotations

import pytest

from updater_core.deploy.failure import (
    cause_of,
    is_about_the_way,
    is_hosts_failure,
    is_release_at_fault,
    may_be_for_want_of_something,
    on_ailing_host,
)
from updater_core.errors import (
    ChangedOnDisk,
    ComposeError,
    ComposeMissing,
    EngineError,
    EngineUnavailable,
    GateFailed,
    LockHeld,
    NotFound,
    UpdaterError,
)
from updater_core.models import Reason, Step


@pytest.mark.parametrize(
    "text",
    [
        'Conflict. The container name "/shop-web-1" is already in use by container "abc"',
        "Error response from daemon: No such container: 0a1b",
        "failed to mount local volume: mount :/x: connection timed out",
        'could not select device driver "nvidia" with capabilities: [[gpu]]',
        "dependency failed to start: container db is unhealthy",
        "`compose up` of web ended with 137: status 137, nothing said",
        "Bind for 0.0.0.0:80 failed: port is already allocated",
        "`compose up` of web ended with 255: status 255, nothing said",
        "`compose up` of web ended with 125: unknown shorthand flag: 'd' in -d",
        "`compose up` of web ended with -15: status -15, nothing said",
        "`compose up` of web ended with 1: exec: no such file or directory",
        "words that nobody has heard before",
    ],
)
def test_what_compose_fails_by_is_no_fault_of_the_release_whatever_it_says(text: str) -> None:
    for step in Step:
        cause = cause_of(ComposeError(text), step, "web")
        assert not is_release_at_fault(cause)
        assert is_hosts_failure(cause)


def test_an_entry_point_that_is_not_there_is_when_the_engine_says_so() -> None:
    cause = cause_of(GateFailed(Reason.UP_FAILED, "web-1 cannot start: no such file"), Step.RESTART, "web")
    assert is_release_at_fault(cause)
    assert not is_hosts_failure(cause)


def test_a_stop_by_somebody_is_no_fault_of_the_release_and_has_a_remedy() -> None:
    found = cause_of(GateFailed(Reason.NOT_RUNNING, "shop-web-1 was stopped by somebody"), Step.GATE, "web")
    assert not is_release_at_fault(found)
    assert "tried again" in found.remedy


def test_an_error_that_nobody_foresaw_is_ours() -> None:
    found = cause_of(KeyError("State"), Step.GATE, "web")
    assert (found.reason, is_release_at_fault(found)) == (Reason.INTERNAL_ERROR, False)


@pytest.mark.parametrize(
    "reason", [Reason.EXITED, Reason.UNHEALTHY, Reason.RESTARTING, Reason.GATE_TIMEOUT, Reason.PROBE_FAILED]
)
def test_what_a_container_does_for_want_of_something_is_a_failure_of_the_host(reason: Reason) -> None:
    cause = cause_of(GateFailed(reason, "web-1 exited with 1"), Step.GATE, "web")
    assert may_be_for_want_of_something(cause)
    ailing = on_ailing_host(cause, "the disk of /srv is full")
    assert (is_release_at_fault(ailing), is_hosts_failure(ailing)) == (False, True)
    assert ailing.message == "web-1 exited with 1, while the disk of /srv is full"
    assert "see to what is named" in ailing.remedy


@pytest.mark.parametrize("reason", [Reason.UP_FAILED, Reason.DIGEST_MISMATCH, Reason.VOLUME_LOST])
def test_what_no_lack_explains_is_not(reason: Reason) -> None:
    assert not may_be_for_want_of_something(cause_of(GateFailed(reason, "it is so"), Step.GATE, "web"))


class PlaceAway(UpdaterError):
    """As a target that nobody here knows of may have it."""

    reason = Reason.NO_SUITABLE_NODE


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UpdaterError("a file cannot be written"), Reason.STATE_ERROR),
        (LockHeld("another one is at work"), Reason.STATE_ERROR),
        (EngineUnavailable("no answer"), Reason.ENGINE_ERROR),
        (ComposeMissing("it is not there"), Reason.COMPOSE_ERROR),
        (ChangedOnDisk("it is another by now"), Reason.CHANGED_ON_DISK),
        (NotFound("r.example", "it is gone"), Reason.NOT_FOUND),
        (PlaceAway("no node is there"), Reason.NO_SUITABLE_NODE),
    ],
)
def test_an_error_says_its_reason_itself(error: UpdaterError, reason: Reason) -> None:
    cause = cause_of(error, Step.RESTART, "web")
    assert (cause.reason, is_hosts_failure(cause), is_release_at_fault(cause)) == (reason, True, False)


def test_the_remedy_of_a_bad_release_can_be_pasted_into_a_shell() -> None:
    found = cause_of(GateFailed(Reason.UNHEALTHY, "it is unhealthy"), Step.GATE, "shop-api")
    assert found.remedy.endswith("try it again: sudo docker-updater --retry shop-api")


@pytest.mark.parametrize(
    ("words", "is_the_way"),
    [
        ('Get "https://r.example/v2/": dial tcp 10.0.0.5:443: connect: connection refused', True),
        ('Get "https://r.example/v2/": dial tcp: lookup r.example on 10.0.0.1:53: no such host', True),
        ('Get "https://r.example/v2/": x509: certificate signed by unknown authority', True),
        ('Get "https://r.example/v2/": http: server gave HTTP response to HTTPS client', True),
        (
            (
                'Get "https://r.example/v2/": net/http: request canceled (Client.Timeout exceeded while '
                "awaiting headers)"
            ),
            True,
        ),
        ('Head "https://r.example/v2/app/manifests/1": EOF', True),
        ("manifest for r.example/app@sha256:0 not found: manifest unknown: manifest unknown", False),
        ("denied: requested access to the resource is denied", False),
        ("unknown: artifact app@sha256:0 not found", False),
        ("error parsing HTTP 404 response body: invalid character '<' looking for beginning of value", False),
    ],
)
def test_an_engine_that_reached_no_registry_is_distinguished_from_one_that_was_refused(
    words: str, is_the_way: bool
) -> None:
    assert (
        is_about_the_way(EngineError(f"the engine could not pull r.example/app@sha256:0: {words}"))
        is is_the_way
    )

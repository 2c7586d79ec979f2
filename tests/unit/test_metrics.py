"""`metrics_utils`: what Prometheus reads, and that nothing is loaded if nobody reads."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from updater_core import __version__
from updater_core.metrics_utils import COUNTERS, GAUGES, HISTOGRAMS, Metrics
from updater_core.models import Quarantined, Reason
from updater_core.state.records import ServiceState, Status

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(enabled=True)


def scrape(metrics: Metrics) -> dict[str, float]:
    """The series with their labels."""
    lines = metrics.exposition("")[0].decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith("docker_updater_"))
    return {name.removeprefix("docker_updater_"): float(value) for name, value in pairs}


def plain(found: dict[str, float]) -> dict[str, float]:
    """Without the series of histograms."""
    return {name: value for name, value in found.items() if not name.startswith(tuple(HISTOGRAMS))}


def do_all(metrics: Metrics) -> None:
    metrics.updated("web")
    metrics.rolled_back("web", "unhealthy")
    metrics.failed("web", "pull")
    metrics.checked("same_digest")
    metrics.start_from({"state_restores": 1})
    metrics.requested("docker.io", "digest", "2xx")
    metrics.delivered("failed", 2)
    metrics.delivered("given_up", 0)
    metrics.cycle_ended(NOW, 2.5)
    metrics.interval(3600)
    metrics.update_ended("committed", 12.0)
    metrics.gate_ended("proven", 10.5)
    metrics.show_limits({"registry-1.docker.io": (20, 100)})
    metrics.open_journal(1)
    metrics.outbox_pending(3)
    metrics.show({"web": ServiceState(status=Status.HELD, last_check=NOW, last_success=NOW, last_change=NOW)})


def test_every_series_is_there_with_its_value(metrics: Metrics) -> None:
    do_all(metrics)
    found = scrape(metrics)
    expected = {
        'updates_total{service="web"}': 1,
        'rollbacks_total{reason="unhealthy",service="web"}': 1,
        'failures_total{service="web",stage="pull"}': 1,
        'checks_total{result="same_digest"}': 1,
        "state_restores_total": 1,
        'registry_requests_total{kind="digest",registry="docker.io",result="2xx"}': 1,
        'webhook_deliveries_total{result="failed"}': 2,
        f'build_info{{version="{__version__}"}}': 1,
        "last_cycle_timestamp_seconds": NOW.timestamp(),
        "last_cycle_duration_seconds": 2.5,
        "check_interval_seconds": 3600,
        "open_journal": 1,
        "outbox_pending": 3,
        'registry_rate_limit_remaining{registry="registry-1.docker.io"}': 20,
        'registry_rate_limit{registry="registry-1.docker.io"}': 100,
        'update_available{service="web"}': 0,
        'quarantined_digests{service="web"}': 0,
        'needs_operator{service="web"}': 0,
        'last_check_timestamp_seconds{service="web"}': NOW.timestamp(),
        'last_success_timestamp_seconds{service="web"}': NOW.timestamp(),
        'last_change_timestamp_seconds{service="web"}': NOW.timestamp(),
        **{f'service_state{{service="web",state="{each}"}}': float(each is Status.HELD) for each in Status},
    }
    assert plain(found) == expected
    assert {name.partition("{")[0] for name in plain(found)} == {*COUNTERS, *GAUGES}


def test_durations_fall_into_their_buckets(metrics: Metrics) -> None:
    do_all(metrics)
    metrics.update_ended("rolled_back", 70.0)
    found = scrape(metrics)
    assert found["cycle_duration_seconds_sum"] == 2.5
    assert found['cycle_duration_seconds_bucket{le="1.0"}'] == 0
    assert (
        found['cycle_duration_seconds_bucket{le="2.5"}']
        == found['cycle_duration_seconds_bucket{le="+Inf"}']
        == 1
    )
    assert found['gate_duration_seconds_bucket{le="10.0",result="proven"}'] == 0
    assert found['gate_duration_seconds_bucket{le="15.0",result="proven"}'] == 1
    counts = {
        name: value for name, value in found.items() if name.startswith("update_duration_seconds_count")
    }
    assert counts == {
        'update_duration_seconds_count{outcome="committed"}': 1,
        'update_duration_seconds_count{outcome="rolled_back"}': 1,
    }


def test_a_limit_that_is_no_longer_reported_is_no_longer_shown(metrics: Metrics) -> None:
    metrics.show_limits({"a.example": (5, 100), "b.example": (6, 200)})
    metrics.show_limits({"b.example": (4, 200)})
    shown = {name: value for name, value in scrape(metrics).items() if name.startswith("registry_rate_limit")}
    assert shown == {
        'registry_rate_limit_remaining{registry="b.example"}': 4,
        'registry_rate_limit{registry="b.example"}': 200,
    }


@pytest.mark.parametrize(
    ("accept", "kind", "end"),
    [
        ("", "text/plain; version=0.0.4", ""),
        (
            "application/openmetrics-text; version=1.0.0",
            "application/openmetrics-text; version=1.0.0",
            "# EOF\n",
        ),
    ],
)
def test_a_reader_gets_the_format_it_asks_for(metrics: Metrics, accept: str, kind: str, end: str) -> None:
    text, content_type = metrics.exposition(accept)
    assert content_type.startswith(kind)
    assert text.decode().endswith(end)


def test_a_services_state_is_one_of_all(metrics: Metrics) -> None:
    quarantine = (Quarantined("sha256:1", "app:1", Reason.UNHEALTHY, NOW),)
    metrics.show({"web": ServiceState(status=Status.HELD)})
    metrics.show({"web": ServiceState(status=Status.ROLLED_BACK, available="app:2", quarantine=quarantine)})
    found = scrape(metrics)
    states = {name: value for name, value in found.items() if name.startswith("service_state")}
    assert [name for name, value in states.items() if value] == [
        'service_state{service="web",state="rolled_back"}'
    ]
    assert found['update_available{service="web"}'] == found['quarantined_digests{service="web"}'] == 1


def test_a_service_that_was_removed_is_no_longer_shown(metrics: Metrics) -> None:
    do_all(metrics)
    metrics.show({"db": ServiceState()})
    found = scrape(metrics)
    assert [name for name in found if "web" in name and "webhook" not in name] == []
    assert 'service_state{service="db",state="unknown"}' in found


def test_counters_go_on_after_a_restart(metrics: Metrics) -> None:
    metrics.start_from({"updates:a:b": 4, "rollbacks:unhealthy:web": 2, "state_restores": 1, "other": 5})
    metrics.updated("a:b")
    found = scrape(metrics)
    assert found['updates_total{service="a:b"}'] == 5
    assert found['rollbacks_total{reason="unhealthy",service="web"}'] == 2
    assert found["state_restores_total"] == 1


def test_without_a_port_nothing_is_loaded() -> None:
    program = (
        "import sys; from tests.unit.test_metrics import do_all; from updater_core.metrics_utils import "
        "Metrics\n"
        "sys.modules.pop('prometheus_client', None); do_all(Metrics(False))\n"
        "Metrics(False).start_from({'updates:a': 1}); assert Metrics(False).exposition('')[0] == b''\n"
        "print('prometheus_client' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"

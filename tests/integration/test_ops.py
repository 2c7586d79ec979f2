"""What `ops/` brings for Prometheus and Grafana, held to promtool and to the metrics that really exist.

promtool comes from the Debian package prometheus (`scripts/setup --with-promtool`). With
DAU_REQUIRE_ENGINE=1, as `scripts/test` sets it, a missing one is a failure.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.test_metrics import do_all
from updater_core.metrics_utils import COUNTERS, GAUGES, HISTOGRAMS, Metrics
from updater_core.models import Reason, Step
from updater_core.state.records import Status

ROOT = Path(__file__).resolve().parents[2]
ALERTS, DASHBOARD = ROOT / "ops/prometheus-alerts.yml", ROOT / "ops/grafana-dashboard.json"
LABELS: dict[str, tuple[str, ...]] = {
    **{name: labels for name, (_, labels) in {**COUNTERS, **GAUGES}.items()},
    **{f"{name}_{part}": labels for name, (_, labels, _) in HISTOGRAMS.items() for part in ("sum", "count")},
    **{f"{name}_bucket": (*labels, "le") for name, (_, labels, _) in HISTOGRAMS.items()},
}
OF_PROMETHEUS = {"instance", "job"}


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found:
        return found
    if os.environ.get("DAU_REQUIRE_ENGINE") == "1":
        pytest.fail("promtool is not there; run scripts/setup --with-promtool")
    pytest.skip("promtool is not there; scripts/setup --with-promtool brings it")


def run(*argv: str, given: str = "", cwd: Path = ROOT) -> str:
    """Run a command; what it said, with its exit status if that is not 0."""
    done = subprocess.run(argv, input=given, capture_output=True, text=True, cwd=cwd, check=False, timeout=60)
    said = done.stdout + done.stderr
    return said if done.returncode == 0 else f"exit status {done.returncode}: {said}"


# ------------------------------------------------------------------------------------------------ the metrics


def test_promtool_finds_no_fault_with_the_metrics(promtool: str) -> None:
    metrics = Metrics(enabled=True)
    do_all(metrics)
    text = metrics.exposition("")[0].decode()
    assert len(re.findall(r"^# TYPE docker_updater_", text, flags=re.MULTILINE)) == len(
        {**COUNTERS, **GAUGES, **HISTOGRAMS}
    )
    assert run(promtool, "check", "metrics", given=text) == ""


def test_promtool_would_find_a_fault(promtool: str) -> None:
    assert "exit status" in run(promtool, "check", "metrics", given="# TYPE updates counter\nupdates 1\n")


# ------------------------------------------------------------------------------------------------- the alerts


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_promtool_takes_the_alerts(promtool: str) -> None:
    assert f"SUCCESS: {len(rules())} rules found" in run(promtool, "check", "rules", str(ALERTS))


def test_each_alert_comes_when_it_should_and_not_before(promtool: str) -> None:
    said = run(promtool, "test", "rules", "prometheus-alerts.test.yml", cwd=ROOT / "ops")
    assert "SUCCESS" in said, said
    assert "exit status" not in said


def test_each_alert_is_tested_and_described() -> None:
    tests = yaml.safe_load((ROOT / "ops/prometheus-alerts.test.yml").read_text(encoding="utf-8"))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    fired = {case["alertname"] for case in cases if case.get("exp_alerts")}
    silent = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    names = [rule["alert"] for rule in rules()]
    assert sorted(names) == sorted(fired)
    assert fired - silent <= {"ServiceRolledBack"}, "each is also seen not to come"
    manual = (ROOT / "docs/observability.md").read_text(encoding="utf-8")
    assert [name for name in names if f"`{name}`" not in manual] == []
    assert {rule["labels"]["severity"] for rule in rules()} == {"page", "ticket", "info"}


# ---------------------------------------------------------------------------------------------- the dashboard


def targets(node: Any) -> Iterator[str]:
    """Every expression of the dashboard, also those of its annotations."""
    if isinstance(node, dict):
        if isinstance(node.get("expr"), str):
            yield node["expr"]
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from targets(value)


def dashboard() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return read


def test_promtool_understands_each_expression_of_the_dashboard(promtool: str, tmp_path: Path) -> None:
    expressions = [*targets(dashboard())]
    assert len(expressions) > 20
    plain = [
        e.replace("$__rate_interval", "5m").replace("$__range", "7d").replace("$instance", ".*")
        for e in expressions
    ]
    assert [e for e in plain if "$" in e] == []
    rules = [{"record": f"r{number}", "expr": expression} for number, expression in enumerate(plain)]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}), encoding="utf-8")
    assert f"SUCCESS: {len(rules)} rules found" in run(promtool, "check", "rules", str(path))


@pytest.mark.parametrize("where", ["dashboard", "alerts"])
def test_only_metrics_labels_and_values_are_asked_for_that_exist(where: str) -> None:
    texts = [*targets(dashboard())] if where == "dashboard" else [rule["expr"] for rule in rules()]
    values = {
        "state": {s.value for s in Status},
        "reason": {r.value for r in Reason},
        "stage": {s.value for s in Step},
    }
    values["result"] = {"ok", "unauthorized", "denied", "not_found", "rate_limited", "error", "unreachable"}
    for text in texts:
        named = re.findall(r"docker_updater_(\w+)(?:\{([^}]*)\})?", text)
        assert named or "up{" in text
        for name, selector in named:
            assert name in LABELS, text
            for label, given in re.findall(r'(\w+)=~?"([^"]*)"', selector):
                assert label in {*LABELS[name], *OF_PROMETHEUS}, text
                assert label not in values or set(given.split("|")) <= values[label], text


def test_every_metric_that_tells_of_a_service_or_a_registry_is_on_the_dashboard() -> None:
    shown = set(re.findall(r"docker_updater_(\w+?)(?:_bucket)?\b", " ".join(targets(dashboard()))))
    assert {*COUNTERS, *GAUGES, *HISTOGRAMS} - shown == {
        "state_restores_total",  # an alert
        "last_check_timestamp_seconds",  # the last success says more
        "cycle_duration_seconds",  # one line of the last cycle's is easier to read
    }


def test_the_dashboards_panels_do_not_overlap() -> None:
    panels = dashboard()["panels"]
    fields = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(fields) == len(set(fields))
    assert max(x for x, _ in fields) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)

"""Metrics for Prometheus. Without METRICS_PORT nothing is imported, counted or kept.

Labels are few and bounded (service, registry, kind, result, reason, stage, outcome); no tag and no digest is
ever one. `status.server` hands out what is counted here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from updater_core import __version__
from updater_core.state.observed_tags import split_counter
from updater_core.state.records import ServiceState, Status, needs_operator

_PREFIX = "docker_updater_"
COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "updates_total": ("Updates that were committed.", ("service",)),
    "rollbacks_total": ("Updates that were rolled back.", ("service", "reason")),
    "failures_total": ("Updates that failed without a rollback, or in it.", ("service", "stage")),
    "checks_total": ("Checks of a service.", ("result",)),
    "state_restores_total": ("Times the state was damaged or missing and was replaced.", ()),
    "registry_requests_total": ("Requests to registries.", ("registry", "kind", "result")),
    "webhook_deliveries_total": ("Attempts to deliver an event.", ("result",)),
}
GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "build_info": ("The running version; always 1.", ("version",)),
    "service_state": ("1 for the state that a service is in, 0 for the others.", ("service", "state")),
    "update_available": ("1 if an image waits for a service.", ("service",)),
    "needs_operator": (
        "1 if nothing happens to a service until a person acts, see its status for why.",
        ("service",),
    ),
    "quarantined_digests": ("Digests that are not tried again for a service.", ("service",)),
    "last_check_timestamp_seconds": ("When a service was last checked.", ("service",)),
    "last_success_timestamp_seconds": ("When a check of a service last came to a result.", ("service",)),
    "last_change_timestamp_seconds": ("When a service was last updated or rolled back.", ("service",)),
    "check_interval_seconds": ("How long it is from one cycle to the next, as configured.", ()),
    "last_cycle_timestamp_seconds": ("When the last cycle over all services ended.", ()),
    "last_cycle_duration_seconds": ("How long the last cycle took.", ()),
    "open_journal": ("Updates that are in the middle of happening.", ()),
    "outbox_pending": ("Events that wait for delivery.", ()),
    "registry_rate_limit_remaining": ("Pulls that a registry still allows, as it said last.", ("registry",)),
    "registry_rate_limit": ("Pulls that a registry allows in its window.", ("registry",)),
}
# Prometheus cannot change buckets later without breaking what was stored, so they reach from a warm cycle to
# a gate of an hour.
_SECONDS, _MINUTES = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30), (60, 120, 300, 600, 1800, 3600)
HISTOGRAMS: Mapping[str, tuple[str, tuple[str, ...], tuple[float, ...]]] = {
    "cycle_duration_seconds": ("How long cycles over all services took.", (), (*_SECONDS, *_MINUTES)),
    "update_duration_seconds": (
        "How long updates took, by how they ended.",
        ("outcome",),
        (1, 5, 10, 30, *_MINUTES),
    ),
    "gate_duration_seconds": (
        "How long new releases took to prove themselves, or to fail.",
        ("result",),
        (1, 5, 10, 15, 30, *_MINUTES),
    ),
}
_TIMES: Mapping[str, Callable[[ServiceState], datetime | None]] = {
    "last_check_timestamp_seconds": lambda service: service.last_check,
    "last_success_timestamp_seconds": lambda service: service.last_success,
    "last_change_timestamp_seconds": lambda service: service.last_change,
}


class Metrics:
    """The numbers of one process, in a registry of their own. Not `enabled`, its methods do nothing."""

    def __init__(self, enabled: bool) -> None:
        self._registry: Any = None
        self._families: dict[str, Any] = {}
        self._shown: set[str] = set()
        self._limited: set[str] = set()
        if enabled:
            self._create()

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return everything in the format that the header `accept` asks for, and its content type.

        May be called from any thread. Empty if not enabled.
        """
        if not self._families:
            return b"", "text/plain"
        # Imported here: without METRICS_PORT the library costs no memory.
        from prometheus_client.exposition import choose_encoder

        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def updated(self, service: str) -> None:
        """Count an update that was committed."""
        self._count("updates_total", service)

    def rolled_back(self, service: str, reason: str) -> None:
        """Count a rollback, by the reason of the failure."""
        self._count("rollbacks_total", service, reason)

    def failed(self, service: str, stage: str) -> None:
        """Count a failed update, by the step at which it failed."""
        self._count("failures_total", service, stage)

    def checked(self, result: str) -> None:
        """Count a check of a service, by its result."""
        self._count("checks_total", result)

    def requested(self, registry: str, kind: str, result: str) -> None:
        """Count one request to a registry host, as `Registries` reports it."""
        self._count("registry_requests_total", registry, kind, result)

    def delivered(self, result: str, times: int = 1) -> None:
        """Count attempts to deliver events: delivered, failed or given_up."""
        self._count("webhook_deliveries_total", result, by=times)

    def interval(self, seconds: float) -> None:
        """Set the configured interval; alerts on a last cycle that is long ago measure by it."""
        self._set("check_interval_seconds", seconds)

    def cycle_ended(self, now: datetime, duration_seconds: float) -> None:
        """Note the end of a cycle and how long it took."""
        self._set("last_cycle_timestamp_seconds", now.timestamp())
        self._set("last_cycle_duration_seconds", duration_seconds)
        self._observe("cycle_duration_seconds", duration_seconds)

    def update_ended(self, outcome: str, duration_seconds: float) -> None:
        """Note how long an update took, by outcome.

        The outcomes are committed, not_started, rolled_back, rollback_failed and taken_over.
        """
        self._observe("update_duration_seconds", duration_seconds, outcome)

    def gate_ended(self, result: str, duration_seconds: float) -> None:
        """Note how long a new release took to be proven, or to have failed."""
        self._observe("gate_duration_seconds", duration_seconds, result)

    def show_limits(self, limits: Mapping[str, tuple[int, int]]) -> None:
        """Show what is left of how many pulls at each registry that says so, and no longer at any other."""
        if not self._families:
            return
        # A series that is not removed would show its last value for ever.
        for host in self._limited - set(limits):
            self._families["registry_rate_limit_remaining"].remove(host)
            self._families["registry_rate_limit"].remove(host)
        self._limited = set(limits)
        for host, (remaining, limit) in limits.items():
            self._set("registry_rate_limit_remaining", remaining, host)
            self._set("registry_rate_limit", limit, host)

    def open_journal(self, updates: int) -> None:
        """Set how many updates have an open journal."""
        self._set("open_journal", updates)

    def outbox_pending(self, events: int) -> None:
        """Set how many events wait to be delivered."""
        self._set("outbox_pending", events)

    def start_from(self, counters: Mapping[str, int]) -> None:
        """Go on from the counters that the state kept (`state.records.count`), so a restart loses nothing."""
        for name, number in counters.items():
            kind, *labels = split_counter(name)
            if f"{kind}_total" in COUNTERS:
                self._count(f"{kind}_total", *labels, by=number)

    def show(self, services: Mapping[str, ServiceState]) -> None:
        """Show the status of the services, and no longer of those that are not among them."""
        if not self._families:
            return
        for name in self._shown - set(services):
            self._forget(name)
        self._shown = set(services)
        for name, service in services.items():
            self._show(name, service)

    def _show(self, name: str, service: ServiceState) -> None:
        # One series for each state, as Prometheus wants an enumeration: an alert can ask for one of them.
        for status in Status:
            self._set("service_state", float(service.status is status), name, status.value)
        self._set("update_available", float(service.available is not None), name)
        self._set("needs_operator", float(needs_operator(service)), name)
        self._set("quarantined_digests", len(service.quarantine), name)
        for family, time_of in _TIMES.items():
            time = time_of(service)
            if time:
                self._set(family, time.timestamp(), name)

    def _forget(self, service: str) -> None:
        for family, (_, labels) in {**COUNTERS, **GAUGES}.items():
            if "service" in labels:
                self._families[family].remove_by_labels({"service": service})

    def _create(self) -> None:
        import prometheus_client

        # Nobody reads a `_created` series for each counter.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = prometheus_client.CollectorRegistry()
        for table, kind in ((COUNTERS, prometheus_client.Counter), (GAUGES, prometheus_client.Gauge)):
            for name, (text, labels) in table.items():
                self._families[name] = kind(_PREFIX + name, text, labels, registry=self._registry)
        for name, (text, labels, buckets) in HISTOGRAMS.items():
            self._families[name] = prometheus_client.Histogram(
                _PREFIX + name, text, labels, registry=self._registry, buckets=buckets
            )
        self._set("build_info", 1, __version__)

    def _count(self, family: str, *labels: str, by: float = 1) -> None:
        if self._families and by:
            self._of(family, labels).inc(by)

    def _set(self, family: str, value: float, *labels: str) -> None:
        if self._families:
            self._of(family, labels).set(value)

    def _observe(self, family: str, value: float, *labels: str) -> None:
        if self._families:
            self._of(family, labels).observe(value)

    def _of(self, family: str, labels: tuple[str, ...]) -> Any:
        found = self._families[family]
        return found.labels(*labels) if labels else found

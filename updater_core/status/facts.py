"""How everything stands, for people and probes: what the updater knows in, one view of it out. Pure.

Unknown is never well: a service that was not looked at in time counts as unknown whatever it was before, and
so does everything when no cycle ends any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from updater_core.host import times
from updater_core.models import Config, Hours, ServiceConfig
from updater_core.policy import windows as schedule
from updater_core.policy.operator.decisions import pause_in_force
from updater_core.policy.releases.size import kind_of_change, version_of, waiting_step
from updater_core.reference import HUB
from updater_core.state.records import (
    Change,
    ServiceState,
    Status,
    needs_operator,
    service_of,
    waiting_facts_of,
)
from updater_core.status import decided
from updater_core.status.inputs import Quota, StatusFacts
from updater_core.status.view import ChangeView, Level, RegistryView, ServiceView, Verdict, View, WindowView
from updater_core.vocabulary.dated import NO_STEP, ReleaseStep
from updater_core.vocabulary.untrusted import visible

CHANGES_SHOWN = 50
_HISTORY_OF_A_SERVICE = 5
_LONGEST_TEXT = 600  # of a detail: a healthcheck's last words can be a page
_HUB_HOST = "registry-1.docker.io"


_ORDER = tuple(Level)
_FOR_A_PERSON = (Level.LOOK, Level.UNKNOWN, Level.TROUBLE)
_FAILED = {
    Status.ROLLBACK_FAILED: Level.TROUBLE,
    Status.FAILED: Level.TROUBLE,
    Status.ROLLED_BACK: Level.LOOK,
}


def view_of(facts: StatusFacts) -> View:
    """Return everything as it is to be shown."""
    windows = _windows(facts)
    services = tuple(_service(facts, service, windows[service.name]) for service in facts.config.services)
    enabled = {windows[service.name] for service in services if service.is_enabled}
    is_well, health = health_of(facts)
    return View(
        at=facts.now,
        host=facts.host,
        version=facts.version,
        verdict=_verdict(facts, services),
        is_healthy=is_well,
        health=health,
        pulse=facts.pulse,
        interval_seconds=facts.config.settings.check_interval_seconds,
        at_hand=next(iter(facts.under_way), None),
        under_way=facts.under_way,
        window=enabled.pop() if len(enabled) == 1 else None,
        services=services,
        changes=_changes(facts),
        registries=_registries(facts),
        decisions=decided.counting(
            facts.state, [service.name for service in facts.config.services], facts.now
        ),
    )


# ----------------------------------------------------------------------------------------------------- health


def longest_silence_seconds(config: Config) -> float:
    """Return how long the updater may be silent: two intervals, and what a step of an update may take."""
    settings = config.settings
    gates = (service.gate.timeout_seconds + service.gate.stable_seconds for service in config.services)
    return 2 * settings.check_interval_seconds + settings.compose_timeout_seconds + max(gates, default=0.0)


def health_of(facts: StatusFacts) -> tuple[bool, str]:
    """Return whether the updater is alive, as a probe asks, and a sentence why.

    It is if it ended a cycle, was started, or made progress in an update within the longest silence. The
    status of the services does not matter here.
    """
    pulse = facts.pulse
    signs = (pulse.started_at, pulse.cycle_ended, *(step.heard_at for step in facts.under_way))
    silent = (facts.now - max(filter(None, signs))).total_seconds()
    longest = longest_silence_seconds(facts.config)
    if silent > longest:
        return False, f"no cycle has ended for {silent:.0f} s; {longest:.0f} s are allowed"
    if pulse.cycle_ended is None:
        return True, "the first cycle has not ended yet"
    return True, f"the last cycle ended at {times.utc(pulse.cycle_ended, seconds=True)}"


def _verdict(facts: StatusFacts, services: Sequence[ServiceView]) -> Verdict:
    counts = Counter(service.level for service in services)
    level = max(
        (service.level for service in services if service.is_enabled), key=_ORDER.index, default=Level.LOOK
    )
    notes = [f"{counts[each]} {_COUNTED[each]}" for each in reversed(_ORDER) if counts[each]]
    if not services:
        notes.append("no service is configured")
    for ours, why in _own_problems(facts):
        level = max(level, ours, key=_ORDER.index)
        notes.insert(0, why)
    named = [service.name for service in services if service.level is level and level in _FOR_A_PERSON]
    return Verdict(level, _HEADLINES[level], "; ".join(notes), tuple(named))


def _own_problems(facts: StatusFacts) -> list[tuple[Level, str]]:
    """Return what makes the whole picture doubtful, whatever the status of the services."""
    found = []
    is_well, why = health_of(facts)
    if not is_well:
        found.append((Level.UNKNOWN, f"the updater makes no progress: {why}"))
    if facts.pulse.is_engine_down:
        found.append((Level.UNKNOWN, "the Docker Engine does not answer"))
    if facts.pulse.open_updates and facts.pulse.cycle_begun is None:
        found.append((Level.LOOK, "an update was interrupted, and is finished or undone in the next cycle"))
    return found


_HEADLINES: Mapping[Level, str] = {
    Level.OK: "All is well",
    Level.WAITING: "All is well, and something waits",
    Level.LOOK: "Something needs a look",
    Level.UNKNOWN: "Not everything is known",
    Level.TROUBLE: "Something failed",
    Level.OFF: "Nothing is enabled",
}
_COUNTED: Mapping[Level, str] = {
    Level.OK: "up to date",
    Level.WAITING: "waiting or held",
    Level.LOOK: "to be looked at",
    Level.UNKNOWN: "unknown",
    Level.TROUBLE: "failed",
    Level.OFF: "not enabled",
}


# --------------------------------------------------------------------------------------------------- services


def _service(facts: StatusFacts, config: ServiceConfig, window: WindowView) -> ServiceView:
    known = service_of(facts.state, config.name)
    is_stale = _is_stale(facts, known)
    level = _level(known, is_stale) if config.enabled else Level.OFF
    status = known.status if known.last_check else Status.UNKNOWN
    change = kind_of_change(known.reference, known.available) if known.available else None
    return ServiceView(
        name=config.name,
        level=level,
        state=status.value,
        is_enabled=config.enabled,
        is_stale=is_stale,
        current=known.reference or config.image.text,
        current_digest=known.digest,
        target=known.available,
        change=change,
        reason=known.reason.value if known.reason else None,
        detail=_cut(facts.clean(known.detail)),
        remedy=_cut(facts.clean(known.remedy)),
        until=_later_than(facts.now, known.retry_at or known.opens_at),
        last_check=known.last_check,
        last_success=known.last_success,
        last_change=known.last_change,
        quarantined=len(known.quarantine),
        window=window,
        version=version_of(known.reference, known.facts),
        built_at=known.facts.built_at,
        release=_release(known),
        history=_history(facts, config.name, known),
    )


def _release(known: ServiceState) -> ReleaseStep:
    if not known.available:
        return NO_STEP
    return waiting_step(
        known.reference, known.facts, known.available, waiting_facts_of(known, known.available)
    )


def _history(facts: StatusFacts, name: str, known: ServiceState) -> tuple[ChangeView, ...]:
    return tuple(_change(facts, name, each) for each in known.changes[:_HISTORY_OF_A_SERVICE])


def _is_stale(facts: StatusFacts, known: ServiceState) -> bool:
    seen = known.last_success
    return seen is None or (facts.now - seen).total_seconds() > longest_silence_seconds(facts.config)


def _level(known: ServiceState, is_stale: bool) -> Level:
    if known.status in _FAILED:
        return _FAILED[known.status]
    if known.last_check is None or known.status is Status.UNKNOWN or is_stale:
        return Level.UNKNOWN
    if needs_operator(known):
        return Level.LOOK
    return Level.OK if known.status in (Status.UP_TO_DATE, Status.UPDATED) else Level.WAITING


def _windows(facts: StatusFacts) -> Mapping[str, WindowView]:
    """Return each service's window; services with the same hours share one answer, which is costly.

    A pause by an order closes it.
    """
    shared = facts.config.settings.hours
    merged = {service.name: schedule.merge_hours(service.hours, shared) for service in facts.config.services}
    views = {hours: _window(hours, facts.now) for hours in set(merged.values())}
    return {name: _unless_paused(facts, name, views[hours]) for name, hours in merged.items()}


def _unless_paused(facts: StatusFacts, name: str, window: WindowView) -> WindowView:
    own = service_of(facts.state, name).decisions.pause
    pause = pause_in_force(own, facts.state.pause, facts.now)
    if pause is None or window.is_paused:
        return window
    return WindowView(is_open=False, is_paused=True, opens_at=pause.until, paused_by=pause.who)


def _window(hours: Hours, now: datetime) -> WindowView:
    if hours.paused:
        return WindowView(is_open=False, is_paused=True)
    if schedule.is_open(hours, now):
        return WindowView(is_open=True, closes_at=schedule.next_close(hours, now))
    return WindowView(is_open=False, opens_at=schedule.next_open(hours, now))


# ------------------------------------------------------------------------------------- history and registries


def _changes(facts: StatusFacts) -> tuple[ChangeView, ...]:
    names = [service.name for service in facts.config.services]
    each = [(name, change) for name in names for change in service_of(facts.state, name).changes]
    newest = sorted(each, key=lambda pair: pair[1].at, reverse=True)[:CHANGES_SHOWN]
    return tuple(_change(facts, name, change) for name, change in newest)


def _change(facts: StatusFacts, service: str, change: Change) -> ChangeView:
    return ChangeView(
        at=change.at,
        service=service,
        kind=change.kind,
        from_reference=change.from_reference,
        to_reference=change.to_reference,
        to_digest=change.to_digest,
        change=kind_of_change(change.from_reference, change.to_reference) if change.from_reference else None,
        outcome=change.outcome,
        reason=change.reason,
        detail=_cut(facts.clean(change.detail)),
        duration_seconds=change.duration_seconds,
        steps=change.steps,
        hooks=change.hooks,
        evidence=change.evidence,
        release=change.release,
    )


def _registries(facts: StatusFacts) -> tuple[RegistryView, ...]:
    domains = [service.image.domain for service in facts.config.services if service.enabled]
    used = Counter(_HUB_HOST if domain == HUB else domain for domain in domains)
    quotas = facts.quotas or {}
    hosts = sorted({*used, *quotas, *facts.state.backoffs, *facts.state.outages})
    return tuple(_registry(facts, host, used[host], quotas.get(host)) for host in hosts)


def _registry(facts: StatusFacts, host: str, services: int, quota: Quota | None) -> RegistryView:
    backoff, out_since = _later_than(facts.now, facts.state.backoffs.get(host)), facts.state.outages.get(host)
    plain = RegistryView(host, services, rest_until=backoff, out_since=out_since)
    if quota is None:
        return plain
    limit, remaining, window_seconds = quota.limit, quota.remaining, quota.window_seconds
    return replace(
        plain, limit=limit, remaining=remaining, window_seconds=window_seconds, seen_at=quota.seen_at
    )


def _later_than(now: datetime, moment: datetime | None) -> datetime | None:
    return moment if moment and moment > now else None


def _cut(text: str) -> str:
    text = visible(text)
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"

"""What `--plan` and `--status` print. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo
from typing import Any

from updater_core.deploy import http_gate
from updater_core.host import times
from updater_core.models import Hold, ImageRef, Plan, Rejected, ServiceConfig
from updater_core.policy import explain
from updater_core.policy.releases.size import waiting_step
from updater_core.reference import short
from updater_core.state.codec import encode
from updater_core.state.records import ServiceState, State, Status, service_of, waiting_facts_of
from updater_core.status import columns
from updater_core.status.columns import Elastic, Keep
from updater_core.vocabulary.dated import ReleaseStep
from updater_core.vocabulary.image_ref import ImageChange

_REJECTED_SHOWN = 20
_HEAD = ("SERVICE", "STATE", "CURRENT", "AVAILABLE", "REASON", "CHECKED", "CHANGED")
_ELASTIC = {
    0: Elastic(least=(26, 26, 16)),
    2: Elastic(Keep.END),
    3: Elastic(Keep.END),
    4: Elastic(least=(22, 15)),  # the longest reason has 22 characters
}
_WORST_FIRST = (
    Status.ROLLBACK_FAILED, Status.FAILED, Status.UNKNOWN, Status.ROLLED_BACK, Status.HELD, Status.WAITING,
    Status.UPDATED, Status.UP_TO_DATE,
)  # fmt: skip


def status_table(
    services: Iterable[ServiceConfig],
    state: State,
    zone: tzinfo | None = None,
    further: Sequence[str] = (),
    now: datetime | None = None,
) -> str:
    """Return a line for each service, the worst first, and a line of summary.

    In between stand what needs a person, with its remedy, the release that waits, and the `further` blocks of
    text that are not empty.

    `zone`: that of the times; the machine's own if None. `now`: what the age of a release is counted to;
    None: no age is said.
    """
    known = [(service, service_of(state, service.name)) for service in services]
    known.sort(key=lambda each: _order(*each))
    lines = columns.table([_HEAD, *(_row(service, one, zone) for service, one in known)], _ELASTIC)
    notes = [_note(service.name, one, now) for service, one in known if service.enabled]
    blocks = (block.strip("\n") for block in further)
    below = [line for block in blocks if block for line in ("", block)]
    return "\n".join([*lines, *(note for note in notes if note), *below, "", _summary(known, zone)])


def _order(service: ServiceConfig, known: ServiceState) -> tuple[bool, int, str]:
    """Return the worst first, what is disabled last, and by name among equals."""
    return not service.enabled, _WORST_FIRST.index(known.status), service.name


def _summary(known: Sequence[tuple[ServiceConfig, ServiceState]], zone: tzinfo | None) -> str:
    """Return how many services are in each state: `3 services: 1 failed, 2 up to date (times are CET)`."""
    if not known:
        return "no services"
    states = Counter(one.status for service, one in known if service.enabled)
    counts = [f"{states[status]} {_word(status)}" for status in _WORST_FIRST if states[status]]
    disabled = len(known) - states.total()
    if disabled:
        counts.append(f"{disabled} disabled")
    plural = "" if len(known) == 1 else "s"
    return f"{len(known)} service{plural}: {', '.join(counts)}{_zone_name(known, zone)}"


def _word(status: Status) -> str:
    return status.value.replace("_", " ")


def _zone_name(known: Sequence[tuple[ServiceConfig, ServiceState]], zone: tzinfo | None) -> str:
    """Return which zone the times of the table are of, as it is at the last check; empty without a check."""
    checks = [one.last_check for _, one in known if one.last_check]
    return f" (times are {max(checks).astimezone(zone):%Z})" if checks else ""


def status_json(services: Iterable[ServiceConfig], state: State) -> str:
    """Return the same for machines: each service's state, `enabled`, and the pause of all services.

    The state of a service is that of the state file.
    """
    of_all = {"pause_of_all": encode(state.pause) if state.pause else None}
    records = {
        service.name: {"enabled": service.enabled, **of_all, **encode(service_of(state, service.name))}
        for service in services
    }
    return json.dumps(records, indent=2)


def plan_text(
    service: ServiceConfig,
    found: Plan[Any] | Hold,
    rejected: Sequence[Rejected],
    explained: Sequence[str] = (),
    current: ImageRef | None = None,
) -> str:
    """Return what would happen to one service and why: decision, rejected tags, what its target says of it.

    `explained` is the target's text. `current` is what runs by its file, None if that is not known.
    """
    current = current or service.image
    family = explain.family_text(service.policy, current)
    lines = [service.name]
    if isinstance(found, Hold):
        lines += [_filled(f"  no update: {found.reason} - {found.detail}")]
        lines += [f"  waiting:   {short(found.available.text)}"] if found.available else []
        lines += [f"  until:     {_time(found.until)}"] if found.until else []
        lines += [_filled(f"  to do:     {found.remedy}")] if found.remedy else []
        lines += [_filled(f"  also held: {hold.reason} - {hold.detail}") for hold in found.also]
    else:
        lines += _update_lines(found, explained)
    lines += [_filled(f"  family:    {family}")] if family else []
    return "\n".join([*lines, *_rejected_lines(rejected, current.tag or "latest")])


def _update_lines(plan: Plan[Any], explained: Sequence[str]) -> list[str]:
    gate = plan.gate
    return [
        f"  update:    {short(plan.old_reference)} -> {plan.new_reference.partition('@')[0]}",
        f"  digest:    {_short_digest(plan.old_digest)} -> {_short_digest(plan.image.digest)}",
        *(_filled(f"  and:       {_change_text(other)}") for other in plan.others),
        _filled(f"  because:   {plan.reason}"),
        _filled(f"  restarts:  {plan.restarts}"),
        _filled(f"  gate:      healthy within {_deadline(plan)}, stable for {gate.stable_seconds:.0f} s"),
        *([f"  address:   {gate.url} answers {http_gate.statuses_text(gate)}"] if gate.url else []),
        *(f"  {line}" for line in explained),
    ]


def _change_text(change: ImageChange) -> str:
    """From which image to which one another repository of the same update goes."""
    new = change.new_reference.partition("@")[0]
    old_digest, new_digest = _short_digest(change.old_digest), _short_digest(change.new_digest)
    digests = "same digest" if change.old_digest == change.new_digest else f"{old_digest} -> {new_digest}"
    return f"{short(change.old_reference)} -> {new} ({digests})"


def _short_digest(digest: str | None) -> str:
    return short(f"@{digest}")[1:] if digest else "unknown"


def _filled(line: str) -> str:
    """Return a line of a plan, broken between words to the width of a terminal."""
    return columns.wrapped(line, others=" " * 13)


def _deadline(plan: Plan[Any]) -> str:
    """Return how long the gate may take: as configured, or as long as the service's healthcheck needs.

    >>> from types import SimpleNamespace
    >>> from updater_core.models import GatePolicy
    >>> _deadline(SimpleNamespace(gate=GatePolicy(15), healthcheck_seconds=0.0))
    '15 s'
    >>> _deadline(SimpleNamespace(gate=GatePolicy(15), healthcheck_seconds=14520.0))
    '242 min (so long its own healthcheck may take to decide; health_timeout is 15 s)'
    """
    configured, own = plan.gate.timeout_seconds, plan.healthcheck_seconds
    if own <= configured:
        return f"{configured:.0f} s"
    length = f"{own:.0f} s" if own < 600 else f"{own / 60:.0f} min"
    return f"{length} (so long its own healthcheck may take to decide; health_timeout is {configured:.0f} s)"


def _rejected_lines(rejected: Sequence[Rejected], current: str) -> list[str]:
    if not rejected:
        return []
    counts = Counter(one.reason.value for one in rejected)
    summary = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
    nearest = explain.nearest(rejected, current, _REJECTED_SHOWN)
    shown = [
        columns.wrapped(f"    {one.tag}: {one.reason}{_after_dash(one.detail)}", others=" " * 6)
        for one in nearest
    ]
    more = len(rejected) - len(shown)
    return [_filled(f"  rejected:  {summary}"), *shown, *([f"    and {more} more"] if more > 0 else [])]


def _after_dash(text: str) -> str:
    return f" - {text}" if text else ""


def _row(service: ServiceConfig, known: ServiceState, zone: tzinfo | None) -> tuple[str, ...]:
    state = known.status.value if service.enabled else "disabled"
    reason = known.reason.value if known.reason and service.enabled else "-"
    current = short(known.reference) or "-"
    offered = _what_is_new(known.available or "", current) or "-"
    times_of = (_local(known.last_check, zone), _local(known.last_change, zone))
    return (service.name, state, current, offered, reason, *times_of)


def _what_is_new(available: str, current: str) -> str:
    """Return what differs in the available image: its tag, or its digest behind the same tag.

    >>> _what_is_new("ghcr.io/acme/app:1.1@sha256:0123", "ghcr.io/acme/app:1.0"), _what_is_new("b:2", "a:1")
    ('1.1', 'b:2')
    >>> _what_is_new("app:latest@sha256:0123456789abcdef", "app:latest")
    '@sha256:0123456789ab'
    """
    tagged, at, digest = short(available).partition("@")
    running = current.partition("@")[0]
    if tagged == running:
        return f"{at}{digest}"
    name, _, tag = tagged.rpartition(":")
    return tag if name and running.startswith(f"{name}:") else tagged


def _local(moment: datetime | None, zone: tzinfo | None) -> str:
    return f"{moment.astimezone(zone):%m-%d %H:%M}" if moment else "never"


def _note(name: str, service: ServiceState, now: datetime | None) -> str:
    release = release_words(_waiting_step(service), now) if service.available else ""
    if not (service.remedy or release):
        return ""
    lines = [columns.wrapped(service.detail, f"{name}: ", "  ")]
    lines += [columns.wrapped(release, "  release: ", "    ")] if release else []
    lines += [columns.wrapped(service.remedy, "  to do: ", "    ")] if service.remedy else []
    return "\n".join(["", *lines])


def _waiting_step(known: ServiceState) -> ReleaseStep:
    available = known.available or ""
    return waiting_step(known.reference, known.facts, available, waiting_facts_of(known, available))


def release_words(step: ReleaseStep, now: datetime | None) -> str:
    """Return what is known of a release beside its tag: versions that no tag says, age, notes.

    Empty if nothing is known.

    >>> step = ReleaseStep("1.2.3", "1.3.0", "minor", is_same_tag=True, notes_url="https://git.example/")
    >>> release_words(step, None)
    '1.2.3 -> 1.3.0 (minor), notes: https://git.example/'
    """
    built = ""
    if step.built_at is not None and now is not None and step.built_at <= now:
        built = f"built {times.ago(step.built_at, now)}"
    notes = f"notes: {step.notes_url}" if step.notes_url else ""
    is_said_by_tag = not (step.is_same_tag and step.to_version)
    if is_said_by_tag and not built and not notes:
        return ""
    return ", ".join(filter(None, (_versions(step), built, notes)))


def _versions(step: ReleaseStep) -> str:
    """Return the versions of a step with its size; one if both are the same, empty if none is known."""
    versions = " -> ".join(dict.fromkeys(filter(None, (step.from_version, step.to_version))))
    return f"{versions} ({step.size})" if versions and step.size else versions


def _time(moment: datetime | None) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M %Z}" if moment else "never"

"""What a cycle came to, in one line for the log, `--once` and `systemctl status`. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo

from updater_core.models import Reason
from updater_core.state import outcomes
from updater_core.state.records import ServiceState, Status

_NAMES_SHOWN = 5
_COUNTED = (
    (Status.ROLLED_BACK, "rolled back", "rolled back"),
    (Status.WAITING, "waits", "wait"),
    (Status.HELD, "held", "held"),
)


def text(
    known: Sequence[tuple[str, ServiceState]],
    needs_look: frozenset[str],
    now: datetime,
    zone: tzinfo | None = None,
    *,
    under_way: frozenset[str] = frozenset(),
) -> str:
    """Return which services need a look, update now, wait (for what), or are held; or else `all well`.

    `known`: the names and states of what was checked; `needs_look`: the names of what failed, was rolled back
    or is unknown. `zone`: that of the times; the machine's own if None.
    """
    details = {name: _named(name, _detail(service, now, zone)) for name, service in known}
    wrong = [details.get(name, name) for name in sorted(needs_look)]
    said = [f"needs a look: {_listed(wrong)}"] if wrong else []
    said += [f"under way: {_listed(sorted(under_way))}"] if under_way else []
    for status, one, many in _COUNTED:
        names = sorted(name for name, service in known if service.status is status and name not in needs_look)
        if names:
            counted = f"{len(names)} {one if len(names) == 1 else many}"
            said.append(f"{counted}: {_listed([details[name] for name in names])}")
    return "; ".join(said) or "all well"


def _detail(service: ServiceState, now: datetime, zone: tzinfo | None) -> str:
    """Return when it goes on by itself, or else why it does not."""
    if service.retry_at is not None and outcomes.is_pausing(service, now):
        return f"tried again at {_clock(service.retry_at, now, zone)}"
    if service.opens_at is not None and service.opens_at > now:
        what = "pause ends" if service.reason is Reason.PAUSED else "window opens"
        return f"{what} at {_clock(service.opens_at, now, zone)}"
    return service.reason.value if service.reason else ""


def _clock(moment: datetime, now: datetime, zone: tzinfo | None) -> str:
    """Return the time of a day, with the day if it is not today's."""
    there, here = moment.astimezone(zone), now.astimezone(zone)
    return f"{there:%H:%M}" if there.date() == here.date() else f"{there:%Y-%m-%d %H:%M}"


def _named(name: str, detail: str) -> str:
    return f"{name} ({detail})" if detail else name


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    shown = ", ".join(names[:_NAMES_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown

"""The status page as text: one view of how everything stands, as HTML for people and as JSON for machines.

The page works without scripts, and loads nothing but, if there is an API, the script of its buttons. Its markup is in
`templates/`, its look in `style.css`; escaping is the default (`status.markup`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

from markupsafe import Markup

from updater_core.host import times
from updater_core.models import CurrentStep, retry_command
from updater_core.reference import short, short_digest
from updater_core.state.codec import encode
from updater_core.status import markup
from updater_core.status.markup import MARKS, NONE, Column, code, joined, moment, pill, section, small
from updater_core.status.view import ChangeView, Level, RegistryView, ServiceView, View, WindowView

REFRESH_SECONDS = 60
_ORDERS_SCRIPT = Markup('<script src="/orders.js" defer></script>\n')
_NEEDS_A_PERSON = (Level.TROUBLE, Level.UNKNOWN, Level.LOOK)
_OUTCOMES = {
    "committed": (Level.OK, "updated"),
    "not_started": (Level.TROUBLE, "not started"),
    "rolled_back": (Level.LOOK, "rolled back"),
    "rollback_failed": (Level.TROUBLE, "rollback failed"),
    "taken_over": (Level.WAITING, "taken over by the operator"),
}
_PAGE, _NOTE = markup.template("page"), markup.template("note")
_SERVICE_COLUMNS = (
    Column("Service"),
    Column("State"),
    Column("Current", "image"),
    Column("Target", "image"),
    Column("Why, and what to do", "words"),
    Column("Last check"),
    Column("Last change"),
    Column("Updates"),
)
_CHANGE_COLUMNS = (
    Column("When"),
    Column("Service"),
    Column("Outcome"),
    Column("From", "image"),
    Column("To", "image"),
    Column("Why", "words"),
    Column("Took"),
)
_REGISTRY_COLUMNS = (Column("Registry"), Column("Services"), Column("Pulls left"), Column("Not asked until"))


def status_json(view: View) -> str:
    """Return the view for machines, one object; times in RFC 3339, UTC."""
    return json.dumps(encode(view), indent=2) + "\n"


def status_html(view: View, *, is_refreshing: bool = False, has_orders: bool = False) -> str:
    """Return the view for people, one whole page; with `is_refreshing` the browser fetches it anew each minute.

    `has_orders`: a script adds buttons for them."""
    sections = (_to_do(view), _waits(view), _services(view), _changes(view), _registries(view))
    refresh = Markup('<meta http-equiv="refresh" content="{}">\n').format(REFRESH_SECONDS) if is_refreshing else ""
    return _PAGE.format(
        view=view,
        refresh=refresh,
        style=markup.STYLE,
        scripts=_ORDERS_SCRIPT if has_orders else "",
        as_of=moment(view.at, seconds=True),
        links=_links(is_refreshing),
        mark=MARKS[view.verdict.level],
        facts=joined(Markup("<div><dt>{}</dt><dd>{}</dd></div>\n").format(*fact) for fact in _facts(view)),
        sections=joined(sections),
    )


# ----------------------------------------------------------------------------------------------------- at a glance


def _links(is_refreshing: bool) -> Markup:
    link = Markup('<a href="{}">{}</a>')
    if is_refreshing:
        return link.format("/?refresh", "Reload") + link.format("/", "Stop reloading")
    return link.format("/", "Reload") + link.format("/?refresh", "Reload each minute")


def _facts(view: View) -> Iterator[tuple[str, str]]:
    for step in view.under_way:
        yield "Being updated", _current_step(step, view.at)
    yield "Last cycle", _last_cycle(view)
    yield "Next cycle", _next_cycle(view)
    yield "Updates allowed", _common_window(view)
    yield "Last change", _last_change(view)
    if view.pulse.pending_messages:
        yield "Messages", f"{view.pulse.pending_messages} wait for their receiver"


def _current_step(step: CurrentStep, at: datetime) -> Markup:
    lasted = times.span((at - step.since).total_seconds())
    return Markup("<strong>{}</strong>: {} for {}{}").format(step.service, code(step.step), lasted, small(step.text))


def _last_cycle(view: View) -> Markup:
    ended, seconds = view.pulse.cycle_ended, view.pulse.cycle_seconds
    if ended is None:
        return Markup("none since the start") + small(f"started {times.ago(view.pulse.started_at, view.at)}")
    took = f", took {times.span(seconds)}" if seconds is not None else ""
    return moment(ended) + small(times.ago(ended, view.at) + took)


def _next_cycle(view: View) -> str:
    pulse, every = view.pulse, f"every {times.span(view.interval_seconds)}"
    if pulse.cycle_begun is not None:
        return Markup("under way") + small(f"begun {times.ago(pulse.cycle_begun, view.at)}")
    if pulse.next_cycle is None:
        return every
    return moment(pulse.next_cycle) + small(f"{times.ago(pulse.next_cycle, view.at)}, {every}")


def _common_window(view: View) -> str:
    if view.window is not None:
        return _window(view.window, view.at)
    windows = [service.window for service in view.services if service.is_enabled]
    openings = [window.opens_at for window in windows if window.opens_at]
    following = f"the next window opens {times.ago(min(openings), view.at)}" if openings else ""
    return Markup("differs by service") + small(following)


def _last_change(view: View) -> str:
    if not view.changes:
        return "none yet"
    last = view.changes[0]
    outcome, about = pill(*_outcome(last)), f"{short(last.to_reference) or NONE}, {times.ago(last.at, view.at)}"
    return Markup("<strong>{}</strong> {}{}").format(last.service, outcome, small(about))


# --------------------------------------------------------------------------------------------- what needs a person


def _to_do(view: View) -> Markup:
    found = [service for level in _NEEDS_A_PERSON for service in view.services if service.level is level]
    return _notes("todo", "What to do", [_need(service) for service in found])


def _need(service: ServiceView) -> Markup:
    return _note(service, _cause(service) or "not checked yet", _remedy(service.remedy or _usual_remedy(service)))


def _cause(service: ServiceView) -> Markup:
    if service.level is not Level.UNKNOWN or service.state == "unknown":
        return _why(service)
    if service.last_success is None:
        return Markup("never checked")
    return Markup("no check has succeeded since {}").format(moment(service.last_success))


def _usual_remedy(service: ServiceView) -> str:
    if service.level is Level.UNKNOWN:
        return "nothing if the next check succeeds; else see the updater's log"
    return f"nothing: a newer release is tried by itself; {retry_command(service.name)} lifts this one's quarantine"


def _waits(view: View) -> Markup:
    found = [service for service in view.services if service.level is Level.WAITING and service.target]
    return _notes("waits", "What waits", [_wait(service, view.at) for service in found])


def _wait(service: ServiceView, now: datetime) -> Markup:
    until = small(times.ago(service.until, now)) if service.until else ""
    remedy = [_remedy(service.remedy)] if service.remedy else []
    return _note(service, _target(service), _why(service) + until, *remedy)


def _remedy(text: str) -> Markup:
    return Markup("<strong>To do:</strong> {}").format(text)


def _note(service: ServiceView, *texts: str) -> Markup:
    paragraphs = Markup("\n").join(Markup("<p>{}</p>").format(text) for text in texts)
    return _NOTE.format(service=service, state=_state(service), paragraphs=paragraphs)


def _notes(name: str, title: str, notes: list[Markup]) -> Markup:
    if not notes:
        return Markup("")
    return section(name, title, Markup('<ul class="notes">\n{}</ul>').format(joined(notes)))


# ---------------------------------------------------------------------------------------------------------- tables


def _services(view: View) -> Markup:
    caption = f"{len(view.services)} services, in the order of the configuration. Times are UTC."
    rows = [_service_row(service, view.at) for service in view.services]
    if not rows:
        return section("services", "Services", Markup("<p>No service is configured.</p>"))
    return section("services", "Services", markup.table("services", caption, _SERVICE_COLUMNS, rows))


def _service_row(service: ServiceView, now: datetime) -> tuple[str, ...]:
    current = short(service.current.partition("@")[0]) or NONE
    remedy = small(f"To do: {service.remedy}") if service.remedy else ""
    return (
        service.name,
        _state(service),
        code(current) + small(short_digest(service.current_digest or "")),
        _target(service) if service.target else NONE,
        _why(service) + remedy or NONE,
        _checked(service, now),
        markup.since(service.last_change, now),
        _window(service.window, now, zone=""),
    )


def _checked(service: ServiceView, now: datetime) -> Markup:
    checked = markup.since(service.last_check, now)
    if not (service.is_stale and service.last_check):
        return checked
    success = times.ago(service.last_success, now) if service.last_success else "never"
    return checked + small(f"last success: {success}")


def _changes(view: View) -> Markup:
    caption = f"The last {len(view.changes)} updates, newest first. Times are UTC."
    rows = [_change_row(change, view.at) for change in view.changes]
    if not rows:
        return section("history", "History", Markup("<p>Nothing was updated yet.</p>"))
    return section("history", "History", markup.table("history", caption, _CHANGE_COLUMNS, rows))


def _change_row(change: ChangeView, now: datetime) -> tuple[str, ...]:
    return (
        markup.since(change.at, now),
        change.service,
        pill(*_outcome(change)),
        code(short(change.from_reference) or NONE),
        code(short(change.to_reference) or NONE) + small(change.change or ""),
        Markup("{} {}").format(code(change.reason), change.detail),
        times.took(change.duration_seconds) + markup.step_list(change.steps),
    )


def _registries(view: View) -> Markup:
    caption = "Pulls left, if a registry says so; until when a registry is not asked; who does not answer."
    rows = [_registry_row(registry, view.at) for registry in view.registries]
    if not rows:
        return section("registries", "Registries", Markup("<p>None is asked.</p>"))
    return section("registries", "Registries", markup.table("registries", caption, _REGISTRY_COLUMNS, rows))


def _registry_row(registry: RegistryView, now: datetime) -> tuple[str, ...]:
    return registry.host, str(registry.services), _pulls_left(registry, now), _not_asked_until(registry, now)


def _pulls_left(registry: RegistryView, now: datetime) -> str:
    if registry.remaining is None or registry.seen_at is None or registry.window_seconds is None:
        return "not said"
    about = f"in {times.span(registry.window_seconds)}, as of {times.ago(registry.seen_at, now)}"
    return Markup("{} of {}{}").format(registry.remaining, registry.limit, small(about))


def _not_asked_until(registry: RegistryView, now: datetime) -> str:
    if registry.out_since:
        since = moment(registry.out_since) + small(times.ago(registry.out_since, now))
        return Markup("no answer since {}").format(since)
    if registry.rest_until:
        return moment(registry.rest_until) + small(times.ago(registry.rest_until, now))
    return NONE


# ------------------------------------------------------------------------------------------------------ small parts


def _state(service: ServiceView) -> Markup:
    if not service.is_enabled:
        return pill(Level.OFF, "not enabled")
    word = service.state.replace("_", " ")
    if service.level is Level.UNKNOWN and service.state != "unknown":
        return pill(Level.UNKNOWN, "unknown") + small(f"was {word}")
    return pill(service.level, word)


def _outcome(change: ChangeView) -> tuple[Level, str]:
    level, word = _OUTCOMES.get(change.outcome, (Level.UNKNOWN, change.outcome))
    is_asked_for = word == "updated" and change.kind == "owner_rollback"
    return level, "rolled back as asked" if is_asked_for else word


def _why(service: ServiceView) -> Markup:
    reason = code(service.reason) + " " if service.reason else Markup("")
    return reason + service.detail


def _target(service: ServiceView) -> Markup:
    name, _, digest = (service.target or "").partition("@")
    return code(name or NONE) + small(service.change or "") + small(short_digest(digest))


def _window(window: WindowView, now: datetime, *, zone: str = " UTC") -> str:
    if window.is_paused:
        return "paused"
    if window.is_open and window.closes_at is None:
        return "any time"
    if window.is_open and window.closes_at:
        return Markup("now <small>until {}</small>").format(moment(window.closes_at, zone=zone))
    if window.opens_at is None:
        return "not in the next three weeks"
    when = moment(window.opens_at, zone=zone)
    return Markup("{} <small>{}</small>").format(times.ago(window.opens_at, now), when)

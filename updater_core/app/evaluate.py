"""Look at every service and choose for it, all of them at once, registries side by side; nothing on disk changes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace

from updater_core.app import resolve
from updater_core.app.context import LOG, AppContext, bug, target_of
from updater_core.app.resolve import Answers, Choice, Question
from updater_core.deploy.target import Observed
from updater_core.errors import RegistryError, UpdaterError
from updater_core.logging_utils import LogEvent, log_event
from updater_core.models import Decision, Hold, Reason, Seen, ServiceConfig, Update
from updater_core.policy import admission
from updater_core.policy.admission import Facts
from updater_core.state import observed_tags, outcomes, records
from updater_core.state.records import ServiceState, State

_SIDE_BY_SIDE = 16  # of one registry; what is asked of one host at a time has a lower limit of its own


@dataclass(frozen=True, slots=True)
class Checked:
    """A service after its check: how it stands (None where that could not be seen), the decision, what was learned;
    `before`: what was remembered of it when the cycle began."""

    service: ServiceConfig
    observed: Observed | None
    decision: Decision
    answers: Answers = field(default_factory=Answers)
    before: ServiceState = field(default_factory=ServiceState)


def check_all(context: AppContext, only: str | None = None) -> tuple[Checked, ...]:
    """Look at every enabled service and choose for it; record the checks in the state (not yet on disk)."""
    context.registries.new_cycle()
    context.state = observed_tags.follow_names(context.state, context.config.services)
    services = [s for s in context.config.services if s.enabled and only in (None, s.name)]
    looked = look_all(context, services)
    chosen = _choose_all(context, looked)
    checked = tuple(_remembering(context, one) for one in chosen if not _was_cut_short(one))
    _record_all(context, checked)
    context.state = observed_tags.follow_names(context.state, context.config.services)
    names = [service.name for service in context.config.services]
    keys = {service.image.key for service in context.config.services}
    for host, until in context.registries.rests().items():
        context.state = observed_tags.note_rest(context.state, host, until)
    context.state = replace(context.state, outages=context.registries.outages())
    context.state = observed_tags.forget_unknown(context.state, names, keys, context.clock.now())
    return checked


def _remembering(context: AppContext, one: Checked) -> Checked:
    before = records.service_of(context.state, one.service.name)
    return replace(one, decision=admitted(context, one), before=before)


def look_all(context: AppContext, services: Sequence[ServiceConfig]) -> list[tuple[ServiceConfig, Observed | Hold]]:
    """Return each service with how it is deployed now, in the order given."""
    found: dict[str, Observed | Hold] = {}
    for target in context.targets.values():
        found.update(target.observe([service for service in services if target_of(context, service) is target]))
    return [(service, found[service.name]) for service in services]


def _choose_all(context: AppContext, looked: Sequence[tuple[ServiceConfig, Observed | Hold]]) -> tuple[Checked, ...]:
    """Ask all registries side by side; the answers come back in the configuration's order. Every registry is opened
    first, so that one which answers for many at once (ECR) knows all that will be asked. Each has threads of its own,
    so that one which does not answer keeps none of the others waiting."""
    for service, observed in looked:
        if not isinstance(observed, Hold):
            with suppress(UpdaterError):  # said when it is asked
                context.registries.for_service(observed.current, service.registry)
    counts = Counter(_domain(observed) for _, observed in looked)
    with ExitStack() as open_pools:
        pools = {
            domain: open_pools.enter_context(ThreadPoolExecutor(min(_SIDE_BY_SIDE, count)))
            for domain, count in counts.items()
        }
        asked = [pools[_domain(observed)].submit(_choose, context, service, observed) for service, observed in looked]
        return tuple(one.result() for one in asked)


def _domain(observed: Observed | Hold) -> str:
    return "" if isinstance(observed, Hold) else observed.current.domain


def _choose(context: AppContext, service: ServiceConfig, observed: Observed | Hold) -> Checked:
    if isinstance(observed, Hold):
        return Checked(service, None, observed)
    if context.clock.wait(0):
        return Checked(service, observed, Hold(Reason.STOPPING, "the updater is stopping"))
    try:
        question = _question(context, service, observed)
        registry = context.registries.for_service(observed.current, service.registry)
        choice = resolve.choose(question, registry)
        if isinstance(choice.decision, Update):
            question, choice = _choose_afresh(context, question, choice)
        return Checked(service, question.observed, choice.decision, choice.answers)
    except RegistryError as error:
        return Checked(service, observed, resolve.unknown(error))
    except UpdaterError as error:
        return Checked(service, observed, Hold(Reason.ENGINE_ERROR, str(error), error.remedy))
    except Exception as error:
        return Checked(service, observed, bug(service.name, error))


def _was_cut_short(one: Checked) -> bool:
    """A service that was not asked about any more leaves no trace: what was known of it stays known."""
    return isinstance(one.decision, Hold) and one.decision.reason is Reason.STOPPING


def _choose_afresh(context: AppContext, question: Question, choice: Choice) -> tuple[Question, Choice]:
    """Before an update, the image's names are looked at anew: a pull by somebody else adds names to a known image."""
    observed = question.observed
    refreshed = target_of(context, question.service).refreshed(observed)
    if refreshed.running_digests == observed.running_digests:
        return question, choice
    question = replace(question, observed=refreshed)
    registry = context.registries.for_service(observed.current, question.service.registry)
    return question, resolve.choose(question, registry, choice.answers)


def _question(context: AppContext, service: ServiceConfig, observed: Observed) -> Question:
    """The question, with the part of the state that belongs to it."""
    name, key, state = service.name, observed.current.key, context.state
    services = {name: state.services[name]} if name in state.services else {}
    part = State(services, {key: state.seen[key]} if key in state.seen else {})
    return Question(
        service, observed, part, lambda: service.platform or target_of(context, service).platform(), context.clock.now()
    )


def record_check(context: AppContext, one: Checked) -> None:
    """Put one check into the state."""
    _record_all(context, [one])


def _record_all(context: AppContext, checked: Sequence[Checked]) -> None:
    """Put checks into the state, each on the small part that is its own: many cost no more than their number."""
    services, seen = dict(context.state.services), dict(context.state.seen)
    for one in checked:
        name = one.service.name
        part = State({name: services[name]} if name in services else {}, _seen_of(one, seen))
        part = _recorded(context, part, one)
        services.update(part.services)
        seen.update(part.seen)
    context.state = replace(context.state, services=services, seen=seen)


def _seen_of(one: Checked, seen: Mapping[str, Mapping[str, Seen]]) -> Mapping[str, Mapping[str, Seen]]:
    key = one.observed.current.key if one.observed else ""
    return {key: seen[key]} if key in seen else {}


def _recorded(context: AppContext, part: State, one: Checked) -> State:
    current, digest = "", None
    if one.observed is not None:
        current, digest = one.observed.current.text, resolve.running_digest(one.observed, one.answers.digests)
        part = resolve.noted(part, _question(context, one.service, one.observed), one.answers)
    now = context.clock.now()
    part = records.record_check(part, one.service.name, current, digest, one.decision, now=now)
    after = records.service_of(part, one.service.name)
    context.metrics.checked("update" if isinstance(one.decision, Update) else one.decision.reason.value)
    _log_check(one, after)
    return part


def _log_check(one: Checked, after: ServiceState) -> None:
    """The same answer as in the last cycle is no news: it is said at DEBUG only."""
    name, decision = one.service.name, one.decision
    runs = one.observed.current.text if one.observed else None
    if isinstance(decision, Update):
        text, fields = f"{decision.target.text}: {decision.detail}", {"from": runs, "to": decision.target.text}
        level = logging.INFO if one.before.available != decision.target.text else logging.DEBUG
        log_event(LOG, level, LogEvent.AVAILABLE, text, service=name, **fields)
        return
    is_unknown = records.is_unknown(decision.reason)
    level = logging.WARNING if is_unknown else logging.INFO
    event = LogEvent.CHECK_FAILED if is_unknown else LogEvent.CHECKED
    text = " ".join(part for part in (f"{decision.reason}: {decision.detail}", _sentence(decision.remedy)) if part)
    is_news = (one.before.status, one.before.reason) != (after.status, after.reason)
    fields = {"from": runs, "to": decision.available.text if decision.available else None}
    level = level if is_news else logging.DEBUG
    log_event(LOG, level, event, text, service=name, reason=decision.reason.value, **fields)


def _sentence(remedy: str) -> str:
    return f"({remedy})" if remedy else ""


def admitted(context: AppContext, one: Checked, *, is_stopping: bool = False) -> Decision:
    """The decision for a service after the rules of admission."""
    if isinstance(one.decision, Hold) or one.observed is None:
        return one.decision
    return admission.admit(one.decision, facts_of(context, one.service, one.observed, is_stopping=is_stopping))


def facts_of(context: AppContext, service: ServiceConfig, observed: Observed, *, is_stopping: bool) -> Facts:
    """What the rules of admission look at, as it is now."""
    now, known = context.clock.now(), records.service_of(context.state, service.name)
    return Facts(
        service=service,
        shared_hours=context.config.settings.hours,
        now=now,
        rollback_failure=known.detail if known.is_frozen else None,
        retry_at=known.retry_at if outcomes.is_pausing(known, now) else None,
        failure=known.detail,
        failure_remedy=known.remedy,
        is_stopping=is_stopping,
        pull_allowed_at=context.registries.pull_rest(observed.current, service.registry),
        has_unfinished_update=_has_unfinished_update(context, service),
    )


def _has_unfinished_update(context: AppContext, service: ServiceConfig) -> bool:
    return any(entry.service == service.name and entry.is_unfinished for entry in context.journal.read_all())

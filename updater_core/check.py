"""Look at every service and choose for it, all of them at once, registries side by side; nothing on disk changes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace

from updater_core import choose, observe, schedule, state_notes, state_outcomes, state_records
from updater_core.causes import retry_command
from updater_core.choose import Answers, Choice, Question
from updater_core.errors import RegistryError, UpdaterError
from updater_core.logging_utils import LogEvent, log_event
from updater_core.models import Decision, Hold, Reason, Seen, ServiceConfig, Update
from updater_core.observe import Roster, Standing
from updater_core.state_records import ServiceState, State
from updater_core.world import LOG, World, bug

_SIDE_BY_SIDE = 16  # of one registry; what is asked of one host at a time has a lower limit of its own


@dataclass(frozen=True, slots=True)
class Checked:
    """A service after its check: how it stands (None where that could not be seen), the decision, what was learned;
    `before`: what was remembered of it when the cycle began."""

    service: ServiceConfig
    standing: Standing | None
    decision: Decision
    answers: Answers = field(default_factory=Answers)
    before: ServiceState = field(default_factory=ServiceState)


def check_all(world: World, only: str | None = None) -> tuple[Checked, ...]:
    """Look at every enabled service and choose for it; record the checks in the state (not yet on disk)."""
    world.registries.new_cycle()
    world.state = state_notes.follow_names(world.state, world.config.services)
    services = [s for s in world.config.services if s.enabled and only in (None, s.name)]
    looked = look_all(world, services)
    chosen = _choose_all(world, looked)
    in_use = (standing.containers for _, standing in looked if isinstance(standing, Standing))
    world.engine.forget_images(frozenset(container.image_id for some in in_use for container in some))
    checked = tuple(_remembering(world, one) for one in chosen if not _was_cut_short(one))
    _record_all(world, checked)
    world.state = state_notes.follow_names(world.state, world.config.services)
    names = [service.name for service in world.config.services]
    keys = {service.image.key for service in world.config.services}
    for host, until in world.registries.rests().items():
        world.state = state_notes.note_rest(world.state, host, until)
    world.state = replace(world.state, outages=world.registries.outages())
    world.state = state_notes.forget_unknown(world.state, names, keys, world.clock.now())
    return checked


def _remembering(world: World, one: Checked) -> Checked:
    before = state_records.service_of(world.state, one.service.name)
    return replace(one, decision=permitted(world, one), before=before)


def look_all(world: World, services: Sequence[ServiceConfig]) -> list[tuple[ServiceConfig, Standing | Hold]]:
    try:
        containers = world.engine.compose_containers()
    except UpdaterError as error:
        hold = Hold(Reason.ENGINE_ERROR, str(error), error.remedy)
        return [(service, hold) for service in services]
    known = observe.roster(containers)
    return [(service, _look(world, service, known)) for service in services]


def _look(world: World, service: ServiceConfig, known: Roster) -> Standing | Hold:
    try:
        return observe.look(service, known, world.engine.known_image, world.memory)
    except UpdaterError as error:
        return Hold(Reason.ENGINE_ERROR, str(error), error.remedy)
    except Exception as error:  # a bug of ours is one service's trouble too
        return bug(service.name, error)


def _choose_all(world: World, looked: Sequence[tuple[ServiceConfig, Standing | Hold]]) -> tuple[Checked, ...]:
    """Ask all registries side by side; the answers come back in the configuration's order. Every registry is opened
    first, so that one which answers for many at once (ECR) knows all that will be asked. Each has threads of its own,
    so that one which does not answer keeps none of the others waiting."""
    for service, standing in looked:
        if isinstance(standing, Standing):
            with suppress(UpdaterError):  # said when it is asked
                world.registries.for_service(standing.current, service.registry)
    counts = Counter(_domain(standing) for _, standing in looked)
    with ExitStack() as open_pools:
        pools = {
            domain: open_pools.enter_context(ThreadPoolExecutor(min(_SIDE_BY_SIDE, count)))
            for domain, count in counts.items()
        }
        asked = [pools[_domain(standing)].submit(_choose, world, service, standing) for service, standing in looked]
        return tuple(one.result() for one in asked)


def _domain(standing: Standing | Hold) -> str:
    return standing.current.domain if isinstance(standing, Standing) else ""


def _choose(world: World, service: ServiceConfig, standing: Standing | Hold) -> Checked:
    if isinstance(standing, Hold):
        return Checked(service, None, standing)
    if world.clock.wait(0):
        return Checked(service, standing, Hold(Reason.STOPPING, "the updater is stopping"))
    try:
        question = _question(world, service, standing)
        registry = world.registries.for_service(standing.current, service.registry)
        choice = choose.choose(question, registry)
        if isinstance(choice.decision, Update):
            question, choice = _choose_afresh(world, question, choice)
        return Checked(service, question.standing, choice.decision, choice.answers)
    except RegistryError as error:
        return Checked(service, standing, choose.unknown(error))
    except UpdaterError as error:
        return Checked(service, standing, Hold(Reason.ENGINE_ERROR, str(error), error.remedy))
    except Exception as error:
        return Checked(service, standing, bug(service.name, error))


def _was_cut_short(one: Checked) -> bool:
    """A service that was not asked about any more leaves no trace: what was known of it stays known."""
    return isinstance(one.decision, Hold) and one.decision.reason is Reason.STOPPING


def _choose_afresh(world: World, question: Question, choice: Choice) -> tuple[Question, Choice]:
    """Before an update, the image's names are looked at anew: a pull by somebody else adds names to a known image."""
    standing = question.standing
    digests = observe.running_digests(standing.containers, standing.current.key, world.engine.image)
    if digests == standing.running_digests:
        return question, choice
    question = replace(question, standing=replace(standing, running_digests=digests))
    registry = world.registries.for_service(standing.current, question.service.registry)
    return question, choose.choose(question, registry, choice.answers)


def _question(world: World, service: ServiceConfig, standing: Standing) -> Question:
    """The question, with the part of the state that belongs to it."""
    name, key, state = service.name, standing.current.key, world.state
    services = {name: state.services[name]} if name in state.services else {}
    part = State(services, {key: state.seen[key]} if key in state.seen else {})
    return Question(service, standing, part, lambda: service.platform or world.engine.platform(), world.clock.now())


def record_check(world: World, one: Checked) -> None:
    """Put one check into the state."""
    _record_all(world, [one])


def _record_all(world: World, checked: Sequence[Checked]) -> None:
    """Put checks into the state, each on the small part that is its own: many cost no more than their number."""
    services, seen = dict(world.state.services), dict(world.state.seen)
    for one in checked:
        name = one.service.name
        part = State({name: services[name]} if name in services else {}, _seen_of(one, seen))
        part = _recorded(world, part, one)
        services.update(part.services)
        seen.update(part.seen)
    world.state = replace(world.state, services=services, seen=seen)


def _seen_of(one: Checked, seen: Mapping[str, Mapping[str, Seen]]) -> Mapping[str, Mapping[str, Seen]]:
    key = one.standing.current.key if one.standing else ""
    return {key: seen[key]} if key in seen else {}


def _recorded(world: World, part: State, one: Checked) -> State:
    current, digest = "", None
    if one.standing is not None:
        current, digest = one.standing.current.text, choose.running_digest(one.standing, one.answers.digests)
        part = choose.noted(part, _question(world, one.service, one.standing), one.answers)
    now = world.clock.now()
    part = state_records.record_check(part, one.service.name, current, digest, one.decision, now=now)
    after = state_records.service_of(part, one.service.name)
    world.metrics.checked("update" if isinstance(one.decision, Update) else one.decision.reason.value)
    _log_check(one, after)
    return part


def _log_check(one: Checked, after: ServiceState) -> None:
    """The same answer as in the last cycle is no news: it is said at DEBUG only."""
    name, decision = one.service.name, one.decision
    runs = one.standing.current.text if one.standing else None
    if isinstance(decision, Update):
        text, fields = f"{decision.target.text}: {decision.detail}", {"from": runs, "to": decision.target.text}
        level = logging.INFO if one.before.available != decision.target.text else logging.DEBUG
        log_event(LOG, level, LogEvent.AVAILABLE, text, service=name, **fields)
        return
    is_unknown = state_records.is_unknown(decision.reason)
    level = logging.WARNING if is_unknown else logging.INFO
    event = LogEvent.CHECK_FAILED if is_unknown else LogEvent.CHECKED
    text = " ".join(part for part in (f"{decision.reason}: {decision.detail}", _sentence(decision.remedy)) if part)
    is_news = (one.before.status, one.before.reason) != (after.status, after.reason)
    fields = {"from": runs, "to": decision.available.text if decision.available else None}
    level = level if is_news else logging.DEBUG
    log_event(LOG, level, event, text, service=name, reason=decision.reason.value, **fields)


def _sentence(remedy: str) -> str:
    return f"({remedy})" if remedy else ""


def permitted(world: World, one: Checked) -> Update | Hold:
    """The decision after everything that may make an update wait: freeze, back-off, pause, window, mode."""
    if isinstance(one.decision, Hold):
        return one.decision
    now = world.clock.now()
    remembered = state_records.service_of(world.state, one.service.name)
    target = one.decision.target
    if remembered.is_frozen:
        remedy = f"see to the service by hand, then run {retry_command(one.service.name)}"
        return Hold(Reason.FROZEN, remembered.detail, remedy, available=target)
    if state_outcomes.is_pausing(remembered, now):
        detail = f"{remembered.detail}; tried again after {remembered.retry_at:%Y-%m-%d %H:%M} UTC"
        return Hold(Reason.BACKING_OFF, detail, remembered.remedy, available=target, until=remembered.retry_at)
    hours, shared = one.service.hours, world.config.settings.hours
    return schedule.gate_update(one.decision, one.service.policy, hours, shared, now)

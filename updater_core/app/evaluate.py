"""Look at every service and choose for it, registries side by side; nothing on disk changes."""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from functools import partial

from updater_core.app import resolve
from updater_core.app.candidate import Candidate
from updater_core.app.context import LOG, AppContext, bug, claim_of, settings_for, target_of
from updater_core.app.resolve import Resolver
from updater_core.app.retained import let_go_of
from updater_core.deploy.target import Observed
from updater_core.errors import AuthFailed, NotAnImage, NotFound, RegistryError, UpdaterError
from updater_core.logging_utils import LogEvent, log_event
from updater_core.models import Decision, Hold, ImageRef, Reason, RegistrySettings, ServiceConfig, Update
from updater_core.policy import admission
from updater_core.policy.admission import Facts
from updater_core.policy.observation import SignatureVerdict
from updater_core.protocols import Registry
from updater_core.state import observed_tags, orders, outcomes, records
from updater_core.state.records import ServiceState, State, Status
from updater_core.vocabulary.dated import NO_FACTS, ImageFacts

_SIDE_BY_SIDE = 16  # of one registry; what is asked of one host at a time has a lower limit of its own


def check_all(context: AppContext, only: str | None = None) -> tuple[Candidate, ...]:
    """Look at every enabled service and decide for it; record the checks in the state (not yet on disk)."""
    return check(context, [s for s in context.config.services if s.enabled and only in (None, s.name)])


def check(context: AppContext, services: Sequence[ServiceConfig]) -> tuple[Candidate, ...]:
    """Look at services and decide for them; record the checks in the state (not yet on disk).

    Those whose project is being changed are left out.
    """
    context.registries.new_cycle()
    # Taken before anything is forgotten: what is missing from it at the end loses its retained images.
    known = frozenset(context.state.services)
    follow_names(context)
    # What is logged as new, or announced, is judged against the state before this check.
    before = context.state
    looked = look_all(context, [service for service in services if _is_free(context, service)])
    # Asked twice: only what was observed shows the project of a service, which an update of another name may
    # be changing.
    decided = _decide_all(context, [one for one in looked if _is_free(context, one.service, one.observed)])
    checked = tuple(_admitted_first(context, one, before) for one in decided if not _was_cut_short(one))
    for one in checked:
        record_check(context, one)
    note_waiting(context, checked)
    _tidy(context)
    let_go_of(context, known - context.state.services.keys())
    return checked


def follow_names(context: AppContext, own: str = "") -> None:
    """Let what is remembered go with services that have another name by now.

    What is being changed stays under its name until it has ended. `own`: the service that the caller itself
    works on.
    """
    free = [each for each in context.config.services if each.name == own or _is_free(context, each)]
    groups = context.identities(free)
    context.change(lambda state: observed_tags.follow_names(state, groups))


def _is_free(context: AppContext, service: ServiceConfig, observed: Observed | None = None) -> bool:
    return context.workers.in_the_way(claim_of(context, service, observed)) is None


def check_asked(context: AppContext, service: ServiceConfig, who: str) -> Candidate:
    """Look at one service that `who` wants updated now, and decide: how old the release is does not matter.

    Nothing is recorded yet.
    """
    context.registries.new_cycle()
    follow_names(context, service.name)
    # The operator has seen the release and asks for it now; `min_age` is there for those that nobody has
    # looked at.
    ageless = replace(service, policy=replace(service.policy, min_age_seconds=0.0))
    (decided,) = _decide_all(context, look_all(context, [ageless]))
    one = replace(decided, before=records.service_of(context.state, service.name), asked_by=who)
    return replace(one, decision=admitted(context, one))


def _admitted_first(context: AppContext, one: Candidate, state: State) -> Candidate:
    before = records.service_of(state, one.service.name)
    return replace(one, decision=admitted(context, one), before=before)


def _tidy(context: AppContext) -> None:
    """Put what registries asked for into the state, and take out what is gone and not being changed."""
    follow_names(context)
    services, registries, now = context.config.services, context.registries, context.clock.now()
    # A service that was taken out of the configuration in the middle of its update is remembered until that
    # has ended.
    names = {service.name for service in services} | context.workers.names
    keys = {service.image.key for service in services}

    def tidied(state: State) -> State:
        for host, until in registries.backoffs().items():
            state = observed_tags.note_backoff(state, host, until)
        state = replace(state, outages=registries.outages(), refused_logins=registries.refused_logins())
        state = replace(state, comparisons=registries.comparisons())
        return orders.without_ended_pauses(observed_tags.forget_unknown(state, names, keys, now), now)

    context.change(tidied)


def look_all(context: AppContext, services: Sequence[ServiceConfig]) -> list[Candidate]:
    """Return each service as it is deployed now, in the order given; one that cannot be seen with a Hold."""
    found: dict[str, Observed | Hold] = {
        each.name: _mislabelled(context, each) for each in services if each.problem
    }
    readable = [service for service in services if not service.problem]
    for target in context.targets.values():
        found.update(
            target.observe([service for service in readable if target_of(context, service) is target])
        )
    return [_observed(service, found[service.name]) for service in services]


def _mislabelled(context: AppContext, service: ServiceConfig) -> Hold:
    remedy = f"correct the label, and apply it with `{target_of(context, service).apply_command(service)}`"
    return Hold(Reason.LABEL_INVALID, service.problem, remedy)


def _observed(service: ServiceConfig, found: Observed | Hold) -> Candidate:
    return Candidate(service, None, found) if isinstance(found, Hold) else Candidate(service, found)


def _decide_all(context: AppContext, looked: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Ask all registries side by side, and return the answers in the configuration's order.

    Every registry is opened before any is asked, so that one that answers for many tags at once knows all.
    Each has threads of its own, so that one which does not answer keeps none of the others waiting.
    """
    # ECR answers for a hundred tags in one request, so all of its questions are known before the first one is
    # sent.
    opened = _opened(context, looked)
    counts = Counter(_domain(one) for one in looked)
    with ExitStack() as open_pools:
        pools = {
            domain: open_pools.enter_context(ThreadPoolExecutor(min(_SIDE_BY_SIDE, count)))
            for domain, count in counts.items()
        }
        asked = [
            # A pool for each registry, and not one for all: sixteen requests to a dead host would take all
            # the threads of a common pool.
            pools[_domain(one)].submit(_decide, context, one, own)
            for one, own in zip(looked, opened, strict=True)
        ]
        return tuple(each.result() for each in asked)


def _domain(one: Candidate) -> str:
    return "" if one.observed is None else one.observed.current.domain


def _opened(context: AppContext, looked: Sequence[Candidate]) -> list[list[Registry | Exception]]:
    """Return the registries of each service: of its own image, then of those of other repositories.

    None of a service that was not observed.
    """
    questions = [_images_with_settings(one) for one in looked]
    opened = iter(context.registries.open_all([each for own in questions for each in own]))
    return [list(itertools.islice(opened, len(own))) for own in questions]


def _images_with_settings(one: Candidate) -> list[tuple[ImageRef, RegistrySettings]]:
    if one.observed is None:
        return []
    others = [other.current for other in one.observed.others]
    further = [(image, settings_for(one.service, image)) for image in others]
    return [(one.observed.current, one.service.registry), *further]


def _decide(context: AppContext, one: Candidate, opened: Sequence[Registry | Exception]) -> Candidate:
    if one.observed is None:
        return one
    # A stop is heeded between two services, for each may take as long as its registry's timeout.
    if context.clock.wait(0):
        return replace(one, decision=Hold(Reason.STOPPING, "the updater is stopping"))
    target, now = target_of(context, one.service), context.clock.now()
    try:
        registry, *others = map(_usable, opened)
        resolver = Resolver(one.service, one.observed, registry, target, context.store.shared, now, others)
        resolver.verify = partial(signature_of, context)
        return resolver.resolve()
    except RegistryError as error:
        return replace(one, decision=resolve.unknown(error))
    except UpdaterError as error:
        return replace(one, decision=Hold(error.reason, str(error), error.remedy))
    except Exception as error:
        return replace(one, decision=bug(one.service.name, error))


def _usable(opened: Registry | Exception) -> Registry:
    """Return the registry. Raises what was met when it was opened."""
    if isinstance(opened, Exception):
        raise opened
    return opened


def signature_of(context: AppContext, service: ServiceConfig, image: ImageRef) -> SignatureVerdict:
    """Return who signed `image.digest`, of the keys that the service trusts.

    Raises RegistryError if the registry does not answer."""
    return context.registries.signature(image, settings_for(service, image), service.policy.public_keys)


def _was_cut_short(one: Candidate) -> bool:
    """Return whether a service was not asked about to the end: what was known of it stays known."""
    return isinstance(one.decision, Hold) and one.decision.reason is Reason.STOPPING


def record_check(context: AppContext, one: Candidate) -> None:
    """Put one check into the state, and say what is new of it."""
    name, now = one.service.name, context.clock.now()
    current, key = (one.observed.current.text, one.observed.current.key) if one.observed else ("", "")

    def recorded(part: State) -> State:
        after = records.record_check(part, name, current, one.digest, one.decision, now=now)
        return records.note_facts(after, name, one.observed.image_facts) if one.observed else after

    after = context.store.shared.fold(name, key, recorded)
    context.metrics.checked("update" if isinstance(one.decision, Update) else one.decision.reason.value)
    _log_check(one, records.service_of(after, name))


def note_waiting(context: AppContext, checked: Sequence[Candidate]) -> None:
    """Ask the registries what the images that wait say of themselves, once for each new digest.

    One that does not answer is asked again in the next cycle.
    """
    waiting = [(one.service, target) for one in checked if (target := _waits_unknown(context, one))]
    if not waiting or context.clock.wait(0):
        return
    with ThreadPoolExecutor(min(_SIDE_BY_SIDE, len(waiting))) as pool:
        answers = list(pool.map(lambda question: facts_asked(context, *question), waiting))
    for (service, target), facts in zip(waiting, answers, strict=True):
        if facts is not None:
            noted = partial(
                records.note_waiting_facts, name=service.name, digest=target.digest or "", facts=facts
            )
            context.change(noted)


def _waits_unknown(context: AppContext, one: Candidate) -> ImageRef | None:
    """Return the image that waits for a service, if its registry was not asked for its facts yet."""
    hold = one.decision
    if not isinstance(hold, Hold) or hold.available is None or not hold.available.digest:
        return None
    # What an image says of itself cannot change under its digest, so it is asked once.
    is_asked = records.service_of(context.state, one.service.name).waiting_digest == hold.available.digest
    return None if is_asked or records.is_unknown(hold.reason) else hold.available


def facts_asked(context: AppContext, service: ServiceConfig, image: ImageRef) -> ImageFacts | None:
    """Return what an image says of itself, by its registry; empty facts if that refuses to say.

    None if it did not answer, or allows no pull just now: to read a manifest counts as one at Docker Hub.
    """
    settings = settings_for(service, image)
    try:
        # Facts are only for display; the few pulls that are left belong to the update.
        if context.registries.pull_allowed_at(image, settings) is not None:
            return None
        platform = service.platform or target_of(context, service).platform(service)
        return context.registries.for_service(image, settings).facts(image, platform)
    # The registry has answered, and would answer the same in each cycle: remembered as empty.
    except (AuthFailed, NotFound, NotAnImage):
        return NO_FACTS
    except UpdaterError:
        return None
    except Exception as error:  # what is only shown stops no cycle
        bug(service.name, error)
        return NO_FACTS


def _log_check(one: Candidate, after: ServiceState) -> None:
    """Log the answer to a check; the same answer as in the last cycle at DEBUG only."""
    name, decision = one.service.name, one.decision
    runs = one.observed.current.text if one.observed else None
    if isinstance(decision, Update):
        text, fields = (
            f"{decision.target.text}: {decision.detail}",
            {"from": runs, "to": decision.target.text},
        )
        # An update may wait for weeks; a line for each cycle would hide what is new.
        level = logging.INFO if one.before.available != decision.target.text else logging.DEBUG
        log_event(LOG, level, LogEvent.AVAILABLE, text, service=name, **fields)
        return
    is_unknown = records.is_unknown(decision.reason)
    level = logging.WARNING if is_unknown else logging.INFO
    event = LogEvent.CHECK_FAILED if is_unknown else LogEvent.CHECKED
    text = " ".join(
        part for part in (f"{decision.reason}: {decision.detail}", _sentence(decision.remedy)) if part
    )
    is_new = (one.before.status, one.before.reason) != (after.status, after.reason)
    fields = {"from": runs, "to": decision.available.text if decision.available else None}
    level = level if is_new else logging.DEBUG
    log_event(LOG, level, event, text, service=name, reason=decision.reason.value, **fields)


def _sentence(remedy: str) -> str:
    return f"({remedy})" if remedy else ""


def admitted(context: AppContext, one: Candidate, *, is_stopping: bool = False) -> Decision:
    """Return the decision for a service after the rules of admission; what is unknown stays so."""
    # No rule of admission makes a failed check less unknown: `paused` would read as if the service were
    # checked.
    if isinstance(one.decision, Hold) and records.is_unknown(one.decision.reason):
        return one.decision
    found = one.decision
    images = (found.target, *found.others) if isinstance(found, Update) else ()
    facts = facts_of(context, one.service, images, is_stopping=is_stopping)
    return admission.admit(
        one.decision, facts, admission.UPDATE_NOW_RULES if one.asked_by else admission.RULES
    )


def facts_of(
    context: AppContext, service: ServiceConfig, images: Sequence[ImageRef], *, is_stopping: bool
) -> Facts:
    """Return what the rules of admission look at, as it is now.

    `images`: those that would be pulled, of whatever registries.
    """
    now, known = context.clock.now(), records.service_of(context.state, service.name)
    is_unfinished = _has_unfinished_update(context, service)
    limited_by, allowed_at = _pull_limit(context, service, images)
    return Facts(
        service=service,
        shared_hours=context.config.settings.hours,
        now=now,
        is_rollback_prevented=is_unfinished and known.status is Status.FAILED,
        rollback_failure=known.detail if known.is_frozen else None,
        retry_at=known.retry_at if outcomes.is_pausing(known, now) else None,
        failure=known.detail,
        failure_remedy=known.remedy,
        is_stopping=is_stopping,
        pull_allowed_at=allowed_at,
        limited_by=limited_by,
        has_unfinished_update=is_unfinished,
        decisions=known.decisions,
        pause_of_all=context.state.pause,
    )


def _pull_limit(
    context: AppContext, service: ServiceConfig, images: Sequence[ImageRef]
) -> tuple[str, datetime | None]:
    """Return the registry that lets its image be pulled last, and when; empty and None if all do now."""
    asked = ((image, settings_for(service, image)) for image in images)
    found = ((image.domain, context.registries.pull_allowed_at(image, own)) for image, own in asked)
    # The update needs all of its images, so the last one that may be pulled decides.
    waits = [(allowed_at, domain) for domain, allowed_at in found if allowed_at is not None]
    allowed_at, domain = max(waits, default=(None, ""))
    return domain, allowed_at


def _has_unfinished_update(context: AppContext, service: ServiceConfig) -> bool:
    return any(entry.service == service.name and entry.is_unfinished for entry in context.journal.read_all())

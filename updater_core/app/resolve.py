"""The choice for one service: ask its registry as much as the policy needs and no more, and let `selection` decide.

Nothing is written here: what was learned comes back with the decision and is put into the state by `noted`, so that
many services can be asked about side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from time import thread_time

from updater_core import reference
from updater_core.deploy.target import Observed
from updater_core.errors import RateLimited, RegistryError
from updater_core.models import Ask, Decision, Hold, Observation, Reason, ServiceConfig, Tag, TimeSource
from updater_core.policy import select
from updater_core.policy.bounded_regex import MatchBudget, TooSlow
from updater_core.policy.following import selector_of
from updater_core.policy.order import Memo
from updater_core.policy.patterns import Order
from updater_core.protocols import Registry
from updater_core.state import observed_tags
from updater_core.state.records import State

_WAIT = "nothing to do: it is asked again in the next cycle"


@dataclass(slots=True)
class Answers:
    """What a registry said about one service. `asked`: the tags whose digests were asked for one by one."""

    digests: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    created: dict[str, datetime | None] = field(default_factory=dict)
    tags: tuple[Tag, ...] | None = None
    clock: TimeSource = TimeSource.REGISTRY


@dataclass(frozen=True, slots=True)
class Choice:
    """The decision for a service, with what was learned on the way."""

    decision: Decision
    answers: Answers


@dataclass(frozen=True, slots=True)
class Question:
    """Everything a choice looks at besides the registry. `platform` is the one whose build times count,
    `budget` what the owner's expressions may take in it."""

    service: ServiceConfig
    observed: Observed
    state: State
    platform: Callable[[], str]
    now: datetime
    budget: MatchBudget = field(default_factory=lambda: MatchBudget(thread_time))


def choose(question: Question, registry: Registry, known: Answers | None = None) -> Choice:
    """Decide for one service. A registry that gives no usable answer makes a Hold that says so: unknown, not up to
    date. `known` are answers of this cycle, not asked for again."""
    answers = known or Answers()
    try:
        if answers.tags is None:
            _list_tags(question, registry, answers)
    except TooSlow as error:
        return Choice(select.too_slow(error), answers)
    except RegistryError as error:
        return Choice(unknown(error, otherwise=Reason.LISTING_INCOMPLETE), answers)
    try:
        return Choice(_decide(question, registry, answers), answers)
    except RegistryError as error:
        return Choice(unknown(error), answers)


def noted(state: State, question: Question, answers: Answers) -> State:
    """The state with what a registry said."""
    service, key = question.service, question.observed.current.key
    if answers.tags is not None and answers.clock is TimeSource.FIRST_SEEN:
        listed = [tag.name for tag in answers.tags]
        state = observed_tags.note_tags(state, key, listed, answers.digests, question.now)
        state = observed_tags.note_created(state, key, answers.created)
    current = question.observed.current.tag or ""
    if answers.tags is not None and answers.clock is TimeSource.REGISTRY:
        for tag in answers.tags:
            if tag.name == current and tag.pushed_at is not None:
                state = observed_tags.note_push(state, service.name, current, tag.pushed_at)
    behind = (answers.digests.get(tag) for tag in {*answers.asked, current})
    for digest in filter(None, behind):
        state = observed_tags.note_digest(state, service.name, digest, question.now)
    return state


def unknown(error: RegistryError, otherwise: Reason = Reason.REGISTRY_ERROR) -> Hold:
    """The hold for a registry that did not answer usably.

    >>> unknown(RegistryError("r.example", "answered 500")).reason.value
    'registry_error'
    """
    reason = error.reason
    until = error.retry_at if isinstance(error, RateLimited) else None
    is_passing = reason in (Reason.RATE_LIMITED, Reason.REGISTRY_ERROR)
    reason = otherwise if reason is Reason.REGISTRY_ERROR else reason
    return Hold(reason, str(error), error.remedy or (_WAIT if is_passing else ""), until=until)


def _list_tags(question: Question, registry: Registry, answers: Answers) -> None:
    current, policy = question.observed.current, question.service.policy
    selector = selector_of(policy, current, question.budget)
    if selector is None:
        return
    if selector.order is Order.PUSH:
        # without a tag a registry gives the whole list, with one it may leave out what was pushed before that tag
        asked = replace(current, tag=None, digest=None) if policy.allow_downgrade else current
        pushed = registry.pushed_tags(asked, lambda name: selector.extract(name) is not None)
        if pushed is not None:
            answers.tags, answers.clock = pushed, TimeSource.REGISTRY
            answers.digests.update({tag.name: tag.digest for tag in pushed if tag.digest})
            return
        answers.clock = TimeSource.FIRST_SEEN
    answers.tags = registry.tags(current)
    answers.created = dict.fromkeys(observed_tags.without_time(question.state, current.key))


def _decide(question: Question, registry: Registry, answers: Answers) -> Decision:
    """`selection` says what it still needs; each question is one request, and the last answer is always a decision."""
    service, current, memo = question.service, question.observed.current, Memo(question.budget)
    while True:
        state = noted(question.state, question, answers)
        history = observed_tags.history_of(state, service.name, current.key)
        decision = select.decide(_observation(question, answers), service.policy, history, question.now, memo)
        if not isinstance(decision, Ask):
            return decision
        answers.asked += decision.digests
        for tag in decision.digests:
            answers.digests[tag] = registry.digest(replace(current, tag=tag, digest=None))
        for tag in decision.created:
            answers.created[tag] = registry.created(replace(current, tag=tag, digest=None), question.platform())


def _observation(question: Question, answers: Answers) -> Observation:
    observed = question.observed
    return Observation(
        current=observed.current,
        running_digests=observed.running_digests,
        digests=answers.digests,
        created=answers.created,
        tags=answers.tags,
        clock=answers.clock,
    )


def running_digest(observed: Observed, answers: Mapping[str, str]) -> str | None:
    """The digest to show for what runs: the one behind the current tag if that is it, else any the registry knows."""
    behind = answers.get(observed.current.tag or "")
    if behind in observed.running_digests:
        return behind
    return min((d for d in observed.running_digests - observed.image_ids if reference.is_digest(d)), default=None)

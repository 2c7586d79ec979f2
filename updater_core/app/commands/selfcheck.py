"""The environment check behind `--test`: one line for everything an update needs, with what to do about it.

Reads and asks only; it writes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from updater_core.app import hooks
from updater_core.app.api import exposure
from updater_core.app.commands import newer_versions
from updater_core.app.context import AppContext, settings_for, target_of, targets_in_use
from updater_core.app.evaluate import signature_of
from updater_core.deploy import http_gate
from updater_core.deploy.target import Finding, Observed
from updater_core.errors import UpdaterError
from updater_core.host import engine_endpoint, files
from updater_core.models import Hold, ImageRef, Reason, ServiceConfig
from updater_core.policy.explain import REMEDY_OF_UNSIGNED
from updater_core.policy.families import selector_of
from updater_core.policy.patterns import Order
from updater_core.state import records
from updater_core.targets import own_service

# An ordinary image with its layers unpacked still fits.
_LEAST_FREE_BYTES = 1_000_000_000
# Nothing is wrong, it ends by itself, or it is of a release that failed: `--status` has it.
_PASSES = {
    Reason.SAME_DIGEST,
    Reason.TOO_YOUNG,
    Reason.QUARANTINED,
    Reason.OWNER_ROLLBACK,
    Reason.SKIPPED,
}


@dataclass(frozen=True, slots=True)
class Check:
    """One check of everything.

    `only`: the service that it is for, all if None; `at` hears what is looked at next.
    """

    context: AppContext
    only: str | None = None
    at: Callable[[str], None] = lambda _: None

    def findings(self) -> Iterator[Finding]:
        """Yield every finding, as soon as it is known."""
        every = [each for each in self.context.config.services if self.only in (None, each.name)]
        services = [service for service in every if service.enabled]
        path, total = self.context.config.path, len(self.context.config.services)
        yield Finding(True, "config", f"{path}: {len(services)} of {total} services looked at")
        yield from self._of_host()
        for service in services:
            self.at(service.name)
            yield from target_of(self.context, service).examine(service)
            yield from hooks.findings(self.context, service)
            yield from _address_findings(service)
        # After what needs no network: most faults are found at once, and a registry may take its timeout.
        yield from self._of_registries(services)
        yield from exposure.findings(self.context.config.settings)
        yield from _place_findings(self.context)
        for service in every:
            if not service.enabled:
                yield Finding(True, service.name, "disabled: it is neither checked nor updated")

    def _of_host(self) -> Iterator[Finding]:
        """Yield what the targets stand on, of those that a service is deployed to."""
        in_use = targets_in_use(self.context, self.only)
        if any(target.asks_engine(services) for target, services in in_use):
            self.at("the engine")
            yield _found("engine", lambda: _engine(self.context))
            yield from _other_engine()
            yield from _ourselves(self.context)
        for target, _ in in_use:
            self.at(f"the target {target.name}")
            yield from target.examine_host()

    def _of_registries(self, services: Sequence[ServiceConfig]) -> Iterator[Finding]:
        """Yield what registries say: each repository once for each login, then each service's image alone."""
        reached: dict[object, bool] = {}
        for service in services:
            for question, reference in _questions(self.context, service):
                if question not in reached:
                    self.at(reference.key)
                    found = _registry_finding(self.context, service, reference)
                    reached[question] = found.is_good
                    yield found
        for service in services:
            self.at(f"the image of {service.name}")
            if service.policy.public_keys:
                yield from _signature_finding(self.context, service)
            asked = [question for question, _ in _questions(self.context, service)]
            is_reached = all(reached.get(question, True) for question in asked)
            yield from _choice_findings(self.context, service, is_reached=is_reached)


def _address_findings(service: ServiceConfig) -> Iterator[Finding]:
    """Yield what `health_url` answers of the release that runs; no answer now would fail every release."""
    if not service.gate.url:
        return
    subject, answer = f"health_url of {service.name}", http_gate.probe(service.gate.url)
    wanted = http_gate.statuses_text(service.gate)
    remedy = f"correct it, or health_status ({wanted}); leave it if only the next release answers there"
    yield Finding(http_gate.is_wanted(answer, service.gate), subject, answer.words, remedy)


def _engine(context: AppContext) -> str:
    endpoint = engine_endpoint.resolve(os.environ)
    return (
        f"{context.host.engine.product()} on {context.host.engine.platform()} at {endpoint.host} (by "
        f"{endpoint.source})"
    )


def _other_engine() -> Iterator[Finding]:
    """Yield a warning if the operator behind `sudo` looks at another engine than the updater does.

    They would see containers that it does not. A DOCKER_HOST of the updater's own says which is meant.
    """
    asked, operators = engine_endpoint.resolve(os.environ), engine_endpoint.of_operator(os.environ)
    # A DOCKER_HOST was written on purpose, so a difference is no mistake.
    if operators is None or operators.host == asked.host or asked.source == "DOCKER_HOST":
        return
    user = os.environ.get("SUDO_USER")
    yield Finding(
        False,
        "engine",
        (
            f"the updater asks {asked.host}, but {user}'s own docker asks {operators.host} (by "
            f"{operators.source})"
        ),
        (
            f"say which is meant: set DOCKER_HOST={operators.host}, or DOCKER_HOST={asked.host}, in the "
            "updater's .env"
        ),
    )


def _ourselves(context: AppContext) -> Iterator[Finding]:
    """Yield how the container that the updater runs in is updated; discovery leaves it alone."""
    host = context.host
    if host.own_container is None:
        return
    with suppress(UpdaterError):  # of the engine: it was said
        own = own_service.find(host.engine.all_containers(), host.own_container)
        if own.container is not None:
            remedy = own_service.remedy(own, host.engine)
            yield Finding(
                True, "updater", f"it runs in {own.container.name}, and leaves that alone; {remedy}"
            )


def _found(subject: str, ask: Callable[[], str]) -> Finding:
    try:
        return Finding(True, subject, ask())
    except UpdaterError as error:
        return Finding(False, subject, str(error), error.remedy)


def _lists_tags(service: ServiceConfig, reference: ImageRef) -> Order | None:
    """Return the order in which the tags beside this reference are listed; None if the service needs no list.

    A list is another right than one manifest's.
    """
    selector = selector_of(service.policy, reference)
    return selector.order if selector else None


def _signature_finding(context: AppContext, service: ServiceConfig) -> Iterator[Finding]:
    subject = f"signature {service.name}"
    for reference in _references(context, service):
        yield _signed_by(context, service, reference, subject)


def _signed_by(context: AppContext, service: ServiceConfig, reference: ImageRef, subject: str) -> Finding:
    try:
        settings = settings_for(service, reference)
        digest = context.registries.for_service(reference, settings).digest(reference)
        verdict = signature_of(context, service, replace(reference, digest=digest))
    except UpdaterError as error:
        return Finding(False, subject, str(error), error.remedy)
    if verdict.key is not None:
        return Finding(True, subject, f"{reference.text} is signed by {verdict.key}")
    return Finding(
        False, subject, f"{reference.text}: {verdict.reason}: {verdict.detail}", REMEDY_OF_UNSIGNED
    )


def _choice_findings(context: AppContext, service: ServiceConfig, *, is_reached: bool) -> Iterator[Finding]:
    """Yield why no tag can be chosen, or a newer version than a pinned tag: worth a line, but no failure.

    `is_reached`: its registries answered all that was asked of them by name.
    """
    observed = target_of(context, service).observe([service])[service.name]
    if isinstance(observed, Hold):
        return
    newest = newer_versions.newest(context, service, observed)
    if newest is not None:
        text = f"{observed.current.text} stays, though {newest.text} is there: nothing follows versions"
        yield Finding(True, service.name, text, newer_versions.remedy(service), is_warning=True)
    yield from _held_choice(context, service, observed, is_reached=is_reached)


def _held_choice(
    context: AppContext, service: ServiceConfig, observed: Observed, *, is_reached: bool
) -> Iterator[Finding]:
    """Yield what holds the choice of a tag, if that is more than time or an earlier failure.

    A registry that gives no usable answer is a failure: a choice needs more than what was asked of it by name
    (build times, what is behind an index), and a cycle would be held by the same. If it was not reached at
    all, that was said by a finding of its own, as is who signed.
    """
    unsigned = replace(service, policy=replace(service.policy, public_keys=()))
    with suppress(UpdaterError):  # of the registry: it was said
        decision = newer_versions.decided(context, unsigned, observed)
        if not isinstance(decision, Hold) or decision.reason in _PASSES:
            return
        is_unanswered = decision.reason is not Reason.PATTERN_TOO_SLOW and records.is_unknown(decision.reason)
        if is_unanswered and not is_reached:
            return
        text = f"held, {decision.reason}: {decision.detail}"
        yield Finding(not is_unanswered, service.name, text, decision.remedy, is_warning=not is_unanswered)


def _registry_finding(context: AppContext, service: ServiceConfig, reference: ImageRef) -> Finding:
    return _found(f"registry {reference.key}", lambda: _reached(context, service, reference))


def _reached(context: AppContext, service: ServiceConfig, reference: ImageRef) -> str:
    registry = context.registries.for_service(reference, settings_for(service, reference))
    found = registry.check(reference)
    selector = selector_of(service.policy, reference)
    if selector is None:
        return found
    pushed = registry.pushed_tags(reference, lambda _: True) if selector.order is Order.PUSH else None
    tags = registry.tags(reference) if pushed is None else pushed
    return f"{found}; it lists {len(tags)} {'tag' if len(tags) == 1 else 'tags'}"


def _questions(context: AppContext, service: ServiceConfig) -> Iterator[tuple[object, ImageRef]]:
    """Yield what is asked of registries for a service: what makes two questions the same, and the image."""
    for reference in _references(context, service):
        # With the settings: two services may use one repository under two logins.
        yield (reference.key, settings_for(service, reference), _lists_tags(service, reference)), reference


def _references(context: AppContext, service: ServiceConfig) -> Iterator[ImageRef]:
    """Yield what the service's files say now of each repository that it runs images of.

    A tag in the configuration may be of long ago, and gone from the registry.
    """
    observed = target_of(context, service).observe([service])[service.name]
    if isinstance(observed, Hold):
        yield service.image
        return
    yield observed.current
    yield from (other.current for other in observed.others)


def _place_findings(context: AppContext) -> Iterator[Finding]:
    settings = context.config.settings
    yield _writable("state", context.store.path, "fix its permissions, or set STATE_FILE")
    yield _writable(
        "log", Path(settings.log_file), "fix its permissions, or set LOG_FILE; until then only stderr has it"
    )
    yield _found(
        "disk", lambda: f"{files.free_bytes(context.store.path) // 1_000_000} MB free at {context.folder}"
    )
    if files.free_bytes(context.store.path) < _LEAST_FREE_BYTES:
        yield Finding(
            False,
            "disk",
            "less than 1 GB is free, an image may not fit",
            "free some space, e.g. `docker image prune`",
        )


def _writable(subject: str, path: Path, remedy: str) -> Finding:
    if files.is_writable(path):
        return Finding(True, subject, f"{path} can be written")
    return Finding(False, subject, f"{path} cannot be written", remedy)

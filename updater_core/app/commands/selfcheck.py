"""The environment check behind `--test`: one line for everything an update needs, with what to do about it.

Reads and asks only; it writes nothing.
"""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from updater_core.app import hooks
from updater_core.app.commands import newer_versions
from updater_core.app.context import AppContext, settings_for, target_of
from updater_core.app.evaluate import signature_of
from updater_core.deploy import http_gate
from updater_core.deploy.target import Finding
from updater_core.errors import UpdaterError
from updater_core.host import engine_endpoint, files
from updater_core.models import Hold, ImageRef, ServiceConfig
from updater_core.policy.explain import REMEDY_OF_UNSIGNED
from updater_core.policy.families import selector_of
from updater_core.policy.patterns import Order
from updater_core.status.columns import WIDTH

_LEAST_FREE_BYTES = 1_000_000_000
_INDENT = " " * len("FAIL  ")


def summary(findings: Sequence[Finding]) -> str:
    """Return the last line of the report.

    >>> summary([Finding(True, "engine", "fine"), Finding(False, "web", "not there")])
    '2 checks: 1 ok, 1 failed (web)'
    """
    bad = [finding.subject for finding in findings if not finding.is_good]
    names = f" ({', '.join(dict.fromkeys(bad))})" if bad else ""
    return f"{len(findings)} checks: {len(findings) - len(bad)} ok, {len(bad)} failed{names}"


def shown(finding: Finding, *, is_terminal: bool) -> str:
    """Return a finding as it is printed: one line, on a terminal wrapped. A remedy is never wrapped, for it is there to
    be pasted.

    >>> print(shown(Finding(False, "web", "long " * 20, "sudo chmod 600 /etc/docker-auto-updater/config.json"),
    ...     is_terminal=True))
    FAIL  web: long long long long long long long long long long long long long long long long long long
          long long
          -> sudo chmod 600 /etc/docker-auto-updater/config.json
    """
    line = finding.line()
    if not is_terminal or len(line) <= WIDTH:
        return line
    lines = textwrap.wrap(
        finding.head, WIDTH, subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join([*lines, f"{_INDENT}-> {finding.remedy}"] if finding.has_remedy else lines)


def as_json(findings: Sequence[Finding]) -> str:
    """Return the report for machines."""
    rows = [
        {"ok": finding.is_good, "subject": finding.subject, "text": finding.text, "remedy": finding.remedy}
        for finding in findings
    ]
    return json.dumps({"ok": all(finding.is_good for finding in findings), "checks": rows}, indent=2)


def examine(context: AppContext, only: str | None = None) -> Iterator[Finding]:
    """Every finding, as soon as it is known."""
    services = [service for service in context.config.services if service.enabled and only in (None, service.name)]
    yield Finding(
        True, "config", f"{context.config.path}: {len(services)} of {len(context.config.services)} services looked at"
    )
    of_swarms = [service for service in services if service.stack or service.swarm_service]
    is_needed = len(of_swarms) < len(services) or not services
    if is_needed or any(service.engine is None for service in of_swarms):
        yield _found("engine", lambda: _engine(context))
        yield from _other_engine()
    if is_needed:
        yield _found("compose", lambda: f"Docker Compose {context.host.compose.version}")
    for service in services:
        yield from target_of(context, service).examine(service)
        yield from hooks.findings(context, service)
        yield from _address_findings(service)
    yield from _registry_findings(context, services)
    yield from _signature_findings(context, services)
    yield from _pinned_findings(context, services)
    yield from _place_findings(context)


def _address_findings(service: ServiceConfig) -> Iterator[Finding]:
    """What `health_url` answers of the release that runs: one that no release can answer would fail all of them."""
    if not service.gate.url:
        return
    subject, answer = f"health_url of {service.name}", http_gate.probe(service.gate.url)
    wanted = http_gate.statuses_text(service.gate)
    remedy = f"correct it, or health_status ({wanted}); leave it if only the next release answers there"
    yield Finding(http_gate.is_wanted(answer, service.gate), subject, answer.words, remedy)


def _engine(context: AppContext) -> str:
    endpoint = engine_endpoint.resolve(os.environ)
    return (
        f"Docker Engine {context.host.engine.version()} on {context.host.engine.platform()}"
        f" at {endpoint.host} (by {endpoint.source})"
    )


def _other_engine() -> Iterator[Finding]:
    """The operator behind `sudo` may look at another engine than the updater does, and see containers that it does not.
    A DOCKER_HOST of the updater's own says which is meant."""
    asked, operators = engine_endpoint.resolve(os.environ), engine_endpoint.of_operator(os.environ)
    if operators is None or operators.host == asked.host or asked.source == "DOCKER_HOST":
        return
    user = os.environ.get("SUDO_USER")
    yield Finding(
        False,
        "engine",
        f"the updater asks {asked.host}, but {user}'s own docker asks {operators.host} (by {operators.source})",
        f"say which is meant: set DOCKER_HOST={operators.host}, or DOCKER_HOST={asked.host}, in the updater's .env",
    )


def _found(subject: str, ask: Callable[[], str]) -> Finding:
    try:
        return Finding(True, subject, ask())
    except UpdaterError as error:
        return Finding(False, subject, str(error), error.remedy)


def _registry_findings(context: AppContext, services: list[ServiceConfig]) -> Iterator[Finding]:
    """Each repository once for each set of credentials."""
    asked: set[object] = set()
    for service in services:
        question = (service.image.key, service.registry, _lists_tags(service))
        if question in asked:
            continue
        asked.add(question)
        subject = f"registry {service.image.key}"
        yield _found(subject, lambda s=service: _reached(context, s))  # type: ignore[misc]


def _lists_tags(service: ServiceConfig) -> Order | None:
    """The order in which the service's tags would be listed, if it needs a list: another right than one manifest's."""
    selector = selector_of(service.policy, service.image)
    return selector.order if selector else None


def _signature_findings(context: AppContext, services: Sequence[ServiceConfig]) -> Iterator[Finding]:
    """Whether the image behind the current tag is signed, of each service that wants that."""
    for service in services:
        if service.policy.public_keys:
            yield from _signature_finding(context, service)


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
    return Finding(False, subject, f"{reference.text}: {verdict.reason}: {verdict.detail}", REMEDY_OF_UNSIGNED)


def _pinned_findings(context: AppContext, services: Sequence[ServiceConfig]) -> Iterator[Finding]:
    """A tag that names a version is up to date for ever: no failure, but worth a line if a newer one is there."""
    for service in services:
        observed = target_of(context, service).observe([service])[service.name]
        newest = None if isinstance(observed, Hold) else newer_versions.newest(context, service, observed)
        if newest is not None and not isinstance(observed, Hold):
            stays = f"{observed.current.text} stays, though {newest.text} is there"
            yield Finding(True, service.name, f"{stays}: nothing follows versions; {newer_versions.remedy(service)}")


def _reached(context: AppContext, service: ServiceConfig) -> str:
    reference = _reference(context, service)
    registry = context.registries.for_service(service.image, service.registry)
    found = registry.check(reference)
    selector = selector_of(service.policy, reference)
    if selector is None:
        return found
    pushed = registry.pushed_tags(reference, lambda _: True) if selector.order is Order.PUSH else None
    tags = registry.tags(reference) if pushed is None else pushed
    return f"{found}; it lists {len(tags)} tags"


def _references(context: AppContext, service: ServiceConfig) -> Iterator[ImageRef]:
    """What the service's files say now of each repository that it runs images of."""
    observed = target_of(context, service).observe([service])[service.name]
    if isinstance(observed, Hold):
        yield service.image
        return
    yield observed.current
    yield from (other.current for other in observed.others)


def _reference(context: AppContext, service: ServiceConfig) -> ImageRef:
    """What the service's file says now: the tag in the configuration may be of long ago, and gone from the registry."""
    observed = target_of(context, service).observe([service])[service.name]
    return service.image if isinstance(observed, Hold) else observed.current


def _place_findings(context: AppContext) -> Iterator[Finding]:
    settings = context.config.settings
    yield _writable("state", context.store.path, "fix its permissions, or set STATE_FILE")
    yield _writable(
        "log", Path(settings.log_file), "fix its permissions, or set LOG_FILE; until then only stderr has it"
    )
    yield _found("disk", lambda: f"{files.free_bytes(context.store.path) // 1_000_000} MB free at {context.folder}")
    if files.free_bytes(context.store.path) < _LEAST_FREE_BYTES:
        yield Finding(
            False, "disk", "less than 1 GB is free, an image may not fit", "free some space, e.g. `docker image prune`"
        )


def _writable(subject: str, path: Path, remedy: str) -> Finding:
    if files.is_writable(path):
        return Finding(True, subject, f"{path} can be written")
    return Finding(False, subject, f"{path} cannot be written", remedy)

"""Why an update failed, as a value: from an error and the step it met to a stable reason. Pure.

A release is blamed only for what its own container did, as the engine tells it (`GateFailed`), on a host on
which it could have done well. What ends Compose or the engine (a signal, a missing plugin, a port that stays
allocated, a full disk) is a failure of the host, whatever the words.
"""

from __future__ import annotations

import re
from dataclasses import replace

from updater_core.errors import EngineError, LockHeld, UpdaterError
from updater_core.models import Cause, Reason, Step, retry_command

_TOO_MANY = re.compile(r"toomanyrequests|too many requests|rate limit", re.IGNORECASE)
_UNREACHED = re.compile(
    r"dial tcp|no such host|i/o timeout|connection re|x509|tls: |Client\.Timeout|deadline "
    r"exceeded|\bEOF\b|HTTPS client"
)
_RELEASE_AT_FAULT = {
    Reason.PLATFORM_MISSING,
    Reason.UP_FAILED,
    Reason.UNHEALTHY,
    Reason.EXITED,
    Reason.RESTARTING,
    Reason.GATE_TIMEOUT,
    Reason.DIGEST_MISMATCH,
    Reason.VOLUME_LOST,
    Reason.PROBE_FAILED,
    Reason.POST_UPDATE_FAILED,
}


# What a container did, which it may have done for want of what the host lacks.
_SEEN_AT_THE_GATE = {
    Reason.UNHEALTHY,
    Reason.EXITED,
    Reason.RESTARTING,
    Reason.GATE_TIMEOUT,
    Reason.PROBE_FAILED,
    Reason.POST_UPDATE_FAILED,
}
_HOSTS_FAILURES = {
    Reason.HOST_FAILURE,
    Reason.ENGINE_ERROR,
    Reason.COMPOSE_ERROR,
    Reason.STATE_ERROR,
    Reason.PULL_FAILED,
    Reason.PULL_LIMIT,
    Reason.CHANGED_ON_DISK,
    Reason.REGISTRY_ERROR,
    Reason.RATE_LIMITED,
    Reason.AUTH_ERROR,
    Reason.NOT_FOUND,
    Reason.NO_SUITABLE_NODE,
    Reason.HOOK_MISSING,
    Reason.PRE_UPDATE_FAILED,
}

# Of the old release these prove nothing: it ran before, and somebody stopped it, or it is slow to come up.
_UNDECIDED_OF_OLD = {Reason.NOT_RUNNING, Reason.GATE_TIMEOUT}

_NEXT_TIME = "nothing to do: it is tried again after a pause"
_NEXT_RELEASE = "a newer release is taken by itself; see the log of this one, or try it again: {retry}"
_REMEDIES = {
    Reason.PULL_FAILED: f"{_NEXT_TIME}; if it stays so, see what `docker pull` says on this host",
    Reason.PULL_LIMIT: f"{_NEXT_TIME}; log in to the registry for a higher limit",
    Reason.ENGINE_ERROR: f"{_NEXT_TIME}; if it stays so, see the engine's own log",
    Reason.HOST_FAILURE: f"see to what is named; {_NEXT_TIME.removeprefix('nothing to do: ')}",
    Reason.COMPOSE_ERROR: f"{_NEXT_TIME}; if it stays so, see what `docker compose up -d` says",
    Reason.NOT_RUNNING: f"{_NEXT_TIME}; let nobody stop or remove its containers meanwhile",
    Reason.STATE_ERROR: f"{_NEXT_TIME}; see that the places it names can be written",
    **dict.fromkeys(_RELEASE_AT_FAULT, _NEXT_RELEASE),
}


def cause_of(error: Exception, step: Step, service: str) -> Cause:
    """Return the error of a service's update as a value: its step, a stable reason, its words and its remedy.

    One that nobody foresaw is ours.
    """
    if not isinstance(error, UpdaterError):
        return Cause(step, Reason.INTERNAL_ERROR, f"{type(error).__name__}: {error}", "please report it")
    reason = _reason(error, step)
    remedy = _REMEDIES.get(reason, "").replace("{retry}", retry_command(service))
    return Cause(step, reason, str(error), error.remedy or remedy)


def is_about_limits(error: EngineError) -> bool:
    """Return whether a registry refused a pull because there were too many.

    By the engine's words, for it gives no code.
    """
    return _TOO_MANY.search(str(error)) is not None


def is_about_the_way(error: EngineError) -> bool:
    """Return whether the engine did not reach a registry, by the words of Go's net and crypto packages."""
    return _UNREACHED.search(str(error)) is not None


def is_release_at_fault(cause: Cause) -> bool:
    """Return whether the release itself failed, so that trying it again would fail again."""
    return cause.reason in _RELEASE_AT_FAULT


def may_be_for_want_of_something(cause: Cause) -> bool:
    """Return whether what a container did may come of what its host, or a dependency, lacks."""
    return cause.reason in _SEEN_AT_THE_GATE


def on_ailing_host(cause: Cause, lacking: str) -> Cause:
    """Return the cause as a failure of the host. `lacking`: what the host lacks, in words."""
    cause = replace(cause, reason=Reason.HOST_FAILURE, message=f"{cause.message}, while {lacking}")
    return replace(cause, remedy=_REMEDIES[Reason.HOST_FAILURE])


def of_old_release(cause: Cause) -> Cause:
    """Return why an old release is not proven, with a remedy that fits if that is not decided yet."""
    if cause.reason is not Reason.GATE_TIMEOUT:
        return cause
    remedy = "nothing to do: it is looked at again; raise health_timeout if it always needs longer"
    return replace(cause, remedy=remedy)


def may_pass(rollback: Cause) -> bool:
    """Return whether what a rollback met may pass by itself.

    That is a failure of the host, or what leaves open how the old release does.
    """
    return rollback.reason in _UNDECIDED_OF_OLD or is_hosts_failure(rollback)


def is_hosts_failure(cause: Cause) -> bool:
    """Return whether the host prevented something that may succeed once the host has healed.

    So may what the host depends on. Anything else that a rollback meets needs a person.
    """
    return cause.reason in _HOSTS_FAILURES


def _reason(error: UpdaterError, step: Step) -> Reason:
    if isinstance(error, EngineError) and step is Step.PULL:
        return Reason.PULL_LIMIT if is_about_limits(error) else Reason.PULL_FAILED
    if isinstance(error, LockHeld):
        return Reason.STATE_ERROR  # a failure of the host in the middle of an update, which passes
    return error.reason

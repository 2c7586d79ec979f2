"""A service that does not run: why it is left alone, and what its operator can say to it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from updater_core.models import Container, Hold, Reason, ServiceConfig
from updater_core.targets.compose.dependencies import has_ended, has_ended_well, is_stopped_by_hand
from updater_core.targets.compose.reading import origin
from updater_core.targets.compose.reading.leftover import is_leftover

_AT_WORK = ("running", "restarting")
_NEVER_RESTARTED = ("", "no")


def hold_for(
    service: ServiceConfig, name: str, containers: Sequence[Container], *, is_one_shot: bool
) -> Hold | None:
    """Return why `service` is not updated as one of its services, `name`, does not run.

    None if that is no reason: it runs, it crashed and may get its fix, or it is a one-shot that has done its
    work. `is_one_shot`: the project's files say that it ends by itself.
    """
    if not containers:
        return _not_running(service, f"{name} has no container")
    if has_ended_well(containers):
        return None if is_one_shot else _ended_well(service, name)
    if any(map(is_leftover, containers)) and not any(each.status in _AT_WORK for each in containers):
        return _torn(name, containers)
    if all(is_stopped_by_hand(container) for container in containers):
        return _not_running(service, f"{name} is {containers[0].status}")
    is_left_ended = all(each.restart_policy in _NEVER_RESTARTED for each in containers)
    if is_one_shot and is_left_ended and has_ended(containers):
        return _failed(service, name, containers)
    return None


def needs_word(names: Iterable[str], containers: Iterable[Container]) -> bool:
    """Return whether one of these services has ended so that only its operator knows what to do.

    A service that was stopped is their choice already.
    """
    found = list(containers)
    for name in names:
        own = [container for container in found if container.service == name]
        is_stopped = any(is_stopped_by_hand(each) and each.exit_code for each in own)
        if has_ended(own) and not is_stopped:
            return True
    return False


def _not_running(service: ServiceConfig, what: str) -> Hold:
    return Hold(Reason.NOT_RUNNING, what, f'start it with Compose, or set "start_stopped" for {service.name}')


def _ended_well(service: ServiceConfig, name: str) -> Hold:
    """Return the hold for an end with 0, which may be the service's own or asked for by somebody."""
    detail = f"{name} has ended with status 0, and nothing says whether it had done its work or was stopped"
    ends = (
        f'if it ends by itself, set "start_stopped" for {service.name}, or write `restart: "no"` for it '
        "in the"
    )
    remedy = (
        f"{ends} compose file and run `up` once; if it was stopped, start it with Compose when it shall run"
    )
    return Hold(Reason.NOT_RUNNING, detail, remedy)


def _failed(service: ServiceConfig, name: str, containers: Sequence[Container]) -> Hold:
    code = next(each.exit_code for each in containers if each.exit_code)
    log, again = (origin.by_hand_of(containers[0], f"{words} {name}") for words in ("logs", "up -d"))
    look = f"see `{log}`, and run it again with `{again}`"
    remedy = f'{look}; or set "start_stopped" for {service.name}: then the next release is run all the same'
    return Hold(Reason.NOT_RUNNING, f"{name} runs to its end, and failed with status {code}", remedy)


def _torn(name: str, containers: Sequence[Container]) -> Hold:
    """Return the hold for a recreate that was cut short, and of which no journal of ours knows.

    Those are ended first: its state was moved, or another's Compose was killed.
    """
    listed = ", ".join(sorted(each.name for each in containers))
    detail = f"a recreate of {name} was interrupted ({listed}) and it is down"
    command = origin.by_hand_of(containers[0], f"up -d {name}")
    return Hold(Reason.INTERRUPTED, detail, f"bring it up with `{command}`")

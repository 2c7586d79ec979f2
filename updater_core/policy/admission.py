"""One ordered table of pure rules on whether an update may go now; the first that holds it is the reason.

Each rule looks at the update and at the facts, and answers with a Hold or with None. The whole table is asked
twice for each update: after the check, for what is recorded, and once more under the lock, just before
anything is done. `--plan` asks it also of an image that waits for another reason, so that no rule comes as a
surprise once that is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from updater_core.models import Decision, Hold, Hours, Mode, Reason, ServiceConfig, Update, retry_command
from updater_core.policy import windows
from updater_core.policy.explain import signed
from updater_core.policy.operator.decisions import Decisions, Pause, command, pause_in_force


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the rules look at besides the update.

    `is_rollback_prevented`: the last update is not taken back yet, for the host prevents that, as `failure`
    says. `rollback_failure`: what was said when neither release could be proven, None if that is not so.
    `retry_at`: when an update that failed may be tried again, None if none waits; `failure` and
    `failure_remedy` are what was said of it. `pull_allowed_at`: when the registry `limited_by` lets its image
    be pulled again, the last of those that the update needs; None if all do now.
    """

    service: ServiceConfig
    shared_hours: Hours
    now: datetime
    is_rollback_prevented: bool = False
    rollback_failure: str | None = None
    retry_at: datetime | None = None
    failure: str = ""
    failure_remedy: str = ""
    is_stopping: bool = False
    pull_allowed_at: datetime | None = None
    limited_by: str = ""
    has_unfinished_update: bool = False
    decisions: Decisions = field(default_factory=Decisions)
    pause_of_all: Pause | None = None

    @property
    def hours(self) -> Hours:
        """Return the service's own hours over the shared ones."""
        return windows.merge_hours(self.service.hours, self.shared_hours)


_OF_PULL_LIMIT = "nothing to do but to wait; without a login, `docker login` gives a higher limit"

Rule = Callable[[Update, Facts], Hold | None]


def admit(decision: Decision, facts: Facts, rules: Sequence[Rule] | None = None) -> Decision:
    """Return the update if no rule holds it; else the first Hold, with the further ones in `also`.

    A decision not to update stays, but for one thing: whatever a service looks like in the middle of a
    rollback that the host prevents, that is what there is to say of it.
    """
    if isinstance(decision, Hold):
        # The file and the containers are half old and half new then, so that any other reason would be about
        # that.
        return _rollback_is_prevented(facts) or decision
    found = _holds(decision, facts, RULES if rules is None else rules)
    if not found:
        return decision
    first, *further = found
    return replace(first, also=tuple(further))


def with_every_hold(held: Hold, facts: Facts) -> Hold:
    """Return the hold with every rule besides that would hold the image that waits, in `also`."""
    if held.available is None:
        return held
    named = {held.reason, *(each.reason for each in held.also)}
    found = _holds(Update(held.available, others=held.others), facts, RULES)
    return replace(held, also=(*held.also, *(each for each in found if each.reason not in named)))


def _holds(update: Update, facts: Facts, rules: Sequence[Rule]) -> list[Hold]:
    """Return what each rule says that holds the update, in their order."""
    found = [hold for rule in rules if (hold := rule(update, facts)) is not None]
    return [
        replace(hold, available=update.target, rejected=update.rejected, others=update.others)
        for hold in found
    ]


def rollback_prevented(_: Update, facts: Facts) -> Hold | None:
    """Hold while the last update has to be taken back first."""
    return _rollback_is_prevented(facts)


def _rollback_is_prevented(facts: Facts) -> Hold | None:
    if not facts.is_rollback_prevented:
        return None
    return Hold(Reason.BACKING_OFF, facts.failure, facts.failure_remedy)


def rollback_failed(_: Update, facts: Facts) -> Hold | None:
    """Hold if neither release could be proven: a person has to look first."""
    if facts.rollback_failure is None:
        return None
    remedy = f"see to the service by hand, then run {retry_command(facts.service.name)}"
    return Hold(Reason.FROZEN, facts.rollback_failure, remedy)


def backing_off(_: Update, facts: Facts) -> Hold | None:
    """Hold while the last update failed a short while ago, for a reason that may pass."""
    # Said once: a prevented rollback has its own rule, and its own time.
    if facts.retry_at is None or facts.is_rollback_prevented:
        return None
    detail = f"{facts.failure}; tried again after {facts.retry_at:%Y-%m-%d %H:%M} UTC"
    return Hold(Reason.BACKING_OFF, detail, facts.failure_remedy, until=facts.retry_at)


def stopping(_: Update, facts: Facts) -> Hold | None:
    """Hold if the updater was asked to end: nothing more is begun."""
    if not facts.is_stopping:
        return None
    return Hold(Reason.STOPPING, "the updater is stopping", "nothing to do: the next start looks again")


def paused(update: Update, facts: Facts) -> Hold | None:
    """Hold while this service, or all, is paused: in the configuration, or by an order."""
    # The configuration first: an order to resume would not lift it, so its remedy is the one that helps.
    if facts.hours.paused:
        return _waits(
            update, Reason.PAUSED, "updates are paused", "set pause_updates to false to let it through"
        )
    own, of_all = facts.decisions.pause, facts.pause_of_all
    pause = pause_in_force(own, of_all, facts.now)
    if pause is None:
        return None
    end = f" until {pause.until:%Y-%m-%d %H:%M} UTC" if pause.until else ""
    name = facts.service.name if pause is own else "all"
    held = _waits(
        update, Reason.PAUSED, f"updates are paused by {pause.who}{end}", f"run {command('resume', name)}"
    )
    return replace(held, until=pause.until)


def skipped(update: Update, facts: Facts) -> Hold | None:
    """Hold if the operator does not want this image, whatever its tag is."""
    skip = facts.decisions.skip_of(update.target.digest)
    if skip is None:
        return None
    detail = f"{update.target.text} is skipped, by {skip.who} on {skip.since:%Y-%m-%d %H:%M} UTC"
    remedy = (
        "nothing to do, a newer one is taken; to take this one after all: "
        f"{command('approve', facts.service.name)}"
    )
    return Hold(Reason.SKIPPED, detail, remedy)


def notify_only(update: Update, facts: Facts) -> Hold | None:
    """Hold if the operator only wants to be notified, and updates by hand."""
    if facts.service.policy.mode is not Mode.NOTIFY:
        return None
    return _waits(update, Reason.NOTIFY_ONLY, "the mode is notify", "set mode to auto to let it through")


def window_closed(update: Update, facts: Facts) -> Hold | None:
    """Hold outside the maintenance windows; what is paused has no window that could open."""
    # A pause is the matter of another rule; here it would read as a window that never opens.
    hours = replace(facts.hours, paused=False)
    if windows.is_open(hours, facts.now):
        return None
    opens = windows.next_open(hours, facts.now)
    when = f"it opens at {opens:%Y-%m-%d %H:%M} UTC" if opens else "it does not open in the next three weeks"
    held = _waits(
        update, Reason.WINDOW_CLOSED, f"the maintenance window is closed, {when}", "wait for the window"
    )
    return replace(held, until=opens)


def approval(update: Update, facts: Facts) -> Hold | None:
    """Hold until the operator has said yes to exactly this image.

    What was said of another one does not count, and a skip is an answer.
    """
    if (
        facts.service.policy.mode is not Mode.APPROVE
        or facts.decisions.skip_of(update.target.digest) is not None
    ):
        return None
    name, given = facts.service.name, facts.decisions.approval
    remedy = f"run {command('approve', name)}, or {command('skip', name)}"
    if given is None or not given.is_of(update.target, update.others):
        return _waits(update, Reason.AWAITING_APPROVAL, "it needs your approval", remedy)
    if given.counts(facts.now):
        return None
    end = f"{given.expires_at:%Y-%m-%d %H:%M} UTC"
    if given.is_open(facts.now):
        asked = f"it needs your approval, asked for on {given.asked_at:%Y-%m-%d %H:%M} UTC"
        return _waits(update, Reason.AWAITING_APPROVAL, asked, remedy)
    whose = f"the approval by {given.who}" if given.given_at else "the time to approve it"
    return _waits(update, Reason.APPROVAL_EXPIRED, f"{whose} ended on {end}", remedy)


def pull_limit(_: Update, facts: Facts) -> Hold | None:
    """Hold while the registry counts pulls, and too few are left."""
    allowed_at = facts.pull_allowed_at
    if allowed_at is None or allowed_at <= facts.now:
        return None
    detail = f"the pull limit of {facts.limited_by} is used up until {allowed_at:%Y-%m-%d %H:%M} UTC"
    return Hold(Reason.PULL_LIMIT, detail, _OF_PULL_LIMIT, until=allowed_at)


def unfinished(_: Update, facts: Facts) -> Hold | None:
    """Hold while an earlier update has not ended: its rollback must not meet a newer one."""
    if not facts.has_unfinished_update:
        return None
    detail = f"an interrupted update of {facts.service.name} is not ended yet"
    return Hold(Reason.BUSY, detail, "nothing to do: it is ended first, see the log")


# The first hold is what is shown: what is wrong, then what the operator has decided, then what only takes
# time.
RULES: tuple[Rule, ...] = (
    rollback_failed,
    rollback_prevented,
    backing_off,
    stopping,
    paused,
    skipped,
    notify_only,
    window_closed,
    approval,
    pull_limit,
    unfinished,
)
# For `--update`: it passes the window, the mode, the age of the release and the wait after a failure.
UPDATE_NOW_RULES: tuple[Rule, ...] = (rollback_failed, stopping, paused, skipped, pull_limit, unfinished)
OPERATOR_RULES: tuple[Rule, ...] = (unfinished,)  # for `--rollback`: only what would do harm


def _waits(update: Update, reason: Reason, why: str, remedy: str) -> Hold:
    return Hold(reason, signed(f"{update.target.text} waits: {why}", update.signed_by), remedy)

"""The words of the status page: the view that comes out of the facts in `inputs`. No rules, no effects."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from updater_core.models import CurrentStep, StepTaken
from updater_core.status.inputs import DaemonStatus
from updater_core.vocabulary.dated import NO_STEP, HookRun, ReleaseStep
from updater_core.vocabulary.evidence import Evidence


class Level(StrEnum):
    """How much something matters, from well to worst; `off` is a service that is not enabled."""

    OFF = "off"
    OK = "ok"
    WAITING = "waiting"
    LOOK = "look"
    UNKNOWN = "unknown"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to "is all well": the worst level, a headline, and the numbers behind it."""

    level: Level
    headline: str
    text: str
    services: tuple[str, ...] = ()  # those of this level, if something is to be done for them


@dataclass(frozen=True, slots=True)
class WindowView:
    """What says if updates may happen now, and when that changes; no time if it does not in the next weeks.

    `paused_by`: who has paused them by an order; empty if the configuration does.
    """

    is_open: bool
    is_paused: bool = False
    opens_at: datetime | None = None
    closes_at: datetime | None = None
    paused_by: str = ""


class Decided(StrEnum):
    """What an operator has decided, or is asked to."""

    QUESTION = "question"
    PAUSE = "pause"
    SKIP = "skip"
    APPROVAL = "approval"


@dataclass(frozen=True, slots=True)
class DecisionView:
    """A decision that counts now, or an open question.

    `service`: `all` if it is for all; `reference`: the image that it is for; `command`: what answers the
    question, or takes the decision back, empty if nothing does.
    """

    kind: Decided
    service: str
    since: datetime
    who: str = ""
    until: datetime | None = None
    reference: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True)
class ServiceView:
    """One service. `state` is its status as `--status` has it; `is_stale`: it was not checked in time.

    `change` is the kind of step from `current` to `target`: major, minor, patch, prerelease, rebuild,
    downgrade, tag.
    """

    name: str
    level: Level
    state: str
    is_enabled: bool
    is_stale: bool
    current: str
    current_digest: str | None
    target: str | None
    change: str | None
    reason: str | None
    detail: str
    remedy: str
    until: datetime | None
    last_check: datetime | None
    last_success: datetime | None
    last_change: datetime | None
    quarantined: int
    window: WindowView
    version: str = ""  # of what runs, by its label or its tag
    built_at: datetime | None = None
    release: ReleaseStep = NO_STEP  # from `current` to `target`
    history: tuple[ChangeView, ...] = ()  # the latest, newest first


@dataclass(frozen=True, slots=True)
class ChangeView:
    """One update or rollback that was tried; `outcome` and `steps` as in the state."""

    at: datetime
    service: str
    kind: str
    from_reference: str
    to_reference: str
    to_digest: str | None
    change: str | None
    outcome: str
    reason: str
    detail: str
    duration_seconds: float
    steps: tuple[StepTaken, ...]
    hooks: tuple[HookRun, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    release: ReleaseStep = NO_STEP


@dataclass(frozen=True, slots=True)
class RegistryView:
    """One host.

    `rest_until`: it is not asked before; `out_since`: it does not answer. No quota: it says none.
    """

    host: str
    services: int
    limit: int | None = None
    remaining: int | None = None
    window_seconds: float | None = None
    seen_at: datetime | None = None
    rest_until: datetime | None = None
    out_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class View:
    """The whole page.

    `window` is the common one of the services, None if theirs differ. `under_way`: the step of each update
    that is; `at_hand`: the first of them.
    """

    at: datetime
    host: str
    version: str
    verdict: Verdict
    is_healthy: bool
    health: str
    pulse: DaemonStatus
    interval_seconds: float
    at_hand: CurrentStep | None
    under_way: tuple[CurrentStep, ...]
    window: WindowView | None
    services: tuple[ServiceView, ...]
    changes: tuple[ChangeView, ...]
    registries: tuple[RegistryView, ...]
    decisions: tuple[DecisionView, ...] = ()

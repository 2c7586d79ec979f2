"""The values that the modules pass to each other, as frozen dataclasses. No effects.

Times are aware datetimes in UTC; durations are seconds in names that say so; digests are `sha256:<hex>`
strings; `reference` is a whole image reference as text, `ImageRef` the same taken apart.
"""

from __future__ import annotations

import builtins
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from updater_core.vocabulary.dated import NO_FACTS, NO_STEP, HookRun, ImageFacts, ReleaseStep
from updater_core.vocabulary.dated import AwareTime as AwareTime  # known under this place everywhere
from updater_core.vocabulary.evidence import Evidence
from updater_core.vocabulary.gate_policy import GatePolicy as GatePolicy  # known under this place everywhere
from updater_core.vocabulary.hooks import NO_HOOKS, Hooks
from updater_core.vocabulary.image_ref import ImageChange
from updater_core.vocabulary.image_ref import ImageRef as ImageRef  # as GatePolicy
from updater_core.vocabulary.own_settings import OwnSettings, S, own_settings
from updater_core.vocabulary.policy import Bump as Bump
from updater_core.vocabulary.policy import Follow as Follow
from updater_core.vocabulary.policy import Mode as Mode
from updater_core.vocabulary.policy import Policy as Policy
from updater_core.vocabulary.reasons import Reason as Reason  # as GatePolicy
from updater_core.vocabulary.secret import Secret as Secret  # as GatePolicy


class Discover(StrEnum):
    """Which running services that are not listed are taken up by themselves."""

    OFF = "off"
    LABELLED = "labelled"
    ALL = "all"


# ---------------------------------------------------------------------------------------------- configuration


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """A service's `registry_config`, and the registry's type if it is configured."""

    type: str | None = None  # as `registry_type` says; None = the host decides
    username: str | None = None
    password: Secret | None = None
    insecure_http: bool = False
    # further hosts that may receive this registry's credentials for a token
    token_realm_hosts: tuple[str, ...] = ()
    vendors: OwnSettings = ()  # what the registry's vendor alone knows

    def own(self, kind: builtins.type[S]) -> S:
        """Return a vendor's own settings, of its class `kind`; their defaults if there are none."""
        return own_settings(self.vendors, kind)


@dataclass(frozen=True, slots=True)
class Window:
    """A daily span of wall-clock time.

    `days` are weekdays of its START (Monday = 0), empty = every day; minutes count from midnight; an end not
    after the start lies on the next day.
    """

    start_minute: int
    end_minute: int
    days: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Hours:
    """When updates may happen. No windows = always. `zone` is an IANA name, empty = the host's own."""

    windows: tuple[Window, ...] = ()
    zone: str = ""
    paused: bool = False


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """One entry of `services`: an update group of one or more services of one image, which move together."""

    name: str
    image: ImageRef
    compose_files: tuple[str, ...] = ()
    compose_services: tuple[str, ...] = ()
    group: str | None = None  # services of one group are updated as one; then it is the name of all
    enabled: bool = True
    allow_drift: bool = False
    platform: str | None = None  # os/arch[/variant]; None = the engine's own
    policy: Policy = field(default_factory=Policy)
    gate: GatePolicy = field(default_factory=GatePolicy)
    hours: Hours = Hours()
    registry: RegistrySettings = RegistrySettings()
    target: OwnSettings = ()  # what the target alone knows that it is deployed by
    hooks: Hooks = NO_HOOKS
    is_discovered: bool = False  # it stands in no file: `discover` found it running
    problem: str = ""  # what is wrong with its labels; such a service is only held

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the names, in the files that define it, of the services that move together here."""
        return self.compose_services

    def own(self, kind: builtins.type[S]) -> S:
        """Return a target's own settings, of its class `kind`; their defaults if there are none."""
        return own_settings(self.target, kind)


@dataclass(frozen=True, slots=True)
class Discovery:
    """Which services that are not listed are taken up; `exclude` are globs over what they are."""

    mode: Discover = Discover.OFF
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NamedEngine:
    """One of `engines`: managers of one Swarm, any of which will do; `cert_path` as DOCKER_CERT_PATH."""

    name: str
    hosts: tuple[str, ...]
    cert_path: str | None = None


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token of the HTTP API, by its name; `may` are the orders that it may give, None = every one."""

    name: str
    secret: Secret
    may: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything of the configuration that is not one service's."""

    check_interval_seconds: float = 3600.0
    compose_timeout_seconds: float = 120.0
    parallel_updates: int = 4
    log_level: str = "INFO"
    log_format: str = "plain"
    log_file: str = "/var/log/docker-auto-updater/docker_updater.log"
    state_file: str = "/var/lib/docker-auto-updater/updater_state.json"
    state_backups: int = 5
    state_backup_dir: str | None = None
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    api_tokens: tuple[ApiToken, ...] = ()  # none: there is no API
    api_public_url: str | None = None
    webhook_url: Secret | None = None  # such URLs often carry a token in their path
    webhook_secret: Secret | None = None
    hours: Hours = Hours()
    discover: Discovery = Discovery()
    engines: tuple[NamedEngine, ...] = ()
    # a folder as a manager's container calls it, and as this host does
    path_map: tuple[tuple[str, str], ...] = ()
    notify_urls: tuple[Secret, ...] = ()  # addresses of the Apprise library; most hold a password or a token
    notify_grouping: str = "cycle"  # cycle | each
    notify_events: tuple[str, ...] = ("update", "rollback")  # kinds of `Event`; these two are always sent
    vendors: OwnSettings = ()  # of registries, for all services
    targets: OwnSettings = ()  # of targets, for all services


class EntryReader(Protocol):
    """Reads an entry of `services` that stands in no file: what `discover` finds, and its labels."""

    def read(self, raw: Mapping[str, Any], at: str) -> ServiceConfig:
        """Return the service. Raises ConfigError with every problem, each beginning with `at`."""

    @property
    def default_keys(self) -> frozenset[str]:
        """Return the keys that `defaults` sets."""

    @property
    def default_hooks(self) -> Hooks:
        """Return the hooks that `defaults` sets."""

    @property
    def label_keys(self) -> frozenset[str]:
        """Return the keys of an entry that a label may set."""

    @property
    def file_keys(self) -> frozenset[str]:
        """Return the keys of an entry, and of its `registry_config`, that a file may set."""

    def group_problems(self, services: Sequence[ServiceConfig]) -> Iterator[tuple[int, str, str]]:
        """Yield what keeps services from being one group: a service's number, the key, what is wrong."""

    def grouped(self, services: Sequence[ServiceConfig]) -> tuple[ServiceConfig, ...]:
        """Return the services with one in place of those of each group."""


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, checked: every option has its value or its default."""

    settings: Settings
    services: tuple[ServiceConfig, ...]
    path: str = ""
    entries: EntryReader | None = field(default=None, repr=False, compare=False)


# --------------------------------------------------------------------------------------- what a registry says


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag of a repository. `digest` and `pushed_at` if the registry's own API gives them with the list."""

    name: str
    digest: str | None = None
    pushed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """A user name with its secret.

    `is_identity_token`: the secret is an OAuth2 refresh token, not a password.
    """

    username: str
    secret: Secret
    is_identity_token: bool = False


# ----------------------------------------------------------------------------------------- what the host says


@dataclass(frozen=True, slots=True)
class Healthcheck:
    """A container's own healthcheck, defaults filled in. Seconds."""

    interval_seconds: float = 30.0
    timeout_seconds: float = 30.0
    start_period_seconds: float = 0.0
    retries: int = 3


@dataclass(frozen=True, slots=True)
class Container:
    """One container as `inspect` shows it. `health` is None if there is no (active) healthcheck."""

    id: str
    name: str
    project: str
    service: str
    image_id: str
    reference: str  # Config.Image: the string it was created from
    status: str  # created | running | restarting | paused | exited | dead | removing
    started_at: str
    restart_count: int
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    health: str | None = None  # starting | healthy | unhealthy
    health_log: str = ""
    healthcheck: Healthcheck | None = None
    restart_policy: str = "no"
    stop_grace_seconds: float = 10.0
    joined: tuple[str, ...] = ()  # containers in whose namespaces it lives, by id or name
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContainerSettings:
    """What a container was created with, besides its image.

    Binds are source and target, ports published and own.
    """

    environment: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold secrets
    command: tuple[str, ...] = field(default=(), repr=False)
    entrypoint: tuple[str, ...] = ()
    binds: frozenset[tuple[str, str]] = frozenset()
    ports: frozenset[tuple[str, str]] = frozenset()
    volumes: frozenset[tuple[str, str]] = frozenset()  # name and place
    networks: frozenset[str] = frozenset()
    volumes_from: tuple[str, ...] = ()  # containers whose volumes it has, by id or name
    has_memory_limit: bool = False


@dataclass(frozen=True, slots=True)
class Image:
    """A local image. `repo_digests` are `repository@sha256:…` as the engine spells them."""

    id: str
    repo_digests: tuple[str, ...] = ()
    repo_tags: tuple[str, ...] = ()
    platform: str = ""  # os/arch[/variant]
    descriptor_digest: str | None = None
    volumes: frozenset[str] = frozenset()  # the places that it declares as VOLUME, as it spells them
    has_healthcheck: bool = False
    variables: frozenset[str] = frozenset()  # names of those that it sets itself
    facts: ImageFacts = NO_FACTS


@dataclass(frozen=True, slots=True)
class Project:
    """How a Compose project was started: everything that has to be passed again to mean the same project.

    `home`: what `~` and `$HOME` mean in its files; empty: our own home folder.
    """

    name: str
    directory: str
    files: tuple[str, ...]
    env_files: tuple[str, ...] = ()
    home: str = ""


# ----------------------------------------------------------------------------------------------- the decision


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A digest that is not tried again for a service, why, and since when."""

    digest: str
    reference: str
    reason: Reason
    since: AwareTime
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A tag that may not be chosen, and why."""

    tag: str
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """No update today, and why.

    `available` is the image that waits, if there is one; `also`: what holds it besides.
    """

    reason: Reason
    detail: str = ""
    remedy: str = ""
    available: ImageRef | None = None
    rejected: tuple[Rejected, ...] = ()
    until: datetime | None = None
    also: tuple[Hold, ...] = ()
    others: tuple[ImageRef, ...] = ()  # that would move with `available`


@dataclass(frozen=True, slots=True)
class Update:
    """Go to `target`, and with it to `others`, which are of other repositories and have the same tag.

    `target` has its digest always; its tag is the one the file shall say. `signed_by`: the keys, if the
    service wants a signature.
    """

    target: ImageRef
    detail: str = ""
    rejected: tuple[Rejected, ...] = ()
    others: tuple[ImageRef, ...] = ()
    signed_by: str = ""


Decision = Hold | Update


# ----------------------------------------------------------------------------------- the plan and its outcome


@dataclass(frozen=True, slots=True)
class Mark:
    """One place of an edit: a Compose service's image, or an env file's variable; its raw text old and new.

    `change`: the part of it that is another, before and after, if it is not all of it.
    """

    kind: str  # service | variable
    key: str
    old: str
    new: str
    change: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """One file of the operator's before and after, as decoded text with its line ends and byte-order mark.

    `marks` find our places again in a file that was changed in the meantime.
    """

    path: str
    before: str
    after: str
    marks: tuple[Mark, ...] = ()


Detail = TypeVar("Detail")


@dataclass(frozen=True, slots=True)
class Plan(Generic[Detail]):
    """What an update is, whatever the place it is deployed at; only its target reads `detail`.

    `id` is of this one try. `old_retained`, `new_retained`, `earlier_retained`: by what the target keeps the
    image that runs, the new one (known once it is fetched) and those of earlier generations, so that a
    rollback finds them.
    """

    id: str
    name: str  # the service's name in our configuration
    target: str  # the deploy target's name
    image: ImageRef  # the new one, with its digest
    old_reference: str  # as the definition resolves it now
    new_reference: str
    old_digest: str | None
    old_retained: str
    gate: GatePolicy
    reason: str
    detail: Detail
    strategy: str = "recreate"
    restarts: str = ""  # what is restarted, in words
    was_well: bool = True  # False: down or unhealthy before; a rollback cannot promise more than that
    new_retained: str | None = None
    earlier_retained: tuple[str, ...] = ()
    kind: str = "update"  # update | owner_rollback
    others: tuple[ImageChange, ...] = ()  # the images of other repositories that move with it
    healthcheck_seconds: float = 0.0  # how long the service's own healthcheck may take to decide
    old_facts: ImageFacts = NO_FACTS  # known once the new image is fetched, like `new_facts`
    new_facts: ImageFacts = NO_FACTS


class Step(StrEnum):
    """The steps of one update, in their order: stop-first has RESTART, start-first has START and SWITCH."""

    HOLD = "hold"
    PULL = "pull"
    PRE_UPDATE = "pre_update"
    PROVE = "prove"
    JOURNAL = "journal"
    EDIT = "edit"
    RESTART = "restart"
    START = "start"
    GATE = "gate"
    SWITCH = "switch"
    VERIFY = "verify"
    POST_UPDATE = "post_update"
    COMMIT = "commit"
    ON_SUCCESS = "on_success"
    ON_FAILURE = "on_failure"


@dataclass(frozen=True, slots=True)
class CurrentStep:
    """What is done right now: an update's step since `since`, and what it said last, at `heard_at`."""

    service: str
    step: Step
    text: str
    since: datetime
    heard_at: datetime


@dataclass(frozen=True, slots=True)
class StepTaken:
    """A step that an update has been through: when it began, and how long it took.

    `is_back`: in the rollback.
    """

    step: Step
    begun: AwareTime
    seconds: float
    is_back: bool = False


def retry_command(service: str) -> str:
    """Return the command that lifts a service's quarantine, ready to be pasted into a shell.

    >>> retry_command("web"), retry_command("two words")
    ('sudo docker-updater --retry web', "sudo docker-updater --retry 'two words'")
    """
    return f"sudo docker-updater --retry {shlex.quote(service)}"


@dataclass(frozen=True, slots=True)
class Cause:
    """What went wrong: step, stable reason, words, remedy, and what was seen of the containers."""

    step: Step
    reason: Reason
    message: str
    remedy: str = ""
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Committed:
    """The new release runs and is proven."""

    plan: Plan[Any]
    hooks: tuple[HookRun, ...] = ()


@dataclass(frozen=True, slots=True)
class NotStarted:
    """Nothing visible was changed. `quarantine`: the release itself is at fault."""

    plan: Plan[Any]
    cause: Cause
    quarantine: bool = False
    hooks: tuple[HookRun, ...] = ()


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The old release was put back and seen running. `quarantine`: the release is at fault, not the host."""

    plan: Plan[Any]
    cause: Cause
    quarantine: bool = True
    hooks: tuple[HookRun, ...] = ()


@dataclass(frozen=True, slots=True)
class RollbackFailed:
    """Neither release could be proven. Left alone, said loudly. `quarantine`: the new release is at fault."""

    plan: Plan[Any]
    cause: Cause
    rollback: Cause
    quarantine: bool = True
    hooks: tuple[HookRun, ...] = ()


@dataclass(frozen=True, slots=True)
class Superseded:
    """The operator deployed another image meanwhile: nothing was rolled back, nothing is quarantined."""

    plan: Plan[Any]
    cause: Cause
    hooks: tuple[HookRun, ...] = ()


Outcome = Committed | NotStarted | RolledBack | RollbackFailed | Superseded


ALWAYS_SENT = ("update", "rollback")
KINDS = (*ALWAYS_SENT, "available", "failed", "recovered", "approval", "order")  # of events


@dataclass(frozen=True, slots=True)
class Event:
    """A notification. `id` stays the same however often it is delivered."""

    id: str
    kind: str  # one of KINDS
    service: str
    time: AwareTime
    host: str
    from_reference: str
    from_digest: str | None
    to_reference: str
    to_digest: str | None
    reason: str
    detail: str = ""
    duration_seconds: float | None = None
    remedy: str = ""
    evidence: tuple[Evidence, ...] = ()
    release: ReleaseStep = NO_STEP
    is_test: bool = False  # made by `--notify-test`: nothing has happened
    who: str = ""  # who gave the order, if it was one
    approve_url: str = ""  # of `approval`: leads to a page that asks, and then approves this one image
    was_well: bool = True  # of `rollback`: whether the old release was well before the update

"""The reason codes: why nothing is done, or why a tag or a release was rejected."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum, auto
from types import MappingProxyType


class Reason(StrEnum):
    """Why nothing is done, or why a tag or a release was rejected.

    Stable codes: log, status, metrics, webhook.
    """

    SAME_DIGEST = "same_digest"
    # a rejected tag
    EXCLUDED = "excluded"
    NOT_MATCHING = "not_matching"
    NOT_SEMVER = "not_semver"
    PRERELEASE = "prerelease"
    VARIANT = "variant"
    OTHER_PREFIX = "other_prefix"
    OTHER_PRECISION = "other_precision"
    OTHER_VARIANT = "other_variant"
    SCHEME_JUMP = "scheme_jump"
    OUT_OF_RANGE = "out_of_range"
    BUMP_TOO_BIG = "bump_too_big"
    NO_PUSH_TIME = "no_push_time"
    TOO_YOUNG = "too_young"
    QUARANTINED = "quarantined"
    NOT_SIGNED = "not_signed"
    BAD_SIGNATURE = "bad_signature"
    DOWNGRADE = "downgrade"
    OLDER = "older"
    NOT_AN_IMAGE = "not_an_image"
    # the choice as a whole
    CURRENT_UNPARSABLE = "current_unparsable"
    NO_CANDIDATE = "no_candidate"
    LISTING_INCOMPLETE = "listing_incomplete"
    PATTERN_TOO_SLOW = "pattern_too_slow"
    # the registry
    REGISTRY_ERROR = "registry_error"
    RATE_LIMITED = "rate_limited"
    AUTH_ERROR = "auth_error"
    NOT_FOUND = "not_found"
    # held because the operator asks for it
    PAUSED = "paused"
    WINDOW_CLOSED = "window_closed"
    SKIPPED = "skipped"
    NOTIFY_ONLY = "notify_only"
    AWAITING_APPROVAL = "awaiting_approval"
    APPROVAL_EXPIRED = "approval_expired"
    PULL_LIMIT = "pull_limit"
    # held because of what stands on the host
    NOT_RUNNING = "not_running"
    NOT_EDITABLE = "not_editable"
    NOT_IN_FILE = "not_in_file"
    FILE_UNREADABLE = "file_unreadable"
    LOCALLY_BUILT = "locally_built"
    OWN_CONTAINER = "own_container"
    LABEL_INVALID = "label_invalid"
    IMAGE_MISMATCH = "image_mismatch"
    AMBIGUOUS_PROJECT = "ambiguous_project"
    DRIFT = "drift"
    TOUCHES_OTHERS = "touches_others"
    DEPENDENCY_NOT_READY = "dependency_not_ready"
    CHANGED_ON_DISK = "changed_on_disk"
    VOLUME_MOVED = "volume_moved"
    SECOND_COPY = "second_copy"
    NAMESPACE_SHARED = "namespace_shared"
    MISSING_ON_HOST = "missing_on_host"
    RELATIVE_BIND = "relative_bind"
    VARIABLE_MISSING = "variable_missing"
    PORT_TAKEN = "port_taken"
    CANNOT_START_FIRST = "cannot_start_first"
    TAKEN_OVER = "taken_over"
    BUSY = "busy"
    NOT_A_MANAGER = "not_a_manager"
    ENGINE_TOO_OLD = "engine_too_old"
    NO_SUITABLE_NODE = "no_suitable_node"
    UPDATE_PAUSED = "update_paused"
    FAILURE_ACTION = "failure_action"
    BACKING_OFF = "backing_off"
    STOPPING = "stopping"
    FROZEN = "rollback_failed"
    # an update that failed, by what showed it
    ENGINE_ERROR = "engine_error"
    COMPOSE_ERROR = "compose_error"
    HOST_FAILURE = "host_failure"
    STATE_ERROR = "state_error"
    PULL_FAILED = "pull_failed"
    PLATFORM_MISSING = "platform_missing"
    UP_FAILED = "up_failed"
    UNHEALTHY = "unhealthy"
    EXITED = "exited"
    RESTARTING = "restarting"
    GATE_TIMEOUT = "gate_timeout"
    DIGEST_MISMATCH = "digest_mismatch"
    VOLUME_LOST = "volume_lost"
    PROBE_FAILED = "probe_failed"
    HOOK_MISSING = "hook_missing"
    PRE_UPDATE_FAILED = "pre_update_failed"
    POST_UPDATE_FAILED = "post_update_failed"
    INTERRUPTED = "interrupted"
    OWNER_ROLLBACK = "owner_rollback"
    INTERNAL_ERROR = "internal_error"


class Ending(Enum):
    """Who or what ends it that nothing is done for a reason."""

    BY_ITSELF = auto()  # time, the next release or the next try
    BY_AN_ANSWER = auto()  # nobody knows whether there is an update until registry, engine or file answers
    BY_CHOICE = auto()  # the operator wanted it so, and takes it back at will
    BY_OPERATOR = auto()  # nothing happens until a person acts


_ENDED_BY: Mapping[Ending, frozenset[Reason]] = {
    Ending.BY_AN_ANSWER: frozenset(
        {
            Reason.REGISTRY_ERROR,
            Reason.RATE_LIMITED,
            Reason.AUTH_ERROR,
            Reason.NOT_FOUND,
            Reason.LISTING_INCOMPLETE,
            Reason.PATTERN_TOO_SLOW,
            Reason.ENGINE_ERROR,
            Reason.COMPOSE_ERROR,
            Reason.STATE_ERROR,
            Reason.FILE_UNREADABLE,
            Reason.INTERRUPTED,
            Reason.INTERNAL_ERROR,
        }
    ),
    Ending.BY_CHOICE: frozenset(
        {
            Reason.PAUSED,
            Reason.WINDOW_CLOSED,
            Reason.SKIPPED,
            Reason.NOTIFY_ONLY,
            Reason.NOT_RUNNING,
            Reason.OWNER_ROLLBACK,
        }
    ),
    Ending.BY_OPERATOR: frozenset(
        {
            Reason.CURRENT_UNPARSABLE,
            Reason.NO_CANDIDATE,
            Reason.NO_PUSH_TIME,
            Reason.NOT_AN_IMAGE,
            Reason.AWAITING_APPROVAL,
            Reason.APPROVAL_EXPIRED,
            Reason.NOT_EDITABLE,
            Reason.NOT_IN_FILE,
            Reason.LOCALLY_BUILT,
            Reason.OWN_CONTAINER,
            Reason.LABEL_INVALID,
            Reason.IMAGE_MISMATCH,
            Reason.AMBIGUOUS_PROJECT,
            Reason.DRIFT,
            Reason.TOUCHES_OTHERS,
            Reason.VOLUME_MOVED,
            Reason.SECOND_COPY,
            Reason.NAMESPACE_SHARED,
            Reason.MISSING_ON_HOST,
            Reason.RELATIVE_BIND,
            Reason.VARIABLE_MISSING,
            Reason.PORT_TAKEN,
            Reason.CANNOT_START_FIRST,
            Reason.NOT_A_MANAGER,
            Reason.ENGINE_TOO_OLD,
            Reason.NO_SUITABLE_NODE,
            Reason.UPDATE_PAUSED,
            Reason.FAILURE_ACTION,
            Reason.FROZEN,
            Reason.HOOK_MISSING,
        }
    ),
    Ending.BY_ITSELF: frozenset(
        {
            Reason.SAME_DIGEST,
            Reason.EXCLUDED,
            Reason.NOT_MATCHING,
            Reason.NOT_SEMVER,
            Reason.PRERELEASE,
            Reason.VARIANT,
            Reason.OTHER_PREFIX,
            Reason.OTHER_PRECISION,
            Reason.OTHER_VARIANT,
            Reason.SCHEME_JUMP,
            Reason.OUT_OF_RANGE,
            Reason.BUMP_TOO_BIG,
            Reason.TOO_YOUNG,
            Reason.QUARANTINED,
            Reason.NOT_SIGNED,
            Reason.BAD_SIGNATURE,
            Reason.DOWNGRADE,
            Reason.OLDER,
            Reason.PULL_LIMIT,
            Reason.DEPENDENCY_NOT_READY,
            Reason.CHANGED_ON_DISK,
            Reason.TAKEN_OVER,
            Reason.BUSY,
            Reason.BACKING_OFF,
            Reason.STOPPING,
            Reason.HOST_FAILURE,
            Reason.PULL_FAILED,
            Reason.PLATFORM_MISSING,
            Reason.UP_FAILED,
            Reason.UNHEALTHY,
            Reason.EXITED,
            Reason.RESTARTING,
            Reason.GATE_TIMEOUT,
            Reason.DIGEST_MISMATCH,
            Reason.VOLUME_LOST,
            Reason.PROBE_FAILED,
            Reason.PRE_UPDATE_FAILED,
            Reason.POST_UPDATE_FAILED,
        }
    ),
}

# Every reason is in it: whoever adds one says how it ends.
ENDINGS: Mapping[Reason, Ending] = MappingProxyType(
    {reason: ending for ending, reasons in _ENDED_BY.items() for reason in reasons}
)

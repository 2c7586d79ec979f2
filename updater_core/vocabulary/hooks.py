"""Programs of the operator's that an update runs at its turns, and what became of them. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta


class HookKind(StrEnum):
    """When a hook runs: before anything is stopped, before the release counts as proven, or at the end.

    `ON_FAILURE` and `ON_SUCCESS` follow an update whose end is certain.
    """

    PRE_UPDATE = "pre_update"
    POST_UPDATE = "post_update"
    ON_FAILURE = "on_failure"
    ON_SUCCESS = "on_success"


@dataclass(frozen=True, slots=True)
class Hook:
    """One program and its arguments; on this host, or in the service's own container."""

    argv: tuple[str, ...]
    is_in_container: bool = False
    timeout_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Hooks:
    """The hooks of a service."""

    pre_update: Hook | None = None
    post_update: Hook | None = None
    on_failure: Hook | None = None
    on_success: Hook | None = None

    def of(self, kind: HookKind) -> Hook | None:
        """Return the hook of this kind; None if there is none."""
        return {
            HookKind.PRE_UPDATE: self.pre_update,
            HookKind.POST_UPDATE: self.post_update,
            HookKind.ON_FAILURE: self.on_failure,
            HookKind.ON_SUCCESS: self.on_success,
        }[kind]


NO_HOOKS = Hooks()


class HookResult(StrEnum):
    """How a hook ended.

    `begun`: it has not, as far as is known; `interrupted`: the updater ended before it did.
    """

    BEGUN = "begun"
    DONE = "done"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class HookRun:
    """One run of a hook.

    `output` is the end of what it wrote, without secrets; `exit_code` is None if it did not end by itself;
    `detail` says what went wrong, or is empty.
    """

    kind: HookKind
    begun: Annotated[datetime, Meta(tz=True)]
    result: HookResult = HookResult.BEGUN
    exit_code: int | None = None
    seconds: float = 0.0
    output: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class HookCall:
    """One hook to be run now, with its environment, in a folder of the host or in a container."""

    kind: HookKind
    hook: Hook
    facts: Mapping[str, str]
    folder: str
    container: str | None = None

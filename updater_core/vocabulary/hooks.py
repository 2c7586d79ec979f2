"""Programs of the operator's that an update runs at its turns. Values only."""

from __future__ import annotations

from dataclasses import dataclass


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

    def of(self, kind: str) -> Hook | None:
        """Return the hook of this kind (a `HookKind`, or its name); None if there is none."""
        return {
            "pre_update": self.pre_update,
            "post_update": self.post_update,
            "on_failure": self.on_failure,
            "on_success": self.on_success,
        }[kind]


NO_HOOKS = Hooks()

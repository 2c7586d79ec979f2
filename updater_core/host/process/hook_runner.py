"""Runs hooks on this host: which environment they get, when they are ended, what is kept of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from updater_core.errors import Stopped
from updater_core.host.process import group
from updater_core.protocols import Clock, HookCall
from updater_core.vocabulary.dated import HookKind, HookResult, HookRun
from updater_core.vocabulary.hooks import Hook

KEPT_BYTES = 4096
_STOP_GRACE_SECONDS = 60.0  # as of a gate: most end by then, and nobody waits for hours
_KEPT_VARIABLES = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR", "SSH_AUTH_SOCK",
)  # fmt: skip
_CANNOT_RUN = (126, 127)


def environment_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the part of our environment that a hook may see: none of our settings, and no credential.

    >>> environment_of({"PATH": "/bin", "DOCKER_HUB_PASSWORD": "x", "DOCKER_HOST": "tcp://h", "LC_ALL": "C"})
    {'PATH': '/bin', 'LC_ALL': 'C', 'DOCKER_HOST': 'tcp://h'}
    """
    kept = {name: environment[name] for name in _KEPT_VARIABLES if name in environment}
    engine = (
        "DOCKER_HOST",
        "DOCKER_CONTEXT",
        "DOCKER_CONFIG",
        "DOCKER_TLS",
        "DOCKER_TLS_VERIFY",
        "DOCKER_CERT_PATH",
    )
    return {**kept, **{name: environment[name] for name in engine if name in environment}}


@dataclass(frozen=True, slots=True)
class HostHookRunner:
    """`deploy.hooks.HookRunner` on this host. `clean` makes what a program wrote fit to be kept."""

    environment: Mapping[str, str]
    clock: Clock
    clean: Callable[[str], str]

    def begin(self, kind: HookKind) -> HookRun:
        return HookRun(kind, self.clock.now())

    def missing(self, hook: Hook, folder: str) -> str | None:
        if hook.is_in_container:
            return None if self._found("docker", folder) else "it needs the `docker` command on this host"
        program = hook.argv[0]
        if not Path(folder).is_dir():
            return f"its folder {folder} is not there"
        if self._found(program, folder):
            return None
        place = Path(folder, program)
        is_there = "/" in program and place.exists()
        return f"{place} may not be executed" if is_there else f"{program} is not found"

    def run(self, call: HookCall) -> HookRun:
        begun = self.begin(call.kind)
        if call.hook.is_in_container and call.container is None:
            return replace(
                begun, result=HookResult.FAILED, detail="has no container of the service on this host"
            )
        ended = self._ended(call)
        if isinstance(ended, str):
            return replace(begun, result=HookResult.FAILED, detail=f"could not be started: {ended}")
        seconds = max((self.clock.now() - begun.begun).total_seconds(), 0.0)
        done = replace(
            begun, exit_code=ended.code, seconds=round(seconds, 3), output=self.clean(ended.output)
        )
        if ended.code is None:
            detail = f"did not end within {call.hook.timeout_seconds:.0f} s and was ended"
            return replace(done, result=HookResult.TIMED_OUT, detail=detail)
        if ended.code < 0:
            return replace(done, result=HookResult.FAILED, detail=f"was ended by signal {-ended.code}")
        return replace(done, result=HookResult.DONE if ended.code == 0 else HookResult.FAILED)

    def _ended(self, call: HookCall) -> group.Ended | str:
        """Return how it ended, or why it could not be started.

        An image may have no shell to stand above the program: then it runs alone, and what its time-out
        cannot end goes with the container.
        """
        ended = self._once(call, self._command(call, is_supervised=True))
        has_no_shell = isinstance(ended, group.Ended) and ended.code in _CANNOT_RUN and '"sh"' in ended.output
        if call.container is not None and has_no_shell and call.hook.argv[0] != "sh":
            return self._once(call, self._command(call, is_supervised=False))
        return ended

    def _once(self, call: HookCall, command: group.Invocation) -> group.Ended | str:
        grace = 0.0 if call.kind is HookKind.PRE_UPDATE else _STOP_GRACE_SECONDS
        stop = _Stop(self.clock, grace)
        try:
            ended = group.run(command, stop.is_over)
        except OSError as error:
            return f"{command.folder}: {error.strerror or error}"
        if stop.has_come:
            raise Stopped(f"the updater was asked to end before the hook {call.kind} had", "nothing to do")
        return ended

    def _command(self, call: HookCall, *, is_supervised: bool) -> group.Invocation:
        hook, environment = call.hook, {**environment_of(self.environment), **call.facts}
        if call.container is None:
            return group.Invocation(hook.argv, environment, call.folder, hook.timeout_seconds, KEPT_BYTES)
        # docker takes the values from its own
        named = [word for name in call.facts for word in ("--env", name)]
        above = ("sh", "-c", group.SUPERVISOR, "hook") if is_supervised else ()
        argv = ("docker", "exec", "--interactive", *named, call.container, *above, *hook.argv)
        return group.Invocation(argv, environment, "/", hook.timeout_seconds, KEPT_BYTES, keeps_input=True)

    def _found(self, program: str, folder: str) -> bool:
        place = str(Path(folder, program)) if "/" in program else program
        return shutil.which(place, path=self.environment.get("PATH", os.defpath)) is not None


class _Stop:
    """The request to end a hook because the updater ends: at once, or after a while.

    Each question is a sign of life to the service manager.
    """

    def __init__(self, clock: Clock, grace_seconds: float) -> None:
        self._clock, self._grace = clock, grace_seconds
        self._asked_at: float | None = None
        self.has_come = False

    def is_over(self) -> bool:
        if not self._clock.wait(0):
            return False
        now = self._clock.monotonic()
        self._asked_at = now if self._asked_at is None else self._asked_at
        self.has_come = now - self._asked_at >= self._grace
        return self.has_come

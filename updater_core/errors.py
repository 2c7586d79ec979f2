"""One exception tree. A class exists only if some caller acts differently on it.

    UpdaterError
    ├── ConfigError         exit status 2, or the old configuration is kept on reload
    ├── RegistryError       the service is `unknown` this cycle
    │   ├── RateLimited     the host is not asked before `retry_at`
    │   ├── AuthFailed      a person must act; no retry storm
    │   ├── ListIncomplete  a part of the tags is missing: nothing is decided on the others
    │   ├── NotAnImage      what the tag leads to is no image: one candidate less
    │   └── NotFound        tag or repository is not there; never an update, never a removal
    ├── EngineError         an engine call was refused
    │   ├── EngineUnavailable   the socket does not answer: wait, do not blame the release
    │   └── ManifestRefused     a pull did not begin: another name of the image may lead to it
    ├── ComposeError        Compose refuses the project, or `up` failed
    │   └── ComposeMissing      there is no Compose to call: exit status 3
    ├── ChangedOnDisk       a file of the operator's is not what we read
    ├── GateFailed          the release is not healthy (or not what was asked for): quarantine its digest
    ├── Stopped             an end was asked for: nothing is decided, the next start goes on
    ├── StateError          state or journal cannot be written or read
    └── LockHeld            another instance works here

A message says what failed and on what; `remedy` says what a person can do. Neither ever holds a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from updater_core.vocabulary.reasons import Reason


class UpdaterError(Exception):
    """Anything the updater expects to go wrong.

    `remedy` is one sentence for the operator, or empty; `reason` the stable code that a service which met it
    is
    shown with.
    """

    reason: Reason = Reason.STATE_ERROR

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class ConfigError(UpdaterError):
    """Every problem of a configuration at once, each one `path: what is wrong; what to write instead`."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class RegistryError(UpdaterError):
    """A registry did not give a usable answer (unreachable, 5xx, HTML, wrong digest, incomplete list)."""

    reason = Reason.REGISTRY_ERROR

    def __init__(self, host: str, message: str, remedy: str = "") -> None:
        super().__init__(f"{host}: {message}", remedy)
        self.host = host


class RateLimited(RegistryError):
    """The registry asks for a pause. `retry_at` is aware UTC; no request goes to the host before it."""

    reason = Reason.RATE_LIMITED

    def __init__(self, host: str, message: str, retry_at: datetime, remedy: str = "") -> None:
        super().__init__(host, message, remedy)
        self.retry_at = retry_at


class AuthFailed(RegistryError):
    """The registry refuses the credentials, or hides a repository from them.

    `said`: the message without host and repository. `is_of_login`: the login itself was refused, whatever it
    may read.
    """

    reason = Reason.AUTH_ERROR
    said = ""
    is_of_login = False


class NotFound(RegistryError):
    """The registry says that the tag or the repository does not exist."""

    reason = Reason.NOT_FOUND


class ListIncomplete(RegistryError):
    """A registry gave a part of its tags only."""

    reason = Reason.LISTING_INCOMPLETE


class NotAnImage(RegistryError):
    """A tag leads to something that no engine can run."""

    reason = Reason.NOT_AN_IMAGE


class EngineError(UpdaterError):
    """The engine answered, and refused."""

    reason = Reason.ENGINE_ERROR


class EngineUnavailable(EngineError):
    """The engine did not answer at all."""


class ManifestRefused(EngineError):
    """The engine was given no manifest for a pull, so that it brought nothing."""


class ComposeError(UpdaterError):
    """Compose is missing, cannot read the project, or ended with an error."""

    reason = Reason.COMPOSE_ERROR


class ComposeMissing(ComposeError):
    """There is no Compose on this machine, or it cannot be started."""


class ChangedOnDisk(UpdaterError):
    """A file is not what we read a moment ago: the operator's edit wins."""

    reason = Reason.CHANGED_ON_DISK


class GateFailed(UpdaterError):
    """The new release did not prove itself. `reason` is a stable code from `models.Reason`."""

    def __init__(self, reason: str, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.reason = Reason(reason)


class Unreachable(UpdaterError):
    """The receiver is not there: what else waits for the same address need not be tried now."""


class Unanswered(Unreachable):
    """A receiver gave no answer in time: it may have the message, and is left alone for a while."""


class Stopped(UpdaterError):
    """The updater was asked to end while it waited: the journal stays open for the next start."""


class StateError(UpdaterError):
    """State, backup, journal or outbox cannot be read or written."""


class LockHeld(UpdaterError):
    """Another instance holds the lock."""

    reason = Reason.BUSY

"""The HTTP gate: the new release has to answer at an address of the operator's, in time, and for a while.

For images without a healthcheck, and beside one. It follows the gate of the target, whatever that is, and
asks from this host, as a user of the service would. The containers are looked at all the while: one that ends
fails at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from updater_core.deploy.health import Failed, Proven, Verdict, Waiting
from updater_core.deploy.target import Deployment, Stage
from updater_core.errors import GateFailed, Stopped
from updater_core.models import GatePolicy, Reason, Step
from updater_core.net.http import Broken, Connections, Limits, Request
from updater_core.protocols import Clock

# Short beside any health_timeout, so that one answer that hangs leaves time for more questions.
_LIMITS = Limits(connect_seconds=3.0, read_seconds=5.0, whole_seconds=10.0)
_LOOK_EVERY_SECONDS = 0.5
_STOP_GRACE_SECONDS = 60.0  # as of the gate of containers
_REMEDY = (
    "see the log of the release; if the address or the status is not what it should be, correct health_url"
)


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """What came of one question: a status, or None if there was no answer; in words."""

    status: int | None
    words: str


@dataclass(frozen=True, slots=True)
class ProbeTrack:
    """What is remembered from one question to the next. Seconds of a monotonic clock."""

    begun_seconds: float
    good_since_seconds: float | None = None


Probe = Callable[[str], ProbeAnswer]


def probe(url: str) -> ProbeAnswer:
    """Ask an address once: a redirect is an answer like any other, a certificate has to be valid."""
    try:
        # A new connection for each question, as a new visitor has: a kept one may lead to the old container.
        with closing(Connections(_LIMITS)) as connections:
            answer = connections.exchange(Request(url, "probe", "health_url", longest_bytes=0))
    except Broken as error:
        return ProbeAnswer(None, f"{url} gave no answer: {error}")
    # The body of an error says what is wrong; of a page it says nothing.
    said = answer.quoted() if answer.status >= 400 else ""
    return ProbeAnswer(answer.status, f"{url} answered {answer.status}" + (f": {said}" if said else ""))


def is_wanted(answer: ProbeAnswer, policy: GatePolicy) -> bool:
    """Return whether an answer has one of the statuses that count as well.

    >>> is_wanted(ProbeAnswer(302, ""), GatePolicy()), is_wanted(ProbeAnswer(404, ""), GatePolicy())
    (True, False)
    """
    return answer.status is not None and any(low <= answer.status <= high for low, high in policy.statuses)


def statuses_text(policy: GatePolicy) -> str:
    """Return the wanted statuses as they are written in the configuration.

    >>> statuses_text(GatePolicy(statuses=((200, 299), (401, 401))))
    '200-299,401'
    """
    return ",".join(f"{low}-{high}" if low != high else f"{low}" for low, high in policy.statuses)


def judge(
    track: ProbeTrack, answer: ProbeAnswer, policy: GatePolicy, now_seconds: float
) -> tuple[ProbeTrack, Verdict]:
    """Return what to remember for the next answer, and the verdict of this one. Pure."""
    if is_wanted(answer, policy):
        since = track.good_since_seconds if track.good_since_seconds is not None else now_seconds
        missing = policy.stable_seconds - (now_seconds - since)
        verdict = (
            Proven()
            if missing <= 0
            else Waiting(f"{answer.words}, {missing:.0f} s more to prove it stays so")
        )
        return replace(track, good_since_seconds=since), verdict
    # One bad answer begins the stable time anew: a release that answers now and then has not proven itself.
    track = replace(track, good_since_seconds=None)
    seconds = now_seconds - track.begun_seconds
    if seconds > policy.timeout_seconds:
        text = f"{answer.words}; {statuses_text(policy)} is wanted within {policy.timeout_seconds:.0f} s"
        return track, Failed(Reason.PROBE_FAILED, text)
    return track, Waiting(answer.words)


@dataclass(frozen=True, slots=True)
class HttpGate:
    """`deploy.target.Gate` by `health_url`. `tell` is for people."""

    clock: Clock
    tell: Callable[[Step, str], None]
    probe: Probe = probe

    def stages(self, deployment: Deployment) -> Sequence[Stage]:
        url = deployment.plan.gate.url
        return (Stage(Step.GATE, lambda: self._watch(deployment), f"asking {url}"),) if url else ()

    def _watch(self, deployment: Deployment) -> None:
        policy, clock = deployment.plan.gate, self.clock
        track = ProbeTrack(clock.monotonic())
        stop_asked_at: float | None = None
        said = ""
        while True:
            # A container that has ended fails at once, and not only when health_timeout is over.
            deployment.recheck()
            answer = self.probe(policy.url)
            track, verdict = judge(track, answer, policy, clock.monotonic())
            if isinstance(verdict, Proven):
                return
            if isinstance(verdict, Failed):
                raise GateFailed(verdict.reason, verdict.message, _REMEDY)
            if answer.words != said:
                self.tell(Step.GATE, verdict.what)
            said = answer.words
            stop_asked_at = self._heed_stop(stop_asked_at)
            clock.sleep(_LOOK_EVERY_SECONDS)

    def _heed_stop(self, asked_at: float | None) -> float | None:
        """Return when a stop was first asked for; None if it was not.

        Raises Stopped a while after that: nobody waits for hours.
        """
        if not self.clock.wait(0):
            return None
        now = self.clock.monotonic()
        if asked_at is not None and now - asked_at > _STOP_GRACE_SECONDS:
            raise Stopped(
                "the updater was asked to end before the gate had",
                "nothing to do: the next start takes it up",
            )
        return now if asked_at is None else asked_at

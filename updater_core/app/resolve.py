"""The decision for one service: its registry is asked what the policy needs and no more; `select` decides.

What a registry says is folded into the shared memory once, at the end, whatever that is; until then a
decision is made from what was remembered, with it. Nothing else is written here, so that many services can be
asked about side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from time import thread_time

from updater_core import reference
from updater_core.app.candidate import Candidate
from updater_core.deploy import together
from updater_core.deploy.target import Observed, Target
from updater_core.errors import NotAnImage, NotFound, RateLimited, RegistryError
from updater_core.models import Decision, Hold, ImageRef, Reason, ServiceConfig, Tag, Update
from updater_core.policy import explain, select
from updater_core.policy.bounded_regex import MatchBudget, TooSlow
from updater_core.policy.families import selector_of
from updater_core.policy.observation import Ask, Memo, Observation, SignatureVerdict, TimeSource
from updater_core.policy.patterns import Order
from updater_core.protocols import Registry, RemoteImage
from updater_core.state import observed_tags, outcomes, records
from updater_core.state.records import State
from updater_core.state.shared import SharedState

_WAIT = "nothing to do: it is asked again in the next cycle"
_WAIT_FOR_END = "nothing to do: it is asked again when its pause is over"


Verify = Callable[[ServiceConfig, ImageRef], SignatureVerdict]


def _never_asked(service: ServiceConfig, image: ImageRef) -> SignatureVerdict:
    raise ValueError(f"{service.name} has no public key, so nobody asks who signed {image.text}")


@dataclass(slots=True)
class Resolver:
    """One service's questions to its registry.

    `others`: the registries of `observed.others`; `budget`: what the operator's expressions may take in it;
    `asked`: the tags whose digests were asked for one by one; `verify`: asks who signed an image, if the
    service has keys.
    """

    service: ServiceConfig
    observed: Observed
    registry: Registry
    target: Target
    memory: SharedState
    now: datetime
    others: Sequence[Registry] = ()
    verify: Verify = _never_asked
    budget: MatchBudget = field(default_factory=lambda: MatchBudget(thread_time))
    digests: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    created: dict[str, datetime | None] = field(default_factory=dict)
    contents: dict[str, Hold | None] = field(default_factory=dict)
    signatures: dict[str, SignatureVerdict] = field(default_factory=dict)
    tags: tuple[Tag, ...] | None = None
    clock: TimeSource = TimeSource.REGISTRY

    def resolve(self) -> Candidate:
        """Return the service with its decision.

        A registry that gives no usable answer makes a Hold that says so: unknown, not up to date.
        """
        try:
            decision = self._listed_and_decided()
            # The image that runs may have got a digest by somebody's pull since it was cached; an update to
            # what runs already would restart it for nothing.
            if isinstance(decision, Update) and self._is_seen_anew():
                decision = self._listed_and_decided()
        finally:
            self.memory.fold(self.service.name, self.observed.current.key, self._noted)
        return Candidate(self.service, self.observed, decision, running_digest(self.observed, self.digests))

    def _is_seen_anew(self) -> bool:
        """Read the names of the image anew, before an update, and return whether there are other digests.

        A pull by somebody else adds names to a known image.
        """
        before, self.observed = self.observed, self.target.refreshed(self.observed)
        return self.observed.running_digests != before.running_digests

    def _listed_and_decided(self) -> Decision:
        try:
            built = self._built_here()
            if built is not None:
                return built
            if self.tags is None:
                self._list_tags()
        except TooSlow as error:
            return explain.too_slow(error)
        except RegistryError as error:
            return unknown(error)
        try:
            decision = together.whole_group(self._decide(), self._view())
            if not (self.others and self.service.policy.public_keys):
                return decision
            return together.unsigned(decision, self._verified) or decision
        except RegistryError as error:
            return unknown(error)

    def _view(self) -> together.TagGroup:
        history = observed_tags.history_of(self._known(), self.service.name, self.observed.current.key)
        registries = (self.registry, self.others)
        return together.TagGroup(
            self.service.name, self.observed, *registries, history.quarantine, history.left
        )

    def _built_here(self) -> Hold | None:
        """Return why an image with a `build` beside it is left alone: the registry does not have it."""
        current = self.observed.current
        try:
            for digest in self.observed.unproven_digests:
                self.registry.digest(replace(current, tag=None, digest=digest))
        except NotFound:
            # A pull-through cache may not know a digest that it has served by its tag.
            if self._is_behind_its_tag():
                return None
            detail = f"it is built here: {current.key} does not have the image that runs"
            return Hold(
                Reason.LOCALLY_BUILT, detail, "push that image, or take the service out of the configuration"
            )
        return None

    def _is_behind_its_tag(self) -> bool:
        """Return whether the current tag leads to what runs; some caches know an image only by its tag."""
        try:
            behind = self.registry.digest(replace(self.observed.current, digest=None))
        except NotFound:
            return False
        return behind in self.observed.unproven_digests

    def _list_tags(self) -> None:
        current, policy = self.observed.current, self.service.policy
        selector = selector_of(policy, current, self.budget)
        if selector is None:
            return
        if selector.order is Order.PUSH:
            # without a tag a registry gives the whole list, with one it may leave out what was pushed before
            # that tag
            own = current.tag or "latest"  # its push time counts, whether the selector means it or not
            is_selected = selector.extract(own) is not None
            asked = (
                current
                if is_selected and not policy.allow_downgrade
                else replace(current, tag=None, digest=None)
            )
            pushed = self.registry.pushed_tags(
                asked, lambda name: name == own or selector.extract(name) is not None
            )
            if pushed is not None:
                self.tags, self.clock = pushed, TimeSource.REGISTRY
                self.digests.update({tag.name: tag.digest for tag in pushed if tag.digest})
                return
            self.clock = TimeSource.FIRST_SEEN
        self.tags = self.registry.tags(current)
        known = self.memory.part(self.service.name, current.key)
        self.created = dict.fromkeys(observed_tags.without_time(known, current.key))

    def _decide(self) -> Decision:
        """Return the decision: `select` says what it still needs, and each question is one request."""
        current, memo = self.observed.current, Memo(self.budget)
        # Each round asks only for what the decision depends on by now, which mostly is one digest.
        while True:
            history = observed_tags.history_of(self._known(), self.service.name, current.key)
            decision = select.decide(self._observation(), self.service.policy, history, self.now, memo)
            if not isinstance(decision, Ask):
                return decision
            self._ask(decision)

    def _ask(self, needed: Ask) -> None:
        current = self.observed.current
        self.asked += needed.digests
        for tag in needed.digests:
            self._ask_digest(tag)
        for image in needed.signatures:
            self.signatures[image.digest or ""] = together.signature(image, self._view(), self._verified)
        for tag in needed.created:
            self.created[tag] = self.registry.created(
                replace(current, tag=tag, digest=None), self._platform()
            )
        for tag in needed.contents:
            self.contents[tag] = self._content(replace(current, tag=tag, digest=self.digests[tag]))

    def _verified(self, image: ImageRef) -> SignatureVerdict:
        return self.verify(self.service, image)

    def _platform(self) -> str:
        return self.service.platform or self.target.platform(self.service)

    def _is_current(self, tag: str | None) -> bool:
        return tag == reference.with_default_tag(self.observed.current).tag

    def _ask_digest(self, tag: str) -> None:
        """Ask for the digest behind a tag.

        A tag other than the current one that leads to nothing usable, although it is listed, is one candidate
        less, and no reason to leave the others.
        """
        asked = replace(self.observed.current, tag=tag, digest=None)
        try:
            self.digests[tag] = self.registry.digest(asked)
        except (NotAnImage, NotFound) as error:
            # A current tag that is gone is what there is to say; there is no other candidate to go on to.
            if self._is_current(tag):
                raise
            self.contents[tag] = Hold(error.reason, str(error), error.remedy, available=asked)

    def _content(self, target: ImageRef) -> Hold | None:
        """Return why a target is not taken for what it leads to.

        It is read down to the platform's own manifest, for an index does not say what its entries are. What
        is not there, or no image there, is no candidate; a registry that does not say is no reason: the pull
        will.
        """
        if outcomes.is_pausing(records.service_of(self._known(), self.service.name), self.now):
            return None  # after a failed try nothing is pulled for a while: it is asked when that is over
        is_current = self._is_current(target.tag)
        try:
            found = self.registry.image(target, self._platform(), in_full=True)
            if found.obstacle is not None:
                hold = explain.obstacle(found.obstacle, target, found.detail)
                return replace(hold, available=None) if is_current else hold
            return explain.same_image(target) if is_current and self._is_running(found) else None
        except NotAnImage as error:
            return Hold(error.reason, str(error), error.remedy, available=None if is_current else target)
        except NotFound as error:  # there is no next best for the current tag: the pull will say more
            return None if is_current else Hold(error.reason, str(error), error.remedy, available=target)
        except RegistryError:
            return None

    def _is_running(self, found: RemoteImage) -> bool:
        """Return whether an image is the one that runs, in either of the engine's image stores.

        The classic store names an image by its configuration's digest. containerd's names it by the digest of
        the index or manifest that was pulled, so that the registry has to say what that one leads to.
        """
        ids, digests = self.observed.image_ids, self.observed.running_digests
        if not found.manifest:
            return False
        if found.manifest in digests or ids == {found.config}:
            return True
        return not ids and any(self._leads_to(digest, found.manifest) for digest in sorted(digests))

    def _leads_to(self, digest: str, manifest: str) -> bool:
        """Return whether a digest's image has this manifest, as far as the registry still knows it."""
        running = replace(self.observed.current, tag=None, digest=digest)
        try:
            return self.registry.image(running, self._platform(), in_full=False).manifest == manifest
        except NotFound:
            return False

    def _known(self) -> State:
        """Return what was remembered, with what the registry has said so far."""
        return self._noted(self.memory.part(self.service.name, self.observed.current.key))

    def _noted(self, state: State) -> State:
        name, current = self.service.name, self.observed.current
        if self.tags is not None and self.clock is TimeSource.FIRST_SEEN:
            listed = [tag.name for tag in self.tags]
            state = observed_tags.note_tags(state, current.key, listed, self.digests, self.now)
            state = observed_tags.note_created(state, current.key, self.created)
        if self.tags is not None and self.clock is TimeSource.REGISTRY:
            for tag in self.tags:
                if tag.name == current.tag and tag.pushed_at is not None:
                    state = observed_tags.note_push(state, name, tag.name, tag.pushed_at)
        behind = (self.digests.get(tag) for tag in {*self.asked, current.tag or ""})
        for digest in filter(None, behind):
            state = observed_tags.note_digest(state, name, digest, self.now)
        return state

    def _observation(self) -> Observation:
        return Observation(
            current=self.observed.current,
            running_digests=self.observed.running_digests,
            digests=self.digests,
            created=self.created,
            contents=self.contents,
            signatures=self.signatures,
            tags=None if self.tags is None else together.shared(self.tags, self.observed, self.others),
            clock=self.clock,
        )


def unknown(error: RegistryError) -> Hold:
    """Return the hold for a registry that did not answer usably.

    >>> unknown(RegistryError("r.example", "answered 500")).reason.value
    'registry_error'
    """
    reason = error.reason
    until = error.retry_at if isinstance(error, RateLimited) else None
    fallback = {Reason.RATE_LIMITED: _WAIT_FOR_END, Reason.REGISTRY_ERROR: _WAIT}.get(reason, "")
    return Hold(reason, str(error), error.remedy or fallback, until=until)


def running_digest(observed: Observed, answers: Mapping[str, str]) -> str | None:
    """Return the digest to show for what runs: the current tag's if that is it, else any the registry has."""
    behind = answers.get(observed.current.tag or "")
    if behind in observed.running_digests:
        return behind
    return min(
        (d for d in observed.running_digests - observed.image_ids if reference.is_digest(d)), default=None
    )

"""What registries say is folded into one memory, once for each service, and is there for all who ask next."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from tests.support.memory_target import MemoryHost, MemoryObserved, MemoryTarget
from updater_core.app.candidate import Candidate
from updater_core.app.resolve import Resolver
from updater_core.errors import NotFound, RegistryError
from updater_core.models import Credential, Hold, ImageRef, Policy, Reason, ServiceConfig, Tag, Update
from updater_core.protocols import RemoteImage
from updater_core.reference import parse
from updater_core.state import observed_tags
from updater_core.state.records import State, service_of
from updater_core.state.shared import Change, SharedState
from updater_core.vocabulary.dated import NO_FACTS, ImageFacts

NOW = datetime(2026, 11, 28, 8, 0, tzinfo=UTC)
OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
KEY = parse("app:1.0").key


@dataclass
class Spoken:
    """A registry with these digests by tag; a tag that is missing makes an error."""

    digests: dict[str, str]
    asked: list[str] = field(default_factory=list)

    def digest(self, reference: ImageRef) -> str:
        self.asked.append(reference.tag or "")
        if reference.tag not in self.digests:
            raise RegistryError("r.example", f"{reference.tag} is not there")
        return self.digests[reference.tag or ""]

    def tags(self, reference: ImageRef) -> tuple[Tag, ...]:
        return tuple(map(Tag, self.digests))

    def pushed_tags(self, reference: ImageRef, wanted: Callable[[str], bool]) -> tuple[Tag, ...] | None:
        return None

    def created(self, reference: ImageRef, platform: str) -> datetime | None:
        return None

    def image(self, reference: ImageRef, platform: str, *, in_full: bool) -> RemoteImage:
        return RemoteImage()

    def facts(self, reference: ImageRef, platform: str) -> ImageFacts:
        return NO_FACTS

    def credential(self) -> Credential | None:
        return None

    def check(self, reference: ImageRef) -> str:
        return "fine"


@dataclass
class TagsOnly(Spoken):
    """A cache that has no image by its digest."""

    def digest(self, reference: ImageRef) -> str:
        if reference.tag is None:
            raise NotFound("r.example", f"{reference.digest} is not there")
        return super().digest(reference)


def resolved(
    name: str,
    tag: str,
    registry: Spoken,
    memory: SharedState,
    policy: Policy | None = None,
    unproven: frozenset[str] = frozenset(),
) -> Candidate:
    service = ServiceConfig(name, parse(f"app:{tag}"), ("/c.yml",), ("web",), policy=policy or Policy())
    target = MemoryTarget(MemoryHost({name: f"app:{tag}"}, {name: OLD}))
    observed = target.observe([service])[name]
    assert isinstance(observed, MemoryObserved)
    seen = replace(observed, unproven_digests=unproven)
    return Resolver(service, seen, registry, target, memory, NOW).resolve()


def test_what_a_cache_gives_by_its_tag_alone_was_not_built_here() -> None:
    behind = {NEW: Reason.LOCALLY_BUILT, OLD: Reason.SAME_DIGEST}
    for digest, reason in behind.items():
        one = resolved(
            "web", "1.0", TagsOnly({"1.0": digest}), SharedState(State()), unproven=frozenset({OLD})
        )
        assert isinstance(one.decision, Hold)
        assert one.decision.reason is reason


def test_what_is_decided_is_carried_with_what_it_was_decided_from() -> None:
    memory, registry = SharedState(State()), Spoken({"1.0": NEW})
    one = resolved("web", "1.0", registry, memory)
    assert one.observed is not None
    assert isinstance(one.decision, Update)
    assert (one.decision.target.digest, one.digest) == (NEW, OLD)
    assert registry.asked == ["1.0"]  # and not once more after the names of the image were read anew


def test_the_answer_for_one_service_is_kept_beside_its_neighbours() -> None:
    memory = SharedState(State())
    by_push = Policy(tag_pattern="1.*")
    resolved("web", "1.0", Spoken({"1.0": OLD, "1.1": NEW}), memory, by_push)
    resolved("api", "1.1", Spoken({"1.0": OLD, "1.1": NEW}), memory, by_push)
    seen = memory.state.seen[KEY]
    assert seen["1.0"].digest == OLD
    assert seen["1.1"].digest == NEW
    assert service_of(memory.state, "web").digest_seen
    assert service_of(memory.state, "api").digest_seen


def test_what_was_said_before_an_error_is_kept() -> None:
    earlier = observed_tags.note_tags(State(), KEY, ["1.0"], {}, NOW - timedelta(days=1))
    memory, registry = SharedState(earlier), Spoken({"1.0": OLD, "1.1": NEW})
    listed = ("1.0", "1.1", "1.2")
    registry.tags = lambda reference: tuple(map(Tag, listed))  # type: ignore[method-assign]
    one = resolved("web", "1.0", registry, memory, Policy(tag_pattern="*"))
    assert isinstance(one.decision, Hold)
    assert one.decision.reason is Reason.REGISTRY_ERROR
    assert memory.state.seen[KEY].keys() == {*listed}


class Counted(SharedState):
    """The real memory, which knows how often something was folded into it."""

    folds = 0

    def fold(self, name: str, key: str, change: Change) -> State:
        self.folds += 1
        return super().fold(name, key, change)


def test_what_a_registry_says_of_a_service_is_folded_into_the_memory_once() -> None:
    """However many questions a decision takes, and whatever it is."""
    memory, digests = Counted(State()), {"1.0": OLD, "1.1": NEW, "1.2": "sha256:" + "c" * 64}
    policies = (Policy(), Policy(tag_pattern="1.*"), Policy(semver_pattern="*"))
    for number, policy in enumerate(policies, start=1):
        registry = Spoken(digests)
        resolved("web", "1.0", registry, memory, policy)
        assert (memory.folds, bool(registry.asked)) == (number, True)
    resolved("web", "2.0", Spoken({}), memory)  # which is an error
    assert memory.folds == 4


def test_threads_lose_nothing_of_each_other() -> None:
    memory, names = SharedState(State()), [f"service{number}" for number in range(50)]

    def note(name: str, digest: str, part: State) -> State:
        return observed_tags.note_digest(part, name, digest, NOW)

    def add(name: str) -> None:
        for number in range(20):
            digest = f"sha256:{number % 5}"
            memory.fold(name, KEY, functools.partial(note, name, digest))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(add, names))
    state = memory.state
    kept = {f"sha256:{number}" for number in range(5)}
    assert all(service_of(state, name).digest_seen.keys() == kept for name in names)
    assert len(state.services) == 50

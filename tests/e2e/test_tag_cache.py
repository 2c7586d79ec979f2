"""A pull-through cache that looks upstream for tags only, in front of a real registry, on the real engine.

A digest that it refuses is fetched by its tag, and nothing but the image with that digest is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import lab
from tests.support.fake_registry import Build, FakeRegistry, Pushed
from tests.support.lab import Shop
from tests.support.real_registry import RealRegistry
from tests.support.tag_cache import TagCache
from updater_core.models import Committed, NotStarted, Reason, RolledBack

pytestmark = pytest.mark.engine


@dataclass
class CachedShop(Shop):
    """A shop whose images come through a cache; the fake registry only makes them."""

    upstream: RealRegistry | None = None
    cache: TagCache | None = None

    @property
    def repository(self) -> str:
        assert self.cache
        return f"{self.cache.host}/team/app"

    def push(self, tag: str, image: Build) -> Pushed:
        assert self.upstream
        with FakeRegistry() as maker:
            pushed = maker.push("team/app", tag, self.own(image))
            self.upstream.copy(maker, "team/app")
        return pushed

    def named(self, reference: str) -> str | None:
        """The release that a local reference names."""
        client = self.client
        try:
            found = client.api.images(name=reference)
            return str(found[0]["Labels"]["release"]) if found else None
        finally:
            client.close()


@pytest.fixture
def cached(tmp_path: Path, shop: Shop) -> Iterator[CachedShop]:
    """`shop` is there for its engine."""
    with RealRegistry(tmp_path) as upstream, TagCache(upstream.host) as cache:
        made = CachedShop(tmp_path, shop.registry, upstream=upstream, cache=cache)
        made.forget_strangers()
        yield made
        made.down()


def of(cached: CachedShop) -> TagCache:
    assert cached.cache
    return cached.cache


def test_what_a_cache_gives_by_its_tag_alone_is_taken_and_a_bad_release_is_taken_back(
    cached: CachedShop,
) -> None:
    cached.push("latest", lab.healthy("one"))
    cached.write()
    cached.up()
    two = cached.push("latest", lab.healthy("two"))
    outcome = cached.cycle().outcomes[0]
    assert isinstance(outcome, Committed), outcome
    assert two.digest in of(cached).refused
    assert cached.releases() == [("two", "running")]
    assert cached.state()["digest"] == two.digest
    assert cached.operator_up_changes() == []
    report = cached.cycle()
    assert (report.outcomes, report.needs_look) == ((), frozenset())
    bad = cached.push("latest", lab.unhealthy("three"))
    outcome = cached.cycle().outcomes[0]
    assert isinstance(outcome, RolledBack), outcome
    assert [entry["digest"] for entry in cached.state()["quarantine"]] == [bad.digest]
    assert cached.releases() == [("two", "running")]
    assert cached.named(f"{cached.repository}:latest") == "two"
    assert cached.operator_up_changes() == []


def test_a_tag_that_brings_another_image_is_not_taken_and_the_right_one_is_later(cached: CachedShop) -> None:
    cached.push("latest", lab.good("one"))
    cached.push("elsewhere", lab.good("other"))
    cached.write()
    cached.up()
    identity = cached.containers()[0].id
    two = cached.push("latest", lab.good("two"))
    of(cached).stale["latest"] = "elsewhere"
    outcome = cached.cycle().outcomes[0]
    assert isinstance(outcome, NotStarted), outcome
    assert outcome.cause.reason is Reason.PULL_FAILED
    assert "brings another image" in outcome.cause.message
    assert cached.containers()[0].id == identity
    assert cached.named(f"{cached.repository}:latest") == "one"
    assert cached.state()["quarantine"] == []
    assert cached.operator_up_changes() == []
    of(cached).stale.clear()
    of(cached).is_caching = False  # so that an engine too has to read the manifest behind the tag
    assert cached.run("--retry", cached.name)[0] == 0
    assert isinstance(cached.cycle().outcomes[0], Committed)
    assert cached.releases() == [("two", "running")]
    assert cached.state()["digest"] == two.digest
    report = cached.cycle()
    assert (report.outcomes, report.needs_look) == ((), frozenset())


def test_another_version_is_taken_and_pinned_though_the_cache_refuses_its_digest(cached: CachedShop) -> None:
    """Some say 403 for a digest. A version that fails leaves no name behind."""
    of(cached).refusal = 403
    cached.push("1.0.0", lab.healthy("one"))
    cached.write("1.0.0")
    cached.up()
    cached.policy = {"follow": "major", "pin_digest": True}
    two = cached.push("1.1.0", lab.healthy("two"))
    outcome = cached.cycle().outcomes[0]
    assert isinstance(outcome, Committed), outcome
    assert f"{cached.repository}:1.1.0@{two.digest}" in cached.compose_file.read_text()
    assert cached.operator_up_changes() == []
    cached.push("1.2.0", lab.unhealthy("three"))
    outcome = cached.cycle().outcomes[0]
    assert isinstance(outcome, RolledBack), outcome
    assert cached.releases() == [("two", "running")]
    assert cached.named(f"{cached.repository}:1.2.0") is None
    moved = cached.push("1.1.0", lab.healthy("four"))
    outcome = cached.cycle().outcomes[0]
    assert isinstance(outcome, Committed), outcome
    assert f"{cached.repository}:1.1.0@{moved.digest}" in cached.compose_file.read_text()
    assert cached.releases() == [("four", "running")]
    assert cached.operator_up_changes() == []

"""A private image in Debian's docker-registry behind a token server: updated and rolled back on the real
engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import lab
from tests.support.fake_registry import Build, FakeRegistry, Pushed
from tests.support.lab import Shop
from tests.support.real_registry import JANE, RealRegistry, htpasswd_auth, token_auth
from tests.support.token_server import TokenServer
from updater_core.models import Committed, Reason, RolledBack

pytestmark = pytest.mark.engine


@dataclass
class RealShop(Shop):
    """A shop whose images lie in a real registry; the fake one only makes them."""

    real: RealRegistry | None = field(default=None)

    @property
    def repository(self) -> str:
        assert self.real
        return f"{self.real.host}/team/app"

    def push(self, tag: str, image: Build) -> Pushed:
        assert self.real
        with FakeRegistry() as maker:
            pushed = maker.push("team/app", tag, self.own(image))
            self.real.copy(maker, "team/app", JANE)
        return pushed

    def open(self) -> None:
        """The first release runs; its image was pulled with a login of the operator's own."""
        self.push("v1.0.0", lab.healthy("one"))
        self.write("v1.0.0")
        client = self.client
        client.images.pull(self.repository, "v1.0.0", auth_config={"username": "jane", "password": "hunter2"})
        client.close()
        self.up()


@pytest.fixture(params=["token", "password"])
def private(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RealShop]:
    """A shop behind a token server, and one behind a password; jane may pull, nobody else."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with TokenServer(tmp_path, {"jane": "hunter2"}) as tokens:
        auth = token_auth(tokens) if request.param == "token" else htpasswd_auth(tmp_path)
        with RealRegistry(tmp_path, auth) as real, FakeRegistry() as unused:
            made = RealShop(tmp_path, unused, real=real)
            login = {"username": "jane", "password": "hunter2"}
            made.policy = {"semver_pattern": "v*", "registry_config": login}
            yield made
            made.down()


def test_a_private_image_is_updated(private: RealShop) -> None:
    private.open()
    two = private.push("v1.1.0", lab.healthy("two"))
    report = private.cycle()
    assert [type(outcome) for outcome in report.outcomes] == [Committed]
    assert private.releases() == [("two", "running")]
    assert private.state()["digest"] == two.digest
    assert f"{private.repository}:v1.1.0  # kept" in private.compose_file.read_text()
    assert private.operator_up_changes() == []
    assert private.cycle().needs_look == frozenset()


def test_a_bad_private_image_is_rolled_back_and_the_next_one_taken(private: RealShop) -> None:
    private.open()
    before = private.compose_file.read_bytes()
    private.push("v1.1.0", lab.unhealthy("two"))
    outcome = private.cycle().outcomes[0]
    assert isinstance(outcome, RolledBack)
    assert outcome.cause.reason is Reason.UNHEALTHY
    assert private.releases() == [("one", "running")]
    assert private.compose_file.read_bytes() == before
    private.push("v1.2.0", lab.healthy("three"))
    assert isinstance(private.cycle().outcomes[0], Committed)
    assert private.releases() == [("three", "running")]


def test_a_login_that_is_refused_leaves_the_service_as_it_is(private: RealShop) -> None:
    private.open()
    private.push("v1.1.0", lab.healthy("two"))
    private.policy["registry_config"] = {"username": "jane", "password": "wrong"}
    report = private.cycle()
    assert report.outcomes == ()
    assert report.needs_look == frozenset({private.name})
    assert private.releases() == [("one", "running")]

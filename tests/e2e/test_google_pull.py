"""A private image of Google's on the real engine: checked, pulled, updated and rolled back as a service
account.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import lab
from tests.support.fake_registry import Bearer
from tests.support.google import ACCOUNT, USERNAME, FakeGoogle
from tests.support.lab import Shop
from updater_core.models import Committed, Reason, RolledBack

pytestmark = pytest.mark.engine


@dataclass
class PrivateShop:
    """A shop whose registry opens to Google's latest token alone.

    `up` works as the operator's own login would.
    """

    shop: Shop
    google: FakeGoogle

    def open(self) -> None:
        self.shop.push("latest", lab.healthy("one"))
        self.shop.write()
        locked, self.shop.registry.auth = self.shop.registry.auth, None
        self.shop.up()
        self.shop.registry.auth = locked


@pytest.fixture
def private(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateShop]:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with FakeGoogle(tmp_path) as google:
        google.guard(shop.registry)
        shop.policy = {
            "registry_type": "gcr",
            "registry_config": {"service_account_path": str(google.key_file()), "project_id": "shop"},
        }
        yield PrivateShop(shop, google)


def test_a_private_image_is_updated_with_the_token_of_a_key_file(private: PrivateShop) -> None:
    private.open()
    shop = private.shop
    two = shop.push("latest", lab.healthy("two"))
    report = shop.cycle()
    assert [type(outcome) for outcome in report.outcomes] == [Committed]
    assert shop.releases() == [("two", "running")]
    assert shop.state()["digest"] == two.digest
    assert private.google.tokens_given == 1
    gets = [
        entry.headers.get("authorization", "") for entry in shop.registry.log if entry.kind == "manifest_get"
    ]
    # the engine's own, with the credential it was handed
    assert any(header.startswith("Bearer ") for header in gets)
    assert "ya29" not in (shop.folder / "state" / "state.json").read_text()


def test_a_bad_private_image_is_rolled_back_and_the_next_one_taken(private: PrivateShop) -> None:
    private.open()
    shop = private.shop
    bad = shop.push("latest", lab.unhealthy("two"))
    outcome = shop.cycle().outcomes[0]
    assert isinstance(outcome, RolledBack)
    assert outcome.cause.reason is Reason.UNHEALTHY
    assert shop.releases() == [("one", "running")]
    assert [entry["digest"] for entry in shop.state()["quarantine"]] == [bad.digest]
    shop.push("latest", lab.healthy("three"))
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert shop.releases() == [("three", "running")]


def test_the_environments_account_is_as_good(private: PrivateShop, monkeypatch: pytest.MonkeyPatch) -> None:
    private.shop.policy = {"registry_type": "artifact_registry"}
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(private.google.federation_file()))
    private.open()
    private.shop.push("latest", lab.healthy("two"))
    assert isinstance(private.shop.cycle().outcomes[0], Committed)


def test_an_account_without_the_role_leaves_the_service_as_it_is(private: PrivateShop) -> None:
    private.open()
    shop = private.shop
    identity = shop.containers()[0].id
    shop.push("latest", lab.healthy("two"))
    private.google.on_token = lambda token: None  # a token that opens nothing
    shop.registry.auth = Bearer(USERNAME, "another's")
    report = shop.cycle()
    assert report.outcomes == ()
    assert report.needs_look == frozenset({shop.name})
    assert shop.containers()[0].id == identity
    code, text = shop.run("--test")
    assert code != 0
    assert f"Google refuses {ACCOUNT}" in text
    assert "roles/artifactregistry.reader" in text
    assert "ya29" not in text


def test_a_key_file_that_is_gone_leaves_the_service_as_it_is(private: PrivateShop) -> None:
    private.open()
    shop = private.shop
    shop.push("latest", lab.healthy("two"))
    (shop.folder / "key.json").unlink()
    report = shop.cycle()
    assert report.outcomes == ()
    assert report.needs_look == frozenset({shop.name})
    assert shop.releases() == [("one", "running")]
    private.google.key_file()
    assert isinstance(shop.cycle().outcomes[0], Committed)

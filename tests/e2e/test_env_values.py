"""A version that an env file puts together from several values: the one that holds the number is edited."""

from __future__ import annotations

import pytest

from tests.e2e.test_update_groups import outcome_of
from tests.support import lab, newer_docker
from tests.support.lab import Shop
from updater_core.models import Committed, RolledBack

pytestmark = pytest.mark.engine

COMPOSE = """\
services:
  web:
    image: {image}
    labels: ["of=$TAG"]
    network_mode: none
    stop_grace_period: 0s
"""
ENV = "# what runs\nOS=slim\nexport BASE=\"v1.0.0\" # the version\nTAG=${BASE}-$OS\nNOTE='${BASE}'\n"


@pytest.mark.parametrize("compose", ["own", "newer"])
def test_the_value_that_holds_the_number_is_edited_and_put_back(
    shop: Shop, compose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compose == "newer":
        newer_docker.use_compose(monkeypatch)
    shop.policy |= {"follow": "minor"}
    env = shop.folder / ".env"
    env.write_text(ENV)
    shop.write("$TAG", COMPOSE)
    shop.push("v1.0.0-slim", lab.good("one"))
    shop.up()
    shop.push("v1.1.0-slim", lab.good("two"))
    assert isinstance(outcome_of(shop), Committed)
    after = ENV.replace("v1.0.0", "v1.1.0")
    assert (shop.releases(), env.read_text()) == ([("two", "running")], after)
    assert shop.containers()[0].labels["of"] == "v1.1.0-slim"
    assert shop.owner_up_changes() == []
    shop.push("v1.2.0-slim", lab.exits("three"))
    assert isinstance(outcome_of(shop), RolledBack)
    assert (shop.releases(), env.read_text()) == ([("two", "running")], after)
    assert shop.owner_up_changes() == []

"""A version that an env file puts together from several values: the one that holds the number is edited."""

from __future__ import annotations

import pytest

from tests.e2e.test_update_groups import hold_of, outcome_of
from tests.support import lab, newer_docker
from tests.support.lab import Shop
from updater_core.models import Committed, Reason, RolledBack

pytestmark = pytest.mark.engine

COMPOSE = """\
services:
  web:
    image: {image}
    labels: ["of=$TAG"]
    network_mode: none
    stop_grace_period: 0s
"""
ENV = "# what runs\nBASE=v0\nOS=slim\nexport BASE=\"v1.0.0\" # the version\nTAG=${BASE}-$OS\nNOTE='${BASE}'\n"


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
    assert shop.operator_up_changes() == []
    shop.push("v1.2.0-slim", lab.exits("three"))
    assert isinstance(outcome_of(shop), RolledBack)
    assert (shop.releases(), env.read_text()) == ([("two", "running")], after)
    assert shop.operator_up_changes() == []


BESIDE = """\
services:
  web:
    image: {image}
    network_mode: none
    stop_grace_period: 0s
  other:
    image: @OTHER
    env_file: app.env
    network_mode: none
    stop_grace_period: 0s
"""


@pytest.mark.parametrize("runs", ["RUNS=at-${TAG}", "RUNS=${SHOWN:-none}"], ids=["itself", "by another"])
def test_a_service_that_takes_the_variable_through_its_env_file_holds_the_edit(shop: Shop, runs: str) -> None:
    """What is found before anything is pulled; and the remedy, followed."""
    shop.policy |= {"follow": "minor"}
    (shop.folder / ".env").write_text("TAG=v1.0.0\nSHOWN=of-$TAG\nVERSION=v1.0.0\n")
    (shop.folder / "app.env").write_text(f"QUOTED='${{TAG}}'\n{runs}\n")
    shop.write("$TAG", BESIDE.replace("@OTHER", f"{shop.repository}:v1.0.0"))
    shop.push("v1.0.0", lab.good("one"))
    shop.up()
    shop.push("v1.1.0", lab.good("two"))
    found = hold_of(shop)
    named = f"TAG of {shop.folder / '.env'} is also used in {shop.folder / 'app.env'}, an env_file of other"
    assert (found.reason, found.detail) == (Reason.NOT_EDITABLE, named)
    status, said = shop.run("--test")
    assert (status, named in " ".join(said.split())) == (3, True), said
    other = [each.id for each in shop.containers("other")]
    shop.compose_file.write_text(shop.compose_file.read_text().replace(":$TAG", ":$VERSION"))
    assert shop.run("--test")[0] == 0
    assert isinstance(outcome_of(shop), Committed)
    assert (shop.folder / ".env").read_text() == "TAG=v1.0.0\nSHOWN=of-$TAG\nVERSION=v1.1.0\n"
    assert [each.id for each in shop.containers("other")] == other
    assert shop.operator_up_changes() == []

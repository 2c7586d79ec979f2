"""One variable that is the version of several repositories, on the real engine: its services move as one."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support import lab, newer_docker
from tests.support.cosign_fixture import public_pem, sign
from tests.support.fake_registry import Behaviour
from tests.support.lab import Shop
from updater_core.app import cycle
from updater_core.models import Committed, Hold, NotStarted, Outcome, Reason, RolledBack
from updater_core.reference import parse

pytestmark = pytest.mark.engine

COMPOSE = """\
services:
  web:
    image: @HOST/team/app:${VERSION:-v0} # the server
    env_file: [.env]
    network_mode: none
    stop_grace_period: 1s
  ml:
    image: "@HOST/team/app-ml:${VERSION}"
    labels: {version: "of ${VERSION}"}
    env_file: ml.env
    network_mode: none
    stop_grace_period: 1s
"""
ENV = "# the version\nOTHER=v1.0.0\nVERSION=v1.0.0\n"


@pytest.fixture(autouse=True)
def _running(shop: Shop) -> None:
    shop.policy = {"health_stable": 1, "semver_pattern": "v*"}
    shop.compose_service = ["web", "ml"]
    release(shop, "v1.0.0")
    shop.compose_file.write_text(COMPOSE.replace("@HOST", shop.registry.host))
    (shop.folder / ".env").write_text(ENV)
    (shop.folder / "ml.env").write_text("AT=at-${VERSION}\n")
    shop.up()


def test_every_image_of_the_group_must_be_signed(shop: Shop) -> None:
    signer = ec.generate_private_key(ec.SECP256R1())
    key = shop.folder / "acme.pub"
    key.write_bytes(public_pem(signer))
    shop.policy["signature"] = {"public_key": str(key)}

    def pushed(tag: str, name: str) -> None:
        digest = shop.registry.push(f"team/{name}", tag, shop.own(lab.good(f"{name} {tag}"))).digest
        sign(shop.registry, f"team/{name}", digest, signer)

    for name in ("app", "app-ml"):
        pushed("v1.1.0", name)
    pushed("v1.2.0", "app")
    release(shop, "v1.2.0", ("app-ml",))
    assert isinstance(outcome_of(shop), Committed)
    assert running(shop) == [("app v1.1.0", "running"), ("app-ml v1.1.0", "running")]
    shop.registry.push("team/app-ml", "v1.1.0", shop.own(lab.good("behind the same tag")))
    (checked,) = shop.cycle().checked
    assert isinstance(checked.decision, Hold)
    assert checked.decision.reason is Reason.NOT_SIGNED
    assert "team/app-ml" in checked.decision.detail
    status, out = shop.run("--test")
    signed, unsigned = (
        f"{shop.repository}:v1.1.0 is signed by acme.pub",
        f"{shop.repository}-ml:v1.1.0: not_signed",
    )
    assert (status, signed in out, unsigned in out) == (3, True, True), out
    assert running(shop) == [("app v1.1.0", "running"), ("app-ml v1.1.0", "running")]


def release(shop: Shop, tag: str, names: tuple[str, ...] = ("app", "app-ml")) -> None:
    for name in names:
        shop.registry.push(f"team/{name}", tag, shop.own(lab.good(f"{name} {tag}")))


def running(shop: Shop) -> list[tuple[str, str]]:
    return [*shop.releases("web"), *shop.releases("ml")]


def outcome_of(shop: Shop) -> Outcome:
    report = shop.cycle()
    assert len(report.outcomes) == 1, [one.decision for one in report.checked]
    return report.outcomes[0]


def test_all_go_to_the_highest_version_that_every_repository_has(shop: Shop) -> None:
    release(shop, "v1.1.0")
    release(shop, "v1.2.0", ("app",))
    _, plan = shop.run("--plan")
    assert f"  and:       {shop.repository}-ml:v1.0.0 -> {shop.repository}-ml:v1.1.0" in plan
    also = [" ".join(line.split()) for line in plan.splitlines() if line.strip().startswith("also:")]
    env = shop.folder / ".env"
    assert f"also: VERSION of {env} is also used in {shop.folder / 'ml.env'}, an env_file of ml" in also
    assert any(f"{env} with VERSION is also an env_file in" in line for line in also), plan
    assert isinstance(outcome_of(shop), Committed)
    assert "AT=at-v1.1.0" in shop.containers("ml")[0].attrs["Config"]["Env"]
    assert running(shop) == [("app v1.1.0", "running"), ("app-ml v1.1.0", "running")]
    assert (shop.folder / ".env").read_text() == ENV.replace("VERSION=v1.0.0", "VERSION=v1.1.0")
    assert shop.compose_file.read_text() == COMPOSE.replace("@HOST", shop.registry.host)
    assert shop.operator_up_changes() == []
    assert shop.cycle().outcomes == ()
    release(shop, "v1.2.0", ("app-ml",))
    assert isinstance(outcome_of(shop), Committed)
    assert running(shop) == [("app v1.2.0", "running"), ("app-ml v1.2.0", "running")]


def test_a_refused_pull_is_counted_at_the_registry_that_refused_it(shop: Shop) -> None:
    """One server under two names counts as two registries, for us as for the engine."""
    other = shop.registry.host.replace("127.0.0.1", "localhost")
    text = COMPOSE.replace("@HOST/team/app-ml", f"{other}/team/app-ml")
    shop.compose_file.write_text(text.replace("@HOST", shop.registry.host))
    shop.up()
    release(shop, "v1.1.0")
    refusal = Behaviour(status=429, body=b'{"errors":[{"code":"TOOMANYREQUESTS"}]}')
    shop.registry.behave("manifest_get", refusal, path="team/app-ml")
    context = shop.context()
    (outcome,) = cycle.run(context).outcomes
    assert isinstance(outcome, NotStarted)
    assert outcome.cause.reason is Reason.PULL_LIMIT
    assert context.registries.pull_allowed_at(parse(f"{other}/team/app-ml:v1.0.0")) is not None
    assert context.registries.pull_allowed_at(parse(f"{shop.repository}:v1.0.0")) is None


def test_the_check_asks_for_every_repository_of_the_group(shop: Shop) -> None:
    shop.registry.behave("tags", Behaviour(403), path="team/app-ml")
    status, out = shop.run("--test")
    assert status == 3, out
    assert f"runs {shop.repository}:v1.0.0, {shop.repository}-ml:v1.0.0 as project" in out
    assert f"ok    registry {shop.repository}:" in out
    assert f"FAIL  registry {shop.repository}-ml:" in out


def test_one_that_fails_takes_all_of_them_back(shop: Shop) -> None:
    release(shop, "v1.1.0", ("app",))
    shop.registry.push("team/app-ml", "v1.1.0", shop.own(lab.exits("bad")))
    assert isinstance(outcome_of(shop), RolledBack)
    assert running(shop) == [("app v1.0.0", "running"), ("app-ml v1.0.0", "running")]
    assert (shop.folder / ".env").read_text() == ENV
    assert shop.operator_up_changes() == []
    assert shop.cycle().outcomes == ()


def test_another_image_behind_the_tag_of_one_restarts_all_and_a_bad_one_is_tried_once(shop: Shop) -> None:
    del shop.policy["semver_pattern"]
    shop.registry.push("team/app-ml", "v1.0.0", shop.own(lab.good("ml anew")))
    assert isinstance(outcome_of(shop), Committed)
    assert running(shop) == [("app v1.0.0", "running"), ("ml anew", "running")]
    shop.registry.push("team/app-ml", "v1.0.0", shop.own(lab.exits("bad")))
    assert isinstance(outcome_of(shop), RolledBack)
    assert running(shop) == [("app v1.0.0", "running"), ("ml anew", "running")]
    report = shop.cycle()
    assert report.outcomes == ()
    decision = report.checked[0].decision
    assert isinstance(decision, Hold)
    assert decision.reason is Reason.QUARANTINED
    shop.registry.push("team/app-ml", "v1.0.0", shop.own(lab.good("ml fixed")))
    assert isinstance(outcome_of(shop), Committed)
    assert running(shop) == [("app v1.0.0", "running"), ("ml fixed", "running")]


def test_one_of_them_alone_is_held_with_the_list_that_leads_out(shop: Shop) -> None:
    shop.compose_service = "web"
    release(shop, "v1.1.0")
    report = shop.cycle()
    assert report.outcomes == ()
    status, said = shop.run("--plan")
    assert status == 0, said
    assert '"compose_service": ["ml", "web"]' in said
    shop.compose_service = ["ml", "web"]
    assert isinstance(outcome_of(shop), Committed)


def test_a_rollback_takes_every_repository_back_and_lasts(shop: Shop) -> None:
    release(shop, "v1.1.0")
    assert isinstance(outcome_of(shop), Committed)
    for name in ("app", "app-ml"):  # what is retained needs no registry
        shop.registry.delete(f"team/{name}", "v1.0.0")
    status, said = shop.run("--rollback", shop.name)
    assert (status, running(shop)) == (0, [("app v1.0.0", "running"), ("app-ml v1.0.0", "running")]), said
    assert (shop.folder / ".env").read_text() == ENV
    assert shop.operator_up_changes() == []
    assert shop.cycle().outcomes == ()
    release(shop, "v1.2.0", ("app",))
    assert shop.cycle().outcomes == ()
    assert shop.state()["reason"] == "quarantined"
    release(shop, "v1.2.0", ("app-ml",))
    assert isinstance(outcome_of(shop), Committed)
    assert running(shop) == [("app v1.2.0", "running"), ("app-ml v1.2.0", "running")]


def test_a_rollback_behind_one_tag_lasts_until_an_image_of_any_repository_is_newer(shop: Shop) -> None:
    del shop.policy["semver_pattern"]
    shop.registry.push("team/app-ml", "v1.0.0", shop.own(lab.good("ml two")))
    assert isinstance(outcome_of(shop), Committed)
    status, said = shop.run("--rollback", shop.name)
    assert (status, running(shop)) == (0, [("app v1.0.0", "running"), ("app-ml v1.0.0", "running")]), said
    assert shop.cycle().outcomes == ()
    shop.registry.push("team/app-ml", "v1.0.0", shop.own(lab.good("ml three")))
    assert isinstance(outcome_of(shop), Committed)
    assert running(shop) == [("app v1.0.0", "running"), ("ml three", "running")]
    assert shop.cycle().outcomes == ()


def test_a_rollback_of_an_included_group_goes_back_start_first(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer_docker.use_compose(monkeypatch)
    for tag in ("v1.0.0", "v1.1.0"):
        for name in ("app", "app-ml"):
            shop.registry.push(f"team/{name}", tag, shop.own(lab.healthy(f"{name} {tag}")))
    (shop.folder / "stack.yml").write_text(shop.compose_file.read_text())
    shop.compose_file.write_text("include: [stack.yml]\n")
    shop.compose("pull")
    shop.up()
    shop.policy |= {"update_order": "start-first", "health_timeout": 60}
    assert isinstance(outcome_of(shop), Committed)
    assert running(shop) == [("app v1.1.0", "running"), ("app-ml v1.1.0", "running")]
    status, said = shop.run("--rollback", shop.name)
    assert (status, running(shop)) == (0, [("app v1.0.0", "running"), ("app-ml v1.0.0", "running")]), said
    assert "start-first" in said
    assert (shop.folder / ".env").read_text() == ENV
    assert shop.operator_up_changes() == []


def test_a_rollback_that_fails_leaves_every_repository_at_its_new_release(shop: Shop) -> None:
    """The release before does not run any more, for example because a database was migrated."""
    compose = shop.compose_file.read_text()
    shop.compose_file.write_text(compose.replace("  ml:\n", "  ml:\n    volumes: [./data:/data]\n"))
    (shop.folder / "data").mkdir()
    shop.registry.push(
        "team/app-ml", "v1.0.0", shop.own(lab.build("ml", "test ! -e /data/new && sleep 1000"))
    )
    shop.compose("pull")
    shop.up()
    release(shop, "v1.1.0")
    assert isinstance(outcome_of(shop), Committed)
    (shop.folder / "data" / "new").touch()
    status, said = shop.run("--rollback", shop.name)
    assert status != 0
    assert "ml" in said
    assert running(shop) == [("app v1.1.0", "running"), ("app-ml v1.1.0", "running")]
    assert (shop.folder / ".env").read_text() == ENV.replace("VERSION=v1.0.0", "VERSION=v1.1.0")


def test_without_an_earlier_image_of_one_repository_a_rollback_is_refused_with_the_place_to_write(
    shop: Shop,
) -> None:
    """What is remembered is of a version that kept the image of one repository, or the group has grown
    since.
    """
    release(shop, "v1.1.0")
    assert isinstance(outcome_of(shop), Committed)
    path = shop.folder / "state" / "state.json"
    state = json.loads(path.read_text())
    for generation in state["services"][shop.name]["generations"]:
        del generation["others"]
    path.write_text(json.dumps(state))
    status, said = shop.run("--rollback", shop.name)
    assert status != 0
    assert f"no earlier image of {shop.registry.host}/team/app-ml is remembered" in said
    assert f"VERSION in {shop.folder / '.env'}" in said
    assert running(shop) == [("app v1.1.0", "running"), ("app-ml v1.1.0", "running")]


def test_another_service_that_reads_the_file_holds_the_update(shop: Shop) -> None:
    more = "  db:\n    image: @HOST/team/app:v1.0.0\n    env_file: .env\n    network_mode: none\n"
    shop.compose_file.write_text((COMPOSE + more).replace("@HOST", shop.registry.host))
    shop.up()
    release(shop, "v1.1.0")
    assert shop.cycle().outcomes == ()
    status, said = shop.run("--plan")
    assert status == 0, said
    assert "is also an env_file" in said
    assert ", by db" in said
    assert "`env_file` of db" in said


VARIANTS = """services:
  web: {image: "@HOST/team/app:${VERSION}-web", network_mode: none, stop_grace_period: 1s}
  ml: {image: "@HOST/team/app:${VERSION}-ml", network_mode: none, stop_grace_period: 1s}
"""


def test_variants_of_one_repository_follow_their_digests_and_the_remedy_leads_to_versions(shop: Shop) -> None:
    def pushed(tag: str, text: str) -> None:
        shop.push(tag, shop.own(lab.good(text)))

    pushed("v1.0.0-web", "web 1")
    pushed("v1.0.0-ml", "ml 1")
    text = VARIANTS.replace("@HOST", shop.registry.host)
    shop.compose_file.write_text(text)
    shop.up()
    shop.compose_service, shop.policy = "web", {"health_stable": 1}
    pushed("v1.0.0-web", "web 1, built again")
    assert isinstance(outcome_of(shop), Committed)  # without an edit, so that the other stays as it is
    assert running(shop) == [("web 1, built again", "running"), ("ml 1", "running")]

    pushed("v1.1.0-web", "web 1.1")
    shop.policy["follow"] = "minor"
    assert shop.cycle().outcomes == ()
    status, said = shop.run("--plan")
    assert status == 0, said
    assert "VERSION is in different tags of one repository" in said
    assert "in place of VERSION" in said

    shop.compose_file.write_text(text.replace("${VERSION}-web", "v1.0.0-web"))
    assert isinstance(outcome_of(shop), Committed)
    assert running(shop) == [("web 1.1", "running"), ("ml 1", "running")]
    assert shop.compose_file.read_text() == text.replace("${VERSION}-web", "v1.1.0-web")


# ---------------------------------------------------------------------------------------------------- `group`


def entries(shop: Shop, *names: str) -> None:
    """An entry of its own for each service, all of one group; each names its own image."""
    base = shop.config()["services"][0]
    images = {"web": f"{shop.repository}:v1.0.0", "ml": f"{shop.repository}-ml:v1.0.0"}
    named = [
        {
            **base,
            "name": f"{shop.name}-{name}",
            "image": images[name],
            "compose_service": name,
            "group": shop.name,
        }
        for name in names
    ]
    shop.settings = {**shop.settings, "services": named}


def test_entries_of_one_group_move_as_one_under_its_name(shop: Shop) -> None:
    entries(shop, "web", "ml")
    release(shop, "v1.1.0")
    release(shop, "v1.2.0", ("app",))
    assert shop.run("--test")[0] == 0
    assert isinstance(outcome_of(shop), Committed)
    assert running(shop) == [("app v1.1.0", "running"), ("app-ml v1.1.0", "running")]
    assert shop.state()["status"] == "updated"


def test_a_part_of_what_shares_a_place_fails_the_check_and_its_remedy_leads_out(shop: Shop) -> None:
    entries(shop, "web")
    status, said = shop.run("--test")
    assert status == 3
    assert "the same place in the file is the image of ml too" in said
    assert 'the same "group"' in said
    entries(shop, "web", "ml")
    assert shop.run("--test")[0] == 0


def test_a_group_of_one_tag_in_several_places_moves_and_one_of_several_tags_is_held(shop: Shop) -> None:
    """The tag stands in each image of the file, without a variable."""
    text = COMPOSE.replace("@HOST", shop.registry.host).replace("    env_file: [.env]\n", "")
    plain = text.replace("${VERSION:-v0}", "v1.0.0").replace('app-ml:${VERSION}"', 'app-ml:v1.0.0"')
    shop.compose_file.write_text(plain.replace("of ${VERSION}", "any"))
    shop.up()
    entries(shop, "web", "ml")
    release(shop, "v1.1.0")
    release(shop, "v1.2.0", ("ml",))
    assert isinstance(outcome_of(shop), Committed)
    assert running(shop) == [("app v1.1.0", "running"), ("app-ml v1.1.0", "running")]
    after = shop.compose_file.read_text()
    assert after == plain.replace("of ${VERSION}", "any").replace("v1.0.0", "v1.1.0")
    shop.compose_file.write_text(after.replace("app-ml:v1.1.0", "app-ml:v1.0.0"))
    shop.up()
    (one,) = shop.cycle().checked
    assert isinstance(one.decision, Hold)
    assert one.decision.reason is Reason.IMAGE_MISMATCH
    assert "have several tags" in one.decision.detail
    shop.compose_file.write_text(after)  # the remedy, followed
    shop.up()
    release(shop, "v1.3.0")
    assert isinstance(outcome_of(shop), Committed)


def test_discovery_proposes_a_group_and_takes_one_up_without_a_word(shop: Shop) -> None:
    shop.settings = {"services": []}
    _, said = shop.run("--discover", "--json")
    found = {
        each["name"]: each for each in json.loads(said)["services"] if each["name"].startswith(shop.name)
    }
    assert {each["entry"]["group"] for each in found.values()} == {shop.name}
    assert all("move together" in each["note"] for each in found.values())
    assert all(each["obstacles"] == [] for each in found.values())
    label = '{docker-updater.enable: "true", docker-updater.follow: minor}'
    labelled = COMPOSE.replace('{version: "of ${VERSION}"}', label).replace(
        "    env_file: [.env]\n", f"    labels: {label}\n"
    )
    shop.compose_file.write_text(labelled.replace("@HOST", shop.registry.host))
    shop.up()
    shop.settings = {
        "services": [], "discover": "labelled", "defaults": {"health_stable": 1, "health_timeout": 20},
    }  # fmt: skip
    release(shop, "v1.1.0")
    assert isinstance(outcome_of(shop), Committed)
    assert running(shop) == [("app v1.1.0", "running"), ("app-ml v1.1.0", "running")]
    assert shop.state()["status"] == "updated"

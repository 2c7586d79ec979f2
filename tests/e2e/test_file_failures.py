"""An operator's file in every malformed shape, and in the operator's hands while it is updated.

On the real engine and Compose.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import lab
from tests.support.failures import (
    assert_reported,
    during_the_gate,
    during_the_pull,
    fresh,
    later,
    opened,
    said,
    slow,
)
from tests.support.fake_registry import Build
from tests.support.lab import Shop
from updater_core.models import Committed, NotStarted, Reason, RolledBack

pytestmark = pytest.mark.engine

SERVICE = """\
services:
  web:
    image: {image}
    network_mode: none
"""


def _versions(shop: Shop, text: str = SERVICE, **files: str) -> str:
    """A shop that runs v1.0.0 of `text` and follows the versions; v1.1.0 is there.

    Returns the container's id.
    """
    shop.policy = {"semver_pattern": "v*", **shop.policy}
    for name, content in files.items():
        (shop.folder / name).write_text(content)
    identity = opened(shop, lab.good("v1.0.0"), "v1.0.0", text)
    shop.push("v1.1.0", fresh("v1.1.0"))
    return identity


def _assert_updated(shop: Shop, release: str = "v1.1.0", services: tuple[str, ...] = ("web",)) -> None:
    """The service runs the release, and the operator's own `up` has nothing to do."""
    assert [shop.releases(service) for service in services] == [[(release, "running")]] * len(services)
    assert shop.operator_up_changes() == []
    assert shop.strays() == []


def _assert_held(shop: Shop, identity: str, before: bytes) -> None:
    """Container and file are as they were."""
    assert (shop.containers()[0].id, shop.containers()[0].status) == (identity, "running")
    assert shop.compose_file.read_bytes() == before
    assert shop.strays() == []


# --------------------------------------------------------------------------------------- shapes that are fine


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(SERVICE.replace("\n", "\r\n"), id="windows line ends"),
        pytest.param("\ufeff" + SERVICE, id="byte-order mark"),
        pytest.param(SERVICE.replace("{image}", ">-\n      {image}\n"), id="folded block scalar"),
        pytest.param(SERVICE.replace("{image}", '"{image}"  # the tag: v1.0.0'), id="quoted, with a comment"),
    ],
)
def test_only_the_tag_changes_whatever_the_text_looks_like(shop: Shop, text: str) -> None:
    _versions(shop, text)
    before = shop.compose_file.read_bytes()
    assert [type(outcome) for outcome in shop.cycle().outcomes] == [Committed]
    assert shop.compose_file.read_bytes() == before.replace(b"app:v1.0.0", b"app:v1.1.0")
    _assert_updated(shop)


def test_an_image_through_a_variable_is_changed_where_the_variable_is_set(shop: Shop) -> None:
    text = SERVICE.replace("{image}", "IMAGE:${{TAG}}").replace("IMAGE", f"{shop.repository}")
    env = "# the release\nOTHER=1\nTAG='v1.0.0'\n"
    _versions(shop, text, **{".env": env})
    (shop.folder / ".env").chmod(0o640)
    before = shop.compose_file.read_bytes()
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert shop.compose_file.read_bytes() == before
    assert (shop.folder / ".env").read_text() == env.replace("v1.0.0", "v1.1.0")
    assert (shop.folder / ".env").stat().st_mode & 0o777 == 0o640
    _assert_updated(shop)


SHARED = """\
x-image: &image {image}
services:
  web:
    image: *image
    network_mode: none
  worker:
    image: *image
    network_mode: none
"""


def test_an_anchor_of_two_services_is_held_until_they_are_named_as_one_unit(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    identity = _versions(shop, SHARED)
    before = shop.compose_file.read_bytes()
    assert shop.cycle().outcomes == ()
    assert_reported(caplog, shop, "waiting", Reason.NOT_EDITABLE)
    assert '"compose_service": ["web", "worker"]' in shop.state()["remedy"]
    assert shop.state()["available"].startswith(f"{shop.repository}:v1.1.0")
    _assert_held(shop, identity, before)
    shop.compose_service = ["web", "worker"]
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert shop.compose_file.read_bytes() == before.replace(b"app:v1.0.0", b"app:v1.1.0")
    _assert_updated(shop, services=("web", "worker"))


# --------------------------------------------------------------------------------------- shapes that are held


def _duplicate_key(shop: Shop) -> None:
    text = shop.compose_file.read_text()
    shop.compose_file.write_text(
        text.replace("    network_mode", f"    image: {shop.repository}:v1.0.0\n    network_mode")
    )


def _hard_link(shop: Shop) -> None:
    (shop.folder / "copy.yml").hardlink_to(shop.compose_file)


def _no_hard_link(shop: Shop) -> None:
    (shop.folder / "copy.yml").unlink()


def _read_only(shop: Shop) -> None:
    shop.compose_file.chmod(0o444)


def _writable(shop: Shop) -> None:
    shop.compose_file.chmod(0o644)


def _invalid(shop: Shop) -> None:
    shop.compose_file.write_text(shop.compose_file.read_text() + "  : [ {\n")


def _unfinished(shop: Shop) -> None:
    shop.compose_file.write_text(shop.compose_file.read_text() + "    command: [/bin/sh, -c, 'exit 9']\n")


def _renamed_service(shop: Shop) -> None:
    shop.compose_file.write_text(shop.compose_file.read_text().replace("  web:", "  shop:"))


def _latin(shop: Shop) -> None:
    shop.compose_file.write_bytes(shop.compose_file.read_bytes() + b"# caf\xe9\n")


def _gone(shop: Shop) -> None:
    shop.compose_file.unlink()


def _a_folder(shop: Shop) -> None:
    shop.compose_file.unlink()
    shop.compose_file.mkdir()


def _unreadable(shop: Shop) -> None:
    """Mode bits do not stop root; a read that ends in an I/O error does."""
    shop.compose_file.unlink()
    shop.compose_file.symlink_to("/proc/self/mem")


def _restore(shop: Shop, before: bytes) -> None:
    if shop.compose_file.is_dir():
        shop.compose_file.rmdir()
    shop.compose_file.unlink(missing_ok=True)
    shop.compose_file.write_bytes(before)


@pytest.mark.parametrize(
    ("spoil", "fix", "status", "reason", "words"),
    [
        pytest.param(_hard_link, _no_hard_link, "waiting", Reason.NOT_EDITABLE, "hard links", id="hard link"),
        pytest.param(
            _read_only, _writable, "waiting", Reason.NOT_EDITABLE, "write-protected", id="read-only"
        ),
        pytest.param(
            _duplicate_key, None, "unknown", Reason.COMPOSE_ERROR, "already defined", id="duplicate key"
        ),
        pytest.param(_invalid, None, "unknown", Reason.FILE_UNREADABLE, "line 5", id="invalid yaml"),
        pytest.param(_renamed_service, None, "failed", Reason.NOT_IN_FILE, "'web'", id="service missing"),
        pytest.param(_latin, None, "unknown", Reason.FILE_UNREADABLE, "line 5 is not UTF-8", id="not UTF-8"),
        pytest.param(_gone, None, "unknown", Reason.FILE_UNREADABLE, "docker-compose.yml", id="file gone"),
        pytest.param(_a_folder, None, "unknown", Reason.FILE_UNREADABLE, "docker-compose.yml", id="a folder"),
        pytest.param(
            _unreadable, None, "unknown", Reason.FILE_UNREADABLE, "docker-compose.yml", id="i/o error"
        ),
    ],
)
def test_a_file_that_cannot_be_edited_holds_its_service_until_it_is_fixed(
    shop: Shop,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Shop], None],
    fix: Callable[[Shop], None] | None,
    status: str,
    reason: Reason,
    words: str,
) -> None:
    identity = _versions(shop)
    before = shop.compose_file.read_bytes()
    spoil(shop)
    spoilt = (
        None
        if shop.compose_file.is_dir() or spoil in (_gone, _unreadable)
        else shop.compose_file.read_bytes()
    )
    shop.registry.clear_log()
    assert shop.cycle().outcomes == ()
    assert words in assert_reported(caplog, shop, status, reason)
    assert shop.blobs_pulled() == []  # what cannot be put in place is not pulled either
    assert (shop.containers()[0].id, shop.containers()[0].status) == (identity, "running")
    assert spoilt is None or shop.compose_file.read_bytes() == spoilt
    assert shop.strays() == []
    if fix is None:
        _restore(shop, before)
    else:
        fix(shop)
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert shop.compose_file.read_bytes() == before.replace(b"app:v1.0.0", b"app:v1.1.0")
    _assert_updated(shop)


OTHER_READER = """\
  other:
    image: {}:v1.0.0
    network_mode: none
    environment:
      RELEASE: ${{{{TAG}}}}
"""


def test_a_variable_that_serves_something_else_too_is_not_touched(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    text = SERVICE.replace("{image}", f"{shop.repository}:${{{{TAG}}}}") + OTHER_READER.format(
        shop.repository
    )
    identity = _versions(shop, text, **{".env": "TAG=v1.0.0\n"})
    before = shop.compose_file.read_bytes()
    assert shop.cycle().outcomes == ()
    assert "TAG is also used" in assert_reported(caplog, shop, "waiting", Reason.NOT_EDITABLE)
    assert (shop.folder / ".env").read_text() == "TAG=v1.0.0\n"
    _assert_held(shop, identity, before)


@pytest.mark.parametrize("policy", [{}, {"semver_pattern": "v*"}], ids=["digest", "version"])
def test_an_edit_that_was_never_deployed_is_not_deployed_by_us(
    shop: Shop, caplog: pytest.LogCaptureFixture, policy: dict[str, str]
) -> None:
    shop.policy = dict(policy)
    identity = opened(shop, tag="v1.0.0", text=SERVICE)
    shop.compose_file.write_text(shop.compose_file.read_text() + "    environment:\n      SHINY: 'yes'\n")
    before = shop.compose_file.read_bytes()
    tag = "v1.1.0" if policy else "v1.0.0"
    shop.push(tag, lab.good("two"))
    assert shop.cycle().outcomes == ()
    assert_reported(caplog, shop, "waiting", Reason.DRIFT)
    assert "up -d web" in shop.state()["remedy"]
    assert "allow_drift" in shop.state()["remedy"]
    _assert_held(shop, identity, before)
    shop.policy = {**shop.policy, "allow_drift": True}
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert "SHINY=yes" in shop.containers()[0].attrs["Config"]["Env"]
    _assert_updated(shop, "two")


def test_the_same_hold_is_said_once_and_not_in_every_cycle(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    _versions(shop, SHARED)
    shop.cycle()
    assert len(said(caplog, shop)) == 1
    shop.cycle()
    assert said(caplog, shop) == []


# ----------------------------------------------------------------------------- the operator at work meanwhile


def _during_the_pull(shop: Shop, act: Callable[[], object]) -> object:
    (outcome,) = during_the_pull(shop, act).outcomes
    return outcome


def test_an_edit_during_the_pull_wins_and_the_next_cycle_updates_the_new_text(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    identity = _versions(shop)
    edited = shop.compose_file.read_bytes() + b"# the operator was here\n"
    outcome = _during_the_pull(shop, lambda: shop.compose_file.write_bytes(edited))
    assert isinstance(outcome, NotStarted)
    assert_reported(caplog, shop, "held", Reason.CHANGED_ON_DISK)
    _assert_held(shop, identity, edited)
    assert isinstance(shop.cycle().outcomes[0], Committed)
    assert shop.compose_file.read_bytes() == edited.replace(b"app:v1.0.0", b"app:v1.1.0")
    _assert_updated(shop)


@pytest.mark.parametrize(
    ("edit", "reasons"),
    [
        pytest.param(
            "    environment:\n      HALF: done\n", {Reason.CHANGED_ON_DISK, Reason.DRIFT}, id="an option"
        ),
        pytest.param(
            "    environment: [ {\n", {Reason.CHANGED_ON_DISK, Reason.COMPOSE_ERROR}, id="half a line"
        ),
    ],
)
def test_an_edit_during_the_pull_is_not_deployed_if_only_the_digest_moves(
    shop: Shop, edit: str, reasons: set[Reason]
) -> None:
    """No edit of ours meets the operator's here, but `up` reads the file as it stands.

    It must not take half an edit.
    """
    identity = opened(shop, text=SERVICE)
    before = shop.compose_file.read_bytes()
    shop.push("latest", fresh("two"))
    edited = before + edit.encode()
    outcome = _during_the_pull(shop, lambda: shop.compose_file.write_bytes(edited))
    assert isinstance(outcome, NotStarted), outcome
    assert outcome.cause.reason in reasons
    assert not outcome.quarantine
    _assert_held(shop, identity, edited)
    assert shop.cycle().outcomes == ()
    _assert_held(shop, identity, edited)
    shop.compose_file.write_bytes(before)
    assert isinstance(later(shop).outcomes[0], Committed)
    _assert_updated(shop, "two")


def test_a_file_replaced_by_a_link_during_the_pull_stays_a_link(shop: Shop) -> None:
    _versions(shop)
    target = shop.folder / "versions" / "shop.yml"

    def replace_by_link() -> None:
        target.parent.mkdir()
        shop.compose_file.rename(target)
        shop.compose_file.symlink_to(Path("versions") / "shop.yml")

    before = shop.compose_file.read_bytes()
    outcome = _during_the_pull(shop, replace_by_link)
    if isinstance(outcome, NotStarted):  # caution is fine too; the next cycle goes on from what stands there
        assert outcome.cause.reason is Reason.CHANGED_ON_DISK
        assert isinstance(shop.cycle().outcomes[0], Committed)
    assert shop.compose_file.is_symlink()
    assert target.read_bytes() == before.replace(b"app:v1.0.0", b"app:v1.1.0")
    assert sorted(path.name for path in target.parent.iterdir()) == ["shop.yml"]
    _assert_updated(shop)


def _during_the_gate(shop: Shop, act: Callable[[], object]) -> object:
    (outcome,) = during_the_gate(shop, "v1.1.0", act).outcomes
    return outcome


def test_an_edit_during_the_gate_of_a_good_release_stays(shop: Shop) -> None:
    _versions(shop)
    shop.push("v1.1.0", slow("v1.1.0", "exit 0"))
    before = shop.compose_file.read_bytes()

    def edit() -> None:
        shop.compose_file.write_bytes(b"# the operator was here\n" + shop.compose_file.read_bytes())

    assert isinstance(_during_the_gate(shop, edit), Committed)
    assert shop.compose_file.read_bytes() == b"# the operator was here\n" + before.replace(
        b"app:v1.0.0", b"app:v1.1.0"
    )
    _assert_updated(shop)


def _commented(shop: Shop) -> None:
    shop.compose_file.write_bytes(b"# the operator was here\n" + shop.compose_file.read_bytes())


def _taken_back(shop: Shop) -> None:
    text = shop.compose_file.read_bytes().replace(b"app:v1.1.0", b"app:v1.0.0")
    shop.compose_file.write_bytes(b"# the operator was here\n" + text)


def _linked(shop: Shop) -> None:
    shop.compose_file.write_bytes(b"# the operator was here\n" + shop.compose_file.read_bytes())
    shop.compose_file.rename(shop.folder / "real.yml")
    shop.compose_file.symlink_to("real.yml")


@pytest.mark.parametrize("edit", [_commented, _taken_back, _linked])
def test_an_edit_during_the_gate_of_a_bad_release_survives_the_rollback(
    shop: Shop, caplog: pytest.LogCaptureFixture, edit: Callable[[Shop], None]
) -> None:
    _versions(shop)
    before = shop.compose_file.read_bytes()
    shop.push("v1.1.0", slow("v1.1.0", "exit 1"))
    outcome = _during_the_gate(shop, lambda: edit(shop))
    assert isinstance(outcome, RolledBack), outcome
    assert_reported(caplog, shop, "rolled_back", Reason.UNHEALTHY)
    assert shop.compose_file.read_bytes() == b"# the operator was here\n" + before
    assert shop.compose_file.is_symlink() == (edit is _linked)
    _assert_updated(shop, "v1.0.0")
    shop.push("v1.2.0", lab.good("v1.2.0"))
    assert isinstance(shop.cycle().outcomes[0], Committed)
    _assert_updated(shop, "v1.2.0")


@pytest.mark.parametrize("act", [_invalid, _gone, _unfinished], ids=lambda act: act.__name__.strip("_"))
def test_a_file_spoilt_during_the_gate_does_not_cost_the_service_if_only_the_digest_moves(
    shop: Shop, caplog: pytest.LogCaptureFixture, act: Callable[[Shop], None]
) -> None:
    """No edit of ours was made, so no text of ours says what the old release was started from."""
    opened(shop, text=SERVICE)
    before = shop.compose_file.read_bytes()
    shop.push("latest", slow("two", "exit 1"))
    outcome = during_the_gate(shop, "two", lambda: act(shop)).outcomes[0]
    assert isinstance(outcome, RolledBack), outcome
    assert shop.releases() == [("one", "running")], outcome
    assert shop.strays() == []
    assert len(said(caplog, shop)) == 1
    _restore(shop, before)
    assert shop.operator_up_changes() == []
    shop.push("latest", lab.good("three"))
    assert isinstance(shop.cycle().outcomes[0], Committed)
    _assert_updated(shop, "three")


def test_what_the_operator_has_not_finished_is_not_deployed_by_the_way_back(shop: Shop) -> None:
    _versions(shop)
    shop.push("v1.1.0", slow("v1.1.0", "exit 1"))
    outcome = _during_the_gate(shop, lambda: _unfinished(shop))
    assert isinstance(outcome, RolledBack), outcome
    assert shop.releases() == [("v1.0.0", "running")]
    assert "exit 9" in shop.compose_file.read_text()
    assert shop.repository + ":v1.0.0" in shop.compose_file.read_text()


def test_an_env_file_edited_during_the_pull_is_not_deployed(shop: Shop) -> None:
    """Compose reads files that no label names: `env_file`, `include`, `extends`."""
    (shop.folder / "app.env").write_text("MODE=one\n")
    opened(shop, text=SERVICE + "    env_file: app.env\n")
    shop.push("latest", fresh("two"))
    outcome = _during_the_pull(shop, lambda: (shop.folder / "app.env").write_text("MODE=half done\n"))
    assert isinstance(outcome, NotStarted), outcome
    assert outcome.cause.reason is Reason.CHANGED_ON_DISK
    assert shop.releases() == [("one", "running")]
    (shop.folder / "app.env").write_text("MODE=one\n")
    assert isinstance(later(shop).outcomes[0], Committed)


@pytest.mark.parametrize(
    "act", [_hard_link, _read_only, _invalid, _gone], ids=lambda act: act.__name__.strip("_")
)
def test_a_file_spoilt_during_the_gate_of_a_bad_release_does_not_cost_the_service(
    shop: Shop, caplog: pytest.LogCaptureFixture, act: Callable[[Shop], None]
) -> None:
    """The rollback must not hang on a file that its operator is editing.

    The old release runs again at any rate.
    """
    _versions(shop)
    before = shop.compose_file.read_bytes()
    shop.push("v1.1.0", slow("v1.1.0", "exit 1"))
    outcome = _during_the_gate(shop, lambda: act(shop))
    assert isinstance(outcome, RolledBack), outcome
    assert shop.releases() == [("v1.0.0", "running")], outcome
    assert shop.strays() == []
    assert len(said(caplog, shop)) == 1
    _restore(shop, before)
    assert shop.operator_up_changes() == []
    shop.push("v1.2.0", lab.good("v1.2.0"))
    assert isinstance(shop.cycle().outcomes[0], Committed)
    _assert_updated(shop, "v1.2.0")


@pytest.mark.parametrize("place", ["-a, b $HOME 'ü\"", "link"], ids=["signs", "link"])
@pytest.mark.parametrize("image", [lab.good, lab.exits], ids=["good", "bad"])
def test_a_project_in_an_oddly_named_folder_goes_forward_and_back(
    shop: Shop, place: str, image: Callable[[str], Build]
) -> None:
    folder = shop.folder / place
    if place == "link":
        (shop.folder / "real").mkdir()
        folder.symlink_to("real")
    else:
        folder.mkdir()
    shop.folder = folder
    _versions(shop)
    shop.push("v1.1.0", image("v1.1.0"))
    before = shop.compose_file.read_bytes()
    (outcome,) = shop.cycle().outcomes
    assert isinstance(outcome, Committed if image is lab.good else RolledBack), outcome
    _assert_updated(shop, "v1.1.0" if image is lab.good else "v1.0.0")
    assert shop.compose_file.read_bytes() == before.replace(
        b"v1.0.0", b"v1.1.0" if image is lab.good else b"v1.0.0"
    )
    assert folder.is_symlink() == (place == "link")

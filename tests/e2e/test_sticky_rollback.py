"""`--rollback` lasts: what lay in the registry all the time does not undo it, on the real engine and command
line.
"""

from __future__ import annotations

import pytest

from tests.support import lab
from tests.support.failures import opened
from tests.support.lab import Shop

pytestmark = pytest.mark.engine


def cycles(shop: Shop) -> tuple[int, str]:
    """Two cycles; the first may still have learned something that the second acts on."""
    shop.run("--once")
    return shop.run("--once")


def test_a_rollback_by_version_waits_for_a_release_above_the_one_left(shop: Shop) -> None:
    shop.policy = {"semver_pattern": "*", "max_bump": "major"}
    opened(shop, lab.good("1.0.0"), tag="1.0.0")
    shop.push("1.2.0", lab.good("1.2.0"))
    assert shop.run("--once")[0] == 0
    shop.push("1.1.0", lab.good("1.1.0"))
    assert shop.releases() == [("1.2.0", "running")]
    status, out = shop.run("--rollback", shop.name)
    assert (status, shop.releases()) == (0, [("1.0.0", "running")]), out
    status, out = cycles(shop)
    assert (status, shop.releases()) == (0, [("1.0.0", "running")]), out
    assert (shop.state()["status"], shop.state()["reason"]) == ("waiting", "quarantined")
    shop.push("1.2.1", lab.good("1.2.1"))
    status, out = cycles(shop)
    assert (status, shop.releases()) == (0, [("1.2.1", "running")]), out


def test_a_rollback_of_a_digest_waits_for_another_one(shop: Shop) -> None:
    opened(shop)
    shop.push("latest", lab.good("two"))
    assert shop.run("--once")[0] == 0
    assert shop.run("--rollback", shop.name)[0] == 0
    status, out = cycles(shop)
    assert (status, shop.releases()) == (0, [("one", "running")]), out
    shop.push("latest", lab.good("three"))
    status, out = cycles(shop)
    assert (status, shop.releases()) == (0, [("three", "running")]), out


def test_after_retry_what_was_left_is_taken_again(shop: Shop) -> None:
    shop.policy = {"semver_pattern": "*"}
    opened(shop, lab.good("1.0.0"), tag="1.0.0")
    shop.push("1.2.0", lab.good("1.2.0"))
    assert shop.run("--once")[0] == 0
    assert shop.run("--rollback", shop.name)[0] == 0
    assert shop.run("--retry", shop.name)[0] == 0
    status, out = cycles(shop)
    assert (status, shop.releases()) == (0, [("1.2.0", "running")]), out


def test_with_nothing_to_go_back_to_it_ends_with_1_and_says_so(shop: Shop) -> None:
    opened(shop)
    assert shop.run("--once")[0] == 0
    status, out = shop.run("--rollback", shop.name)
    assert (status, "no earlier image" in out) == (1, True), out
    child = shop.updater()
    try:
        lab.until(lambda: (shop.folder / "state" / "state.json.lock").exists(), what="the daemon's lock")
        lab.until(
            lambda: "cycle_ended" in _log(shop) or "all well" in _log(shop), what="the daemon's first cycle"
        )
        status, out = shop.run("--rollback", shop.name)
        assert (status, "no earlier image" in out) == (1, True), out
    finally:
        child.terminate()
        child.communicate(timeout=150)


def _log(shop: Shop) -> str:
    path = shop.folder / "updater.log"
    return path.read_text() if path.exists() else ""

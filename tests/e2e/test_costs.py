"""What a cycle and an update cost on the real engine, as counts; a count that grows is a bug."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support import lab
from tests.support.engine_tap import EngineTap
from tests.support.lab import Shop

pytestmark = pytest.mark.engine


def test_an_update_pulls_the_layers_that_are_missing_and_each_of_them_once(shop: Shop) -> None:
    shop.push("latest", lab.answers("one"))
    shop.write()
    shop.up()
    two = shop.push("latest", lab.answers("two"))
    blobs, _, _ = shop.registry.contents("team/app")
    shop.registry.clear_log()
    assert shop.run("--once")[0] == 0
    assert shop.releases() == [("two", "running")]
    missing = {*two.layers, *two.configs.values()}
    assert shop.registry.sent() == {digest: len(blobs[digest]) for digest in missing}
    shop.registry.clear_log()
    assert shop.run("--once")[0] == 0
    assert shop.registry.counts() == {"manifest_head": 1}


def test_a_cycle_with_nothing_to_do_starts_no_process(shop: Shop, tmp_path: Path) -> None:
    shop.push("latest", lab.good("one"))
    shop.write()
    shop.up()
    log = tmp_path / "starts"
    assert shop.run("--once", audit=log)[0] == 0
    assert log.read_text() == ""
    shop.push("latest", lab.good("two"))
    assert shop.run("--once", audit=log)[0] == 0
    assert "subprocess.Popen" in log.read_text()  # Compose, to act: the hook does hear


def test_a_cycle_with_nothing_to_do_asks_the_engine_for_one_list_and_for_what_it_has_not_seen(
    shop: Shop,
) -> None:
    shop.push("latest", lab.good("one"))
    shop.write()
    shop.up("--scale", "web=3")

    def costs() -> Mapping[str, int]:
        with EngineTap() as tap:
            shop.engine_host = tap.host
            code, _ = shop.run("--once")
            shop.engine_host = None
            assert code == 0
            return tap.counts()

    # A second list is for containers whose files are gone, and a test beside this one may just have such a
    # container.
    least = {"GET version": 1, "GET containers/json": 1, "GET images/*/json": 1}
    lab.until(lambda: costs() == least, what="a cycle with one list")

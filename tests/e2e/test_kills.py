"""SIGKILL on the real engine: of the updater at every step, of the updater with its Compose at any moment, of
dockerd. The next start ends on the old release or on the new one, whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import lab
from tests.support.lab import ROOT, Shop, until

pytestmark = pytest.mark.engine

STEPS = {
    "engine.tag",
    "engine.pull",
    "journal.write",
    "files.stage",
    "files.commit",
    "compose.up",
    "journal.close",
}
# the simulator has every step before and after; here the worst two
ALSO_BEFORE = {"files.commit", "compose.up"}


def killed_run(shop: Shop, at: int, when: str) -> str:
    """The real updater, killed at its effect number `at`."""
    path = shop.folder / "config.json"
    path.write_text(json.dumps(shop.config()))
    argv = [sys.executable, "-m", "tests.support.killed_updater", str(path), str(at), when]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == (0 if at == 0 else -signal.SIGKILL), done.stderr
    return done.stdout


def assert_whole(shop: Shop, old: str, new: str) -> str:
    """One container with its right name, running one of the two releases; file and tag agree; nothing is left
    over.
    """
    [(release, status)] = shop.releases()
    assert status == "running"
    assert release in (old, new)
    assert shop.names() == [f"{shop.name}-web-1"]
    assert shop.operator_up_changes() == []
    assert shop.strays() == []
    return release


def prepared(shop: Shop, bad: bool = False) -> None:
    shop.policy = {"semver_pattern": "*", "health_stable": 1}
    shop.push("1.0.0", lab.good("1.0.0"))
    shop.write("1.0.0")
    shop.up()
    shop.push("1.1.0", lab.unhealthy("1.1.0") if bad else lab.good("1.1.0"))


def effects_of(shop: Shop) -> list[str]:
    """The effects of an undisturbed update, in their order."""
    lines = killed_run(shop, 0, "before").splitlines()
    return [line.split()[2] for line in lines if line.startswith("effect ")]


def back_to_the_start(shop: Shop) -> None:
    """The shop as before the update, the updater without a memory, the new image not on the host."""
    shop.write("1.0.0")
    shop.up()
    shop.forget_image("1.1.0")
    shop.forget_holds()
    for path in sorted((shop.folder / "state").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def test_killed_before_and_after_each_step_the_next_start_ends_whole(shop: Shop) -> None:
    prepared(shop)
    effects = effects_of(shop)
    assert assert_whole(shop, "1.0.0", "1.1.0") == "1.1.0"
    assert set(effects) >= STEPS
    for at, name in enumerate(effects, start=1):
        for when in ("before", "after") if name in ALSO_BEFORE else ("after",):
            back_to_the_start(shop)
            killed_run(shop, at, when)
            shop.cycle()
            assert_whole(shop, "1.0.0", "1.1.0")


def test_killed_on_the_way_back_from_a_bad_release_the_old_one_is_brought_back(shop: Shop) -> None:
    prepared(shop, bad=True)
    effects = effects_of(shop)
    first_up = effects.index("compose.up")
    way_back = {name: at for at, name in reversed(list(enumerate(effects, start=1))) if at > first_up}
    assert {"files.commit", "compose.up", "engine.tag", "journal.write"} <= way_back.keys()
    for name, at in way_back.items():
        back_to_the_start(shop)
        killed_run(shop, at, "after")
        shop.cycle()
        assert assert_whole(shop, "1.0.0", "1.1.0") == "1.0.0"
        known = {step["is_back"] for step in shop.state()["changes"][0]["steps"]}
        assert known <= {True} or name == "journal.close", "what the killed run had done is not made up"


def test_the_updater_and_its_compose_killed_at_any_moment_leave_a_shop_that_the_next_start_repairs(
    shop: Shop,
) -> None:
    prepared(shop)
    started = time.monotonic()
    shop.run("--once")
    whole_seconds = time.monotonic() - started
    chance = random.Random(7)
    for _ in range(8):
        back_to_the_start(shop)
        child = shop.updater("--once")
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(chance.uniform(0.25, 1.0) * whole_seconds)
        child.kill()
        kill_compose_of(shop)
        child.communicate()
        shop.cycle()
        assert_whole(shop, "1.0.0", "1.1.0")


def test_a_compose_killed_in_its_middle_does_not_stop_the_update(shop: Shop) -> None:
    """The old release does not heed TERM, so that there is a middle: a stop that takes all of its time."""
    shop.policy = {"semver_pattern": "*", "health_stable": 1}
    shop.push("1.0.0", lab.build("1.0.0", "trap '' TERM; while :; do sleep 1; done"))
    shop.write(
        "1.0.0", "services:\n  web:\n    image: {image}\n    network_mode: none\n    stop_grace_period: 5s\n"
    )
    shop.up()
    shop.push("1.1.0", lab.good("1.1.0"))
    child = shop.updater("--once")
    until(lambda: kill_compose_of(shop, "up"), what="a compose up to kill")
    child.communicate(timeout=150)
    assert assert_whole(shop, "1.0.0", "1.1.0") == "1.1.0"


def kill_compose_of(shop: Shop, word: str = "") -> int:
    """SIGKILL every Compose process of this shop; how many there were."""
    count = 0
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = entry.read_bytes().split(b"\0")
            is_ours = (
                shop.name.encode() in words and b"compose" in b" ".join(words) and b"--dry-run" not in words
            )
            if is_ours and (not word or word.encode() in words):
                os.kill(int(entry.parent.name), signal.SIGKILL)
                count += 1
    return count

"""Compose itself fails on the real engine: no good release is blamed, and the service is whole once the host
is.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support import lab
from tests.support.failures import opened
from tests.support.lab import Shop

pytestmark = pytest.mark.engine

# The real docker command, but for an `up` while there is a file that says how it ends.
_DOCKER = """\
#!/bin/sh
for word; do
  if [ "$word" = "--dry-run" ]; then break; fi
  if [ "$word" = up ] && [ -s {ends} ]; then . {ends}; fi
done
exec {docker} "$@"
"""
_DOES_ITS_WORK = "it is killed at its end"
ENDS = {
    "its plugin is killed": "echo 'status 255' >&2; exit 255",
    "its plugin is gone": "echo \"unknown shorthand flag: 'd' in -d\" >&2; exit 125",
    "it is killed": "kill -9 $$",
    "it is ended": "kill -TERM $$",
    "the connection is lost": "echo 'error during connect: EOF' >&2; exit 1",
    _DOES_ITS_WORK: '{docker} "$@" >/dev/null 2>&1; kill -9 $$',
}


@pytest.fixture
def ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that says how Compose ends; as long as it is empty, or not there, Compose does its work."""
    folder, docker = tmp_path / "bin", shutil.which("docker")
    folder.mkdir()
    path = tmp_path / "ends"
    (folder / "docker").write_text(_DOCKER.format(ends=path, docker=docker))
    (folder / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return path


@pytest.mark.parametrize("how", ENDS)
def test_whatever_ends_compose_a_good_release_is_taken_once_the_host_has_healed(
    shop: Shop, ends: Path, how: str
) -> None:
    opened(shop)
    before = [each.id for each in shop.containers()]
    shop.push("latest", lab.good("two"))
    ends.write_text(
        ENDS[how].replace("{docker}", shutil.which("docker", path=os.environ["PATH"].split(":", 1)[1]) or "")
    )
    status, out = shop.run("--once")
    assert status == 1, out
    state = shop.state()
    assert state["quarantine"] == [], out
    is_open = how == _DOES_ITS_WORK
    expected = "failed" if is_open else "rolled_back"  # nothing was replaced, and what runs is proven
    assert (state["status"], state["reason"]) == (expected, "compose_error"), out
    if is_open:
        assert "prevented by the host" in state["detail"]
        assert shop.run("--once")[0] == 1, "as long as the host is ill it is tried, and said"
        assert shop.state()["status"] == "failed"
        ends.unlink()
        out = shop.run("--once")[1]
    else:
        assert [each.id for each in shop.containers()] == before
        ends.unlink()
    assert shop.releases() == [("one", "running")], out
    assert shop.strays() == []
    assert shop.state()["quarantine"] == []
    assert shop.run("--retry", shop.name)[0] == 0
    assert shop.run("--once")[0] == 0
    assert shop.releases() == [("two", "running")]


def test_a_bad_release_is_blamed_although_the_host_prevents_its_rollback_for_a_while(
    shop: Shop, ends: Path
) -> None:
    opened(shop)
    shop.push("latest", lab.no_entry("two"))
    # each `up` works until the journal says that it goes back
    ends.write_text(f"grep -q rolling_back {shop.folder}/state/journal/*.json && exit 255")
    status, out = shop.run("--once")
    assert (status, shop.state()["status"], shop.state()["reason"]) == (1, "failed", "compose_error"), out
    ends.unlink()
    shop.run("--once")
    assert shop.releases() == [("one", "running")]
    assert [entry["reason"] for entry in shop.state()["quarantine"]] == ["up_failed"]

"""Real programs run as hooks: what they see, how they are ended, what is kept of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.lab import ROOT, until
from updater_core.deploy import evidence
from updater_core.errors import Stopped
from updater_core.host.process.hook_runner import HostHookRunner
from updater_core.protocols import HookCall
from updater_core.vocabulary.dated import HookKind, HookResult, HookRun
from updater_core.vocabulary.hooks import Hook

HUNDRED_SECONDS = 100.0


@dataclass
class Clock:
    """A stop is asked for once `stops` says so."""

    stops: Path | None = None
    waits: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return 0.0

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return self.stops is not None and self.stops.exists()

    def sleep(self, seconds: float) -> None:
        raise AssertionError("a hook is not slept for")


def runner(clock: Clock | None = None, **environment: str) -> HostHookRunner:
    known = {"PATH": os.environ["PATH"], **environment}
    return HostHookRunner(known, clock or Clock(), lambda text: evidence.output_tail(text, str, 4096))


def run(script: str, folder: Path, seconds: float = HUNDRED_SECONDS, clock: Clock | None = None) -> HookRun:
    hook = Hook(("sh", "-c", script), timeout_seconds=seconds)
    return runner(clock, DOCKER_HUB_PASSWORD="hub-password-1").run(
        HookCall(
            HookKind.POST_UPDATE, hook, {"DAU_SERVICE": "web", "DAU_TO": "app:2 $(touch x)"}, str(folder)
        )
    )


def test_a_hook_gets_the_facts_and_none_of_our_settings(tmp_path: Path) -> None:
    done = run('pwd; echo "$DAU_SERVICE to $DAU_TO"; env; read -r line || echo no input', tmp_path)
    assert (done.result, done.exit_code) == (HookResult.DONE, 0)
    lines = done.output.splitlines()
    assert lines[:2] == [str(tmp_path), "web to app:2 $(touch x)"]
    assert lines[-1] == "no input"
    assert "hub-password-1" not in done.output
    assert {line.partition("=")[0] for line in lines[2:-1]} <= {
        "PATH", "PWD", "OLDPWD", "SHLVL", "_", "DAU_SERVICE", "DAU_TO",
    }  # fmt: skip
    assert not (tmp_path / "x").exists()


def test_of_what_it_writes_the_end_is_kept_whatever_the_stream(tmp_path: Path) -> None:
    done = run(
        "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; done; echo the end >&2; exit 3", tmp_path
    )
    assert (done.result, done.exit_code) == (HookResult.FAILED, 3)
    assert done.output.endswith("line 3000\nthe end")
    assert len(done.output.encode()) <= evidence.OUTPUT_BYTES


@pytest.mark.parametrize("ignores", ["", "trap '' TERM; "])
def test_after_its_time_it_is_ended_with_all_that_it_started(tmp_path: Path, ignores: str) -> None:
    script = f"{ignores}sleep 1000 & echo $! > child; echo begun; while :; do sleep 1; done"
    done = run(script, tmp_path, seconds=1.0)
    assert (done.result, done.exit_code, done.output) == (HookResult.TIMED_OUT, None, "begun")
    assert "did not end within 1 s" in done.detail
    until(lambda: not is_alive(tmp_path / "child"), what="the child of a hook is gone")


def test_what_it_leaves_in_the_background_is_ended_and_not_waited_for(tmp_path: Path) -> None:
    done = run("sleep 1000 & echo $! > child; exit 0", tmp_path)
    assert done.result is HookResult.DONE
    until(lambda: not is_alive(tmp_path / "child"), what="the child of a hook is gone")


def test_a_stop_ends_a_pre_update_at_once(tmp_path: Path) -> None:
    hook = Hook(
        ("sh", "-c", "echo $$ > child; touch stop; while :; do sleep 1; done"),
        timeout_seconds=HUNDRED_SECONDS,
    )
    with pytest.raises(Stopped):
        runner(Clock(tmp_path / "stop")).run(HookCall(HookKind.PRE_UPDATE, hook, {}, str(tmp_path)))
    until(lambda: not is_alive(tmp_path / "child"), what="the stopped hook is gone")


def test_a_stop_lets_a_smoke_test_come_to_its_end(tmp_path: Path) -> None:
    done = run("touch stop; sleep 1; echo fine", tmp_path, clock=Clock(tmp_path / "stop"))
    assert (done.result, done.output) == (HookResult.DONE, "fine")


def test_each_moment_of_a_hook_is_a_sign_of_life(tmp_path: Path) -> None:
    clock = Clock()
    run("sleep 1", tmp_path, clock=clock)
    assert len(clock.waits) > 2


def test_a_killed_updater_takes_its_hook_along(tmp_path: Path) -> None:
    """By a SIGKILL, which nobody hears: the hook would run beside the one that the next start runs."""
    program = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from tests.integration.test_hook_runner import run
from pathlib import Path
run("echo $$ > child; sleep 1000", Path({str(tmp_path)!r}))
"""
    updater = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    until(
        lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().strip(),
        what="the hook has begun",
    )
    updater.send_signal(signal.SIGKILL)
    updater.wait()
    until(lambda: not is_alive(tmp_path / "child"), what="the hook is gone")


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (("not-a-program",), "not-a-program is not found"),
        (("/nowhere/backup",), "/nowhere/backup is not found"),
        (("./plain",), "plain may not be executed"),
        (("./script",), None),
        (("sh", "-c", "x"), None),
    ],
)
def test_what_cannot_be_run_is_known_before(tmp_path: Path, argv: tuple[str, ...], why: str | None) -> None:
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    (tmp_path / "script").write_text("#!/bin/sh\n")
    (tmp_path / "script").chmod(0o755)
    found = runner().missing(Hook(argv), str(tmp_path))
    assert (found is None) if why is None else (found is not None and why in found)


def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    done = run("true", tmp_path / "gone")
    assert done.result is HookResult.FAILED
    assert "No such file" in done.detail
    assert runner().missing(Hook(("true",)), str(tmp_path / "gone")) is not None


def is_alive(pid_file: Path) -> bool:
    try:
        os.kill(int(pid_file.read_text()), 0)
        return (
            "Z"
            not in Path(f"/proc/{pid_file.read_text().strip()}/stat")
            .read_text()
            .rpartition(")")[2]
            .split()[0]
        )
    except (ProcessLookupError, FileNotFoundError):
        return False

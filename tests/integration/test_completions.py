"""The completions of `ops/` in the real fish and zsh; bash's is tried on the installed command, on systemd's
machine.

Both come from the Debian packages of their names (`scripts/setup --with-shells`). With DAU_REQUIRE_ENGINE=1,
as `scripts/test` sets it, a missing one is a failure.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.lab import ROOT

FISH, ZSH = ROOT / "ops/docker-updater.completion.fish", ROOT / "ops/docker-updater.completion.zsh"
# A terminal of its own in which a person types the words, then TAB, then return; `echo` says what came of it.
TYPE = r"""
zmodload zsh/zpty
zpty typed zsh -f -i
zpty -w typed "PS1=; stty -echo; fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D; echo ready"
zpty -r -m typed line "*ready*ready*"
zpty -w -n typed "docker-updater $2"$'\t\n'
zpty -r -m typed line "*called with *!*"
print -r -- "$line"
"""


def shell(name: str) -> str:
    found = shutil.which(name)
    if found:
        return found
    if os.environ.get("DAU_REQUIRE_ENGINE") == "1":
        pytest.fail(f"{name} is not there; run scripts/setup --with-shells")
    pytest.skip(f"{name} is not there; scripts/setup --with-shells brings it")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A home of its own, a configuration with two services, and a command that says how it was called."""
    (tmp_path / "config.json").write_text('{"services": [{"name": "shop"}, {"name":"warehouse"}]}')
    command = tmp_path / "bin" / "docker-updater"
    command.parent.mkdir()
    help_text = f"exec {sys.executable} {ROOT / 'docker_updater.py'} --help"
    command.write_text(f'#!/bin/sh\n[ "$*" != --help ] || {help_text}\necho "called with $* !"\n')
    command.chmod(0o755)
    path = f"{command.parent}:{os.environ['PATH']}"
    return {
        "PATH": path, "HOME": str(tmp_path), "CONFIG_FILE": str(tmp_path / "config.json"), "TERM": "dumb",
        "LANG": "C.UTF-8",
    }  # fmt: skip


CASES = [("--st", "--status"), ("--notify", "--notify-test"), ("--retry wa", "--retry warehouse"),
         ("--service sh", "--service shop"), ("--rollback ware", "--rollback warehouse"),
         ("--approve sh", "--approve shop"), ("--pause ware", "--pause warehouse")]  # fmt: skip


@pytest.mark.parametrize(("typed", "whole"), CASES)
def test_fish_completes_flags_and_the_names_of_services(
    environment: dict[str, str], typed: str, whole: str
) -> None:
    argv = [shell("fish"), "-N", "-c", f"source {FISH}; complete -C 'docker-updater {typed}'"]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == whole.split()[-1:]


@pytest.mark.parametrize(("typed", "whole"), CASES)
def test_zsh_completes_flags_and_the_names_of_services(
    environment: dict[str, str], tmp_path: Path, typed: str, whole: str
) -> None:
    folder = tmp_path / "functions"
    folder.mkdir()
    shutil.copy(ZSH, folder / "_docker-updater")
    argv = [shell("zsh"), "-f", "-c", TYPE, "zsh", str(folder), typed]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True, timeout=60)
    called = re.findall(r"called with (.*) !", done.stdout)
    assert [words.split() for words in called] == [whole.split()]


@pytest.mark.parametrize(("name", "script"), [("fish", FISH), ("zsh", ZSH)])
def test_without_a_configuration_that_can_be_read_nothing_is_offered_and_nothing_said(
    environment: dict[str, str], name: str, script: Path
) -> None:
    environment["CONFIG_FILE"] = "/none"
    if name == "fish":
        argv = [shell(name), "-N", "-c", f"source {script}; complete -C 'docker-updater --retry '"]
    else:
        argv = [
            shell(name),
            "-f",
            "-c",
            f"words=(x --retry ''); CURRENT=3; compadd() {{ print $found }}; source {script}",
        ]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("", "")

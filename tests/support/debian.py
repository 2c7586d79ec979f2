"""Debian systems in folders, made with debootstrap from the mirror that this machine itself uses."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest


def make_root(root: Path, suite: str, packages: str) -> None:
    """Make a minimal system of release `suite` in the folder `root`.

    `packages`: names with commas between.
    """
    if shutil.which("debootstrap") is None:
        message = "no debootstrap to make a Debian system with; install the package debootstrap"
        pytest.fail(message) if os.environ.get("DAU_REQUIRE_ENGINE") == "1" else pytest.skip(message)
    argv = ["debootstrap", "--variant=minbase", f"--include={packages}", suite, str(root), _mirror()]
    done = subprocess.run(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=_with_proxy()
    )
    assert done.returncode == 0, done.stdout[-3000:]
    for place in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
        shutil.rmtree(root / place, ignore_errors=True)


def codename() -> str:
    """Return the release of this machine: `bookworm`."""
    lines = Path("/etc/os-release").read_text().splitlines()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    return found["VERSION_CODENAME"].strip('"')


def _mirror() -> str:
    """Where this machine itself gets the packages of its release."""
    suite = codename()
    places = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    texts = [place.read_text() for place in places if place.is_file()]
    plain = [
        found[1] for text in texts for found in re.finditer(rf"^deb (?:\[.*?\] )?(\S+) {suite} ", text, re.M)
    ]
    stanzas = [
        stanza
        for text in texts
        for stanza in text.split("\n\n")
        if re.search(rf"^Suites:.*\b{suite}\b", stanza, re.M)
    ]
    listed = [found[1] for stanza in stanzas if (found := re.search(r"^URIs:\s*(\S+)", stanza, re.M))]
    found_here = [*plain, *listed]
    if not found_here:
        raise AssertionError(f"the apt sources of this machine name no mirror for {suite}")
    return found_here[0]


def _with_proxy() -> dict[str, str]:
    """Return the environment, with apt's own proxy if it has one."""
    words = ("apt-config", "dump", "--format", "%v%n", "Acquire::http::Proxy")
    said = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    return {**os.environ, **({"http_proxy": said} if said and "http_proxy" not in os.environ else {})}

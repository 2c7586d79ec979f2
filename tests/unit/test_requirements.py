"""What is installed is pinned with the hashes of its files, satisfies what is asked for, and nothing else is
taken.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LISTS = ("requirements", "requirements-apprise", "dev-requirements")


def asked(name: str) -> list[Requirement]:
    """What a list asks for, with that of the lists that it takes in."""
    found: list[Requirement] = []
    for line in (ROOT / f"{name}.in").read_text().splitlines():
        text = line.split("  #")[0].strip()
        if text.startswith("-r "):
            found += asked(text.removeprefix("-r ").removesuffix(".in"))
        elif text and not text.startswith("#"):
            found.append(Requirement(text))
    return found


def pinned(name: str) -> dict[str, tuple[str, int]]:
    """The version of each package of a list, and the number of its hashes."""
    text = (ROOT / f"{name}.txt").read_text().replace("\\\n", " ")
    pins = [
        re.match(r"([A-Za-z0-9._-]+)==(\S+)\s*((?:--hash=sha256:[0-9a-f]{64}\s*)*)", line)
        for line in text.splitlines()
    ]
    return {canonicalize_name(pin[1]): (pin[2], pin[3].count("--hash")) for pin in pins if pin}


@pytest.mark.parametrize("name", LISTS)
def test_everything_is_pinned_with_hashes_and_satisfies_what_is_asked_for(name: str) -> None:
    found = pinned(name)
    lines = [
        line for line in (ROOT / f"{name}.txt").read_text().splitlines() if line[:1] not in ("", "#", " ")
    ]
    assert len(found) == len(lines), "a line is no pin"
    assert all(hashes > 0 for _, hashes in found.values())
    for need in asked(name):
        version, _ = found[canonicalize_name(need.name)]
        assert need.specifier.contains(version), (
            f"{need} is pinned to {version}; run scripts/lock_requirements"
        )


def test_what_stands_in_several_lists_has_one_version_and_the_same_files() -> None:
    known: dict[str, tuple[str, int]] = {}
    for name in LISTS:
        for package, pin in pinned(name).items():
            assert known.setdefault(package, pin) == pin, package


def test_a_compiled_package_has_the_wheels_of_every_platform() -> None:
    assert pinned("requirements")["msgspec"][1] > 20
    assert pinned("requirements")["pyyaml"][1] > 20


def test_the_package_asks_for_ranges_and_the_installers_for_hashes() -> None:
    dynamic = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["dynamic"]
    assert dynamic["dependencies"]["file"] == ["requirements.in"]
    assert dynamic["optional-dependencies"]["apprise"]["file"] == ["requirements-apprise.in"]
    assert not [each for each in asked("requirements") if any(one.operator == "==" for one in each.specifier)]
    for name in ("install.sh", "scripts/setup", "ops/Dockerfile"):
        assert "--require-hashes" in (ROOT / name).read_text(), name


def test_pip_takes_no_other_file_than_those(tmp_path: Path) -> None:
    """Somebody puts another release of the same version into the folder of wheels, or onto a mirror."""
    version = pinned("requirements")["semver"][0]
    wheel = tmp_path / f"semver-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("semver.py", "evil = True\n")
        archive.writestr(
            f"semver-{version}.dist-info/METADATA",
            f"Metadata-Version: 2.1\nName: semver\nVersion: {version}\n",
        )
        archive.writestr(
            f"semver-{version}.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"semver-{version}.dist-info/RECORD", "")
    text = (ROOT / "requirements.txt").read_text()
    (tmp_path / "one.txt").write_text(
        text[text.index("semver==") :].split("\ns")[0].split("\nt")[0].split("\nu")[0]
    )
    argv = [sys.executable, "-m", "pip", "install", "--no-index", "--find-links", str(tmp_path), "--target"]
    argv += [str(tmp_path / "into"), "-r", str(tmp_path / "one.txt")]
    done = subprocess.run(
        argv, env={"PIP_CONFIG_FILE": "/dev/null"}, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stdout + done.stderr

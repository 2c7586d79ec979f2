"""The project as a package: `pip install` gives the command, with all that it reads, and nothing of the
tests.
"""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from updater_core import __version__

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of a copy of the checkout: a build leaves folders behind."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    kept = (
        "docker_updater.py updater_core pyproject.toml README.md LICENSE requirements.in "
        "requirements-apprise.in"
    )
    source.mkdir()
    subprocess.run(["cp", "-r", *(str(ROOT / name) for name in kept.split()), str(source)], check=True)
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(folder),
        str(source),
    ]
    subprocess.run(build, check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return made


def read(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [each for each in archive.namelist() if each.endswith(f".dist-info/{name}")]
        return archive.read(path).decode()


def metadata(wheel: Path) -> Message:
    return Parser().parsestr(read(wheel, "METADATA"))


def test_the_command_of_the_package_is_the_updater(wheel: Path, tmp_path: Path) -> None:
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(tmp_path),
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True)
    command = tmp_path / "bin" / "docker-updater"
    said = subprocess.run(
        [command, "--version"],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    assert said.stdout.strip() == f"docker-updater {__version__}"


def test_it_needs_what_the_requirements_say_and_chats_are_an_extra(wheel: Path) -> None:
    needs = metadata(wheel).get_all("Requires-Dist") or []
    plain = {re.split(r"[<>=~! ]", need)[0] for need in needs if "extra ==" not in need}
    extra = {re.split(r"[<>=~! ]", need)[0] for need in needs if 'extra == "apprise"' in need}
    assert {"docker", "boto3", "PyYAML", "semver"} <= plain
    assert "apprise" in extra - plain


def test_its_version_is_the_programs(wheel: Path) -> None:
    assert metadata(wheel)["Version"] == __version__


def test_every_file_that_is_no_module_is_in_it(wheel: Path) -> None:
    data = {
        str(p.relative_to(ROOT))
        for p in (ROOT / "updater_core").rglob("*")
        if p.suffix in (".css", ".html", ".json")
    }
    with zipfile.ZipFile(wheel) as archive:
        assert data <= set(archive.namelist())
        assert not [
            name for name in archive.namelist() if name.startswith(("tests/", "scripts/", "benchmarks/"))
        ]


def test_there_is_one_command(wheel: Path) -> None:
    entry_points = ConfigParser()
    entry_points.read_string(read(wheel, "entry_points.txt"))
    assert dict(entry_points["console_scripts"]) == {"docker-updater": "docker_updater:main"}

"""The Compose commands of remedies mean the project that runs: they start no second one."""

from __future__ import annotations

from pathlib import Path

import pytest

from updater_core.models import Project
from updater_core.targets.compose.reading import origin


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "Shop.eu"
    made.mkdir()
    for name in ("docker-compose.yml", "base.yml", "prod.yml", ".env", "prod.env"):
        (made / name).write_text("services: {web: {image: app}}\n" if name.endswith("yml") else "")
    return made


def command(folder: Path, *names: str, project: str = "shopeu", env_files: tuple[str, ...] = ()) -> str:
    files = tuple(f"{folder}/{name}" for name in names)
    found = Project(project, str(folder), files, tuple(f"{folder}/{name}" for name in env_files))
    return origin.by_hand(found, "up -d web").replace(str(folder), "DIR")


def test_what_the_folder_implies_is_left_out(folder: Path) -> None:
    assert command(folder, "docker-compose.yml") == "docker compose up -d web"
    (folder / "docker-compose.override.yml").write_text("services: {}\n")
    assert command(folder, "docker-compose.yml", "docker-compose.override.yml") == "docker compose up -d web"


def test_a_name_in_the_file_is_left_out(folder: Path) -> None:
    (folder / "docker-compose.yml").write_text("name: store\nservices: {web: {image: app}}\n")
    assert command(folder, "docker-compose.yml", project="store") == "docker compose up -d web"


def test_what_it_does_not_imply_is_written_out(folder: Path) -> None:
    assert command(folder, "docker-compose.yml", project="prod") == "docker compose -p prod up -d web"
    several = command(folder, "base.yml", "prod.yml", env_files=("prod.env",))
    assert several == "docker compose -f DIR/base.yml -f DIR/prod.yml --env-file DIR/prod.env up -d web"


def test_a_file_that_compose_would_not_take_by_itself_is_written_out(folder: Path) -> None:
    (folder / "compose.yaml").write_text("services: {}\n")
    assert command(folder, "docker-compose.yml") == "docker compose -f DIR/docker-compose.yml up -d web"


def test_an_override_that_was_left_out_stays_left_out(folder: Path) -> None:
    (folder / "docker-compose.override.yml").write_text("services: {}\n")
    assert command(folder, "docker-compose.yml") == "docker compose -f DIR/docker-compose.yml up -d web"


def test_a_folder_that_is_not_the_files_own_is_written_out(folder: Path) -> None:
    project = Project("x", "/srv", (f"{folder}/base.yml",))
    assert origin.by_hand(project, "up -d").replace(str(folder), "DIR") == (
        "docker compose -p x --project-directory /srv -f DIR/base.yml up -d"
    )

"""What is seen of a host, where the real engine is not needed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from updater_core.models import Container
from updater_core.targets.compose import observe

PREFIX = "com.docker.compose.project."


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else here")
def test_a_project_in_a_folder_that_may_not_be_entered_is_nobodys_trouble(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    file = closed / "compose.yml"
    file.write_text("services: {}")
    labels = {f"{PREFIX}config_files": str(file), f"{PREFIX}working_dir": str(closed)}
    foreign = Container("i", "n", "p", "web", "sha256:0", "app:1", "running", "", 0, labels=labels)
    assert observe.container_index([foreign]) == {(str(file), "web"): (foreign,)}
    os.seteuid(65534)
    try:
        assert observe.container_index([foreign]) == {(observe.NO_FILES, "web"): (foreign,)}
    finally:
        os.seteuid(0)

"""What is seen of a host, as far as the real engine is not needed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from updater_core.composefile import edit
from updater_core.composefile.edit import Located, NotEditable
from updater_core.models import Container, Hold, Image, Project, Reason
from updater_core.targets.compose import observe
from updater_core.targets.compose.reading import observed, sources
from updater_core.targets.compose.reading.sources import FileCache

PREFIX = "com.docker.compose.project."


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else here")
def test_a_project_in_a_folder_that_may_not_be_entered_stops_nobody(tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    "is_containerds", [True, False], ids=["containerd's store", "the engine's own store"]
)
def test_a_digest_of_the_registry_is_no_local_id_although_containerds_store_calls_the_image_by_it(
    is_containerds: bool,
) -> None:
    digest, key = "sha256:" + "d" * 64, "docker.io/acme/web"
    own_id = digest if is_containerds else "sha256:" + "1" * 64
    known = Image(own_id, repo_digests=(f"acme/web@{digest}",))
    container = Container("c1", "web-1", "shop", "web", own_id, "acme/web:1", "running", "", 0)
    ids = observed.local_ids([container], key, {own_id: known}.get)
    assert ids == (frozenset() if is_containerds else {own_id})
    assert observed.running_digests([container], key, {own_id: known}.get) - ids == {digest}
    assert observed.local_ids([container], key, lambda _: None) == {own_id}


FETCHED = "https://example.com/stacks.git#main:db.yml"


@pytest.mark.parametrize(
    ("include", "env", "said"),
    [
        ("'${STACKS}/a.yml'", "", "line 1 includes '${STACKS}/a.yml', and no env file sets STACKS"),
        ("{path: sub/a.yml, project_directory: '$ROOT', env_file: [$HOME/a.env]}", "", "sets HOME"),
        ("'${STACKS:-sub}/b.yml'", "", "sub/b.yml cannot be read"),
        ("'${STACKS}/a.yml'", "STACKS=./sub\n", ""),
        ("'${NONE}sub/a.yml'", "", ""),
        ("'${PWD}/sub/a.yml'", "PWD=/nowhere\n", ""),  # the session's counts
        (f"'{FETCHED}'", "", ""),
    ],
)
def test_an_include_is_read_by_what_compose_has_for_its_variables(
    include: str, env: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a.yml").write_text("services: {a: {image: 'a:1'}}\n")
    (tmp_path / "c.yml").write_text(f"include: [{include}]\nservices: {{w: {{image: 'w:1'}}}}\n")
    (tmp_path / ".env").write_text(env)
    project = Project("p", str(tmp_path), (str(tmp_path / "c.yml"),))
    read = sources.read(project, FileCache())
    if said:
        assert isinstance(read, Hold)
        assert read.reason is Reason.FILE_UNREADABLE
        assert said in read.detail
    else:
        assert not isinstance(read, Hold)
        assert set(edit.services(read[0])) == ({"w"} if FETCHED in include else {"w", "a"})


def test_what_compose_fetches_is_named_as_the_place_of_a_service_that_is_not_here(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text(f"include: ['{FETCHED}']\nservices: {{w: {{image: 'w:$TAG'}}}}\n")
    (tmp_path / ".env").write_text("TAG=1\n")
    read = sources.read(Project("p", str(tmp_path), (str(tmp_path / "c.yml"),)), FileCache())
    assert not isinstance(read, Hold)
    missing, by_variable = (edit.locate(*read, name) for name in ("db", "w"))
    assert isinstance(missing, NotEditable)
    assert FETCHED in missing.detail
    assert isinstance(by_variable, Located)
    assert by_variable.obstacle is not None
    assert by_variable.obstacle.detail == f"TAG may also be used in {FETCHED}, which Compose fetches"

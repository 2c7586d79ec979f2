"""Labels with paths of a manager's container: which files of this host they mean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_preflight import container, facts, other
from updater_core import config_utils
from updater_core.errors import ConfigError
from updater_core.host.engine import label_paths
from updater_core.models import Container, Reason
from updater_core.targets.compose.preflight import relative_paths

LABEL = "com.docker.compose.project."


def stack(files: str = "/data/compose/3/c.yml", folder: str = "/data/compose/3", env: str = "") -> Container:
    labels = {f"{LABEL}config_files": files, f"{LABEL}working_dir": folder, "other": folder}
    return container(labels=labels | ({f"{LABEL}environment_file": env} if env else {}))


def paths(found: Container) -> list[str]:
    names = ("config_files", "working_dir", "environment_file")
    return [found.labels[f"{LABEL}{name}"] for name in names if f"{LABEL}{name}" in found.labels]


@pytest.fixture
def host(tmp_path: Path) -> Path:
    folder = tmp_path / "_data" / "compose" / "3"
    folder.mkdir(parents=True)
    for name in ("c.yml", "more.yml", "a,b.yml"):
        (folder / name).write_text("services: {}")
    return tmp_path / "_data"


@pytest.mark.parametrize("inner", ["/data", "/data/compose", "/data/compose/3"])
def test_every_path_of_the_labels_is_moved(host: Path, inner: str) -> None:
    folder = (inner, str(host) + inner.removeprefix("/data"))
    found = label_paths.with_host_paths(stack(env="/data/compose/3/x.env,/etc/x.env"), (), [folder])
    assert paths(found) == [
        f"{host}/compose/3/c.yml",
        f"{host}/compose/3",
        f"{host}/compose/3/x.env,/etc/x.env",
    ]
    assert found.labels["other"] == "/data/compose/3"


@pytest.mark.parametrize(
    "files", ["/data/compose/3/c.yml,/data/compose/3/more.yml", "c.yml,more.yml", "/data/compose/3/a,b.yml"]
)
def test_several_files_relative_ones_and_commas(host: Path, files: str) -> None:
    found = label_paths.with_host_paths(stack(files), (), [("/data", str(host))])
    assert paths(found) == [files.replace("/data", str(host)), f"{host}/compose/3"]


@pytest.mark.parametrize("mounted", [[("/dat", "")], [("/data/compose/4", "")], [("/data", "/nowhere")], []])
def test_what_leads_to_no_file_changes_nothing(host: Path, mounted: list[tuple[str, str]]) -> None:
    given = [(inner, outer or str(host)) for inner, outer in mounted]
    assert label_paths.with_host_paths(stack(), (), given) == stack()


def test_a_file_that_is_there_is_meant_unless_path_map_says_otherwise(host: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "c.yml").write_text("services: {}")
    found = stack(f"{copy}/c.yml", str(copy))
    pair = [(str(copy), f"{host}/compose/3")]
    assert label_paths.with_host_paths(found, (), pair) == found
    assert paths(label_paths.with_host_paths(found, pair, ())) == [
        f"{host}/compose/3/c.yml",
        f"{host}/compose/3",
    ]


def test_mounts_that_lead_to_different_files_lead_nowhere_and_to_one_file_do(
    host: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(host)
    same = [("/data", str(host)), ("/data", str(tmp_path / "link"))]
    assert paths(label_paths.with_host_paths(stack(), (), same))[1] == f"{host}/compose/3"
    copy = tmp_path / "copy" / "compose" / "3"
    copy.mkdir(parents=True)
    (copy / "c.yml").write_text("services: {}")
    assert label_paths.with_host_paths(stack(), (), [*same, ("/data", str(tmp_path / "copy"))]) == stack()


def test_the_longest_configured_folder_counts(host: Path) -> None:
    pairs = [("/data", "/nowhere"), ("/data/compose", f"{host}/compose")]
    assert paths(label_paths.with_host_paths(stack(), pairs, ()))[1] == f"{host}/compose/3"


@pytest.mark.parametrize(
    "wrong", [["/a"], "/a", {"a": "/b"}, {"/a": "b"}, {"/a": None}, {"/a": "C:\\stacks"}, {"": "/b"}]
)
def test_a_path_map_that_is_none_is_named_with_what_to_write(wrong: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        config_utils.parse({"services": [], "path_map": wrong}, {}, "/c.json")
    (problem,) = caught.value.problems
    assert "path_map" in problem


def test_folders_of_a_path_map_need_no_slash_at_their_end() -> None:
    config = config_utils.parse({"services": [], "path_map": {"/a/": "/b//c/", "/": "/host"}}, {}, "/c.json")
    assert config.settings.path_map == (("/a", "/b/c"), ("", "/host"))


# -------------------------------------------------------------------------------------------- relative mounts

STATE = {"volumes": [{"type": "bind", "source": "/srv/shop/state", "target": "/state"}]}
ABSOLUTE = {"volumes": [{"type": "bind", "source": "/data/compose/3/state", "target": "/state"}]}


@pytest.mark.parametrize(
    ("folder", "web", "bind", "is_held"),
    [
        ("/data/compose/3", STATE, "/data/compose/3/state", True),
        ("/data/compose/3", ABSOLUTE, "/data/compose/3/state", False),
        ("/data/compose/3", STATE, "/data/compose/34/state", False),
        ("/srv/shop", STATE, "/srv/shop/other", False),
        ("", STATE, "/data/compose/3/state", False),
        ("/data/compose/3", {}, "/data/compose/3", True),
    ],
)
def test_a_mount_that_would_be_taken_from_elsewhere_is_held(
    folder: str, web: dict[str, Any], bind: str, is_held: bool
) -> None:
    deployed = other(
        project="shop", labels={f"{LABEL}working_dir": folder}, binds=frozenset({(bind, "/state")})
    )
    hold = relative_paths.moved_bind(replace(facts(web), own=(deployed,)))
    assert (hold is not None) == is_held
    if hold is not None:
        assert hold.reason is Reason.RELATIVE_BIND
        assert bind in hold.detail
        assert bind in hold.remedy

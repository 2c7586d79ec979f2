"""Hooks in the configuration: their forms, what is wrong with one, and who may name one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from updater_core import config_utils
from updater_core.config.options import LABEL_KEYS
from updater_core.errors import ConfigError
from updater_core.host import permissions
from updater_core.models import ServiceConfig
from updater_core.targets.labels import entry_of_labels, label_problems
from updater_core.vocabulary.dated import HookKind
from updater_core.vocabulary.hooks import Hook, Hooks

SERVICE = {"name": "web", "image": "app:1", "compose_file": "/srv/c.yml", "compose_service": "web"}


def parsed(own: dict[str, Any], **top: Any) -> ServiceConfig:
    return config_utils.parse({"services": [{**SERVICE, **own}], **top}, {}, "/etc/c.json").services[0]


@pytest.mark.parametrize(
    ("given", "hook"),
    [
        ("echo ${DAU_TO} $$", Hook(("sh", "-c", "echo ${DAU_TO} $$"))),
        (["/bin/backup", "--to", "${HOME}", ""], Hook(("/bin/backup", "--to", "${HOME}", ""))),
        ({"run": "a\nb"}, Hook(("sh", "-c", "a\nb"))),
        (
            {"run": ["x"], "in": "container", "timeout": "15m"},
            Hook(("x",), is_in_container=True, timeout_seconds=900),
        ),
        ({"run": ["x"], "in": "host", "timeout": 1.5}, Hook(("x",), timeout_seconds=1.5)),
    ],
)
def test_a_hook_has_several_forms_and_nothing_is_filled_in(given: Any, hook: Hook) -> None:
    assert parsed({"pre_update": given}).hooks == Hooks(pre_update=hook)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "names no program"),
        ("  ", "names no program"),
        ([], "names no program"),
        ([""], "names no program"),
        (["a", 1], "is not a hook; write a program"),
        (5, "is not a hook; write a program"),
        (None, "is not a hook; write a program"),
        ({}, "is not a hook; write a program"),
        ({"run": {"run": "x"}}, "is not a hook; write a program"),
        ({"run": "x", "on": "host"}, "unknown key 'on'"),
        ({"run": "x", "in": "the container"}, 'neither "host" nor "container"'),
        ({"run": "x", "in": ["host"]}, 'neither "host" nor "container"'),
        ({"run": "x", "timeout": "soon"}, '"timeout" is not a time'),
        ({"run": "x", "timeout": 0}, '"timeout" is not a time'),
        ({"run": "x", "timeout": "2d"}, '"timeout" is not a time'),
        (["a\0b"], "NUL"),
    ],
)
def test_a_hook_that_cannot_be_meant_is_one_clear_problem(given: Any, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parsed({"post_update": given})
    (problem,) = raised.value.problems
    assert problem.startswith("services[0].post_update: ")
    assert said in problem


def test_defaults_have_hooks_and_a_service_its_own() -> None:
    service = parsed({"on_success": ["own"]}, defaults={"on_success": ["all"], "on_failure": ["all"]})
    assert service.hooks == Hooks(on_failure=Hook(("all",)), on_success=Hook(("own",)))


def test_what_was_never_listed_has_the_hooks_of_defaults() -> None:
    config = config_utils.parse({"services": [], "defaults": {"on_failure": ["all"]}}, {}, "/etc/c.json")
    assert config.entries is not None
    assert config.entries.default_hooks == Hooks(on_failure=Hook(("all",)))


@pytest.mark.parametrize("kind", HookKind)
def test_no_label_sets_a_hook(kind: HookKind) -> None:
    """Whoever may write a label may start a container, and is not to run a program on the host."""
    assert kind not in LABEL_KEYS
    labels = {f"docker-updater.{kind}": "touch /tmp/x"}
    assert entry_of_labels(labels, LABEL_KEYS) == {}
    entries = config_utils.parse({"services": []}, {}, "/etc/c.json").entries
    assert entries is not None
    assert label_problems(labels, entries) == [
        f"label docker-updater.{kind}: it is read from the configuration file only; write it there, and "
        "take the label"
        " away"
    ]


@pytest.mark.parametrize(
    ("of", "mode"), [("file", 0o664), ("file", 0o606), ("folder", 0o775), ("folder", 0o757)]
)
def test_a_file_that_others_may_change_is_found_and_the_remedy_helps(
    tmp_path: Path, of: str, mode: int
) -> None:
    folder = tmp_path / "etc"
    folder.mkdir(mode=0o755)
    path = folder / "c.json"
    path.write_text("{}")
    path.chmod(0o644)
    assert permissions.open_to_others(path) is None
    (path if of == "file" else folder).chmod(mode)
    found = permissions.open_to_others(path)
    assert found is not None
    what, remedy = found
    assert str(path if of == "file" else folder) in what
    words = remedy.partition("`sudo ")[2].partition("`")[0].split()
    assert words[:2] == ["chmod", "go-w"]
    Path(words[2]).chmod(mode & ~0o022)
    assert permissions.open_to_others(path) is None


def test_a_link_is_judged_by_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o755)
    real, link = tmp_path / "real" / "c.json", tmp_path / "c.json"
    real.write_text("{}")
    real.chmod(0o666)
    link.symlink_to(real)
    assert permissions.open_to_others(link) is not None

"""Compose as a command: the words it is given, the environment it sees, and what is read from what it says.

The commands here are small scripts, so that every way a child can end is met; the engine's contract tests and
the end-to-end tests meet the real one.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from updater_core import compose_utils
from updater_core.compose_utils import (
    DockerCompose,
    detect,
    project_environment,
    project_words,
    scrubbed,
    up_words,
)
from updater_core.errors import ComposeError
from updater_core.models import Project
from updater_core.protocols import Recreate

SHOP = Project("shop", "/srv/shop", ("/srv/shop/a.yml", "/srv/shop/b.yml"))


# ------------------------------------------------------------------------------------------ the argument list


@pytest.mark.parametrize(
    ("project", "is_v1", "replaced", "words"),
    [
        (SHOP, False, {}, "-f /srv/shop/a.yml -f /srv/shop/b.yml --profile *"),
        (SHOP, True, {}, "-f /srv/shop/a.yml -f /srv/shop/b.yml"),
        (
            SHOP,
            False,
            {"/srv/shop/b.yml": "/srv/shop/.b.yml.dau-1"},
            "-f /srv/shop/a.yml -f /srv/shop/.b.yml.dau-1 --profile *",
        ),
        # Env files are named only if the operator named them, or if another is to be read in the default's
        # place.
        (
            SHOP,
            False,
            {"/srv/shop/.env": "/t"},
            "-f /srv/shop/a.yml -f /srv/shop/b.yml --env-file /t --profile *",
        ),
        (
            Project("shop", "/srv/shop", ("/srv/shop/a.yml",), ("/srv/x.env", "/srv/y.env")),
            False,
            {"/srv/y.env": "/t"},
            "-f /srv/shop/a.yml --env-file /srv/x.env --env-file /t --profile *",
        ),
        (
            Project("shop", "/srv/shop", ("/srv/shop/a.yml",), ("/srv/x.env",)),
            True,
            {},
            "-f /srv/shop/a.yml --env-file /srv/x.env",
        ),
    ],
)
def test_the_options_mean_exactly_this_project(
    project: Project, is_v1: bool, replaced: dict[str, str], words: str
) -> None:
    expected = ["-p", "shop", "--project-directory", "/srv/shop", *words.split()]
    assert project_words(project, is_v1=is_v1, replaced=replaced) == expected


@pytest.mark.parametrize(
    ("is_v1", "with_dependencies", "recreate", "words"),
    [
        (False, False, Recreate.CHANGED, "up -d --no-build --pull never --no-deps"),
        (False, True, Recreate.CHANGED, "up -d --no-build --pull never"),
        (False, False, Recreate.ALL, "up -d --no-build --pull never --no-deps --force-recreate"),
        (False, False, Recreate.NONE, "up -d --no-build --pull never --no-deps --no-recreate"),
        (
            True,
            False,
            Recreate.CHANGED,
            "up -d --no-build --no-deps",
        ),  # v1 knows no --pull, and never pulls what is here
        (True, True, Recreate.ALL, "up -d --no-build --force-recreate"),
    ],
)
def test_up_names_the_services_and_keeps_their_number(
    is_v1: bool, with_dependencies: bool, recreate: Recreate, words: str
) -> None:
    found = up_words(
        {"web": 3, "worker": 1}, is_v1=is_v1, with_dependencies=with_dependencies, recreate=recreate
    )
    assert found == [*words.split(), "--scale", "web=3", "--scale", "worker=1", "web", "worker"]


# -------------------------------------------------------------------------------------------- its environment


def test_a_child_sees_what_it_needs_and_none_of_our_settings() -> None:
    ours = {
        "WEBHOOK_URL": "http://hook/token",
        "DOCKER_HUB_PASSWORD": "secret",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "TAG": "9",  # would beat the operator's .env in ${TAG}
        "COMPOSE_PROJECT_NAME": "another",
        "COMPOSE_FILE": "another.yml",
        "COMPOSE_PROFILES": "debug",
    }
    needed = {
        "PATH": "/bin",
        "HOME": "/root",
        "DOCKER_HOST": "unix:///d.sock",
        "DOCKER_CONFIG": "/c",
        "DOCKER_CERT_PATH": "/certs",
    }
    assert scrubbed({**ours, **needed}) == needed


@pytest.mark.parametrize(
    "variable", ["COMPOSE_REMOVE_ORPHANS", "COMPOSE_IGNORE_ORPHANS", "COMPOSE_PROGRESS", "TAG"]
)
def test_a_call_for_a_project_has_switches_of_its_own_which_beat_those_in_env(variable: str) -> None:
    """Compose reads `.env` only for what the environment does not have.

    v1 knows other values, and reads none.
    """
    mine = project_environment({"PATH": "/bin"}, is_v1=False, directory="/srv")
    assert (variable in mine) == variable.startswith("COMPOSE_")
    assert project_environment({"PATH": "/bin"}, is_v1=True, directory="/srv") == {
        "PATH": "/bin",
        "PWD": "/srv",
    }


# ---------------------------------------------------------------------------------------- finding the command


def script(folder: Path, name: str, body: str) -> Path:
    """An executable on a PATH of its own."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


PLUGIN = '[ "$1 $2" = "compose version" ] && echo {0} || exit 1'
STANDALONE = '[ "$1" = version ] && echo {0} || exit 1'


@pytest.mark.parametrize(
    ("docker", "standalone", "words", "version", "is_v1"),
    [
        (PLUGIN.format("2.26.1"), None, ("docker", "compose"), "2.26.1", False),
        (PLUGIN.format("v2.39.0-desktop.1"), None, ("docker", "compose"), "2.39.0-desktop.1", False),
        (PLUGIN.format("2.26.1"), STANDALONE.format("1.29.2"), ("docker", "compose"), "2.26.1", False),
        (None, STANDALONE.format("1.29.2"), ("docker-compose",), "1.29.2", True),
        # docker without the plugin
        ("exit 1", STANDALONE.format("1.29.2"), ("docker-compose",), "1.29.2", True),
        ("echo usage", STANDALONE.format("1.29.2"), ("docker-compose",), "1.29.2", True),
        (None, STANDALONE.format("v2.20.3"), ("docker-compose",), "2.20.3", False),
        (PLUGIN.format("10.0.0"), None, ("docker", "compose"), "10.0.0", False),
    ],
)
def test_the_plugin_comes_first_then_the_standalone_and_the_version_decides(
    tmp_path: Path,
    docker: str | None,
    standalone: str | None,
    words: tuple[str, ...],
    version: str,
    is_v1: bool,
) -> None:
    for name, body in (("docker", docker), ("docker-compose", standalone)):
        if body is not None:
            script(tmp_path, name, body)
    found = detect({"PATH": str(tmp_path)})
    assert (found.words, found.version, found.is_v1) == (words, version, is_v1)


@pytest.mark.parametrize("docker", [None, "exit 1"])
def test_if_there_is_no_compose_it_is_said_with_what_to_install(tmp_path: Path, docker: str | None) -> None:
    if docker:
        script(tmp_path, "docker", docker)
    with pytest.raises(ComposeError, match="not found") as caught:
        detect({"PATH": str(tmp_path)})
    assert "install" in caught.value.remedy


# ------------------------------------------------------------------------------------------------- running it


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "compose.yml").write_text("services: {}\n")
    return Project("shop", str(folder), (str(folder / "compose.yml"),))


def compose(
    tmp_path: Path,
    body: str,
    *,
    version: str = "2.26.1",
    timeout_seconds: float = 20.0,
    held_locks: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
) -> DockerCompose:
    """A plugin that does as `body` says."""
    script(tmp_path, "docker", f'case "$*" in "compose version"*) echo {version}; exit;; esac\n{body}')
    path = f"{tmp_path}:/usr/bin:/bin"
    return DockerCompose({"PATH": path, "TAG": "ours"}, timeout_seconds, held_locks)


def up(made: DockerCompose, project: Project, grace_seconds: float = 0.0) -> None:
    made.up(
        project, {"web": 1}, with_dependencies=False, recreate=Recreate.CHANGED, grace_seconds=grace_seconds
    )


def test_the_child_is_run_in_the_projects_folder_without_our_variables(
    tmp_path: Path, project: Project
) -> None:
    seen = tmp_path / "seen"
    up(compose(tmp_path, f'(pwd; echo "tag=$TAG"; echo "$*") > {seen}'), project)
    folder, tag, words = seen.read_text().splitlines()
    assert folder == project.directory
    assert tag == "tag="
    assert words.startswith("compose -p shop --project-directory")
    assert words.endswith("--scale web=1 web")


def test_a_failure_quotes_what_compose_said_and_leaves_its_progress_out(
    tmp_path: Path, project: Project
) -> None:
    made = compose(
        tmp_path,
        'echo " Container shop-web-1  Recreate" >&2; echo "Error: port is already allocated" >&2; exit 17',
    )
    with pytest.raises(ComposeError) as caught:
        up(made, project)
    assert "ended with 17" in str(caught.value)
    assert "port is already allocated" in str(caught.value)
    assert "Recreate" not in str(caught.value)


def test_a_failure_without_a_word_is_still_said(tmp_path: Path, project: Project) -> None:
    with pytest.raises(ComposeError, match="status 3, nothing said"):
        up(compose(tmp_path, "exit 3"), project)


def test_a_quote_is_bounded(tmp_path: Path, project: Project) -> None:
    with pytest.raises(ComposeError) as caught:
        up(compose(tmp_path, "head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1"), project)
    assert len(str(caught.value)) < 1000


def test_a_compose_that_does_not_end_is_stopped_with_all_its_children(
    tmp_path: Path, project: Project
) -> None:
    pid_file = tmp_path / "pid"
    for seconds in (0.5, 5.0, 50.0):  # longer if it did not get so far as to have a child
        made = compose(tmp_path, f"sleep 300 & echo $! > {pid_file}; wait", timeout_seconds=seconds)
        with pytest.raises(ComposeError, match="did not end within") as caught:
            up(made, project)
        if pid_file.exists() and pid_file.read_text().endswith("\n"):
            break
    assert "COMPOSE_TIMEOUT" in caught.value.remedy
    state = Path(f"/proc/{pid_file.read_text().strip()}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z", "the grandchild lives on"


def test_what_a_stop_may_take_is_added_to_the_time_out(tmp_path: Path, project: Project) -> None:
    made = compose(tmp_path, "sleep 0.6", timeout_seconds=0.1)
    up(made, project, grace_seconds=60)
    with pytest.raises(ComposeError, match="did not end within"):
        up(compose(tmp_path, "sleep 60", timeout_seconds=0.1), project)


def test_the_projects_lock_is_inherited_so_that_an_orphan_still_holds_it(
    tmp_path: Path, project: Project
) -> None:
    seen = tmp_path / "seen"
    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    try:
        os.set_inheritable(lock, True)
        held: dict[str, tuple[int, ...]] = {}
        made = compose(tmp_path, f"readlink /proc/$$/fd/{lock} > {seen} || true", held_locks=held)
        up(made, project)
        assert seen.read_text() == "", "no lock is passed on unless it is named"
        held["shop of another"] = (lock,)
        up(made, project)
        assert seen.read_text() == "", "nor to a child of another project"
        held[project.name] = (lock,)
        up(made, project)
        assert seen.read_text().strip() == str(tmp_path / "lock")
    finally:
        os.close(lock)


# -------------------------------------------------------------------------------------------- what it answers

MODEL = {"name": "shop", "services": {"web": {"image": "app:1"}}}


def test_the_model_of_v2_is_json(tmp_path: Path, project: Project) -> None:
    made = compose(tmp_path, f"""case "$*" in *"config --format json") echo '{json.dumps(MODEL)}';; esac""")
    assert made.config(project) == MODEL


def test_the_model_of_v1_is_yaml(tmp_path: Path, project: Project) -> None:
    model = r"services:\n  web:\n    image: app:1\n"
    script(
        tmp_path,
        "docker-compose",
        f'case "$*" in "version --short") echo 1.29.2;; *config) printf "{model}";; esac',
    )
    made = DockerCompose({"PATH": str(tmp_path)}, 20)
    assert made.is_v1
    assert made.config(project) == {"name": project.name, "services": {"web": {"image": "app:1"}}}
    assert made.preview(project, {"web": 1}, with_dependencies=True) is None, "v1 has no dry run"


@pytest.mark.parametrize("said", ["echo '{'", "echo '[]'", "true", "echo 'no such option' >&2; exit 1"])
def test_a_model_that_cannot_be_read_is_an_error_that_names_the_project(
    tmp_path: Path, project: Project, said: str
) -> None:
    with pytest.raises(ComposeError, match="project shop"):
        compose(tmp_path, said).config(project)


# A dry run as each generation of Compose prints it: of the probe, and of a service that would be recreated.
PREFIXED = """
case "$*" in *"--progress json"*) echo 'unsupported --progress value "json"' >&2; exit 1;; esac
case "$*" in
*docker-updater-probe*) echo " DRY-RUN MODE -  Container docker-updater-probe-probe-1  Creating
 DRY-RUN MODE -  Container docker-updater-probe-probe-1  Created" >&2;;
*) echo " DRY-RUN MODE -  Container shop-web-1  Recreate" >&2;;
esac
"""
PLAIN = PREFIXED.replace("DRY-RUN MODE -  ", "").replace("-1  ", "-1 ")
OBJECTS = """
case "$*" in
*"--progress json"*docker-updater-probe*)
 echo '{"id":"Container docker-updater-probe-probe-1","status":"Working","text":"Creating"}
{"id":"Container docker-updater-probe-probe-1","status":"Done","text":"Created"}' >&2;;
*"--progress json"*) echo '{"id":"Container shop-web-1","status":"Working","text":"Recreate"}' >&2;;
*) echo "shop-web-1 becomes another" >&2;;
esac
"""


@pytest.mark.parametrize(
    ("body", "form"),
    [(PREFIXED, ""), (PLAIN, ""), (OBJECTS, " --progress json")],
    ids=["2.26", "5 plain", "5 json"],
)
def test_a_preview_is_a_dry_run_of_up_in_a_form_that_was_proven(
    tmp_path: Path, project: Project, body: str, form: str
) -> None:
    seen = tmp_path / "seen"
    made = compose(tmp_path, f'echo "$*" >> {seen}; {body}')
    for _ in range(2):
        found = made.preview(project, {"web": 2}, with_dependencies=True)
        assert found is not None
        assert found.said == {"Container shop-web-1": {"Recreate"}}
    *probes, first, second = seen.read_text().splitlines()
    assert all("docker-updater-probe" in each for each in probes)
    assert first == second
    assert first.startswith(f"compose --dry-run{form} -p shop")
    assert "--no-deps" not in first
    assert first.endswith("--scale web=2 web")
    made.preview(project, {"web": 2}, with_dependencies=False)
    assert "--no-deps" in seen.read_text().splitlines()[-1]


@pytest.mark.parametrize(
    "body",
    [
        "true",  # says nothing at all
        'echo "+ shop-web-1 (new)" >&2',
        'echo " Container shop-web-1 Recreate" >&2',  # a form we know, but not of what was asked for
        # not what must be said of what is not there
        'echo " Container docker-updater-probe-probe-1 Running" >&2',
        "exit 1",
    ],
)
def test_a_dry_run_that_cannot_be_read_is_no_preview_and_no_empty_one(
    tmp_path: Path, project: Project, body: str
) -> None:
    assert (
        compose(tmp_path, body, version="9.0.0").preview(project, {"web": 1}, with_dependencies=True) is None
    )


def test_an_upgrade_of_compose_under_a_running_daemon_is_proven_anew(
    tmp_path: Path, project: Project
) -> None:
    made = compose(tmp_path, PREFIXED)
    assert made.preview(project, {"web": 1}, with_dependencies=True) is not None
    compose(tmp_path, "true", version="9.0.0")
    assert made.preview(project, {"web": 1}, with_dependencies=True) is None
    assert made.version == "9.0.0"


@pytest.mark.parametrize("version", ["2.16.0", "2.3.3"])
def test_a_compose_without_a_dry_run_has_no_preview(tmp_path: Path, project: Project, version: str) -> None:
    made = compose(tmp_path, "exit 1", version=version)
    assert made.preview(project, {"web": 1}, with_dependencies=True) is None


def test_a_preview_that_is_refused_is_an_error(tmp_path: Path, project: Project) -> None:
    refusal = 'case "$*" in *"-p shop"*) echo "no such service: web" >&2; exit 1;; esac'
    made = compose(tmp_path, f"{refusal}\n{PREFIXED}")
    with pytest.raises(ComposeError, match="no such service"):
        made.preview(project, {"web": 1}, with_dependencies=True)


def test_the_command_is_looked_for_once(tmp_path: Path) -> None:
    made = compose(tmp_path, "true")
    assert made.version == "2.26.1"
    (tmp_path / "docker").unlink()
    assert made.version == "2.26.1"
    assert not made.is_v1


def test_a_command_that_cannot_be_started_is_a_compose_error(tmp_path: Path) -> None:
    path = script(tmp_path, "docker", "true")
    path.write_text("#!/nowhere/interpreter\n")
    with pytest.raises(ComposeError):
        compose_utils.detect({"PATH": str(tmp_path)})


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("Docker version 20.10.24+dfsg1, build 297e128", "the Docker CLI here is 20.10.24+dfsg1, and"),
        ("Docker version 28.2.2, build e6534b4", "cannot read /srv/stack.yml: no such file"),
        ("podman version 5.8.6", "the Docker CLI here is 5.8.6, and"),
        ("none of yours", "cannot read /srv/stack.yml: no such file"),
    ],
)
def test_a_docker_cli_without_stack_config_is_named(tmp_path: Path, version: str, expected: str) -> None:
    body = f'case "$1" in --version) echo "{version}"; exit;; esac; echo "no such file" >&2; exit 1'
    script(tmp_path, "docker", body)
    compose = DockerCompose({"PATH": f"{tmp_path}:/bin:/usr/bin"}, 10)
    with pytest.raises(ComposeError, match=expected.replace("+", r"\+")):
        compose.stack_model(
            [str(tmp_path / "stack.yml")] if expected.startswith("the Docker") else ["/srv/stack.yml"]
        )

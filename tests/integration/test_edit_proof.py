"""Wherever a variable of the image stands besides: what Compose makes of an edit is foreseen.

Each way either holds the edit with a remedy before anything is pulled, or the edit is one that the proof lets
through.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import newer_docker
from updater_core import reference
from updater_core.composefile import edit
from updater_core.composefile.edit import NotEditable
from updater_core.composefile.splice import VARIABLE
from updater_core.models import Mark, Project
from updater_core.targets.compose import file_edits
from updater_core.targets.compose.plan import Move
from updater_core.targets.compose.preflight import env_file_readers
from updater_core.targets.compose.reading import sources
from updater_core.targets.compose.reading.observed import ObservedService
from updater_core.targets.compose.reading.sources import FileCache

FILES = {
    ".env": "TAG=15\nMADE=of-$TAG\nFULL=${MADE}-x\n",
    "app.env": "AT=at-${TAG}\nPLAIN=1\n",
    "made.env": "AT=at-${FULL}\n",
    "inc.yml": "services: {inc: {image: 'r/inc:1', labels: ['v=$TAG']}}\n",
    "base.yml": "services: {b: {image: 'r/base:1', environment: ['V=$TAG']}}\n",
}
# what a service of the group has, or another
ELSEWHERE = {
    "env_file": "env_file: app.env",
    "env_file through others": "env_file: [{path: made.env}]",
    "the whole .env": "env_file: .env",
    "label": "labels: {v: 'at $TAG'}",
    "port": "ports: ['80$TAG:80']",
    "two ports": "ports: ['${TAG}:80', '127.0.0.1:1${TAG}:81']",
    "environment": "environment: [TAG, MADE]",
    "environment, through another": "environment: {V: '${FULL}'}",
    "a name": "container_name: web-$TAG",
    "a float": "cpus: '0.${TAG}'",
    "a build argument": "build: {context: ., args: {V: '$TAG'}}",
    "a mount": "volumes: ['./d-$TAG:/d']",
    "a volume": "volumes: ['d:/d-$TAG']",
    "a command": "command: [run, '--v=$TAG$TAG']",
    "a health check": "healthcheck: {test: 'check $TAG', interval: '${TAG}s'}",
    "a log option": "logging: {driver: json-file, options: {tag: '$TAG'}}",
    "a condition": "labels: ['v=${TAG:+on}']",
    "escaped": "labels: ['v=$$TAG']",
    "a profile": "profiles: ['', 'p$TAG']",
    "a host name": "extra_hosts: ['a$TAG:127.0.0.1']",
    "a default that is not taken": "labels: ['v=${MADE:-$TAG}']",
    "extends": "extends: {file: base.yml, service: b}",
}
# which of them no service of the group may have, for the new value would be of another folder or port
TIES = ("port", "two ports", "a mount", "a volume")
# what the service has mounted, and what the proof says if it is given a path below `/data`
DATA = {
    "./x:/data": "service web would look for its data in another folder",
    "./x:/da": None,
}
TOP = {
    "a volume's name": "volumes: {d: {name: 'd-$TAG'}}",
    "a network's name": "networks: {default: {name: 'n-$TAG'}}",
    "a config": "configs: {c: {content: 'v $TAG'}}",
    "a secret": "secrets: {s: {environment: MADE}}",
    "the project's name": "name: p-$TAG",
    "an include": "include: [inc.yml]",
    "an include by name": "include: ['${MADE:+inc.yml}']",
    "a template": "x-t: &t {labels: ['$TAG']}",
}
NUMBER = "mem_limit: ${TAG}m"  # Compose makes another number of it, which the proof finds
IMAGE = "    image: r/app:${TAG}\n"


def written(folder: Path, services: Mapping[str, str], top: str = "") -> Path:
    """A project of these services, by name, each with its own lines."""
    folder.mkdir()
    listed = "".join(f"  {name}:\n{text}" for name, text in services.items())
    for name, content in {**FILES, "compose.yml": f"services:\n{listed}{top}\n"}.items():
        (folder / name).write_text(content)
    return folder


def compose_model(folder: Path) -> Mapping[str, Any]:
    argv = ["docker", "compose", "-p", "proof", "--project-directory", str(folder)]
    argv += ["-f", str(folder / "compose.yml"), "config", "--format", "json"]
    known = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_CONFIG") if name in os.environ}
    done = subprocess.run(argv, cwd=folder, env=known, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found


def observed_in(folder: Path, names: Sequence[str]) -> ObservedService | NotEditable:
    project = Project("proof", str(folder), (str(folder / "compose.yml"),))
    read = sources.read(project, FileCache())
    assert isinstance(read, tuple), read
    found = []
    for name in names:
        located = edit.locate(*read, name)
        if isinstance(located, NotEditable):
            return located
        if located.obstacle is not None:
            return located.obstacle
        found.append(located)
    seen = ObservedService(project, *read, tuple(found), reference.parse("r/app:15"), (), frozenset())
    return next(env_file_readers.obstacles(seen), seen)


@pytest.mark.parametrize("where", ["another", "top"])
def test_a_reader_outside_the_group_holds_the_edit_with_a_remedy(tmp_path: Path, where: str) -> None:
    ways = ELSEWHERE if where == "another" else TOP
    edited = set()
    for number, (way, text) in enumerate(ways.items()):
        services = {"web": IMAGE, "db": f"    image: r/db:1\n    {text}\n" if where == "another" else IMAGE}
        top = text if where == "top" else "volumes: {d: }"
        names = ["web"] if where == "another" else ["web", "db"]
        found = observed_in(written(tmp_path / str(number), services, top), names)
        if isinstance(found, NotEditable):
            assert found.remedy, way
        else:
            edited.add(way)
    # what takes nothing of the new value
    assert edited == {"another": {"a condition", "escaped"}, "top": {"a template"}}[where]


@pytest.mark.parametrize("compose", ["own", "newer"])
def test_no_edit_of_what_only_the_group_reads_is_a_surprise_when_it_is_proven(
    tmp_path: Path, compose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compose == "newer":
        newer_docker.use_compose(monkeypatch)
    for number, way in enumerate(TIES):
        folder = written(tmp_path / str(number), {"web": f"{IMAGE}    {ELSEWHERE[way]}\n"}, "volumes: {d: }")
        held = observed_in(folder, ["web"])
        assert isinstance(held, NotEditable), way
        assert ("in `ports`" if "port" in way else "in `volumes`") in held.detail
        # the proof knows it too, if it was not seen in the text
        assert problem_of_moved(folder, "15", "16") == "service web differs", way
    given = "    environment: {P: '/opt/$TAG', Q: 'x:///data/$TAG', D: '/data/$TAG/x'}\n"
    for number, (mount, problem) in enumerate(DATA.items()):
        folder = written(tmp_path / f"data{number}", {"web": f"{IMAGE}    volumes: ['{mount}']\n{given}"})
        if problem:
            held = observed_in(folder, ["web"])
            assert isinstance(held, NotEditable), mount
            assert "in `environment`" in held.detail
            assert problem_of_moved(folder, "15", "16") == problem  # the proof knows it, too
        else:
            assert problem_of(folder, ["web"]) is None
    own = [text for way, text in ELSEWHERE.items() if way not in TIES]
    services = {f"s{number}": f"{IMAGE}    {text}\n" for number, text in enumerate(own)}
    folder = written(tmp_path / "all", services, f"volumes: {{d: }}\n{TOP['a template']}")
    assert problem_of(folder, tuple(services)) is None
    folder = written(tmp_path / "number", {"web": f"{IMAGE}    {NUMBER}\n"})
    assert problem_of(folder, ("web",)) == "service web differs"


@pytest.mark.parametrize(
    "lines",
    [
        "volumes: ['./x:/data']\n    environment: ['P=/data/$TAG']",
        "volumes: ['./x:/data/']\n    environment: [PLACE]",
        "volumes: [{type: bind, source: ./x, target: /data}]\n    command: 'run --in=/data/db/${TAG:-1}'",
        "tmpfs: [/data]\n    entrypoint: [run, '/data/v$TAG']",
        "volumes: ['/data']\n    environment: {P: '${PLACE}'}",
    ],
)
def test_a_path_in_what_is_mounted_is_seen_before_the_proof(tmp_path: Path, lines: str) -> None:
    folder = written(tmp_path / "p", {"web": f"{IMAGE}    {lines}\n"})
    (folder / ".env").write_text(f"{FILES['.env']}PLACE=/data/at-${{TAG}}\n")
    held = observed_in(folder, ["web"])
    assert isinstance(held, NotEditable)
    assert "which is to stay as it is" in held.detail
    assert problem_of_moved(folder, "15", "16") == "service web would look for its data in another folder"


@pytest.mark.parametrize(
    "lines",
    [
        "volumes: ['./x:/data']\n    command: '/opt/app-$TAG/run --in=/data/db'",
        "volumes: ['./x:/data']\n    environment: {P: '/database/$TAG', Q: 'v$TAG', R: 'https://h/data/$TAG'}",
        "environment: {P: '/data/$TAG'}",
    ],
)
def test_another_path_may_hold_the_version(tmp_path: Path, lines: str) -> None:
    folder = written(tmp_path / "p", {"web": f"{IMAGE}    {lines}\n"})
    assert problem_of(folder, ["web"]) is None


def problem_of_moved(folder: Path, old: str, new: str) -> str | None:
    """Write a variable of the folder's `.env` by hand, and return what the proof says of one service."""
    before, env = compose_model(folder), folder / ".env"
    mark = Mark(VARIABLE, "TAG", old, new)
    env.write_text(env.read_text().replace(old, new, 1))
    moves = [Move("web", f"r/app:{old}", f"r/app:{new}", "i", 1)]
    return file_edits.proof_problem(before, compose_model(folder), moves, [mark])


def problem_of(folder: Path, names: Sequence[str]) -> str | None:
    """Make the edit, and return what the proof says of what Compose reads then."""
    observed = observed_in(folder, names)
    assert isinstance(observed, ObservedService), observed
    edits = edit.set_image(observed.files, observed.env_files, names, reference.parse("r/app:16"))
    assert isinstance(edits, tuple), edits
    before = compose_model(folder)
    for each in edits:
        Path(each.path).write_text(each.after)
    marks = [mark for each in edits for mark in each.marks]
    moves = [Move(name, "r/app:15", "r/app:16", "i", 1) for name in names]
    return file_edits.proof_problem(before, compose_model(folder), moves, marks)

"""Docker Compose as a command: find it, build its argument list, run it, read what it says.

Compose is called only to act, never to check. The child gets a scrubbed environment (what it inherits beats
`.env` in `${…}`, so our settings must not leak into the operator's file), a session of its own (a Ctrl-C at
our terminal does not interrupt it), and the project's lock (a Compose that outlives us still holds it).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from updater_core.composefile import dry_run
from updater_core.errors import ComposeError, ComposeMissing
from updater_core.models import Project
from updater_core.protocols import Preview, Recreate

_KEPT_VARIABLES = (
    "PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_TLS", "DOCKER_CERT_PATH",
    "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR",
)  # fmt: skip
_DEFAULT_HOST = "unix:///var/run/docker.sock"
# From 2.27 on Compose takes its own switches from the project's `.env`, too, unless the environment has them.
# These would make an `up` of one service remove other containers, or hide what a dry run says. Two settings
# against the first, for one alone is refused beside the other (`cannot combine COMPOSE_IGNORE_ORPHANS and
# --remove-orphans`).
_SWITCHES = {
    "COMPOSE_REMOVE_ORPHANS": "false",
    "COMPOSE_IGNORE_ORPHANS": "true",
    "COMPOSE_PROGRESS": "plain",
    "COMPOSE_ANSI": "never",
    "COMPOSE_MENU": "false",
    "COMPOSE_STATUS_STDOUT": "false",
}
_RECREATE_WORDS: Mapping[Recreate, list[str]] = {
    Recreate.CHANGED: [],
    Recreate.ALL: ["--force-recreate"],
    Recreate.NONE: ["--no-recreate"],
}
# `--dry-run` came with it.
_DRY_RUN_SINCE = (2, 17)
_STACK_CONFIG_SINCE = (23, 0)
# the machine-readable one first; 2.26 refuses it
_FORMS: tuple[tuple[str, ...], ...] = (("--progress", "json"), ())
# A model that is not there, so that a dry run of it must say that its container would be created. Nothing is
# pulled.
_PROBE = Project("docker-updater-probe", "/", ("-",), (os.devnull,))
_PROBE_MODEL = '{"services": {"probe": {"image": "docker-updater.invalid/probe:1", "network_mode": "none"}}}'
_PROBE_SAYS = ("Container docker-updater-probe-probe-1", frozenset({"Creating", "Created"}))
_MISSING_REMEDY = (
    "install the Docker Compose plugin (`docker compose version` must answer), or `docker-compose`"
)
_LONGEST_QUOTE = 600


@dataclass(frozen=True, slots=True)
class Result:
    """What a finished child said."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Command:
    """A Compose command that was found: the words it starts with, and its version as text."""

    words: tuple[str, ...]
    version: str

    @property
    def is_v1(self) -> bool:
        return self.version.startswith("1.")


@dataclass(frozen=True, slots=True)
class _Child:
    """A process to be run to its end: what it is given, and how long it may take."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    timeout_seconds: float
    directory: str | None = None
    lock_fds: tuple[int, ...] = ()
    stdin: str = ""


@dataclass(frozen=True, slots=True)
class _Call:
    """What a call for a project has besides the project's own options: words before those and behind them."""

    words: Sequence[str]
    before: Sequence[str] = ()
    replaced: Mapping[str, str] = field(default_factory=dict)
    grace_seconds: float = 0.0
    stdin: str = ""


def detect(environment: Mapping[str, str]) -> Command:
    """Return the plugin (v2 and later) if the docker command has one, else `docker-compose`.

    Raises ComposeMissing if there is neither.

    A standalone `docker-compose` may itself be v2: the version it prints decides.
    """
    # The plugin first: if both are there, it is the one that is kept up to date.
    for words in (("docker", "compose"), ("docker-compose",)):
        if shutil.which(words[0], path=environment.get("PATH")) is None:
            continue
        result = _run(_Child([*words, "version", "--short"], environment, timeout_seconds=30))
        version = result.out.strip().lstrip("v")
        if result.code == 0 and re.match(r"\d+\.\d+", version):
            return Command(words, version)
    raise ComposeMissing("Docker Compose was not found", _MISSING_REMEDY)


def scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the part of our environment that a Compose child may see.

    The engine is always named: a docker context of the user's could mean another one than we look at.

    >>> scrubbed({"PATH": "/bin", "HEALTH_TIMEOUT": "3"})
    {'DOCKER_HOST': 'unix:///var/run/docker.sock', 'PATH': '/bin'}
    """
    return {"DOCKER_HOST": _DEFAULT_HOST} | {
        name: environment[name] for name in _KEPT_VARIABLES if name in environment
    }


def project_environment(
    environment: Mapping[str, str], *, is_v1: bool, directory: str, home: str = ""
) -> dict[str, str]:
    """Return the environment of a call for a project.

    It has neutral values for the switches that the project's `.env` may hold, its folder as `PWD`, as in a
    shell there, and the home folder of whoever started it (empty: our own). Compose's plugin and our logins
    stay at their places.

    >>> project_environment({"PATH": "/bin"}, is_v1=False, directory="/srv")["COMPOSE_REMOVE_ORPHANS"]
    'false'
    >>> project_environment({"HOME": "/root"}, is_v1=True, directory="/srv", home="/home/ann")
    {'HOME': '/home/ann', 'PWD': '/srv', 'DOCKER_CONFIG': '/root/.docker'}
    """
    found = {**environment, "PWD": directory} if is_v1 else {**environment, "PWD": directory, **_SWITCHES}
    if not home:
        return found
    # HOME is the operator's for `~` in the file; logins stay those of our own user.
    own_folder = str(Path(environment.get("HOME", "/root")) / ".docker")
    return {**found, "HOME": home, "DOCKER_CONFIG": environment.get("DOCKER_CONFIG", own_folder)}


def project_words(project: Project, *, is_v1: bool, replaced: Mapping[str, str]) -> list[str]:
    """Return the options that make Compose mean exactly this project, whatever the working directory.

    >>> project_words(Project("shop", "/srv/shop", ("/srv/shop/c.yml",)), is_v1=False, replaced={})
    ['-p', 'shop', '--project-directory', '/srv/shop', '-f', '/srv/shop/c.yml', '--profile', '*']
    """
    words = ["-p", project.name, "--project-directory", project.directory]
    for path in project.files:
        words += ["-f", replaced.get(path, path)]
    for path in _env_files(project, replaced):
        words += ["--env-file", path]
    # All profiles: 2.26.1 does not find a service that a named one depends on if its profile is off, even
    # with `--no-deps`.
    return words if is_v1 else [*words, "--profile", "*"]


def _env_files(project: Project, replaced: Mapping[str, str]) -> list[str]:
    # Named only in place of the file: if it were always named, Compose would want it to be there.
    default = str(Path(project.directory) / ".env")
    if not project.env_files and default in replaced:
        return [replaced[default]]
    return [replaced.get(path, path) for path in project.env_files]


def up_words(
    replicas: Mapping[str, int], *, is_v1: bool, with_dependencies: bool, recreate: Recreate
) -> list[str]:
    """Return `up` with the options for these services alone, never building, never pulling.

    `--scale` because `up` without it shrinks a scaled service; `--pull never` beats `pull_policy: always`.
    """
    words = ["up", "-d", "--no-build"]
    words += [] if is_v1 else ["--pull", "never"]
    words += [] if with_dependencies else ["--no-deps"]
    words += _RECREATE_WORDS[recreate]
    for service, count in replicas.items():
        words += ["--scale", f"{service}={count}"]
    return [*words, *replicas]


class DockerCompose:
    """The Compose command of this host; satisfies `protocols.Compose`. Any thread may call it.

    `held_locks`: descriptors by project; a child for it inherits them, so that one that outlives us still
    holds the locks."""

    def __init__(
        self,
        environment: Mapping[str, str],
        timeout_seconds: float,
        held_locks: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
    ) -> None:
        self._environment = scrubbed(environment)
        self._timeout_seconds = timeout_seconds
        self._command: Command | None = None
        self._forms: dict[Command, tuple[str, ...] | None] = {}
        self._held_locks = held_locks

    @property
    def version(self) -> str:
        return self._found().version

    @property
    def is_v1(self) -> bool:
        return self._found().is_v1

    def config(self, project: Project, replaced: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        words = ["config"] if self.is_v1 else ["config", "--format", "json"]
        result = self._project(project, _Call(words, replaced=replaced or {}))
        if result.code != 0:
            raise ComposeError(
                f"Compose cannot read project {project.name}: {_quote(result)}", "correct the file it names"
            )
        try:
            model = yaml.safe_load(result.out) if self.is_v1 else json.loads(result.out)
        except (ValueError, yaml.YAMLError) as error:
            raise ComposeError(f"Compose gave no readable model of project {project.name}") from error
        if not isinstance(model, dict):
            raise ComposeError(f"Compose gave no readable model of project {project.name}")
        # v1 does not say it, and volumes and networks are called after it
        return {"name": project.name, **model}

    def stack_model(self, files: Sequence[str]) -> Mapping[str, Any]:
        """Return the model as the Docker CLI reads it (23.0 and later); it asks no engine, reads no `.env`.

        Raises ComposeError if the CLI is older or the files have mistakes.
        """
        words = [word for path in files for word in ("-c", path)]
        argv = ["docker", "stack", "config", *words]
        result = _run(_Child(argv, self._environment, self._timeout_seconds, str(Path(files[0]).parent)))
        if result.code != 0:
            self._check_cli()
            what = f"`docker stack config` cannot read {', '.join(files)}: {_quote(result)}"
            raise ComposeError(what, "correct what it names")
        try:
            model = yaml.safe_load(result.out)
        except yaml.YAMLError as error:
            raise ComposeError(
                f"`docker stack config` gave no readable model of {', '.join(files)}"
            ) from error
        if not isinstance(model, dict):
            raise ComposeError(f"`docker stack config` gave no model of {', '.join(files)}")
        return model

    def _check_cli(self) -> None:
        """Raise ComposeError if the Docker CLI is too old to know `docker stack config`."""
        said = _run(_Child(["docker", "--version"], self._environment, timeout_seconds=30)).out
        found = re.search(r"version (\d+\.[\w.+~-]+)", said)
        if found is not None and _numbers(found[1]) < _STACK_CONFIG_SINCE:
            what = (
                f"the Docker CLI here is {found[1]}, and `docker stack config`, which proves an edit, "
                "came with 23.0"
            )
            raise ComposeError(what, "install a newer Docker CLI (package docker-ce-cli, or docker-cli)")

    def preview(
        self, project: Project, replicas: Mapping[str, int], *, with_dependencies: bool
    ) -> Preview | None:
        # an upgrade of Compose under a running daemon brings another form
        self._command = detect(self._environment)
        form = self._form()
        if form is None:
            return None
        words = up_words(
            replicas, is_v1=False, with_dependencies=with_dependencies, recreate=Recreate.CHANGED
        )
        result = self._project(project, _Call(words, before=["--dry-run", *form]))
        if result.code != 0:
            raise ComposeError(
                f"Compose refuses project {project.name}: {_quote(result)}", "correct what it names"
            )
        return Preview(dry_run.read(f"{result.out}\n{result.err}"))

    def _form(self) -> tuple[str, ...] | None:
        """Return the options with which a dry run of this Compose can be read, proven once; None if none."""
        command = self._found()
        if command.is_v1 or _numbers(command.version) < _DRY_RUN_SINCE:
            return None
        if command not in self._forms:
            self._forms[command] = next((form for form in _FORMS if self._is_readable(form)), None)
        return self._forms[command]

    def _is_readable(self, form: Sequence[str]) -> bool:
        words = up_words({"probe": 1}, is_v1=False, with_dependencies=True, recreate=Recreate.CHANGED)
        result = self._project(_PROBE, _Call(words, before=["--dry-run", *form], stdin=_PROBE_MODEL))
        container, expected = _PROBE_SAYS
        return result.code == 0 and expected <= dry_run.read(f"{result.out}\n{result.err}").get(
            container, frozenset()
        )

    def up(
        self,
        project: Project,
        replicas: Mapping[str, int],
        *,
        with_dependencies: bool,
        recreate: Recreate,
        grace_seconds: float,
    ) -> None:
        words = up_words(replicas, is_v1=self.is_v1, with_dependencies=with_dependencies, recreate=recreate)
        result = self._project(project, _Call(words, grace_seconds=grace_seconds))
        if result.code != 0:
            services = ", ".join(replicas)
            raise ComposeError(f"`compose up` of {services} ended with {result.code}: {_quote(result)}")

    def _project(self, project: Project, call: _Call) -> Result:
        command = self._found()
        options = project_words(project, is_v1=command.is_v1, replaced=call.replaced)
        child = _Child(
            [*command.words, *call.before, *options, *call.words],
            project_environment(
                self._environment, is_v1=command.is_v1, directory=project.directory, home=project.home
            ),
            timeout_seconds=self._timeout_seconds + call.grace_seconds,
            directory=project.directory,
            lock_fds=self._held_locks.get(project.name, ()),
            stdin=call.stdin,
        )
        return _run(child)

    def _found(self) -> Command:
        if self._command is None:
            self._command = detect(self._environment)
        return self._command


def _run(child: _Child) -> Result:
    try:
        process = subprocess.Popen(
            list(child.argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=child.directory,
            env=dict(child.environment),
            # A Ctrl-C at our terminal must not end a recreate half-way.
            start_new_session=True,
            pass_fds=child.lock_fds,
        )
    except OSError as error:
        raise ComposeMissing(
            f"{child.argv[0]} cannot be started: {error.strerror}", _MISSING_REMEDY
        ) from error
    try:
        out, err = process.communicate(child.stdin, timeout=child.timeout_seconds)
    except subprocess.TimeoutExpired:
        _kill(process)
        raise ComposeError(
            f"Compose did not end within {child.timeout_seconds:.0f} s and was stopped",
            "raise COMPOSE_TIMEOUT if the host is slow",
        ) from None
    except BaseException:
        _kill(process)
        raise
    return Result(process.returncode, out, err)


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill the whole session: the docker command and the plugin it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _numbers(version: str) -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _quote(result: Result) -> str:
    said = result.err or result.out
    lines = dry_run.complaints(said) or [line.strip() for line in said.splitlines() if line.strip()]
    return " | ".join(lines[-3:])[-_LONGEST_QUOTE:] or f"status {result.code}, nothing said"

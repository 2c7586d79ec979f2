"""Docker Compose as a command: find it, build its argument list, run it, read what it says.

Compose is called only to act, never to check. The child gets a scrubbed environment (what it inherits beats `.env` in
`${…}`, so our settings must not leak into the owner's file), an own session (a Ctrl-C at our terminal does not tear
it), and the project's lock (a Compose that outlives us still holds it).
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from updater_core.errors import ComposeError
from updater_core.models import Project
from updater_core.protocols import Preview

_KEPT_VARIABLES = (
    "PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_TLS", "DOCKER_CERT_PATH",
    "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR",
)  # fmt: skip
_DEFAULT_HOST = "unix:///var/run/docker.sock"
_DRY_RUN_SINCE = (2, 17)
_MISSING_REMEDY = "install the Docker Compose plugin (`docker compose version` must answer), or `docker-compose`"
_STATUS_LINE = re.compile(r"DRY-RUN MODE -\s+Container (\S+)\s+(\S.*?)\s*$")
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


def detect(environment: Mapping[str, str]) -> Command:
    """The plugin (v2 and later) where the docker command has one, else `docker-compose`; ComposeError where neither is.

    A standalone `docker-compose` may itself be v2: the version it prints decides.
    """
    for words in (("docker", "compose"), ("docker-compose",)):
        if shutil.which(words[0], path=environment.get("PATH")) is None:
            continue
        result = _run([*words, "version", "--short"], environment=environment, timeout_seconds=30)
        version = result.out.strip().lstrip("v")
        if result.code == 0 and re.match(r"\d+\.\d+", version):
            return Command(words, version)
    raise ComposeError("Docker Compose was not found", _MISSING_REMEDY)


def scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of our environment that a Compose child may see.

    The engine is always named: a docker context of the user's could mean another one than we look at.

    >>> scrubbed({"PATH": "/bin", "HEALTH_TIMEOUT": "3"})
    {'DOCKER_HOST': 'unix:///var/run/docker.sock', 'PATH': '/bin'}
    """
    return {"DOCKER_HOST": _DEFAULT_HOST} | {name: environment[name] for name in _KEPT_VARIABLES if name in environment}


def project_words(project: Project, *, is_v1: bool, replaced: Mapping[str, str]) -> list[str]:
    """The options that make Compose mean exactly this project, whatever the working directory.

    >>> project_words(Project("shop", "/srv/shop", ("/srv/shop/c.yml",)), is_v1=False, replaced={})
    ['-p', 'shop', '--project-directory', '/srv/shop', '-f', '/srv/shop/c.yml', '--profile', '*']
    """
    words = ["-p", project.name, "--project-directory", project.directory]
    for path in project.files:
        words += ["-f", replaced.get(path, path)]
    for path in _env_files(project, replaced):
        words += ["--env-file", path]
    return words if is_v1 else [*words, "--profile", "*"]


def _env_files(project: Project, replaced: Mapping[str, str]) -> list[str]:
    default = str(Path(project.directory) / ".env")
    if not project.env_files and default in replaced:
        return [replaced[default]]
    return [replaced.get(path, path) for path in project.env_files]


def up_words(replicas: Mapping[str, int], *, is_v1: bool, with_dependencies: bool, force: bool) -> list[str]:
    """`up` for these services alone, never building, never pulling.

    `--scale` because `up` without it shrinks a scaled service; `--pull never` beats `pull_policy: always`.
    """
    words = ["up", "-d", "--no-build"]
    words += [] if is_v1 else ["--pull", "never"]
    words += [] if with_dependencies else ["--no-deps"]
    words += ["--force-recreate"] if force else []
    for service, count in replicas.items():
        words += ["--scale", f"{service}={count}"]
    return [*words, *replicas]


def read_preview(text: str) -> Mapping[str, frozenset[str]]:
    """Container name to everything a dry run says would happen to it.

    >>> read_preview(" DRY-RUN MODE -  Container shop-web-1  Running ")
    {'shop-web-1': frozenset({'Running'})}
    """
    said: dict[str, frozenset[str]] = {}
    for line in text.splitlines():
        match = _STATUS_LINE.search(line)
        if match:
            said[match[1]] = said.get(match[1], frozenset()) | {match[2]}
    return said


class DockerCompose:
    """The Compose command of this host; satisfies `protocols.Compose`. `lock_fds` are inherited by its children."""

    def __init__(self, environment: Mapping[str, str], timeout_seconds: float) -> None:
        self._environment = scrubbed(environment)
        self._timeout_seconds = timeout_seconds
        self._command: Command | None = None
        self.lock_fds: tuple[int, ...] = ()

    @property
    def version(self) -> str:
        return self._found().version

    @property
    def is_v1(self) -> bool:
        return self._found().is_v1

    def config(self, project: Project, replaced: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        words = ["config"] if self.is_v1 else ["config", "--format", "json"]
        result = self._project(project, words, replaced or {})
        if result.code != 0:
            raise ComposeError(
                f"Compose cannot read project {project.name}: {_quote(result)}", "mend the file it names"
            )
        try:
            model = yaml.safe_load(result.out) if self.is_v1 else json.loads(result.out)
        except (ValueError, yaml.YAMLError) as error:
            raise ComposeError(f"Compose gave no readable model of project {project.name}") from error
        if not isinstance(model, dict):
            raise ComposeError(f"Compose gave no readable model of project {project.name}")
        return model

    def preview(self, project: Project, replicas: Mapping[str, int]) -> Preview | None:
        if self.is_v1 or _numbers(self.version) < _DRY_RUN_SINCE:
            return None
        words = up_words(replicas, is_v1=False, with_dependencies=True, force=False)
        result = self._project(project, words, {}, before=["--dry-run"])
        if result.code != 0:
            raise ComposeError(f"Compose refuses project {project.name}: {_quote(result)}", "mend what it names")
        return Preview(read_preview(result.out + "\n" + result.err))

    def up(
        self,
        project: Project,
        replicas: Mapping[str, int],
        *,
        with_dependencies: bool,
        force: bool,
        grace_seconds: float,
    ) -> None:
        words = up_words(replicas, is_v1=self.is_v1, with_dependencies=with_dependencies, force=force)
        result = self._project(project, words, {}, grace_seconds=grace_seconds)
        if result.code != 0:
            services = ", ".join(replicas)
            raise ComposeError(f"`compose up` of {services} ended with {result.code}: {_quote(result)}")

    def _project(
        self,
        project: Project,
        words: Sequence[str],
        replaced: Mapping[str, str],
        before: Sequence[str] = (),
        grace_seconds: float = 0.0,
    ) -> Result:
        command = self._found()
        argv = [*command.words, *before, *project_words(project, is_v1=command.is_v1, replaced=replaced), *words]
        return _run(
            argv,
            environment=self._environment,
            timeout_seconds=self._timeout_seconds + grace_seconds,
            directory=project.directory,
            lock_fds=self.lock_fds,
        )

    def _found(self) -> Command:
        if self._command is None:
            self._command = detect(self._environment)
        return self._command


def _run(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    timeout_seconds: float,
    directory: str | None = None,
    lock_fds: tuple[int, ...] = (),
) -> Result:
    try:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=directory,
            env=dict(environment),
            start_new_session=True,
            pass_fds=lock_fds,
        )
    except OSError as error:
        raise ComposeError(f"{argv[0]} cannot be started: {error.strerror}", _MISSING_REMEDY) from error
    try:
        out, err = child.communicate(timeout=timeout_seconds)
    except subprocess.TimeoutExpired:
        _kill(child)
        raise ComposeError(
            f"Compose did not end within {timeout_seconds:.0f} s and was stopped",
            "raise COMPOSE_TIMEOUT if the host is slow",
        ) from None
    except BaseException:
        _kill(child)
        raise
    return Result(child.returncode, out, err)


def _kill(child: subprocess.Popen[str]) -> None:
    """The whole session: the docker command and the plugin it started."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.communicate()


def _numbers(version: str) -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _quote(result: Result) -> str:
    lines = [line.strip() for line in (result.err or result.out).splitlines() if line.strip()]
    telling = [line for line in lines if not re.match(r"(DRY-RUN MODE -\s+)?(Container|Network|Volume) ", line)]
    return " | ".join((telling or lines)[-3:])[-_LONGEST_QUOTE:] or f"status {result.code}, nothing said"

"""The files that Compose reads for a project: those it was started from, and all these include or extend."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from updater_core.caching.cache import Cache
from updater_core.composefile import env_values, includes, one_shots, splice
from updater_core.composefile.definition import SourceFile
from updater_core.composefile.includes import Include, Setting, Unset, Wanted
from updater_core.host import permissions
from updater_core.host.stamp import stamp_of
from updater_core.models import Hold, Project, Reason


@dataclass(slots=True)
class FileCache:
    """The text of files, and what stands where in it, read again if a file's identity, size or time changed.

    `given`: texts by path that count in place of what is on disk.
    """

    given: Mapping[str, str] = field(default_factory=dict)
    places: Cache[Any] = field(default_factory=Cache)  # of images; `observe` keeps them
    _files: Cache[SourceFile] = field(default_factory=Cache)
    _one_shots: Cache[frozenset[str]] = field(default_factory=Cache)
    _wanted: Cache[Wanted] = field(default_factory=Cache)

    def read(self, path: str) -> SourceFile:
        """Return the file as text; OSError if it cannot be read, ValueError if it is not UTF-8."""
        if path in self.given:
            return SourceFile(path, self.given[path])
        stamp = stamp_of(Path(path))  # before the reading: what changes meanwhile is read next time
        return self._files.made_of(path, stamp, lambda: SourceFile(path, _decoded(path)))

    def wanted(self, file: SourceFile, env_files: Sequence[SourceFile]) -> Wanted:
        """Return what a file includes and extends, worked out again if it or one of its env files changed."""

        def found() -> Wanted:
            known = env_values.environment(env_values.assignments(each.text) for each in env_files)
            setting = Setting(file.base, file.path_values(known.values))
            wanted = includes.wanted(file.path, file.text, setting)
            return wanted if file.is_merged else replace(wanted, includes=())

        return self._wanted.made_of((file.path, file.env_paths, file.of_session), (file, env_files), found)

    def one_shots(self, files: Sequence[SourceFile]) -> frozenset[str]:
        """Return the services that end by themselves, worked out again if one of these files changed."""
        key = tuple(file.path for file in files)
        return self._one_shots.made_of(
            key, tuple(files), lambda: one_shots.declared(file.text for file in files)
        )


def _decoded(path: str) -> str:
    """Return a file's text; an error names the file, which a disk's or a decoder's own does not."""
    try:
        return splice.decode(Path(path).read_bytes())
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def read(project: Project, memory: FileCache) -> tuple[tuple[SourceFile, ...], tuple[SourceFile, ...]] | Hold:
    """Return every compose file in the order in which they count, and every env file of one of them."""
    reading = _SourceReader(memory, _session(project))
    reading.project(project)
    if reading.problems:
        details = "; ".join(detail for detail, _ in reading.problems)
        remedies = "; ".join(dict.fromkeys(remedy for _, remedy in reading.problems))
        return Hold(Reason.FILE_UNREADABLE, details, remedies)
    return tuple(reading.files.values()), tuple(reading.env_files.values())


def _session(project: Project) -> tuple[tuple[str, str], ...]:
    """Return what paths may take from the session that Compose is started in, as ours for the project is."""
    return (("PWD", project.directory), *((("HOME", project.home),) if project.home else ()))


def _is_there(include: Include) -> bool:
    paths = [*include.paths, *(include.env_paths or ())]
    # not `Path`, as in `_default_env`
    are_files = all(os.path.isfile(path) for path in paths)  # noqa: PTH113
    return are_files and os.path.isdir(include.directory)  # noqa: PTH112


def _unknown_path(path: str, unset: Unset) -> tuple[str, str]:
    """Return what is wrong with an include whose path takes unset variables, and what to do about it."""
    names = " and ".join(unset.names)
    return (
        f"{path} line {unset.line} includes {unset.text!r}, and no env file sets {names}",
        f"write {names} with the value that runs into the project's env file (`.env`), or write the path out",
    )


def _problem(path: str, error: OSError | ValueError) -> tuple[str, str]:
    """Return what is wrong with a file that cannot be read, and what to do about it."""
    if not isinstance(error, OSError):
        return str(error), "save it as UTF-8"
    detail = f"{path} cannot be read: {error.strerror}"
    if isinstance(error, PermissionError):
        commands = " && ".join(permissions.grants(Path(path)))
        return detail, f"run `{commands}`, or run the updater as root"
    if isinstance(error, FileNotFoundError):
        return detail, "put it back, or take it out of the file that names it"
    return detail, "see that the file can be read, and that its disk is well"


def one_shots_of(project: Project, memory: FileCache) -> frozenset[str]:
    """Return the services that end by themselves by a project's files; none if one cannot be read."""
    found = read(project, memory)
    return frozenset() if isinstance(found, Hold) else memory.one_shots(found[0])


@dataclass(slots=True)
class _SourceReader:
    """One pass over a project's files; a file that is reached twice with the same variables is read once."""

    memory: FileCache
    of_session: tuple[tuple[str, str], ...]
    files: dict[tuple[str, tuple[str, ...] | None], SourceFile] = field(default_factory=dict)
    env_files: dict[str, SourceFile] = field(default_factory=dict)
    problems: dict[tuple[str, str], None] = field(default_factory=dict)

    def project(self, project: Project) -> None:
        env_paths = project.env_files or _default_env(project.directory)
        for path in project.files:
            self._merged(path, project.directory, self._env(env_paths), ())

    def _merged(self, path: str, directory: str, env_paths: tuple[str, ...], trail: tuple[str, ...]) -> None:
        """Read a file of the project, before it what it includes, behind it what it extends."""
        read = self._read(path)
        if read is None:
            return
        file = replace(read, directory=directory, env_paths=env_paths, of_session=self.of_session)
        wanted = self._wanted(file)
        for include in wanted.includes:
            # An empty variable may still lead to a file; which one is meant if it does not, nobody knows.
            if include.unset and not _is_there(include):
                self.problems |= {_unknown_path(path, each): None for each in include.unset}
            else:
                self._include(include, env_paths, (*trail, path))
        self.files[path, env_paths] = file
        self._bases(wanted, env_paths)

    def _include(self, include: Include, env_paths: tuple[str, ...], trail: tuple[str, ...]) -> None:
        given = _default_env(include.directory) if include.env_paths is None else include.env_paths
        inner = (*(path for path in self._env(given) if path not in env_paths), *env_paths)
        for path in include.paths:
            if path not in trail and not includes.is_remote(path):  # Compose itself refuses a circle
                self._merged(path, include.directory, inner, trail)

    def _bases(self, wanted: Wanted, env_paths: tuple[str, ...]) -> None:
        """Read the files that only `extends` reaches.

        One that is not there: the service that needs it is refused.
        """
        for path in wanted.bases:
            if (path, env_paths) in self.files or not os.path.isfile(path):  # noqa: PTH113
                continue
            read = self._read(path)
            if read is None:
                continue
            file = replace(read, env_paths=env_paths, is_merged=False, of_session=self.of_session)
            self.files[path, env_paths] = file
            self._bases(self._wanted(file), env_paths)

    def _wanted(self, file: SourceFile) -> Wanted:
        known = tuple(self.env_files[path] for path in file.env_paths or () if path in self.env_files)
        return self.memory.wanted(file, known)

    def _env(self, paths: tuple[str, ...]) -> tuple[str, ...]:
        for path in paths:
            read = self._read(path) if path not in self.env_files else None
            if read is not None:
                self.env_files[path] = read
        return paths

    def _read(self, path: str) -> SourceFile | None:
        """Return the file; None if it cannot be read, which is noted, so that all such files are said."""
        try:
            return self.memory.read(path)
        except (OSError, ValueError) as error:
            self.problems[_problem(path, error)] = None
            return None


def _default_env(directory: str) -> tuple[str, ...]:
    path = str(Path(directory) / ".env")
    return (path,) if os.path.isfile(path) else ()  # noqa: PTH113 - Path's own raises in a closed folder

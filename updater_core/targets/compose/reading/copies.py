"""Copies of a project's files beside them, for Compose to read instead, with all that name one another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from updater_core.composefile import redirect, splice
from updater_core.composefile.redirect import Sources
from updater_core.composefile.yaml_nodes import Refused
from updater_core.errors import ComposeError, UpdaterError
from updater_core.host.files import staged_path
from updater_core.models import Edit, Hold, Project
from updater_core.protocols import Files
from updater_core.targets.compose.reading import sources
from updater_core.targets.compose.reading.sources import FileCache


@dataclass(frozen=True, slots=True)
class SourceTexts:
    """What Compose is to read: the project as it was read (`texts` by path), and the name that copies get."""

    project: Project
    texts: Mapping[str, str]
    tag: str


@contextmanager
def in_place(source: SourceTexts, texts: Mapping[str, str], files: Files) -> Iterator[Project]:
    """Yield the project with copies that hold `texts` (by path) in place of its files, for a block.

    Raises UpdaterError if a copy cannot be made.
    """
    written: list[Path] = []
    try:
        for path, text in _texts(source, texts).items():
            written.append(files.write_beside(Path(path), splice.encode(text), source.tag))
        yield _renamed(source, frozenset(_texts(source, texts)))
    finally:
        for copy in written:
            files.discard(copy)


def _texts(source: SourceTexts, texts: Mapping[str, str]) -> Mapping[str, str]:
    if not texts.keys() - {*source.project.files, *_env_files(source.project)}:
        return texts
    read = sources.read(source.project, FileCache(source.texts))
    if isinstance(read, Hold):
        raise ComposeError(read.detail, read.remedy)
    try:
        return redirect.copies(Sources(*read, copy_of=lambda path: _copy_of(path, source.tag)), texts)
    except Refused as error:
        raise ComposeError(str(error), error.remedy) from error


def _renamed(source: SourceTexts, copied: frozenset[str]) -> Project:
    """Return the project with the copies as its files.

    A `.env` that Compose finds by itself has to be named then.
    """
    project, env_files = source.project, _env_files(source.project)

    def renamed(paths: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_copy_of(path, source.tag) if path in copied else path for path in paths)

    is_env_copied = any(path in copied for path in env_files)
    return replace(
        project,
        files=renamed(project.files),
        env_files=renamed(env_files) if is_env_copied else project.env_files,
    )


def _env_files(project: Project) -> tuple[str, ...]:
    return project.env_files or (str(Path(project.directory) / ".env"),)


def _copy_of(path: str, tag: str) -> str:
    return str(staged_path(Path(path), tag))


def is_ours(edit: Edit, files: Files) -> bool:
    """Return whether a file still has the text of an edit of ours, or at least all its places."""
    try:
        text = splice.decode(files.snapshot(Path(edit.path)).data)
    except (UpdaterError, ValueError):
        return False
    return text == edit.after or splice.put_back(text, edit) not in (None, text)

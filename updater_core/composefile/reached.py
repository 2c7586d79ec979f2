"""Which services of another project an edit of a shared file would reach. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from updater_core.composefile.definition import SourceFile
from updater_core.composefile.locate import reference_of, survey
from updater_core.composefile.readers import Readers
from updater_core.composefile.splice import VARIABLE
from updater_core.composefile.yaml_nodes import Refused
from updater_core.models import Edit


def services(
    files: Sequence[SourceFile], env_files: Sequence[SourceFile], edits: Mapping[str, Edit]
) -> tuple[str, ...]:
    """The services of a project that would be others after `edits` (by the project's own paths); all of them
    if its files cannot be read.
    """
    texts = {path: edit.after for path, edit in edits.items()}
    try:
        before = survey(tuple(files), tuple(env_files)).project
        after = survey(_with(files, texts), _with(env_files, texts)).project
    except Refused:
        return ("every service",)
    found = {name for name in before.names if reference_of(before, name) != reference_of(after, name)}
    readers = Readers(before, None)
    for path, edit in edits.items():
        for mark in (mark for mark in edit.marks if mark.kind == VARIABLE):
            try:
                found |= {name for reader in readers.of(path, mark.key) for name in reader.services}
            except Refused:  # some of its files are out of sight
                found.add("every service")
    return tuple(sorted(name or "what is no service" for name in found))


def _with(files: Sequence[SourceFile], texts: Mapping[str, str]) -> tuple[SourceFile, ...]:
    return tuple(replace(file, text=texts.get(file.path, file.text)) for file in files)

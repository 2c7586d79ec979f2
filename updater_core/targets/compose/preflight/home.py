"""The home folder of whoever started a project: what `~` and `$HOME` in its files mean.

Compose takes it from its environment, which is another one for us, and writes it on no container. A path that
runs shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from posixpath import normpath

from updater_core.composefile import interpolation
from updater_core.protocols import Engine
from updater_core.targets.compose.preflight import written
from updater_core.targets.compose.preflight.written import ProjectText, Text
from updater_core.targets.compose.reading.observed import ObservedService

_HOME = "\0"  # stands for the folder; no path can hold it
_MENTIONS = ("~", "HOME")


def applied(observed: ObservedService, engine: Engine) -> ObservedService:
    """Return the service with its project's home folder, if its files need one and a container shows it.

    Raises EngineError if the engine refuses.
    """
    texts = [file.text for file in (*observed.files, *observed.env_files)]
    if not any(mention in text for text in texts for mention in _MENTIONS):
        return observed
    found = next(_shown(observed, engine), "")
    return replace(observed, project=replace(observed.project, home=found))


def _shown(observed: ObservedService, engine: Engine) -> Iterator[str]:
    project = ProjectText.of(observed.files, observed.env_files, home=_HOME)
    for service in project.services:
        texts = written.of_part(project.texts(service), "volumes")
        mounts = list(mounted(texts))
        for container in engine.containers(observed.project.name, service) if mounts else ():
            settings = engine.settings(container.id)
            found = shown_by(mounts, settings.binds) if settings else None
            if found is not None:
                yield found


def mounted(texts: Iterable[Text]) -> Iterator[tuple[str, str]]:
    r"""Yield what each mount has from below the home folder, and the place it is mounted at.

    The former is empty if it stands elsewhere (the long form).

    >>> from updater_core.composefile.env_values import Environment
    >>> given = Environment({"HOME": "\0"})
    >>> texts = [Text("volumes", "", text, given) for text in ("~/a:/a:ro", "$HOME/b:/b", "./c:/c")]
    >>> list(mounted(texts))
    [('/a', '/a'), ('/b', '/b')]
    """
    for text in texts:
        is_source = text.entry in ("", "source")
        resolved = interpolation.resolve(text.text, text.environment.values) if is_source else None
        source, _, rest = (resolved or "").partition(":")
        if source.startswith("~"):
            source = _HOME + source[1:]
        behind = source.removeprefix(_HOME)
        if behind != source and _is_below(behind):
            yield behind, normpath(rest.partition(":")[0]) if rest else ""


def _is_below(path: str) -> bool:
    """Return whether a path stays in the home folder: `~ann` is another's, and `~/..` is above it."""
    return path == "" or (path.startswith("/") and ".." not in path.split("/"))


def shown_by(wanted: Iterable[tuple[str, str]], binds: Iterable[tuple[str, str]]) -> str | None:
    """Return the home folder with which a container got its binds (source and place).

    None if no bind tells it, or two tell different ones.

    >>> shown_by([("/a", "/data")], [("/home/ann/a", "/data"), ("/etc/a", "/a")])
    '/home/ann'
    """
    found = {home for rest, place in wanted for home in _homes(rest, place, binds)}
    return found.pop() if len(found) == 1 else None


def _homes(rest: str, place: str, binds: Iterable[tuple[str, str]]) -> Iterator[str]:
    for source, target in binds:
        end = normpath(rest) if rest.strip("/") else ""
        home = source.removesuffix(end)
        if place in ("", target) and source.endswith(end) and home.startswith("/"):
            yield home

"""The table of deploy targets. A new one is a folder here and one line below. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from updater_core.targets.compose.entry import rules as compose
from updater_core.targets.kind import TargetKind
from updater_core.targets.swarm.entry import rules as swarm
from updater_core.vocabulary.options.option import Option

TABLE: tuple[TargetKind, ...] = (
    swarm.KIND,  # before Compose: its services may have a file, too
    compose.KIND,
)

BY_NAME: Mapping[str, TargetKind] = {kind.name: kind for kind in TABLE}


def _each_once(options: Iterable[Option]) -> tuple[Option, ...]:
    return tuple({option.key: option for option in options}.values())


# Their options, those that several have once.
WHERE = _each_once(option for kind in TABLE for option in kind.where)
HOW = _each_once(option for kind in TABLE for option in kind.how)
OF_TOP = _each_once(option for kind in TABLE for option in kind.top)
_OF_SERVICES: Mapping[str, Option] = {option.key: option for option in (*WHERE, *HOW)}


def kind_of(given: Collection[str]) -> TargetKind:
    """Return the kind of target that an entry of `services` with these keys is deployed by.

    >>> kind_of({"stack", "compose_file"}).name, kind_of({"compose_file"}).name, kind_of(()).name
    ('swarm', 'compose', 'compose')
    """
    return next(kind for kind in TABLE if kind.is_named_by(given))


def elsewhere(kind: TargetKind) -> Mapping[str, str]:
    """Return, by key, why an option that only other kinds have says nothing here, and what to do.

    >>> elsewhere(kind_of({"compose_file"}))["run_jobs"]
    'it is for the jobs of a Docker Swarm; take it out'
    """
    keys = [key for key in _OF_SERVICES if key not in kind.keys]
    return {key: kind.instead.get(key, f"it is for {_title(key)}; take it out") for key in keys}


def _title(key: str) -> str:
    return " and ".join(kind.title for kind in TABLE if key in kind.keys)

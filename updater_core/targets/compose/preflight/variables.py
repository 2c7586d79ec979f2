"""Values that only the shell which started the stack had: an `up` of ours would not have them.

They are named and the service is held: an `up` without them would start it with an empty password. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from updater_core.models import Hold, Reason
from updater_core.targets.compose import drift
from updater_core.targets.compose.drift import Drift
from updater_core.targets.compose.preflight import needs, written
from updater_core.targets.compose.preflight.facts import Deployed, HostFacts
from updater_core.targets.compose.preflight.written import Text
from updater_core.targets.compose.reading import origin

OWN_VARIABLES = ("HOME", "PATH", "PWD")  # which Compose has from us, and which beat those of an env file
# A file that takes a dozen variables would make a message that nobody reads.
_MOST_NAMES = 3


def missing_secret(facts: HostFacts) -> Hold | None:
    """Return a hold for a secret or config of a variable that neither we nor an env file has."""
    for service in sorted(facts.group.services):
        used = (facts.group.model.get("services") or {}).get(service) or {}
        for kind in ("secrets", "configs"):
            for key in needs.used(used, kind):
                taken = ((facts.group.model.get(kind) or {}).get(key) or {}).get("environment")
                absent = facts.environment.blank_names(f"${{{taken}}}") if taken else frozenset[str]()
                if absent:
                    use = f"the {kind.removesuffix('s')} {key} is taken from it"
                    return _hold(facts, service, min(absent), use)
        blank = next(_blank_in_configs(service, facts), None)
        if blank:
            return _hold(facts, service, *blank)
    return None


def _blank_in_configs(service: str, facts: HostFacts) -> Iterator[tuple[str, str]]:
    """Name and use of each variable in a config's `content` that nothing would stand in place of.

    What the running container was given cannot be compared: Compose copies it in.
    """
    for text in written.of_part(facts.texts.get(service, ()), "configs content"):
        for name in text.blank_names():
            yield name, "the content of a config is made with it"


def missing_variable(facts: HostFacts) -> Hold | None:
    """Return a hold for a variable that the container was started with, and an `up` would not have."""
    for one in facts.own:
        found = next(_missing(one, facts), None)
        if found:
            return _hold(facts, one.container.service, *found)
    return None


def _missing(one: Deployed, facts: HostFacts) -> Iterator[tuple[str, str]]:
    """Name and use of each variable, that the container had a value of and Compose resolves to none now."""
    service = one.container.service
    model = (facts.group.model.get("services") or {}).get(service) or {}
    declared = facts.image_variables.get(one.container.image_id, frozenset())
    environment = model.get("environment") or {}
    for key, value in environment.items() if isinstance(environment, Mapping) else ():
        # A bare name in `environment` that Compose resolves to nothing: the shell had it. One that the image
        # declares keeps the image's value.
        is_passed_on = value is None and key not in declared
        if is_passed_on and one.settings.environment.get(key):
            yield key, "it is passed on to the container"
    part = _differing_part(one, facts)
    for text in written.of_part(facts.texts.get(service, ()), part) if part else ():
        for name in text.open_names():
            yield name, f"{part} is made with it, and differs from what runs"


def _differing_part(one: Deployed, facts: HostFacts) -> str | None:
    moves = {move.service: move for move in facts.group.moves}
    move = moves.get(one.container.service)
    # A reference that differs is checked first, for the image is what a variable is usually for.
    if move is not None and not drift.is_same_reference(one.container.reference, move.old_reference):
        return "image"
    return drift.difference(facts.group.model, one.container, one.settings)


def drift_hold(command: str, drifted: Drift, texts: Sequence[Text], allowed_by: str = "") -> Hold:
    """Return the hold for a service that differs from its file.

    It was edited, or a shell started it with other values of its variables than the project's files give. No
    remedy would start it without them.

    `command`: what deploys an edit. `texts`: what the files say of the service that differs. `allowed_by`:
    the configured service whose `allow_drift` counts.
    """
    detail = f"{drifted.detail} (edited since its last `up`?)"
    concerned = written.of_part(texts, drifted.part) if drifted.part else texts
    unset = sorted({name for text in concerned for name in text.open_names()})
    taken = sorted({name for text in concerned for name in text.names}) if drifted.part else []
    if unset:
        detail = f"{detail}; it takes {_listed(unset)}, which no env file of the project sets"
        edited = f"if you edited the file, run {command} yourself, in a shell that has what the service needs"
        return Hold(Reason.DRIFT, detail, "; ".join((*_written_down(unset), edited)))
    if taken and not drifted.caution:
        detail = f"{detail}; it is made with {_listed(taken)}"
        shell = (
            "if a shell with another value than the env file's started it, write that value into the env file"
        )
        return Hold(Reason.DRIFT, detail, f"if you edited that, run {command} yourself; {shell}")
    allow = f', or set "allow_drift" for {allowed_by}' if allowed_by else ""
    remedy = f"run {command} yourself to take your edits over{allow}"
    return Hold(Reason.DRIFT, detail, f"{remedy}; {drifted.caution}" if drifted.caution else remedy)


def _written_down(unset: Sequence[str]) -> Iterator[str]:
    """Yield what to do about variables that the shell which ran `up` may have had a value of."""
    if any(name not in OWN_VARIABLES for name in unset):
        yield (
            "if the shell that ran `docker compose up` had a value of one, write it into the project's env "
            "file, above what takes it"
        )
    own = [name for name in unset if name in OWN_VARIABLES]
    if own:
        yield (
            f"if {_listed(own)} meant something else there than it does to us, write that out in its place: "
            "ours beats that of an env file"
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _hold(facts: HostFacts, service: str, name: str, use: str) -> Hold:
    project = facts.group.project
    # The last one, because it wins over those before it.
    file = project.env_files[-1] if project.env_files else f"{project.directory}/.env"
    is_taken_there = any(name in names for names in facts.environment.taken.values())
    place = f"{file} (mode 0600), above the line that takes it" if is_taken_there else f"{file} (mode 0600)"
    command = origin.by_hand(project, f"up -d {service}")
    remedy = (
        f"write {name} with its value into {place}, or give it in a file (`env_file`, a "
        "secret's `file`); do not run `docker compose up` without it. If you edited the file, deploy that "
        f"yourself: `{command}`, in a shell that has {name} if the service needs it"
    )
    if name in OWN_VARIABLES:
        remedy = (
            f"write out what {name} meant there in the file that takes it: our own {name} beats that of an "
            "env file"
        )
    sets = "sets above the line that takes it" if name in facts.environment.values else "sets"
    return Hold(
        Reason.VARIABLE_MISSING,
        f"{service} was started with a value of the variable {name} that no env file of the project {sets} "
        f"({use}): it came from the shell that ran `docker compose up`, or the file was edited since",
        remedy,
    )

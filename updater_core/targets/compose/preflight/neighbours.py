"""Containers of other projects, or of none, that a restart of the group would leave without a namespace. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from updater_core.models import Container, Hold, Reason
from updater_core.targets.compose.preflight.facts import Deployed, HostFacts


def left_without(facts: HostFacts) -> Hold | None:
    """Return a hold that names every container that lives in a namespace of a container of the group, or has its
    volumes, and does not go and come with it: it would stay up without a network, and could not be restarted."""
    own = [each.container for each in facts.own]
    guests = [each for each in facts.others if any(is_one(name, own) for name in joined(each))]
    if not guests:
        return None
    names = ", ".join(_in_words(each.container) for each in guests)
    hosts = ", ".join(sorted(each.name for each in own))
    return Hold(
        Reason.NAMESPACE_SHARED,
        f"{names} shares the network, another namespace or the volumes of {hosts}, and would be left without",
        "put them into one compose project (`network_mode: service:NAME`), then they are restarted together; or update"
        " by hand: recreate this service, then each of them",
    )


def joined(deployed: Deployed) -> tuple[str, ...]:
    """The containers in whose namespaces it lives, and whose volumes it has, by id or name."""
    return (*deployed.container.joined, *deployed.settings.volumes_from)


def is_one(name: str, containers: Iterable[Container]) -> bool:
    """Whether a name or an id, shortened or not, is one of these containers'.

    >>> one = Container("0123456789abcdef", "vpn", "", "", "", "", "running", "", 0)
    >>> [is_one(name, [one]) for name in ("vpn", "0123456789ab", "0123456789abcdef", "vp", "")]
    [True, True, True, False, False]
    """
    is_id = len(name) >= 12
    return any(name in (each.name, each.id) or (is_id and each.id.startswith(name)) for each in containers)


def _in_words(container: Container) -> str:
    return f"{container.name} (project {container.project})" if container.project else container.name

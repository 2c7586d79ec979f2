"""The updater's own service, when it runs in a container: which one it is, and how its operator updates it.

A restart would end the updater in the middle of its work, so that discovery leaves its service alone. `docker
compose run` starts a second container of a service: that one's service is the updater's own, too.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from updater_core.models import Container
from updater_core.protocols import Engine

_FOLDER_LABEL = "com.docker.compose.project.working_dir"
_SWARM_SERVICE_LABEL, _SWARM_NAME_LABEL = "com.docker.swarm.service.id", "com.docker.swarm.service.name"


@dataclass(frozen=True, slots=True)
class OwnService:
    """The container that this process runs in; `container` is None if there is none, or it is not known."""

    container: Container | None = None

    def is_of(self, project: str, service: str) -> bool:
        """Return whether a Compose service is the updater's own."""
        own = self.container
        return own is not None and bool(own.project) and (own.project, own.service) == (project, service)

    def is_container(self, container: Container) -> bool:
        """Return whether a container is the updater's own, or another one of its service."""
        own = self.container
        return own is not None and (
            own.id == container.id or self.is_of(container.project, container.service)
        )

    @property
    def swarm_service(self) -> str:
        """Return the id of the Swarm service that it is a task of; empty if it is of none."""
        return self.container.labels.get(_SWARM_SERVICE_LABEL, "") if self.container is not None else ""


def find(containers: Iterable[Container], own_id: str | None) -> OwnService:
    """Return the service among these containers that this process runs in.

    `own_id`: of its container, None if none.
    """
    if own_id is None:
        return OwnService()
    return OwnService(next((each for each in containers if each.id == own_id), None))


def remedy(own: OwnService, engine: Engine) -> str:
    """Return how the operator updates the updater; empty if it runs in no container.

    Raises EngineError if the engine refuses.
    """
    container = own.container
    if container is None:
        return ""
    if own.swarm_service:
        name = container.labels.get(_SWARM_NAME_LABEL, own.swarm_service)
        return (
            f"update it by hand, on a manager: `docker service update --image {container.reference} {name}`"
        )
    if not container.project:
        return f"update it by hand: `docker pull {container.reference}`, then start it anew as it was started"
    image = engine.known_image(container.image_id)
    is_built = image is not None and not image.repo_digests
    folder = shlex.quote(container.labels.get(_FOLDER_LABEL, ".") or ".")
    how = "--build" if is_built else "--pull always"
    command = f"cd {folder} && docker compose -p {container.project} up -d {how} {container.service}"
    return f"update it by hand, on the host: `{command}`"

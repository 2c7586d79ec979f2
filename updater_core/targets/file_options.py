"""The options of a service that stands in a Compose file, be it Compose's own or a stack's. Pure."""

from __future__ import annotations

from updater_core.vocabulary.options import kinds, plain
from updater_core.vocabulary.options.option import SERVICE, Kind, Option

_SERVICE_NAME = "[A-Za-z0-9._-]+"
_SERVICES = Kind(
    "a Compose service or a list of them",
    "the names as they stand under `services:` in the file",
    plain.many(plain.matching(_SERVICE_NAME)),
    kinds.or_list(kinds.any_of(kinds.pattern(f"^{_SERVICE_NAME}$"))),
)

FILE = Option(SERVICE, "compose_file", kinds.PATHS, None,
    "The Compose file, or all of them if the project was started with several `-f`. Of a stack: its "
    "file, which is edited too; the Swarm service alone is updated when left out.",
    ("/opt/apps/web/docker-compose.yml", ["docker-compose.yml", "docker-compose.prod.yml"]),
    "compose_files", is_of_one=True)  # fmt: skip
SERVICE_IN_FILE = Option(SERVICE, "compose_service", _SERVICES, None,
    "The service in that file. A list is an update group: one image, updated as one.",
    ("web", ["web", "worker"]), "compose_services", is_of_one=True,
    see="[update groups](choosing.md#update-groups-and-dependents)")  # fmt: skip
DRIFT = Option(SERVICE, "allow_drift", kinds.FLAG, False,
    "Update even if the Compose file was edited since it was last applied, and so apply the "
    "edits too.", (True,), "allow_drift")  # fmt: skip

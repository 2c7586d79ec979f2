"""The options of a service that Compose deploys, besides what every service has. Pure."""

from __future__ import annotations

from typing import Any

from updater_core.targets.compose.entry.settings import ComposeSettings
from updater_core.targets.file_options import DRIFT, FILE, SERVICE_IN_FILE
from updater_core.vocabulary.handover import UpdateOrder
from updater_core.vocabulary.options import kinds
from updater_core.vocabulary.options.option import SERVICE, Kind, Option

_PROJECT = kinds.word(
    "a Compose project name",
    "lower case letters, digits, '_' and '-', the first a letter or a digit",
    "[a-z0-9][a-z0-9_-]*",
)
_ORDER = kinds.choice(
    "an update order", "stop-first or start-first", {order.value: order for order in UpdateOrder}
)


def _own(key: str, kind: Kind, default: Any, doc: str, *examples: Any, **more: Any) -> Option:
    return Option(SERVICE, key, kind, default, doc, examples, settings=ComposeSettings, **more)


WHERE = (
    FILE,
    SERVICE_IN_FILE,
    _own("compose_project", _PROJECT, None,
         "The project, needed only if one file runs under several names.", "web-blue", is_of_one=True),
    Option(SERVICE, "group", kinds.NAME, None,
           "Services of one project that name the same group are [one update group](choosing.md#groups), as "
           "if one entry listed them; that is its name then.", ("immich",), "group", is_of_one=True),
)  # fmt: skip
HOW = (
    _own("update_order", _ORDER, None,
         "`start-first` starts the new container beside the old one, and stops the old one only when the new "
         "one is proven; `stop-first` is Compose's own recreate. When left out, what "
         "`deploy.update_config.order` of the Compose file says, else `stop-first`. See "
         "[start-first](start-first.md).", "start-first"),
    _own("drain_command", kinds.ARGUMENTS, None,
         "Start-first: run in each old container before it is stopped, so that a proxy sends it nothing "
         "more.",
         ["touch", "/tmp/draining"], "kill -USR1 1", by_label=False),  # noqa: S108 - an example
    _own("drain_seconds", kinds.duration(kinds.DAY, zero=True), 0,
         "Start-first: how long the old containers go on beside the proven new ones before they are stopped.",
         5, "1m"),
    _own("start_stopped", kinds.FLAG, False,
         "Update and start the service even if it is stopped.", True,
         see="[stopped services](operations.md#stopped-services)"),
    DRIFT,
    _own("allow_volume_change", kinds.FLAG, False,
         "Update even if the new image keeps its data at another place, or would start with an empty "
         "volume in place of one that the container has. The old volumes stay.", True),
)  # fmt: skip

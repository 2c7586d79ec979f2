"""What a recreate that was cut short leaves: a container under a temporary name. Pure."""

from __future__ import annotations

import re

from updater_core.models import Container

# as Compose names a container in the middle of a recreate
TEMPORARY_NAME = re.compile(r"([0-9a-f]{12})_(.+)")


def is_leftover(container: Container) -> bool:
    """Return whether a container is what a killed recreate left (see `recreate.tidy`).

    Digits alone are somebody's date, unless they begin its own id or stand before the name that Compose
    gives.

    >>> from dataclasses import replace
    >>> made = Container("0f", "", "shop", "web", "sha256:1", "web:1", "running", "", 0)
    >>> [is_leftover(replace(made, name=f"202401311200_{name}")) for name in ("shop-web-1", "other")]
    [True, False]
    """
    match = TEMPORARY_NAME.fullmatch(container.name)
    if match is None:
        return False
    usual = rf"{re.escape(container.project)}[-_]{re.escape(container.service)}[-_]\d+"
    return (
        not match[1].isdigit()
        or container.id.startswith(match[1])
        or re.fullmatch(usual, match[2]) is not None
    )

"""What `--discover` found, as a table for a terminal and as JSON. Text in, text out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from updater_core.deploy.discovered import Discovered, FoundService
from updater_core.status import columns
from updater_core.status.columns import Elastic, Keep

_HEAD = ("SERVICE", "IMAGE", "FOLLOWS", "STATE")
_ELASTIC = {0: Elastic(least=(26,)), 1: Elastic(Keep.END), 2: Elastic()}


def table(found: Discovered) -> str:
    """Return a line a service, what stands in the way with its remedy, and a line of summary at the end."""
    rows = [_HEAD, *(_row(each) for each in _worst_first(found.services))]
    lines = columns.table(rows, _ELASTIC)
    for each in _worst_first(found.services):
        lines += _notes(each)
    if found.left_out:
        lines += ["", "Not for this updater:"]
        lines += [
            columns.wrapped(f"  {each.name} ({each.image}): {each.why}", others="    ")
            for each in found.left_out
        ]
    if found.grants:
        lines += ["", "To let the updater read and edit the files of all of them, run once:", *found.grants]
    return "\n".join([*lines, "", summary(found)])


def summary(found: Discovered) -> str:
    """Return the last line: how many services there are, and how many could be updated as things stand."""
    listed = sum(each.is_listed for each in found.services)
    held = sum(bool(each.obstacles) for each in found.services)
    disabled = sum(not each.is_enabled for each in found.services)
    total = len(found.services)
    counts = [
        f"{total - held - disabled} ready",
        *([f"{held} held by what stands above"] if held else []),
        *([f"{disabled} disabled"] if disabled else []),
    ]
    services = f"{total} service{'s' if total != 1 else ''}"
    return f"{services}: {listed} in the configuration, {total - listed} new; {', '.join(counts)}"


def as_json(found: Discovered) -> str:
    """Return the same for machines."""
    services = [_service_as_json(each) for each in found.services]
    left_out = [{"name": each.name, "image": each.image, "why": each.why} for each in found.left_out]
    return json.dumps({"services": services, "left_out": left_out, "grants": list(found.grants)}, indent=2)


def _service_as_json(service: FoundService) -> Mapping[str, object]:
    return {
        "name": service.name,
        "image": service.image,
        "compose_file": list(service.files),
        "listed": service.is_listed,
        "enabled": service.is_enabled,
        "entry": dict(service.entry),
        "note": service.note,
        "obstacles": [{"text": one.text, "remedy": one.remedy} for one in service.obstacles],
    }


def _worst_first(services: Sequence[FoundService]) -> list[FoundService]:
    return sorted(
        services, key=lambda each: (not each.obstacles, not each.is_enabled, each.is_listed, each.name)
    )


def _row(each: FoundService) -> tuple[str, ...]:
    state = "held" if each.obstacles else "ready"
    state = state if each.is_enabled else "disabled"
    return (
        each.name,
        short_image(each.image),
        each.follows,
        f"{'listed' if each.is_listed else 'new'}, {state}",
    )


def _notes(each: FoundService) -> list[str]:
    lines = [columns.wrapped(each.note, f"{each.name}: ", "  ")] if each.note else []
    for obstacle in each.obstacles:
        lines.append(columns.wrapped(obstacle.text, f"{each.name}: ", "  "))
        if obstacle.remedy:
            lines.append(columns.wrapped(obstacle.remedy, "  to do: ", "    "))
    return ["", *lines] if lines else []


def short_image(text: str) -> str:
    """Return a reference with a short digest, and without what Docker Hub's names begin with.

    >>> short_image("docker.io/library/nginx:1.27@sha256:" + "0123456789abcdef" * 4)
    'nginx:1.27@sha256:0123456789ab'
    """
    name, at, digest = text.partition("@")
    name = name.removeprefix("docker.io/").removeprefix("library/")
    return f"{name}{at}{digest[:19]}"

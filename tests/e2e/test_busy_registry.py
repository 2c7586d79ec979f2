"""A registry that is asked too often, by the real command: short pauses are waited out, long ones harm only
their own registry's services.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support import lab
from tests.support.fake_registry import Bearer, Behaviour
from tests.support.lab import Shop

pytestmark = pytest.mark.engine

OURS = "docker-auto-updater"  # the engine's own questions are answered
KINDS = ("token", "manifest_head", "tags", "manifest_get", "blob")
POLICIES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("1.0.0", "1.1.0", {"follow": "major"}),
    ("build-a", "build-b", {"tag_pattern": "build-*"}),
    ("latest", "", {}),
    ("2.0", "", {"follow": "minor"}),
)


def several(shop: Shop) -> list[str]:
    """Let a service run for each policy, two of them with something newer; return their names."""
    text, entries = "services:", []
    for number, (tag, newer, policy) in enumerate(POLICIES):
        image = f"{shop.registry.host}/team/app{number}"
        shop.registry.push(f"team/app{number}", tag, shop.own(lab.good(f"one{number}")))
        text += f"\n  s{number}:\n    image: {image}:{tag}\n    network_mode: none\n    stop_grace_period: 1s"
        entry = {**shop.config()["services"][0], **policy, "name": f"{shop.name}-{number}"}
        entries.append({**entry, "image": f"{image}:{tag}", "compose_service": f"s{number}"})
        if newer:
            later = lab.build(f"two{number}", created="2024-06-01T10:00:00Z")
            shop.registry.push(f"team/app{number}", newer, shop.own(later))
    shop.compose_file.write_text(text + "\n")
    shop.up()
    shop.settings = {"services": entries}
    return [entry["name"] for entry in entries]


def busy(shop: Shop, hint: dict[str, str | None], times: int | None, body: bytes | None = None) -> None:
    for kind in KINDS:
        if body and kind == "manifest_head":  # its answer has none
            continue
        shop.registry.behave(kind, Behaviour(status=429, headers=hint, body=body), times=times, agent=OURS)


def test_short_pauses_of_every_kind_are_waited_out_and_long_ones_are_kept(shop: Shop) -> None:
    shop.registry.auth = Bearer()
    names = several(shop)
    busy(shop, {"Retry-After": "900"}, None)
    shop.registry.clear_log()
    status, said = shop.run("--once")
    assert status == 1
    assert said.count("WARN") == len(names)
    assert said.count("rate_limited: ") == len(names)
    assert len(shop.registry.log) <= 1 + len(names)  # those that were under way together
    shop.registry.clear_log()
    assert shop.run("--once")[0] == 1
    assert shop.registry.log == []  # the pause is kept by the next process

    shop.registry.well_behaved()
    busy(shop, {"Retry-After": "250ms"}, 1)
    busy(shop, {}, 1, b"toomanyrequests: retry-after: 331.163\xc2\xb5s, allowed: 44000/minute")
    busy(shop, {"RateLimit": '"pulls";r=0;t=1'}, 1)
    state = shop.folder / "state" / "state.json"
    kept = json.loads(state.read_text())
    assert list(kept["backoffs"]) == [shop.registry.host]
    kept["backoffs"] = {}
    state.write_text(json.dumps(kept))
    status, said = shop.run("--once")
    assert status == 0, said
    assert "WARN" not in said
    assert shop.releases("s0") == [("two0", "running")]
    assert shop.releases("s1") == [("two1", "running")]
    assert shop.releases("s2") == [("one2", "running")]

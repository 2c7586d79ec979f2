"""The four services of the operator's first document, from its own example: against Docker Hub's
façade and moto's ECR, each finds the image that it should.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.crowd import ListedEngine, NoCompose
from tests.support.aws import ACCOUNT, REGION, Aws
from tests.support.fake_registry import FakeRegistry
from updater_core import config_utils
from updater_core.app.evaluate import check_all
from updater_core.app.wiring import wire
from updater_core.host.clock import SystemClock
from updater_core.models import Container, Image, Update
from updater_core.registries import HubEndpoints, Registries

ECR = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
FOURTH = {  # the document's own, for a tag that changes its name
    "name": "accounting-staging",
    "image": f"{ECR}/accounting:staging-a1b2c3d",
    "compose_file": "/apps/accounting/docker-compose.yml",
    "compose_service": "app",
    "registry_type": "ecr",
    "tag_pattern": "staging-*",
    "registry_config": {"region": REGION},
}


def example() -> dict[str, Any]:
    """The shipped example, in moto's account and region, with every service enabled and the fourth added."""
    text = (
        Path("updater_config.json").read_text().replace("111111111111", ACCOUNT).replace("us-east-1", REGION)
    )
    raw: dict[str, Any] = json.loads(text)
    raw["services"] = [{**entry, "enabled": True} for entry in (*raw["services"], FOURTH)]
    return raw


def place(entry: dict[str, Any], folder: Path) -> tuple[Container, Image]:
    """A compose file for an entry, and a container that runs an older image of it."""
    file = folder / entry["name"] / "docker-compose.yml"
    file.parent.mkdir()
    file.write_text(f"services:\n  {entry['compose_service']}:\n    image: {entry['image']}\n")
    entry["compose_file"] = str(file)
    image = Image(f"sha256:{entry['name']:x<64}", ())
    labels = {
        "com.docker.compose.project.config_files": str(file),
        "com.docker.compose.project.working_dir": str(file.parent),
    }
    container = Container(
        entry["name"],
        entry["name"],
        entry["name"],
        entry["compose_service"],
        image.id,
        "",
        "running",
        "",
        0,
        labels=labels,
    )
    return container, image


def test_each_service_of_the_example_finds_its_image(
    tmp_path: Path, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Aws() as aws:
        for name, value in aws.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
        latest = registry.push("myregistry/webapp", "latest").digest
        aws.push("api", "staging-old")
        aws.push("api", "prod-1")
        aws.next_second()
        staging = aws.push("api", "staging-new")
        aws.push("app", "v1.0.0")
        highest = aws.push("app", "v1.10.0")
        aws.push("app", "v1.9.0")
        accounting = aws.push("accounting", "staging-ffffff0")
        raw = example()
        observed = [place(entry, tmp_path) for entry in raw["services"]]
        raw["state_file"] = str(tmp_path / "state.json")
        context = wire(config_utils.parse(raw, {}, "example"), SystemClock())
        engine = ListedEngine(tuple(c for c, _ in observed), {image.id: image for _, image in observed})
        context.host.engine, context.host.compose = engine, NoCompose()  # type: ignore[assignment]
        hub = HubEndpoints(registry=registry.url, api=registry.url)
        context.registries = Registries(docker_config_dir=tmp_path, clock=context.clock, hub_endpoints=hub)
        found = {one.service.name: one.decision for one in check_all(context)}
        targets = {
            name: (d.target.tag, d.target.digest) for name, d in found.items() if isinstance(d, Update)
        }
    assert targets == {
        "webapp": ("latest", latest),
        "api-staging": ("staging-new", staging),
        "release-app": ("v1.10.0", highest),
        "accounting-staging": ("staging-ffffff0", accounting),
    }

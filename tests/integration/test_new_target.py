"""A deploy target is one folder and one line: a made-up third one is added to a copy of the program, and the
unchanged rest of it checks, plans, updates, rolls back and recovers there, with no engine and no Compose to
be asked.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_registry import Build, FakeRegistry

ROOT = Path(__file__).resolve().parents[2]
TABLE = "updater_core/targets/table.py"
UNIT = "[Unit]\nDescription=the shop\n\n[Container]\nImage={image}\n\n[Install]\nWantedBy=default.target\n"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the program with one folder and one line more (and the line that imports it)."""
    root = tmp_path_factory.mktemp("program")
    for name in ("updater_core", "docker_updater.py", "scripts", "updater_config.json"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, root / name)
    (root / "updater_core/targets/quadlet").mkdir()
    shutil.copy(ROOT / "tests/support/quadlet_target.py", root / "updater_core/targets/quadlet/__init__.py")
    table = (root / TABLE).read_text()
    imported = "from updater_core.targets import quadlet\n"
    table = re.sub(r"^(?=from updater_core\.targets\.compose)", imported, table, flags=re.MULTILINE)
    table = re.sub(r"^(?=    swarm\.KIND,)", "    quadlet.KIND,\n", table, flags=re.MULTILINE)
    assert table.count("quadlet") == 2
    (root / TABLE).write_text(table)
    return root


@dataclass
class UnitShop:
    """One service that runs as a unit, and the program that looks after it."""

    program: Path
    folder: Path
    registry: FakeRegistry
    options: dict[str, Any] = field(default_factory=dict)
    top: dict[str, Any] = field(default_factory=dict)
    others: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.unit = self.folder / "shop.container"
        self.old = self.push("1.0")
        self.unit.write_text(UNIT.format(image=f"{self.registry.host}/team/app:1.0"))
        self.host(running=self.old, bad=[])

    def push(self, tag: str) -> str:
        return self.registry.push("team/app", tag, Build(files={"a": tag.encode()})).digest

    def host(self, **changes: Any) -> None:
        """Set what the made-up host is like."""
        path = Path(f"{self.unit}.json")
        known = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**known, **changes}))

    def standing(self) -> tuple[str, str]:
        """The tag that the unit names, and the digest that runs."""
        tag = re.search(r"^Image=.*:(\S+)$", self.unit.read_text(), re.MULTILINE)
        assert tag is not None
        return tag[1], json.loads(Path(f"{self.unit}.json").read_text())["running"]

    def run(self, *arguments: str) -> tuple[int, str]:
        """The program's exit status and what it said."""
        service = {"name": "shop", "image": f"{self.registry.host}/team/app", "unit_file": self.unit.name,
                   "semver_pattern": "*", **self.options}  # fmt: skip
        raw = {**self.top, "services": [service, *self.others], "state_file": str(self.folder / "state.json"),
               "log_file": str(self.folder / "log")}  # fmt: skip
        (self.folder / "config.json").write_text(json.dumps(raw))
        environment = {
            "CONFIG_FILE": str(self.folder / "config.json"),
            "DOCKER_HOST": f"unix://{self.folder}/no-engine.sock",
            "PATH": str(self.folder),  # there is no Compose either
            "HOME": str(self.folder),
        }
        words = [sys.executable, str(self.program / "docker_updater.py"), *arguments]
        done = subprocess.run(
            words, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        return done.returncode, done.stdout + done.stderr

    def written(self, program: Path) -> tuple[list[str], dict[str, Any], list[list[str]]]:
        """What the schema and the reference, made anew, have of the options of this target: at the top level,
        in a service with their defaults; and which keys an entry needs.
        """
        read = """
import json
from scripts import write_configuration_reference as reference
from updater_core.config import schema
made = schema.schema()
text = reference.text_of(made, "{}")
service = made["$defs"]["service"]
kept = [key for key in ("systemd_scope", "unit_file", "restart_mode") if f"| `{key}` |" in text]
print(json.dumps([[key for key in kept if key in made["properties"]],
    {key: service["properties"][key].get("default") for key in kept if key in service["properties"]},
    [each["required"] for each in service["anyOf"]]]))
"""
        words = [sys.executable, "-c", read]
        done = subprocess.run(words, cwd=program, capture_output=True, text=True, check=True, timeout=120)
        top, service, needed = json.loads(done.stdout)
        return top, service, needed

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "state.json").read_text())["services"]["shop"]
        return found

    def journal(self) -> Sequence[Path]:
        return [*(self.folder / "journal").glob("*.json")]


@pytest.fixture
def shop(program: Path, tmp_path: Path, registry: FakeRegistry) -> UnitShop:
    return UnitShop(program, tmp_path, registry)


def test_a_service_there_is_tried_planned_updated_and_rolled_back(shop: UnitShop) -> None:
    status, said = shop.run("--test")
    assert (status, "units of the system can be started" in said, "no-engine.sock" in said) == (
        0,
        True,
        False,
    ), said
    assert "Compose" not in said
    new = shop.push("1.1")
    status, said = shop.run("--plan")
    assert (status, f"unit:      {shop.unit}" in said) == (0, True), said
    assert shop.standing() == ("1.0", shop.old)
    assert shop.run("--once")[0] == 0
    assert shop.standing() == ("1.1", new)
    assert shop.unit.read_text() == UNIT.format(image=f"{shop.registry.host}/team/app:1.1")
    assert (shop.state()["status"], shop.journal()) == ("updated", [])
    status, said = shop.run("--rollback", "shop")
    assert (status, shop.standing()) == (0, ("1.0", shop.old)), said
    assert shop.run("--once")[0] == 0
    assert shop.standing() == ("1.0", shop.old)  # what was left is not taken again


def test_a_bad_release_there_is_rolled_back_and_not_tried_again(shop: UnitShop) -> None:
    shop.host(bad=[shop.push("1.1")])
    status, said = shop.run("--once")
    assert (status, shop.standing()) == (1, ("1.0", shop.old)), said
    assert (shop.state()["status"], shop.state()["reason"]) == ("rolled_back", "unhealthy")
    assert shop.state()["changes"][0]["evidence"][0]["log"] == ["a line of the unit"]
    assert shop.run("--once")[0] == 0
    assert [each["outcome"] for each in shop.state()["changes"]] == ["rolled_back"]


def test_an_update_there_that_was_killed_is_ended_by_the_next_start(shop: UnitShop) -> None:
    new = shop.push("1.1")
    shop.host(dies=True)
    assert shop.run("--once")[0] == -signal.SIGKILL
    assert (len(shop.journal()), shop.standing()) == (1, ("1.1", shop.old))
    shop.host(dies=False)
    assert shop.run("--once")[0] == 1  # the release was not to blame, and is tried again after a pause
    assert (shop.journal(), shop.standing()) == ([], ("1.0", shop.old))
    status, said = shop.run("--update", "shop")
    assert (status, shop.standing()) == (0, ("1.1", new)), said
    assert [each["outcome"] for each in shop.state()["changes"]] == ["committed", "rolled_back"]


def test_what_goes_wrong_there_is_said_in_the_targets_own_words(shop: UnitShop) -> None:
    shop.push("1.1")
    shop.unit.write_text(shop.unit.read_text().partition("\n[Install]")[0])
    assert shop.run("--once")[0] == 1
    assert (shop.state()["reason"], shop.standing()) == ("file_unreadable", ("1.0", shop.old))
    shop.unit.unlink()
    assert shop.run("--once")[0] == 1
    assert (shop.state()["status"], shop.state()["reason"]) == ("unknown", "file_unreadable")


def test_plan_names_everything_that_holds_an_update(shop: UnitShop) -> None:
    """Each rule of admission, in the table's order, and what the target has against it; the youth of the
    release is a matter of which image, comes before all of them, and hides none.
    """
    shop.push("1.1")
    opens = datetime.now(UTC) + timedelta(hours=6)
    window = f"{opens:%H:%M}-{opens + timedelta(hours=1):%H:%M}"
    shop.options = {"mode": "approve", "maintenance_window": window, "timezone": "UTC", "pause_updates": True}
    shop.unit.write_text(shop.unit.read_text().partition("\n[Install]")[0])
    rules = ["paused", "window_closed", "awaiting_approval", "file_unreadable"]
    assert reasons(shop) == rules
    assert printed(shop) == rules
    shop.options["min_age"] = "3d"
    assert reasons(shop) == ["too_young", *rules]
    assert printed(shop) == ["too_young", *rules]
    shop.options = {"mode": "notify"}
    assert reasons(shop) == ["notify_only", "file_unreadable"]


def reasons(shop: UnitShop) -> list[str]:
    """What holds the update, by `--plan --json`."""
    status, said = shop.run("--plan", "--json")
    assert status == 0, said
    (service,) = json.loads(said)["services"]
    assert all(each["detail"] and each["remedy"] for each in (service, *service["also"]))
    return [each["reason"] for each in (service, *service["also"])]


def printed(shop: UnitShop) -> list[str]:
    """The same by `--plan`."""
    return re.findall(r"^  (?:no update|also held): (\w+) -\s", shop.run("--plan")[1], re.MULTILINE)


def test_its_own_options_are_read_checked_and_documented(shop: UnitShop, program: Path) -> None:
    """One folder and one line: parser, defaults, messages, schema and reference take them from there."""
    shop.push("1.1")
    shop.top = {"systemd_scope": "user", "defaults": {"restart_mode": "reload-or-restart"}}
    assert "units of the user can be started" in shop.run("--test")[1]
    assert "(reload-or-restart)" in shop.run("--plan")[1]
    shop.options = {"compose_file": "c.yml", "run_jobs": True, "restart_mode": "never", "engine": "prod"}
    status, said = shop.run("--test")
    assert status == 2
    for wrong in (
        "services[0].compose_file: it is for a Docker Swarm and Compose; take it out",
        "services[0].run_jobs: it is for a Docker Swarm; take it out",
        "services[0].engine: it is for a Docker Swarm; take it out",
        'services[0].restart_mode: "never" is not a way to restart; write restart or reload-or-restart',
    ):
        assert wrong in said
    assert shop.written(program) == (
        ["systemd_scope"],
        {"unit_file": None, "restart_mode": "restart"},
        [["compose_file", "compose_service"], ["stack", "compose_service"], ["swarm_service"], ["unit_file"]],
    )


def test_an_entry_of_another_target_has_none_of_its_options(shop: UnitShop) -> None:
    shop.options = {"unit_file": "a.container", "compose_file": "c.yml", "compose_service": "web"}
    plain = {key: value for key, value in shop.options.items() if key != "unit_file"}
    shop.top = {"defaults": {"restart_mode": "reload-or-restart"}}  # says nothing to Compose, and no harm
    raw = {"name": "other", "image": "team/app", "restart_mode": "reload-or-restart", **plain}
    shop.others = [raw]
    shop.options = {}
    status, said = shop.run("--test")
    assert (status, said.count("it is for Podman Quadlet; take it out")) == (2, 1), said
    del raw["restart_mode"]
    shop.others = [raw, {"name": "twin", "image": "team/app", "unit_file": shop.unit.name}]
    status, said = shop.run("--test")
    assert (status, "services[2].unit_file: shop of " in said) == (2, True), said

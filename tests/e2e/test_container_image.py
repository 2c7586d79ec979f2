"""The updater as a container: built by ops/Dockerfile, it updates a stack of the host and leaves itself
alone.
"""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import lab, systemd_container
from tests.support.lab import ROOT, Shop, until
from tests.support.ports import free_port

# the machine of that group has Python and wheels
pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("systemd")]

SOCKET = "/var/run/docker.sock"


def docker(*words: str, **options: object) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"docker {' '.join(words)}: {done.stdout}{done.stderr}"
    return str(done.stdout).strip()


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """The image of ops/Dockerfile on bases made here: a Debian with Python and wheels, and Compose as one
    file.
    """
    mark = uuid.uuid4().hex[:8]
    python, compose, name = f"dau-test-python:{mark}", f"dau-test-compose:{mark}", f"dau-test-image:{mark}"
    docker("create", "--name", f"dau-test-{mark}", systemd_container.image(), "true")
    offline = ("--change", "ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels")
    docker("commit", *offline, f"dau-test-{mark}", python)
    docker("rm", f"dau-test-{mark}")
    plugin = systemd_container.compose_plugin()
    tar = f"tar --create --directory {plugin.parent} --transform s,.*,docker-compose, {plugin.name}"
    packed = f"{tar} | docker import - {compose}"
    subprocess.run(["bash", "-o", "pipefail", "-c", packed], check=True, capture_output=True)
    arguments = ("--build-arg", f"PYTHON_IMAGE={python}", "--build-arg", f"COMPOSE_IMAGE={compose}")
    docker("build", "--quiet", *arguments, "--file", str(ROOT / "ops/Dockerfile"), "--tag", name, str(ROOT))
    yield name
    for each in (name, python, compose):
        subprocess.run(["docker", "rmi", "--force", each], capture_output=True, check=False)


@pytest.fixture
def contained(shop: Shop, image: str) -> Iterator[str]:
    """The updater in a container, as nobody but the socket's group; it looks after the shop and after
    itself.
    """
    name = f"{shop.name}-updater"
    shop.policy = {"health_stable": 1}
    shop.push("latest", lab.good("one"))
    shop.write("latest")
    shop.up()
    own = shop.folder / "own"
    (own / "config").mkdir(parents=True)
    compose_file = own / "compose.yml"
    compose_file.write_text(json.dumps(_own_compose(shop, image, name, own)))
    mine = {
        "name": "updater", "image": f"{shop.repository}:tools", "compose_file": str(compose_file),
        "compose_service": "updater",
    }  # fmt: skip
    config = {**shop.config(), "check_interval": 3600, "services": [*shop.config()["services"], mine]}
    for place in ("state_file", "log_file"):
        config.pop(place)
    (own / "config" / "updater_config.json").write_text(json.dumps(config))
    docker("tag", image, f"{shop.repository}:tools")
    subprocess.run(["chmod", "-R", "a+rwX", str(shop.folder)], check=True)
    docker("compose", "-f", str(compose_file), "-p", name, "up", "-d", "--no-build", "--pull", "never")
    yield name
    docker("compose", "-f", str(compose_file), "-p", name, "down", "--volumes", "--timeout", "5")
    docker("rmi", "--force", f"{shop.repository}:tools")


def _own_compose(shop: Shop, image: str, name: str, own: Path) -> dict[str, object]:
    service = {
        "image": f"{shop.repository}:tools",
        "container_name": name,
        "network_mode": "host",
        "user": "65534:65534",
        "group_add": [str(Path(SOCKET).stat().st_gid)],
        "environment": {"METRICS_PORT": str(free_port())},
        "healthcheck": {"interval": "1s", "start_period": "0s"},
        "read_only": True,
        "tmpfs": ["/tmp"],
        "cap_drop": ["ALL"],
        "volumes": [
            f"{SOCKET}:{SOCKET}",
            f"{shop.folder}:{shop.folder}",
            f"{own}/config:/config",
            "state:/state",
        ],
    }
    return {"services": {"updater": service}, "volumes": {"state": {}}}


def test_it_updates_a_stack_of_the_host_and_leaves_itself_alone(shop: Shop, contained: str) -> None:
    state = ("inspect", "--format", "{{.State.Health.Status}}", contained)
    until(lambda: docker(*state) == "healthy", what="the updater is healthy")
    shop.push("latest", lab.good("two"))
    before = docker("inspect", "--format", "{{.Id}} {{.State.StartedAt}}", contained)
    docker("kill", "--signal", "USR1", contained)
    until(lambda: shop.releases() == [("two", "running")], what="the update")
    said = docker("exec", contained, "docker-updater", "--plan", "--service", "updater")
    assert "own_container" in said
    assert "by hand" in said
    assert docker("inspect", "--format", "{{.Id}} {{.State.StartedAt}}", contained) == before


def test_discovery_of_everything_leaves_the_updater_out_and_says_how_to_update_it(
    shop: Shop, contained: str
) -> None:
    """A cycle that takes up all that runs has nothing to say of the updater's own service."""
    taking_all = {"services": [], "discover": "all", "defaults": {"health_stable": 1}}
    (shop.folder / "own" / "config" / "all.json").write_text(json.dumps(taking_all))
    inside = [
        "exec",
        "--env",
        "CONFIG_FILE=/config/all.json",
        "--env",
        "STATE_FILE=/tmp/all/state.json",
        contained,
    ]
    web = f"{shop.name}-web"

    def updater(*words: str) -> str:
        words = ("docker", *inside, "docker-updater", *words)
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    names = updater("--plan", "--service", "nobody")
    assert web in names
    assert f"{contained}-updater" not in names
    tested = updater("--test", "--service", web)
    by_hand = f"docker compose -p {contained} up -d --build updater"
    assert [line.count(by_hand) for line in tested.splitlines() if line.startswith("ok    updater: ")] == [
        1
    ], tested
    shop.push("latest", lab.good("three"))
    said = updater("--once", "--service", web)
    assert "1 checked, 1 updated, all well" in said
    assert shop.releases() == [("three", "running")]


def test_it_begins_its_own_configuration_and_never_lists_itself(
    shop: Shop, contained: str, image: str
) -> None:
    """As docs/install.md has it: an empty folder, `--discover --write`, then the start."""
    first = shop.folder / "first"
    first.mkdir(mode=0o777)
    first.chmod(0o777)
    mounts = [f"{SOCKET}:{SOCKET}", f"{shop.folder}:{shop.folder}", f"{first}:/config"]
    words = [
        "run",
        "--rm",
        "--user",
        "65534:65534",
        "--group-add",
        str(Path(SOCKET).stat().st_gid),
        "--network",
        "host",
    ]
    words += ["--read-only", "--tmpfs", "/tmp", "--tmpfs", "/state:mode=1777", "--cap-drop", "ALL"]
    words += [word for mount in mounts for word in ("--volume", mount)]
    docker(*words, image, "--discover", "--write", "--yes")
    assert "no mistake" in docker(*words, image, "--check-config")
    written = json.loads((first / "updater_config.json").read_text())["services"]
    assert f"{shop.name}-web" in {each["name"] for each in written}
    said = docker(
        "exec", "--env", "CONFIG_FILE=/tmp/none.json", contained, "docker-updater", "--discover", "--json"
    )
    found = json.loads(said)
    why = {each["name"]: each["why"] for each in found["left_out"]}
    assert "the updater itself" in why[contained]

"""What would be lost or broken beside the image, on the real engine: looked at, and held, before anything is
stopped; `--test` says the same.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support import lab
from tests.support.lab import Shop
from updater_core.app import cycle
from updater_core.models import Committed, Hold, Reason, RolledBack

pytestmark = pytest.mark.engine

COMMON = "    restart: unless-stopped\n    stop_grace_period: 1s\n"
ALONE = COMMON + "    network_mode: none\n"
WEB = "services:\n  web:\n    image: {image}\n" + ALONE


@pytest.fixture(autouse=True)
def _quick(shop: Shop) -> None:
    shop.policy = {"health_stable": 1}


def begin(shop: Shop, text: str = WEB, environment: dict[str, str] | None = None) -> None:
    """The first release runs as `text` says, started by a shell with `environment`; a second one is
    published.
    """
    shop.push("latest", lab.good("one"))
    shop.write(text=text)
    argv = ["docker", "compose", "-p", shop.name, "up", "-d"]
    subprocess.run(
        argv, cwd=shop.folder, check=True, capture_output=True, env={**os.environ, **(environment or {})}
    )
    shop.push("latest", lab.good("two"))


def held(shop: Shop, reason: Reason, *words: str) -> Hold:
    """The cycle leaves everything as it is for this reason, with these words; so says `--test`, with status 1
    or 3.
    """
    before = [(each.id, each.status) for each in shop.containers()]
    context = shop.context()
    report = cycle.run(context)
    assert report.outcomes == (), report.outcomes
    state = shop.state()
    assert state["reason"] == reason, state
    for word in words:
        assert word in state["detail"], state["detail"]
    assert state["remedy"]
    assert [(each.id, each.status) for each in shop.containers()] == before
    status, out = shop.run("--test")
    assert status != 0
    assert all(word in out for word in words), out
    return Hold(reason, state["detail"], state["remedy"])


def updated(shop: Shop) -> None:
    outcomes = shop.cycle().outcomes
    assert [type(outcome) for outcome in outcomes] == [Committed], (outcomes, shop.state())


# ---------------------------------------------------------------------------------------- what `up` will need


def test_a_path_that_is_gone_is_named_and_no_folder_is_made_in_its_place(shop: Shop) -> None:
    path = shop.folder / "app.conf"
    path.write_text("x")
    begin(shop, WEB + "    volumes: [./app.conf:/app.conf:ro]\n")
    path.unlink()
    held(shop, Reason.MISSING_ON_HOST, str(path), "/app.conf")
    assert not path.exists()
    path.write_text("x")
    updated(shop)


def test_a_link_to_nowhere_and_a_secrets_file_are_paths_too(shop: Shop) -> None:
    target, link, secret = (shop.folder / name for name in ("target", "link", "secret.txt"))
    target.mkdir()
    link.symlink_to(target)
    secret.write_text("x")
    text = WEB + "    volumes: [./link:/data]\n    secrets: [tok]\nsecrets:\n  tok:\n    file: ./secret.txt\n"
    begin(shop, text)
    target.rmdir()
    held(shop, Reason.MISSING_ON_HOST, str(link))
    target.mkdir()
    secret.unlink()
    held(shop, Reason.MISSING_ON_HOST, str(secret), "tok")


def test_a_device_that_is_gone_is_named(shop: Shop) -> None:
    text = WEB + "    devices: [/dev/null:/dev/stick]\n"
    begin(shop, text)
    gone = WEB + f"    devices: [/dev/dau-{shop.name}:/dev/stick]\n"
    shop.write(text=gone)
    held(shop, Reason.MISSING_ON_HOST, f"/dev/dau-{shop.name}")


def test_a_network_that_was_connected_by_hand_is_named_and_kept_once_the_file_has_it(shop: Shop) -> None:
    by_hand = f"{shop.name}-proxied"
    text = f"services:\n  web:\n    image: {{image}}\n{COMMON}"
    shop.client.networks.create(by_hand)
    try:
        begin(shop, text)
        (container,) = shop.containers()
        subprocess.run(["docker", "network", "connect", by_hand, container.name], check=True)
        hold = held(shop, Reason.DRIFT, container.name, by_hand)
        assert f"docker network disconnect {by_hand} {container.name}" in hold.remedy
        declared = f"    networks: [default, {by_hand}]\nnetworks:\n  {by_hand}: {{{{external: true}}}}\n"
        shop.write(text=text + declared)
        shop.up("web", "--pull", "never")
        shop.push("latest", lab.good("three"))
        updated(shop)
        assert by_hand in shop.containers()[0].attrs["NetworkSettings"]["Networks"]
    finally:
        shop.down()
        shop.client.networks.get(by_hand).remove()


LACKING = {
    "runtime nowhere": "    runtime: nowhere\n",
    "log driver nowhere": "    logging: {{driver: nowhere}}\n",
    "profile.json": "    security_opt: ['seccomp:./profile.json']\n",
    "DOCKER_DEFAULT_PLATFORM": "",
}


def test_what_the_engine_would_refuse_is_named_and_what_nobody_foresaw_harms_nothing(shop: Shop) -> None:
    begin(shop)
    before = [each.id for each in shop.containers()]
    shop.policy["allow_drift"] = True
    env = shop.folder / ".env"
    for word, written in LACKING.items():
        shop.write(text=WEB + written)
        env.write_text("" if written else f"{word}=linux/s390x\n")
        cycle.run(shop.context())
        assert word in shop.state()["detail"], shop.state()
        assert shop.state()["status"] == "waiting"
    env.unlink()
    shop.write(text=WEB + "    mem_limit: 1000\n")  # less than the engine allows
    (outcome,) = shop.cycle().outcomes
    assert isinstance(outcome, RolledBack), outcome
    assert outcome.cause.reason is Reason.COMPOSE_ERROR
    assert [each.id for each in shop.containers()] == before
    assert shop.releases() == [("one", "running")]
    assert shop.strays() == []


def test_a_container_whose_network_it_shares_is_named_once_it_is_stopped_or_gone(shop: Shop) -> None:
    """The running one has what it got; its successor could not be started, nor the old release again."""
    gateway = f"{shop.name}-gw"
    shop.push("latest", lab.good("one"))
    first = f"services:\n  web:\n    image: {{image}}\n{COMMON}    container_name: {gateway}\n"
    with other_project(shop, shop.folder / "first", first):
        begin(
            shop, f"services:\n  web:\n    image: {{image}}\n{COMMON}    network_mode: container:{gateway}\n"
        )
        subprocess.run(["docker", "stop", "-t", "0", gateway], check=True, capture_output=True)
        found = held(shop, Reason.MISSING_ON_HOST, gateway, "exited")
        assert f"`docker start {gateway}`" in found.remedy
        subprocess.run(["docker", "start", gateway], check=True, capture_output=True)
        updated(shop)
        shop.push("latest", lab.good("three"))
        subprocess.run(["docker", "rm", "-f", gateway], check=True, capture_output=True)
        held(shop, Reason.MISSING_ON_HOST, gateway)


def test_an_external_volume_that_is_gone_is_named(shop: Shop) -> None:
    client = shop.client
    name = f"{shop.name}-external"
    client.volumes.create(name)
    text = WEB + f"    volumes: [ext:/data]\nvolumes:\n  ext:\n    external: true\n    name: {name}\n"
    begin(shop, text)
    shop.compose("rm", "-sf", "web")
    client.volumes.get(name).remove()
    shop.policy["start_stopped"] = True
    held(shop, Reason.MISSING_ON_HOST, name)
    client.close()


@pytest.mark.parametrize("where", ["secret", "config"])
def test_a_secret_of_the_shell_is_named(shop: Shop, where: str) -> None:
    text = WEB + f"    {where}s: [tok]\n{where}s:\n  tok:\n    environment: SHOP_TOK\n"
    begin(
        shop,
        text.replace("    configs: [tok]", "    configs: [{{source: tok, target: /tok}}]"),
        {"SHOP_TOK": "s3cret"},
    )
    found = held(shop, Reason.VARIABLE_MISSING, "SHOP_TOK")
    assert "allow_drift" not in found.remedy
    assert "s3cret" not in found.detail + found.remedy
    (shop.folder / ".env").write_text("SHOP_TOK=s3cret\n")
    updated(shop)


VARIABLES = {
    "passed on": "    environment: [SHOP_PW]\n",
    "in a value": '    environment:\n      DATABASE: "user:$${{SHOP_PW}}@db"\n'.replace("$$", "$"),
    "in a list": '    environment: ["PW=$SHOP_PW"]\n',
    "in a command": '    command: ["/bin/sh", "-c", "while :; do sleep 1; done # ${{SHOP_PW}}"]\n',
}


@pytest.mark.parametrize("allow_drift", [False, True])
@pytest.mark.parametrize("kind", VARIABLES)
def test_a_variable_of_the_shell_is_named_and_nothing_starts_without_it(
    shop: Shop, kind: str, allow_drift: bool
) -> None:
    begin(shop, WEB + VARIABLES[kind], {"SHOP_PW": "s3cret"})
    shop.policy["allow_drift"] = allow_drift
    found = held(shop, Reason.VARIABLE_MISSING, "SHOP_PW")
    assert "allow_drift" not in found.remedy
    (shop.folder / ".env").write_text("SHOP_PW=s3cret\n")
    updated(shop)


def test_the_home_folder_of_whoever_started_it_is_found(shop: Shop) -> None:
    (shop.folder / "ann" / "data").mkdir(parents=True)
    (shop.folder / "ann" / "conf").mkdir()
    begin(
        shop,
        WEB + "    volumes: ['~/data:/data', '$HOME/conf:/conf:ro']\n",
        {"HOME": str(shop.folder / "ann")},
    )
    before = mounts(shop)
    status, said = shop.run("--test")
    assert status == 0, said
    updated(shop)
    assert mounts(shop) == before
    assert {source for source, _ in before} == {
        str(shop.folder / "ann" / "data"),
        str(shop.folder / "ann" / "conf"),
    }


def test_variables_of_the_shell_are_found_behind_those_of_an_env_file(shop: Shop) -> None:
    """What a mount shows is taken as it was; what nothing shows is named, and the remedy followed."""
    for name in ("ann/data", "conf"):
        (shop.folder / name).mkdir(parents=True)
    (shop.folder / ".env").write_text("DATA=${HOME}/data\nSHOWN=at-${SHOP_PW}\n")
    ann = {"HOME": str(shop.folder / "ann"), "PWD": str(shop.folder), "SHOP_PW": "s3cret"}
    begin(shop, WEB + "    volumes: ['$DATA:/data', '$PWD/conf:/conf:ro']\n    environment: [SHOWN]\n", ann)
    before = mounts(shop)
    found = held(shop, Reason.VARIABLE_MISSING, "SHOP_PW")
    assert "above the line that takes it" in found.remedy
    env = shop.folder / ".env"
    env.write_text(f"SHOP_PW=s3cret\n{env.read_text()}")
    updated(shop)
    assert mounts(shop) == before
    assert "SHOWN=at-s3cret" in shop.containers()[0].attrs["Config"]["Env"]


def mounts(shop: Shop) -> set[tuple[str, str]]:
    return {(each["Source"], each["Destination"]) for each in shop.containers()[0].attrs["Mounts"]}


def test_a_variable_that_was_never_set_holds_nothing(shop: Shop) -> None:
    begin(shop, WEB + '    environment: [NOBODYS, PATH, "EMPTY=${{NOBODYS}}"]\n')
    updated(shop)


def test_a_port_that_somebody_has_by_now_is_named(shop: Shop) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    text = f"services:\n  web:\n    image: {{image}}\n{COMMON}    ports: ['127.0.0.1:{port}:80']\n"
    begin(shop, text)
    shop.push("latest", lab.good("three"))
    updated(shop)  # its own port is no other's
    shop.compose("stop", "-t", "0", "web")
    shop.policy["start_stopped"] = True
    shop.push("latest", lab.good("four"))
    with closing(socket.create_server(("127.0.0.1", port))):
        held(shop, Reason.PORT_TAKEN, str(port))
    updated(shop)


# ---------------------------------------------------------------------------- other containers, second copies


@contextmanager
def container(shop: Shop, *words: str) -> Iterator[str]:
    name = f"{shop.name}-guest"
    image = shop.containers()[0].image.id
    argv = [
        "docker",
        "run",
        "-d",
        "--name",
        name,
        *words,
        image,
        "/bin/sh",
        "-c",
        "while :; do sleep 1; done",
    ]
    subprocess.run(argv, check=True, capture_output=True)
    try:
        yield name
    finally:
        subprocess.run(["docker", "rm", "-f", name], check=True, capture_output=True)


NAMESPACES: dict[str, tuple[str, Callable[[str], list[str]]]] = {
    "network": (COMMON, lambda name: ["--network", f"container:{name}"]),
    "pid": (ALONE, lambda name: ["--network", "none", "--pid", f"container:{name}"]),
    "ipc": (ALONE + "    ipc: shareable\n", lambda name: ["--network", "none", "--ipc", f"container:{name}"]),
    "volumes": (ALONE + "    volumes: [/data]\n", lambda name: ["--network", "none", "--volumes-from", name]),
    "another project": (
        COMMON,
        lambda name: ["--network", f"container:{name}", "--label", "com.docker.compose.project=other"],
    ),
}


@pytest.mark.parametrize("kind", NAMESPACES)
def test_a_container_that_would_lose_a_namespace_holds_the_update_and_is_named(shop: Shop, kind: str) -> None:
    text, words = NAMESPACES[kind]
    begin(shop, "services:\n  web:\n    image: {image}\n" + text)
    with container(shop, *words(shop.names()[0])) as guest:
        held(shop, Reason.NAMESPACE_SHARED, guest)
    updated(shop)


@contextmanager
def other_project(shop: Shop, folder: Path, text: str) -> Iterator[str]:
    """Another project with the same image runs from a file in `folder`."""
    folder.mkdir(exist_ok=True)
    name = f"{shop.name}-first"
    path = folder / "other.yml"
    path.write_text(text.format(image=f"{shop.repository}:latest"))
    base = ["docker", "compose", "-p", name, "-f", str(path)]
    started = subprocess.run([*base, "up", "-d"], check=False, capture_output=True, text=True)
    assert started.returncode == 0, started.stderr
    try:
        yield name
    finally:
        subprocess.run([*base, "down", "-t", "0", "-v"], check=True, capture_output=True)


COPIES = {
    "the same folder": (".", WEB, WEB),
    "the same path": (
        "first",
        WEB + "    volumes: [../data:/a]\n",
        WEB + "    volumes: [./data:/b]\n",
    ),
    "the same volume": (
        "first",
        WEB + "    volumes: [vol:/a]\nvolumes:\n  vol:\n    name: {name}-v\n",
        WEB + "    volumes: [vol:/a]\nvolumes:\n  vol:\n    name: {name}-v\n",
    ),
}


@pytest.mark.parametrize("kind", COPIES)
def test_no_second_copy_is_started_beside_one_that_runs(shop: Shop, kind: str) -> None:
    folder, first, own = (part.replace("{name}", shop.name) for part in COPIES[kind])
    (shop.folder / "data").mkdir()
    shop.push("latest", lab.good("one"))
    with other_project(shop, shop.folder / folder, first) as name:
        shop.write(text=own)
        shop.push("latest", lab.good("two"))
        shop.policy |= {"start_stopped": True, "compose_project": shop.name}
        held(shop, Reason.SECOND_COPY, f"{name}-web-1")
        assert shop.containers() == []
    assert shop.containers() == []


def test_what_is_nobodys_data_may_be_mounted_by_two(shop: Shop) -> None:
    shared = "    volumes: [/etc/localtime:/etc/localtime:ro, /var/run/docker.sock:/var/run/docker.sock]\n"
    shop.push("latest", lab.good("one"))
    with other_project(shop, shop.folder / "first", WEB + shared):
        shop.write(text=WEB + shared)
        shop.push("latest", lab.good("two"))
        shop.policy |= {"start_stopped": True, "compose_project": shop.name}
        updated(shop)


INCLUDED = {
    "the same path": "    volumes: [./data:/a]\n",
    "a volume of the project": "    volumes: [vol:/a]\nvolumes:\n  vol:\n",
    "nothing": "",
}


@pytest.mark.parametrize("start_stopped", [False, True])
@pytest.mark.parametrize("kind", INCLUDED)
def test_a_file_that_another_project_includes_is_no_project_of_its_own(
    shop: Shop, kind: str, start_stopped: bool
) -> None:
    part = shop.folder / "part"
    (part / "data").mkdir(parents=True)
    shop.push("latest", lab.good("one"))
    shop.write(text=WEB + INCLUDED[kind])
    (part / "compose.yml").write_bytes(shop.compose_file.read_bytes())
    shop.compose_file.write_text("include:\n  - part/compose.yml\n")
    shop.up()
    before = [each.id for each in shop.containers()]
    shop.push("latest", lab.good("two"))
    shop.policy |= {"start_stopped": start_stopped, "compose_file": str(part / "compose.yml")}
    cycle.run(shop.context())
    client = shop.client
    found = client.api.containers(filters={"label": "com.docker.compose.service=web"}, all=True)
    client.close()
    mine = [each for each in found if each["Image"].startswith(shop.repository)]
    projects = {each["Labels"]["com.docker.compose.project"] for each in mine}
    subprocess.run(
        ["docker", "compose", "-p", "part", "down", "-t", "0", "-v"], check=False, capture_output=True
    )
    assert projects == {shop.name}
    state = shop.state()
    assert state["status"] in ("held", "waiting", "unknown", "updated"), state
    assert str(shop.compose_file) in state["remedy"] or state["status"] == "updated", state
    assert [each.id for each in shop.containers()] == before or state["status"] == "updated"


@pytest.mark.parametrize("start_stopped", [False, True])
def test_another_project_name_for_the_same_files_is_held_and_the_remedy_leads_out(
    shop: Shop, start_stopped: bool
) -> None:
    begin(shop)
    shop.policy |= {"start_stopped": start_stopped, "compose_project": f"{shop.name}-other"}
    found = held(shop, Reason.SECOND_COPY, shop.name)
    assert f'"compose_project": "{shop.name}"' in found.remedy
    shop.policy["compose_project"] = shop.name
    updated(shop)

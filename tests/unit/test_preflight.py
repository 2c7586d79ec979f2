"""The preflight checks over facts: each kind with its relatives, and what must hold nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from updater_core import reference
from updater_core.composefile.definition import SourceFile
from updater_core.composefile.env_values import Environment, assignments, environment
from updater_core.models import Container, ContainerSettings, Project, Reason, ServiceConfig
from updater_core.targets.compose.drift import Drift
from updater_core.targets.compose.plan import Group, Move
from updater_core.targets.compose.preflight import copies, needs, shortages, variables
from updater_core.targets.compose.preflight.facts import Deployed, HostFacts, texts_of
from updater_core.targets.compose.preflight.home import mounted, shown_by
from updater_core.targets.compose.preflight.written import ProjectText, Text, of_part

ID = "0f" * 32


def container(name: str = "shop-web-1", project: str = "shop", **more: Any) -> Container:
    made = Container(
        ID if project == "shop" else "1e" * 32, name, project, "web", "i", "app:1", "running", "", 0
    )
    return replace(made, **more)


def facts(web: dict[str, Any] | None = None, top: dict[str, Any] | None = None, **more: Any) -> HostFacts:
    model = {"name": "shop", "services": {"web": web or {}}, **(top or {})}
    move = Move("web", "app:1", "app:2", "i", 1)
    group = Group(Project("shop", "/srv/shop", ("/srv/shop/c.yml",)), (move,), (), model)
    service = ServiceConfig("web", reference.parse("app:1"), ("/srv/shop/c.yml",), ("web",))
    own = (Deployed(container(), ContainerSettings()),)
    nothing = frozenset[Any]()
    made = HostFacts(service, group, {}, Environment(), own, (), nothing, nothing, nothing, nothing, {})
    return replace(made, **more)


def other(name: str = "guest", project: str = "", **more: Any) -> Deployed:
    joined = more.pop("joined", ())
    labels = more.pop("labels", {})
    return Deployed(container(name, project, joined=joined, labels=labels), ContainerSettings(**more))


@pytest.mark.parametrize(
    ("web", "top", "path"),
    [
        ({"volumes": [{"type": "bind", "source": "/srv/a/", "target": "/a"}]}, {}, "/srv/a"),
        ({"volumes": ["/srv/a:/a:ro"]}, {}, "/srv/a"),
        ({"volumes": [{"type": "bind", "source": "/srv/a$$b", "target": "/a"}]}, {}, "/srv/a$b"),
        ({"devices": [{"source": "/dev/ttyUSB0", "target": "/dev/x"}]}, {}, "/dev/ttyUSB0"),
        ({"devices": ["/dev/ttyUSB0:/dev/x:rw"]}, {}, "/dev/ttyUSB0"),
        ({"secrets": [{"source": "s"}]}, {"secrets": {"s": {"file": "/srv/s"}}}, "/srv/s"),
        ({"configs": ["s"]}, {"configs": {"s": {"file": "/srv/s"}}}, "/srv/s"),
        (
            {"volumes": [{"type": "volume", "source": "v", "target": "/a"}]},
            {
                "volumes": {
                    "v": {
                        "name": "shop_v",
                        "driver_opts": {"type": "none", "o": "rw,bind", "device": "/srv/v"},
                    }
                }
            },
            "/srv/v",
        ),
    ],
)
def test_every_path_of_the_host_is_a_need(web: dict[str, Any], top: dict[str, Any], path: str) -> None:
    known = facts(web, top)
    assert [need.path for need in needs.of_group(known.group)] == [path]
    assert shortages.missing_path(known) is None
    found = shortages.missing_path(replace(known, absent=frozenset({path})))
    assert found is not None
    assert found.reason is Reason.MISSING_ON_HOST
    assert path in found.detail


@pytest.mark.parametrize(
    ("web", "top"),
    [
        ({"devices": ["nvidia.com/gpu=all"]}, {}),
        ({"volumes": [{"type": "volume", "target": "/a"}, {"type": "tmpfs", "target": "/b"}]}, {}),
        ({"secrets": ["s"]}, {"secrets": {"s": {"external": True}, "unused": {"file": "/x"}}}),
        (
            {"volumes": ["v:/a"]},
            {"volumes": {"v": {"driver_opts": {"type": "nfs", "o": "addr=10.0.0.1", "device": ":/export"}}}},
        ),
    ],
)
def test_what_is_no_path_of_the_host_is_no_need(web: dict[str, Any], top: dict[str, Any]) -> None:
    assert list(needs.of_group(facts(web, top).group)) == []


EXTERNAL = {"networks": {"n": {"external": True, "name": "proxy"}, "default": {"name": "shop_default"}}}


def test_an_external_network_is_missing_only_if_nobody_has_it() -> None:
    known = facts({"networks": {"n": None, "default": None}}, EXTERNAL)
    found = shortages.missing_object(known)
    assert found is not None
    assert "proxy" in found.detail
    assert shortages.missing_object(replace(known, networks=frozenset({"proxy"}))) is None
    # an overlay that is not listed
    attached = Deployed(container(), ContainerSettings(networks=frozenset({"proxy"})))
    assert shortages.missing_object(replace(known, own=(attached,))) is None


MODEL = {"name": "shop", "networks": EXTERNAL["networks"]}
IN_BOTH = frozenset({"proxy", "shop_default"})


@pytest.mark.parametrize(
    ("web", "attached", "named"),
    [
        ({"networks": {"default": None}}, IN_BOTH, "proxy"),
        ({"networks": {"n": None}}, IN_BOTH, "shop_default"),
        ({"networks": {"n": None, "default": None}}, IN_BOTH, None),
        ({"network_mode": "bridge"}, frozenset({"bridge", "proxy"}), "proxy"),
        ({"network_mode": "default"}, frozenset({"bridge"}), None),
        ({"network_mode": "proxy"}, IN_BOTH, "shop_default"),
        ({"network_mode": "host"}, frozenset({"host"}), None),
        ({"network_mode": "service:vpn"}, frozenset(), None),
        ({}, IN_BOTH, None),  # v1 does not write the default one
        ({"networks": {"n": None}}, frozenset({"shop_default"}), None),  # the file was edited: another hold
    ],
)
def test_a_network_that_no_file_names_would_be_lost(
    web: dict[str, Any], attached: frozenset[str], named: str | None
) -> None:
    own = (Deployed(container(), ContainerSettings(networks=attached)),)
    known = replace(facts(web, MODEL), own=own)
    found = shortages.undeclared_network(known)
    assert (found is not None and f"the network {named}," in found.detail) == (named is not None)
    allowed = replace(known, service=replace(known.service, allow_drift=True))
    assert shortages.undeclared_network(allowed) is None


def publishing(address: str = "") -> dict[str, Any]:
    return {"ports": [{"published": "80", "target": 8080, "protocol": "tcp", "host_ip": address}]}


@pytest.mark.parametrize(
    ("address", "listening", "is_taken"),
    [
        ("", ("tcp", "", 80), True),
        ("", ("tcp", "127.0.0.1", 80), True),
        ("0.0.0.0", ("tcp", "127.0.0.1", 80), True),
        ("127.0.0.1", ("tcp", "", 80), True),
        ("127.0.0.1", ("tcp", "127.0.0.1", 80), True),
        ("127.0.0.1", ("tcp", "192.168.0.1", 80), False),
        ("", ("udp", "", 80), False),
        ("", ("tcp", "", 8080), False),
    ],
)
def test_a_port_is_taken_by_the_same_protocol_at_an_address_that_overlaps(
    address: str, listening: tuple[str, str, int], is_taken: bool
) -> None:
    known = facts(publishing(address), listening=frozenset({listening}))
    assert (shortages.taken_port(known) is not None) is is_taken
    mine = Deployed(container(), ContainerSettings(ports=frozenset({("80", "8080/tcp")})))
    assert shortages.taken_port(replace(known, own=(mine,))) is None
    paused = replace(mine, container=replace(mine.container, status="paused"))
    assert shortages.taken_port(replace(known, own=(paused,))) is None
    stopped = replace(mine, container=replace(mine.container, status="exited"))
    assert (shortages.taken_port(replace(known, own=(stopped,))) is not None) is is_taken


def labels(files: str, folder: str = "") -> dict[str, str]:
    prefix = "com.docker.compose.project."
    return {f"{prefix}config_files": files, **({f"{prefix}working_dir": folder} if folder else {})}


@pytest.mark.parametrize(
    ("running", "is_copy"),
    [
        (other(project="x", labels=labels("/srv/shop/c.yml")), True),
        (other(project="x", labels=labels("/srv/all.yml,/srv/shop/c.yml")), True),
        (other(project="x", labels=labels("/srv/shop/other.yml")), True),
        (other(project="x", labels=labels("/srv/top.yml", "/srv/shop")), True),
        (other(project="x", labels=labels("/srv/top.yml", "/srv")), False),
        (other(project="shop", labels=labels("/elsewhere/c.yml", "/elsewhere")), True),
        (other(project="shop", labels=labels("/srv/shop/c.yml", "/srv/shop")), False),
        (other(project="", binds=frozenset({("/srv/data", "/x")})), True),
        (other(project="x", binds=frozenset({("/srv/data/sub", "/x")})), False),
        (other(project="x", volumes=frozenset({("shop_v", "/x")})), True),
        (other(project="x", volumes=frozenset({("x_v", "/x")})), False),
    ],
)
def test_a_second_copy_is_what_has_the_same_files_folder_name_or_data(
    running: Deployed, is_copy: bool
) -> None:
    web = {"volumes": [{"type": "bind", "source": "/srv/data", "target": "/d"}, "v:/v"]}
    known = facts(web, others=(running,))
    assert copies.second_copy(known) is None, "a service that has containers is no second copy"
    assert (copies.second_copy(replace(known, own=())) is not None) is is_copy


@pytest.mark.parametrize(
    ("files", "remedy"),
    [("/srv/shop/c.yml", '"compose_project": "x"'), ("/srv/shop/a.yml", '"compose_file": "/srv/shop/a.yml"')],
)
def test_the_remedy_for_a_second_copy_leads_to_what_runs(files: str, remedy: str) -> None:
    found = copies.second_copy(facts(others=(other(project="x", labels=labels(files)),), own=()))
    assert found is not None
    assert remedy in found.remedy
    assert "start" not in found.remedy


def deployed(environment: dict[str, str], **more: Any) -> tuple[Deployed, ...]:
    return (Deployed(container(), ContainerSettings(environment=environment, **more)),)


def written_texts(text: str, *more: SourceFile, home: str | None = None) -> tuple[Text, ...]:
    main = SourceFile("/srv/shop/c.yml", text)
    env = SourceFile("/srv/shop/.env", "SET=new\nDATA=${HOME}/a\nMADE=a${PW}\nWITH=${PW:-1}\nFAR=${MADE}b\n")
    return ProjectText.of([main, *more], [env], home).texts("web")


@pytest.mark.parametrize(
    ("text", "model", "environment", "missing"),
    [
        ("[PW]", {"PW": None}, {"PW": "x"}, "PW"),
        ("[PW]", {"PW": None}, {}, None),
        ("[PATH]", {"PATH": None}, {"PATH": "/bin"}, None),  # the image sets it
        ("{A: '${PW}'}", {"A": ""}, {"A": "x"}, "PW"),
        ("{A: '${PW}'}", {"A": ""}, {"A": ""}, None),
        ("['A=$PW']", {"A": ""}, {"A": "x"}, "PW"),
        ("{A: 'p${PW:-1}q'}", {"A": "p1q"}, {"A": "p2q"}, "PW"),
        ("{A: '${SET}'}", {"A": "new"}, {"A": "old"}, None),  # an edit of .env: that is drift
        ("{A: 'plain'}", {"A": "plain"}, {"A": "old"}, None),
        ("{A: '$$PW'}", {"A": "$$PW"}, {"A": "old"}, None),
        # the value of an env file takes it
        ("[MADE]", {"MADE": "a"}, {"MADE": "ax"}, "PW"),
        ("{FAR: }", {"FAR": "ab"}, {"FAR": "axb"}, "PW"),
        ("{A: '$WITH'}", {"A": "1"}, {"A": "2"}, "PW"),
        ("{A: '$WITH'}", {"A": "1"}, {"A": "1"}, None),
        ("['${SET}=1']", {"new": "1"}, {"new": "2"}, None),
    ],
)
def test_a_variable_is_missing_if_a_value_that_runs_was_made_with_it(
    text: str, model: dict[str, Any], environment: dict[str, str], missing: str | None
) -> None:
    texts = written_texts(f"services:\n  web:\n    environment: {text}\n")
    known = facts({"environment": model}, texts={"web": texts}, own=deployed(environment))
    found = variables.missing_variable(replace(known, image_variables={"i": frozenset({"PATH"})}))
    assert (
        (found is None) if missing is None else (found is not None and f"variable {missing} " in found.detail)
    )


LAYERS: dict[str, tuple[str, ContainerSettings, dict[str, Any]]] = {
    # what the files say of the service, what the container was made with, and what Compose resolves it to now
    "extends": (
        "services:\n  web:\n    extends: {file: base.yml, service: b}\n",
        ContainerSettings(environment={"A": "x"}),
        {"environment": {"A": ""}},
    ),
    "an anchor beside a tag of Compose's own": (
        "x-e: &e {A: '${PW}'}\nservices:\n  web:\n    ports: !reset []\n    environment: {<<: *e}\n",
        ContainerSettings(environment={"A": "x"}),
        {"environment": {"A": ""}},
    ),
    "a bind": (
        "services:\n  web:\n    volumes: [{type: bind, source: '${PW:-./d}', target: /d}]\n",
        ContainerSettings(binds=frozenset({("/srv/x", "/d")})),
        {"volumes": [{"type": "bind", "source": "/srv/shop/d", "target": "/d"}]},
    ),
    "a label": (
        "services:\n  web:\n    labels: ['a=Host(`${PW}`)']\n",
        ContainerSettings(),
        {"labels": {"a": "Host(``)"}},
    ),
    "a network": (
        "services:\n  web:\n    networks: ['${PW:-n}']\n",
        ContainerSettings(networks=frozenset({"shop_x"})),
        {"networks": {"n": None}},
    ),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_variable_is_found_wherever_the_service_has_it_from(layer: str) -> None:
    text, settings, model = LAYERS[layer]
    base = SourceFile("/srv/shop/base.yml", "services:\n  b:\n    environment: ['A=$PW']\n", is_merged=False)
    known = facts(model, texts={"web": written_texts(text, base)})
    found = variables.missing_variable(replace(known, own=(Deployed(container(), settings),)))
    assert found is not None
    assert "variable PW " in found.detail
    assert "/srv/shop/.env" in found.remedy


def test_a_variable_that_compose_has_from_us_is_to_be_written_out() -> None:
    texts = written_texts("services: {web: {environment: {A: '$HOME/a'}}}")
    known = facts({"environment": {"A": "/root/a"}}, texts={"web": texts}, own=deployed({"A": "/home/ann/a"}))
    found = variables.missing_variable(known)
    assert found is not None
    assert "HOME" in found.detail
    assert ".env" not in found.remedy


BINDS = [("/home/ann/a", "/a"), ("/srv/a", "/b"), ("/home/ann", "/c")]


@pytest.mark.parametrize(
    ("volumes", "home"),
    [
        ("['~/a:/a']", "/home/ann"),
        ("['${HOME}/a/:/a:ro']", "/home/ann"),
        ("['$HOME:/c']", "/home/ann"),
        ("['$DATA:/a']", "/home/ann"),
        ("['~:/c/']", "/home/ann"),
        # two paths end so: no place says which
        ("[{type: bind, source: '${HOME:-/x}/a', target: /a}]", None),
        ("[{type: bind, source: '~/../ann', target: /a}]", None),
        ("['./a:/a', 'x$HOME/a:/a', '~ann/a:/a', 'home:/a']", None),
        ("['~/other:/a']", None),
        ("['~/a:/a', '~/a:/b']", None),  # two home folders
    ],
)
def test_a_home_folder_is_what_a_mount_shows(volumes: str, home: str | None) -> None:
    texts = of_part(written_texts(f"services:\n  web:\n    volumes: {volumes}\n", home="\0"), "volumes")
    assert shown_by(list(mounted(texts)), BINDS) == home


def test_the_variable_of_an_image_is_missing_if_another_tag_runs() -> None:
    texts = written_texts("services:\n  web:\n    image: app:${TAG:-1}\n")
    assert variables.missing_variable(facts(texts={"web": texts})) is None
    running = (Deployed(container(reference="app:7"), ContainerSettings()),)
    found = variables.missing_variable(facts(texts={"web": texts}, own=running))
    assert found is not None
    assert "variable TAG " in found.detail


def test_an_env_file_takes_its_variables_from_the_shell_too(tmp_path: Path) -> None:
    (tmp_path / "web.env").write_text("A=1\nPW=${SHELL_PW}\n")
    main = SourceFile(
        str(tmp_path / "c.yml"), "services: {web: {env_file: [{path: web.env}, {path: gone.env}]}}"
    )
    texts = texts_of(["web"], {}, ProjectText.of([main], []))
    known = facts({"environment": {"A": "1", "PW": ""}}, texts=texts, own=deployed({"A": "1", "PW": "x"}))
    found = variables.missing_variable(known)
    assert found is not None
    assert "variable SHELL_PW " in found.detail


@pytest.mark.parametrize(("content", "is_held"), [("pw=${PW}", True), ("a=${A:-1} $$PW ${SET}", False)])
def test_a_config_whose_content_would_have_a_gap_is_named(content: str, is_held: bool) -> None:
    text = f"services: {{web: {{configs: [c]}}}}\nconfigs:\n  c:\n    content: |\n      {content}\n"
    project = ProjectText.of([SourceFile("/srv/shop/c.yml", text)], [SourceFile("/srv/shop/.env", "SET=1\n")])
    web: dict[str, Any] = {"configs": [{"source": "c"}]}
    texts = texts_of(["web"], {"services": {"web": web}}, project)
    found = variables.missing_secret(facts(web, texts=texts))
    assert (found is not None) == is_held
    assert found is None or "variable PW " in found.detail


@pytest.mark.parametrize(
    ("part", "text", "names", "may_be_allowed"),
    [
        ("", "hostname: '${HOST}'", "it takes HOST, which no env file", False),
        ("", "hostname: '${SET}'", "", True),
        ("", "labels: ['a=${COMPOSE_PROJECT_NAME}']", "", True),
        ("environment A", "environment: {A: '${SET}'}", "it is made with SET", False),
        ("environment FAR", "environment: [FAR]", "it takes PW, which no env file", False),
        ("environment A", "environment: {A: plain, B: '${SET}${PW}'}", "", True),
        ("", "environment: ['A=$A$B$C$D$E']", "it takes A, B, C and 2 more", False),
    ],
)
def test_a_drift_names_the_variables_that_may_be_why(
    part: str, text: str, names: str, may_be_allowed: bool
) -> None:
    texts = written_texts(f"services:\n  web:\n    {text}\n")
    found = variables.drift_hold(
        "`docker compose up -d web`", Drift("web", "web differs", part), texts, "web"
    )
    assert found.reason is Reason.DRIFT
    assert names in found.detail
    assert ("allow_drift" in found.remedy) == may_be_allowed
    assert "docker compose up -d web" in found.remedy


def test_a_secret_is_missing_unless_an_env_file_sets_its_variable() -> None:
    known = facts(
        {"secrets": [{"source": "s"}]}, {"secrets": {"s": {"environment": "TOK"}, "u": {"environment": "U"}}}
    )
    found = variables.missing_secret(known)
    assert found is not None
    assert "TOK" in found.detail
    assert variables.missing_secret(replace(known, environment=Environment({"TOK": "1"}))) is None


@pytest.mark.parametrize(
    ("env", "said", "remedy"),
    [
        (
            "A=1\nTOK=$PW\n",
            "variable PW that no env file of the project sets (",
            "above the line that takes it",
        ),
        ("TOK=$A\nPW=1\nA=1\n", "variable A that no env file of the project sets above", "above the line"),
        ("TOK=${PW:-1}\n", "", ""),
        ("TOK=\n", "", ""),
        ("TOK=$HOME\n", "variable HOME ", "write out what HOME meant there"),
    ],
)
def test_a_secret_is_missing_if_the_value_of_its_variable_takes_one_that_is(
    env: str, said: str, remedy: str
) -> None:
    known = facts({"secrets": [{"source": "s"}]}, {"secrets": {"s": {"environment": "TOK"}}})
    project = replace(known.group.project, env_files=("/srv/prod.env",))
    known = replace(known, group=replace(known.group, project=project))
    found = variables.missing_secret(replace(known, environment=environment([assignments(env)])))
    if not said:
        assert found is None
        return
    assert found is not None
    assert said in found.detail
    assert remedy in found.remedy
    assert "HOME" in said or "/srv/prod.env" in found.remedy


def test_an_env_file_takes_what_it_sets_itself_and_nothing_if_it_is_raw(tmp_path: Path) -> None:
    (tmp_path / "web.env").write_text("OWN=1\nA=${OWN}\nB=${PW}\n")
    (tmp_path / "raw.env").write_text("C=${OTHER}\n")
    text = "services: {web: {env_file: [web.env, {path: raw.env, format: raw}]}}"
    main = SourceFile(str(tmp_path / "c.yml"), text)
    found = {
        each.entry: each.open_names() for each in texts_of(["web"], {}, ProjectText.of([main], []))["web"]
    }
    assert {name: found.get(name) for name in "ABC"} == {"A": (), "B": ("PW",), "C": None}


@pytest.mark.parametrize(
    ("web", "missing"),
    [
        ({"runtime": "nvidia"}, "the runtime nvidia"),
        ({"runtime": "runc"}, None),
        ({"runtime": "io.containerd.kata.v2"}, None),
        ({"logging": {"driver": "loki"}}, "the log driver loki"),
        ({"logging": {"driver": "none"}}, None),
        ({"logging": {"options": {"max-size": "1m"}}}, None),
        ({"gpus": [{"count": -1}]}, "driver of NVIDIA"),
        ({"deploy": {"resources": {"reservations": {"devices": [{"capabilities": ["gpu"]}]}}}}, "NVIDIA"),
        ({"deploy": {"resources": {"reservations": {"devices": [{"driver": "cdi"}]}}}}, None),
        ({"deploy": {"resources": {"reservations": {"memory": "1"}}}}, None),
    ],
)
def test_what_the_engine_lacks_is_named(web: dict[str, Any], missing: str | None) -> None:
    engine = frozenset({("runtime", "runc"), ("log driver", "json-file")})
    hold = shortages.missing_ability(facts(web, abilities=engine, lacks_nvidia=True))
    assert (missing in hold.detail) if missing and hold else hold is None, hold
    everything = engine | {("runtime", "nvidia"), ("log driver", "loki")}
    assert shortages.missing_ability(facts(web, abilities=everything)) is None


@pytest.mark.parametrize(
    ("wanted", "runs", "is_held"),
    [
        ("linux/arm64", "linux/amd64", True),
        ("linux/arm64", "linux/arm64/v8", False),
        ("linux/arm/v7", "linux/arm", False),
        ("arm64", "linux/amd64", False),
        ("", "linux/amd64", False),
        ("linux/arm64", "", False),
    ],
)
def test_an_env_file_that_asks_for_another_platform_is_named(wanted: str, runs: str, is_held: bool) -> None:
    env = Environment({"DOCKER_DEFAULT_PLATFORM": wanted})
    found = facts(environment=env, platforms={"i": runs})
    assert (shortages.other_platform(found) is not None) is is_held
    written = facts({"platform": "linux/amd64"}, environment=env, platforms={"i": runs})
    assert shortages.other_platform(written) is None


@pytest.mark.parametrize(
    ("project", "service", "is_held"), [("", "", True), ("other", "web", True), ("shop", "web", False)]
)
def test_a_name_that_another_container_has_is_named(project: str, service: str, is_held: bool) -> None:
    taken = container("gw", project, service=service, status="exited")
    hold = shortages.taken_name(facts({"container_name": "gw"}, listed=(taken,)))
    assert (hold is not None) is is_held
    assert shortages.taken_name(facts({}, listed=(taken,))) is None


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("seccomp:./a/s.json", "/srv/shop/a/s.json"),
        ("seccomp=/etc/s.json", "/etc/s.json"),
        ("seccomp:unconfined", None),
        ("apparmor:docker-default", None),
        ("no-new-privileges:true", None),
    ],
)
def test_a_seccomp_profile_is_a_file_that_it_needs(written: str, path: str | None) -> None:
    found = [need.path for need in needs.of_group(facts({"security_opt": [written]}).group)]
    assert found == ([path] if path else [])


@pytest.mark.parametrize(("busy", "is_held"), [((8000, 8001, 8002), True), ((8000, 8002), False)])
def test_a_range_of_ports_is_taken_once_every_one_of_it_is(busy: tuple[int, ...], is_held: bool) -> None:
    web = {"ports": [{"published": "8000-8002", "target": 80, "host_ip": "[::1]"}]}
    listening = frozenset({("tcp", "::1", number) for number in busy})
    known = facts(web, listening=listening)
    hold = shortages.taken_port(known)
    assert (hold is not None) is is_held
    assert hold is None or "::1:8000-8002/tcp" in hold.detail
    mine = Deployed(container(), ContainerSettings(ports=frozenset({("8001", "80/tcp")})))
    assert shortages.taken_port(replace(known, own=(mine,))) is None


@pytest.mark.parametrize(
    ("status", "other_image", "source", "is_copy"),
    [
        ("exited", "app:9", "/srv/shop/data", True),
        ("exited", "i", "/srv/shop/data", True),
        ("exited", "reader:1", "/srv/shop/data", False),
        ("exited", "app:1", "/srv/other", False),
        ("running", "app:1", "/srv/shop/data", False),
    ],
)
def test_a_stopped_service_is_not_started_on_the_data_of_what_took_its_place(
    status: str, other_image: str, source: str, is_copy: bool
) -> None:
    web = {"volumes": [{"type": "bind", "source": "/srv/shop/data", "target": "/data"}]}
    own = (Deployed(container(status=status), ContainerSettings()),)
    moved = other("moved-web-1", "moved", binds=frozenset({(source, "/data")}))
    named = replace(moved.container, image_id=other_image, reference=other_image)
    hold = copies.second_copy(facts(web, own=own, others=(replace(moved, container=named),)))
    assert (hold is not None) is is_copy
    assert hold is None or "moved-web-1 of project moved mounts the same path" in hold.detail


def test_a_path_that_a_volume_is_bound_to_is_data_too() -> None:
    web = {"volumes": [{"type": "volume", "source": "v", "target": "/data"}]}
    top = {"volumes": {"v": {"driver_opts": {"type": "none", "o": "bind", "device": "/srv/data"}}}}
    first = other("first", "other", binds=frozenset({("/srv/data", "/x")}))
    hold = copies.second_copy(facts(web, top, own=(), others=(first,)))
    assert hold is not None
    assert hold.reason is Reason.SECOND_COPY


LENDERS = {
    "a network": ({"network_mode": "container:gw"}, "shares the network of gw"),
    "by id": ({"ipc": f"container:{'1e' * 10}"}, "shares the IPC namespace of"),
    "of a service": ({"pid": "service:db"}, "shares the PID namespace of db"),
}


@pytest.mark.parametrize("status", ["exited", "created", "restarting"])
@pytest.mark.parametrize("kind", LENDERS)
def test_a_namespace_of_what_does_not_run_is_named(kind: str, status: str) -> None:
    web, words = LENDERS[kind]
    is_own = "service" in str(web)
    owner = container("gw", "shop" if is_own else "other", id="1e" * 32, service="db", status=status)
    assert shortages.missing_container(facts(web, listed=(replace(owner, status="running"),))) is None
    stopped = shortages.missing_container(facts(web, listed=(owner,)))
    assert stopped is not None
    assert words in stopped.detail
    assert f"gw is {status}" in stopped.detail
    assert f"`docker {'logs' if status == 'restarting' else 'start'} gw`" in stopped.remedy
    gone = shortages.missing_container(facts(web))
    assert gone is not None
    assert gone.reason is Reason.MISSING_ON_HOST
    assert "no container" in gone.detail


@pytest.mark.parametrize("web", [{"volumes_from": ["container:gw:ro"]}, {"external_links": ["gw:db"]}])
def test_volumes_and_links_are_lent_by_what_is_stopped_too(web: dict[str, Any]) -> None:
    owner = container("gw", "other", status="exited")
    assert shortages.missing_container(facts(web, listed=(owner,))) is None
    assert shortages.missing_container(facts(web)) is not None


@pytest.mark.parametrize(
    "web",
    [
        {"network_mode": "host", "ipc": "shareable", "pid": "host"},
        {"network_mode": "bridge", "ipc": None},
        {"network_mode": "service:web"},
        {"container_name": "gw", "network_mode": "container:gw"},
    ],
)
def test_what_is_the_groups_own_or_nobodys_is_not_missed(web: dict[str, Any]) -> None:
    assert shortages.missing_container(facts(web)) is None

"""The preflight checks over facts: each kind with its relatives, and what must hold nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from updater_core import reference
from updater_core.models import Container, ContainerSettings, Project, Reason, ServiceConfig
from updater_core.targets.compose.plan import Group, Move
from updater_core.targets.compose.preflight import copies, needs, shortages, variables
from updater_core.targets.compose.preflight.facts import Deployed, HostFacts

ID = "0f" * 32


def container(name: str = "shop-web-1", project: str = "shop", **more: Any) -> Container:
    made = Container(ID if project == "shop" else "1e" * 32, name, project, "web", "i", "app:1", "running", "", 0)
    return replace(made, **more)


def facts(web: dict[str, Any] | None = None, top: dict[str, Any] | None = None, **more: Any) -> HostFacts:
    model = {"name": "shop", "services": {"web": web or {}}, **(top or {})}
    move = Move("web", "app:1", "app:2", "i", 1)
    group = Group(Project("shop", "/srv/shop", ("/srv/shop/c.yml",)), (move,), (), model)
    service = ServiceConfig("web", reference.parse("app:1"), ("/srv/shop/c.yml",), ("web",))
    own = (Deployed(container(), ContainerSettings()),)
    nothing = frozenset[Any]()
    made = HostFacts(service, group, (), nothing, own, (), nothing, nothing, nothing, nothing, {})
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
            {"volumes": {"v": {"name": "shop_v", "driver_opts": {"type": "none", "o": "rw,bind", "device": "/srv/v"}}}},
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
    attached = Deployed(container(), ContainerSettings(networks=frozenset({"proxy"})))  # an overlay that is not listed
    assert shortages.missing_object(replace(known, own=(attached,))) is None


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
def test_a_second_copy_is_what_has_the_same_files_folder_name_or_data(running: Deployed, is_copy: bool) -> None:
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
    ],
)
def test_a_variable_is_missing_if_a_value_that_runs_was_made_with_it(
    text: str, model: dict[str, Any], environment: dict[str, str], missing: str | None
) -> None:
    source = f"services:\n  web:\n    environment: {text}\n"
    known = facts({"environment": model}, texts=(source,), environment=frozenset({"SET"}), own=deployed(environment))
    found = variables.missing_variable(replace(known, image_variables={"i": frozenset({"PATH"})}))
    assert (found is None) if missing is None else (found is not None and f"variable {missing} " in found.detail)


def test_a_secret_is_missing_unless_an_env_file_sets_its_variable() -> None:
    known = facts({"secrets": [{"source": "s"}]}, {"secrets": {"s": {"environment": "TOK"}, "u": {"environment": "U"}}})
    found = variables.missing_secret(known)
    assert found is not None
    assert "TOK" in found.detail
    assert variables.missing_secret(replace(known, environment=frozenset({"TOK"}))) is None

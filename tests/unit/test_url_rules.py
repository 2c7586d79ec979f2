"""Which hosts are this machine, in every form in which one is written, and everybody who has to know it."""

from __future__ import annotations

import pytest

from updater_core.app.api.access import is_own_host
from updater_core.models import RegistrySettings
from updater_core.net.proxies import proxy_for
from updater_core.net.url_rules import bare_host, is_loopback, split_port
from updater_core.registries.session import HubEndpoints, base_url

LOOPBACK = (
    "localhost",
    "LOCALHOST",
    "LocalHost",
    "localhost.",
    "sub.localhost",
    "a.b.LOCALHOST.",
    "127.0.0.1",
    "127.0.0.0",
    "127.8.8.8",
    "127.255.255.255",
    "127.1",
    "127.0.1",
    "0177.0.0.1",
    "0x7f.1",
    "0x7F.0.0.1",
    "0x7f000001",
    "2130706433",
    "127.0.0.1.",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::FFFF:127.9.9.9]",
)
OTHERS = (
    "localhost.example.org",
    "notlocalhost",
    "localhost.localdomain",
    "127.0.0.1.nip.io",
    "126.255.255.255",
    "128.0.0.1",
    "128.1",
    "0x80.1",
    "2147483648",
    "0.0.0.0",
    "10.0.0.127",
    "192.168.1.1",
    "registry.example",
    "nas",
    "127",  # the address 0.0.0.127
    "1270.0.0.1",
    "127.0.0.256",
    "127.0.0.0.1",
    "[::]",
    "[::2]",
    "[::ffff:128.0.0.1]",
    "[fe80::1]",
    "[2001:db8::1]",
    "[::1]evil.example",
    "[::1].example",
)
PORTS = ("", ":", ":80", ":5000", ":65535")


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize(("host", "here"), [*((h, True) for h in LOOPBACK), *((h, False) for h in OTHERS)])
def test_a_host_is_this_machine_in_every_form(host: str, port: str, here: bool) -> None:
    assert is_loopback(f"{host}{port}") is here
    scheme = "http" if here else "https"
    assert base_url(f"{host}{port}", RegistrySettings(), HubEndpoints()).startswith(f"{scheme}://")


@pytest.mark.parametrize(
    "host",
    ["", ":", ":5000", "localhost:5000:5000", "localhost:http", "localhost:5\u00b2", "[::1",
     "a@localhost", "localhost/a", "127.0.0.1/8", "127.0.0.1 localhost"],
)  # fmt: skip
def test_what_is_no_host_with_a_port_is_not_this_machine(host: str) -> None:
    assert not is_loopback(host)
    assert not is_own_host(host, ("shop-1",))


def test_an_ipv6_address_needs_no_brackets_without_a_port() -> None:
    assert is_loopback("::1")
    assert is_loopback("::ffff:127.0.0.1")
    assert not is_loopback("::2")
    assert not is_loopback("::1:5000")  # one address, and no port


@pytest.mark.parametrize("host", [each for each in LOOPBACK if not each.endswith(".")])
def test_this_machine_is_asked_without_a_proxy_and_may_use_the_api(host: str) -> None:
    proxies = {"HTTP_PROXY": "http://proxy.example:3128", "HTTPS_PROXY": "http://proxy.example:3128"}
    assert proxy_for(f"http://{host}:5000/v2/", proxies) is None
    assert proxy_for(f"https://{host}/v2/", proxies) is None
    assert is_own_host(f"{host}:9100", ())


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "[::1]evil.example", "shop-1.evil.example"]
)
def test_a_name_of_somebody_elses_is_no_name_of_ours(host: str) -> None:
    assert not is_own_host(host, ("shop-1",))
    assert not is_own_host(f"{host}:9100", ("shop-1",))


def test_an_own_name_counts_in_every_spelling() -> None:
    assert all(
        is_own_host(host, ("Shop-1.lan",)) for host in ("shop-1.lan", "SHOP-1.LAN:9100", "shop-1.lan.:9100")
    )


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("r.example:443", ("r.example", "443")),
        ("r.example:", ("r.example", "")),
        ("r.example:http", ("r.example:http", "")),
        ("[::1]:", ("[::1]", "")),
        ("::1", ("::1", "")),
        ("[::1]x:5", ("[::1]x:5", "")),
        (":5", (":5", "")),
    ],
)  # fmt: skip
def test_only_a_port_is_taken_for_one(text: str, parts: tuple[str, str]) -> None:
    assert split_port(text) == parts


def test_a_bare_host_is_one_spelling() -> None:
    forms = ("[2001:DB8::1]:443", "[2001:db8::1]", "2001:db8::1")
    assert {bare_host(form) for form in forms} == {"2001:db8::1"}
    assert {bare_host(form) for form in ("R.Example.", "r.example:443", " r.example ")} == {"r.example"}

"""Challenges as registries really send them, and the places that credentials never go to."""

from __future__ import annotations

import pytest

from updater_core.net.url_rules import dialled_problem, redirect_problem, same_origin
from updater_core.registries.auth import challenge
from updater_core.registries.auth.challenge import Challenge, choose, parse, realm_problem, realm_url, scopes


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            (
                "Bearer "
                'realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull"'
            ),
            [
                (
                    "bearer",
                    {
                        "realm": "https://auth.docker.io/token",
                        "service": "registry.docker.io",
                        "scope": "repository:a/b:pull",
                    },
                )
            ],
        ),
        (
            (
                'Bearer realm="https://codeberg.org/v2/token",service="container_registry",scope="*",Basic '
                'realm="x"'
            ),
            [
                (
                    "bearer",
                    {"realm": "https://codeberg.org/v2/token", "service": "container_registry", "scope": "*"},
                ),
                ("basic", {"realm": "x"}),
            ],
        ),
        ("Negotiate", [("negotiate", {})]),
        ('Negotiate, Basic realm="x"', [("negotiate", {}), ("basic", {"realm": "x"})]),
        ('Negotiate YWJj==, Basic realm="x"', [("negotiate", {}), ("basic", {"realm": "x"})]),
        ('bEaReR REALM="https://a/t"', [("bearer", {"realm": "https://a/t"})]),
        (
            "Bearer realm=https://gcr.io/v2/token,service=gcr.io",
            [("bearer", {"realm": "https://gcr.io/v2/token", "service": "gcr.io"})],
        ),
        (r'Basic realm="he\"\l\lo"', [("basic", {"realm": 'he"llo'})]),
        ('Bearer realm="https://a/t",scope=""', [("bearer", {"realm": "https://a/t", "scope": ""})]),
        (
            'Basic realm="https://1.dkr.ecr.eu-west-1.amazonaws.com/",service="ecr.amazonaws.com"',
            [
                (
                    "basic",
                    {"realm": "https://1.dkr.ecr.eu-west-1.amazonaws.com/", "service": "ecr.amazonaws.com"},
                )
            ],
        ),
        ('Digest qop="auth,auth-int", realm="a, b"', [("digest", {"qop": "auth,auth-int", "realm": "a, b"})]),
        (
            'Bearer realm = "https://a/t" , service = "s"',
            [("bearer", {"realm": "https://a/t", "service": "s"})],
        ),
        (' , Basic realm="x" ,, ', [("basic", {"realm": "x"})]),
        ("", []),
    ],
)
def test_every_form_of_a_challenge_is_read(header: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert [(c.scheme, dict(c.parameters)) for c in parse(header)] == expected


def test_a_token68_is_kept_apart_from_parameters() -> None:
    assert parse('Negotiate YWJj==, Basic realm="a"') == (
        Challenge("negotiate"),
        Challenge("basic", {"realm": "a"}),
    )


@pytest.mark.parametrize(
    "header", ['Bearer realm="https://a', 'Bearer realm="a" service="b', '"Bearer"', "=x"]
)
def test_a_broken_challenge_is_an_error_and_no_crash(header: str) -> None:
    with pytest.raises(ValueError, match=r"quote|scheme"):
        parse(header)


def test_bearer_goes_before_basic_and_negotiate_is_left_alone() -> None:
    offered = parse('Negotiate, Basic realm="x", Bearer realm="https://a/t"')
    assert choose(offered, has_password=True) == Challenge("bearer", {"realm": "https://a/t"})
    assert choose(parse("Negotiate abc"), has_password=True) is None
    assert choose(parse('Basic realm="x"'), has_password=False) == Challenge("basic", {"realm": "x"})


def test_the_challenges_own_scopes_come_first_and_once() -> None:
    bearer = Challenge("bearer", {"scope": "* repository:a:pull"})
    assert scopes(bearer, "repository:a:pull") == ("*", "repository:a:pull")
    assert scopes(Challenge("bearer", {}), "repository:a:pull") == ("repository:a:pull",)


def test_a_relative_realm_belongs_to_the_request() -> None:
    assert (
        realm_url(Challenge("bearer", {"realm": "/token#x"}), "https://r.example/v2/a/tags/list")
        == "https://r.example/token"
    )


@pytest.mark.parametrize(
    ("realm", "registry"),
    [
        ("https://auth.docker.io/token", "https://registry-1.docker.io"),
        ("https://gitlab.com/jwt/auth", "https://registry.gitlab.com"),
        ("https://r.example.co.uk:444/t", "https://r.example.co.uk"),
        ("http://127.0.0.1:5001/token", "http://127.0.0.1:5000"),
        ("http://localhost:5001/token", "http://127.0.0.1:5000"),
        ("http://10.0.0.5:5001/token", "http://10.0.0.5:5000"),
        ("https://10.0.0.5:5001/token", "https://10.0.0.5:5000"),
    ],
)
def test_a_registrys_own_realm_may_have_the_credentials(realm: str, registry: str) -> None:
    assert realm_problem(realm, registry, (), with_secret=True) is None


@pytest.mark.parametrize(
    ("realm", "registry", "why"),
    [
        ("https://thief.example/token", "https://registry-1.docker.io", "does not belong"),
        ("https://docker.io.thief.example/token", "https://registry-1.docker.io", "does not belong"),
        ("https://evil.co.uk/token", "https://registry.good.co.uk", "does not belong"),
        ("http://auth.docker.io/token", "https://registry-1.docker.io", "not https"),
        ("http://other.example/token", "http://r.example", "not https"),
        ("https://169.254.169.254/latest", "https://r.example", "private network"),
        ("https://[::1]/t", "https://r.example", "private network"),
        ("https://[::ffff:10.0.0.1]/t", "https://r.example", "private network"),
        ("https://localhost/t", "https://r.example", "private network"),
        ("https://2.2.3.4/t", "https://1.2.3.4", "does not belong"),
        ("https://user:pw@r.example/t", "https://r.example", "not a usable"),
        ("file:///etc/passwd", "https://r.example", "not a usable"),
        ("https://r.example:port/t", "https://r.example", "not a usable"),
        ("", "https://r.example", "not a usable"),
    ],
)
def test_no_other_realm_has_them(realm: str, registry: str, why: str) -> None:
    assert why in (realm_problem(realm, registry, (), with_secret=True) or "nothing")


def test_without_credentials_a_realm_elsewhere_is_harmless_but_not_in_a_private_network() -> None:
    assert realm_problem("https://elsewhere.example/t", "https://r.example", (), with_secret=False) is None
    assert realm_problem("https://169.254.169.254/t", "https://r.example", (), with_secret=False) is not None


@pytest.mark.parametrize(
    ("realm", "dialled", "is_asked"),
    [
        ("https://192.168.1.9:8443/token", "192.168.1.2", True),
        ("https://[fd00::9]/token", "10.0.0.1", True),
        ("https://192.168.1.9/token", "9.9.9.9", False),
        ("https://192.168.1.9/token", "", False),
        ("https://169.254.169.254/token", "192.168.1.2", False),
        ("https://[fe80::1]/token", "192.168.1.2", False),
        ("https://127.0.0.1/token", "192.168.1.2", False),
        ("http://192.168.1.9/token", "192.168.1.2", False),
    ],
)
def test_a_realm_in_the_network_in_which_the_registry_was_reached_may_be_asked_by_anybody(
    realm: str, dialled: str, is_asked: bool
) -> None:
    """A name that looks public may be a machine of the own network; a login still goes to no stranger."""
    registry = "https://registry.example.com"
    assert (realm_problem(realm, registry, (), False, dialled) is None) is is_asked
    assert realm_problem(realm, registry, (), True, dialled) is not None


def test_an_operator_can_allow_a_realm_but_not_its_plain_http() -> None:
    allowed = ("sso.other.example", "10.0.0.9")
    assert (
        realm_problem("https://sso.other.example/t", "https://r.example", allowed, with_secret=True) is None
    )
    assert realm_problem("https://10.0.0.9/t", "https://r.example", allowed, with_secret=True) is None
    assert (
        realm_problem("http://sso.other.example/t", "https://r.example", allowed, with_secret=True)
        is not None
    )


@pytest.mark.parametrize(
    ("source", "target", "is_followed"),
    [
        ("https://r.example/v2/", "https://cdn.example/blob?sig=1", True),
        ("http://r.example/v2/", "https://r.example/v2/", True),
        ("https://r.example/v2/", "http://r.example/v2/", False),
        ("https://r.example/v2/", "https://192.168.0.1/x", False),
        ("http://127.0.0.1:1/v2/", "http://127.0.0.1:2/x", True),
        ("https://r.example/v2/", "ftp://r.example/", False),
        ("https://registry.lan/v2/", "https://192.168.1.9:9000/blob?sig=1", True),
        ("http://nas:5000/v2/", "http://10.0.0.9/blob", True),
        ("https://registry.home.arpa./v2/", "https://[fd00::9]/blob", True),
        ("https://192.168.1.2/v2/", "https://192.168.1.9/blob", True),
        ("https://[2606:4700::1111]/v2/", "https://192.168.1.9/blob", False),
        ("https://9.9.9.9/v2/", "https://127.1/blob", False),
        ("https://lan.example/v2/", "https://169.254.169.254/latest/meta-data", False),
        ("http://10.0.0.9/v2/", "http://169.254.169.254/latest/meta-data", False),
        ("http://nas:5000/v2/", "http://[fe80::1]/x", False),
    ],
)
def test_redirects_lead_neither_down_to_http_nor_from_the_public_net_inside(
    source: str, target: str, is_followed: bool
) -> None:
    assert (redirect_problem(source, target) is None) is is_followed


@pytest.mark.parametrize(
    ("source", "target", "dialled", "is_followed"),
    [
        ("https://registry.example.com/v2/", "https://192.168.1.9:9000/b?sig=1", "192.168.1.2", True),
        ("https://registry.example.com/v2/", "https://[fd12::9]/b", "fd12::2", True),
        ("https://registry.example.com/v2/", "https://10.1.2.3/b", "::ffff:10.1.0.1", True),
        ("https://r.tail1234.ts.net/v2/", "https://100.90.1.2/b", "100.90.1.1", True),
        ("http://registry.example.com:5000/v2/", "http://127.0.0.1:9000/b", "127.0.1.1", True),
        ("https://registry.example.com/v2/", "https://192.168.1.9/b", "9.9.9.9", False),
        ("https://registry.example.com/v2/", "https://192.168.1.9/b", "2620:fe::fe", False),
        ("https://registry.lan/v2/", "https://192.168.1.9/b", "9.9.9.9", False),
        ("https://registry.example.com/v2/", "https://169.254.169.254/b", "192.168.1.2", False),
        ("http://registry.example.com/v2/", "http://[fe80::1]/b", "fe80::2", False),
        ("http://registry.example.com/v2/", "http://[::ffff:169.254.169.254]/b", "10.0.0.1", False),
        ("https://registry.example.com/v2/", "http://192.168.1.9/b", "192.168.1.2", False),
    ],
)
def test_the_address_that_was_dialled_tells_whose_network_a_registry_is_in(
    source: str, target: str, dialled: str, is_followed: bool
) -> None:
    assert (redirect_problem(source, target, dialled) is None) is is_followed


@pytest.mark.parametrize(
    ("url", "address", "dialled", "is_followed"),
    [
        ("https://cdn.example/b", "151.101.1.1", "9.9.9.9", True),
        ("https://cdn.example/b", "10.0.0.9", "9.9.9.9", True),  # its certificate proves the name
        ("http://cdn.example/b", "10.0.0.9", "9.9.9.9", False),
        ("http://cdn.example/b", "fd00::9", "2620:fe::fe", False),
        ("http://cdn.example/b", "10.0.0.9", "10.0.0.1", True),
        ("http://cdn.example/b", "10.0.0.9", "", True),
        ("https://cdn.example/b", "169.254.169.254", "9.9.9.9", False),
        ("https://cdn.example/b", "fe80::1%eth0", "10.0.0.1", False),
        ("http://cdn.example/b", "::ffff:169.254.1.1", "", False),
    ],
)
def test_a_name_leads_no_further_than_its_address_would(
    url: str, address: str, dialled: str, is_followed: bool
) -> None:
    assert (dialled_problem(url, address, dialled) is None) is is_followed


def test_an_origin_is_scheme_host_and_port() -> None:
    assert same_origin("https://a/x", "https://A:443/y")
    assert not same_origin("https://a/x", "http://a/x")
    assert not same_origin("https://a/x", "https://a:444/x")
    assert not same_origin("https://a:b/x", "https://a:b/x")


@pytest.mark.parametrize(
    ("realm", "registry", "remedy"),
    [
        ("http://harbor.example/service/token", "https://harbor.example", "external_url"),
        ("https://10.0.0.7/token", "https://r.example", "in your own network"),
        (
            "https://auth.elsewhere.example/token",
            "https://r.test",
            "if auth.elsewhere.example is the registry's own",
        ),
        ("ftp://r.example/token", "https://r.example", "https:// URL"),
        ("https://user:pw@r.example/token", "https://r.example", "without a user name"),
    ],
)
def test_each_cause_has_the_remedy_that_leads_out(realm: str, registry: str, remedy: str) -> None:
    assert challenge.realm_problem(realm, registry, (), True)
    assert remedy in challenge.realm_remedy(realm, registry)


@pytest.mark.parametrize(
    ("realm", "registry"),
    [
        ("https://10.0.0.7/token", "https://r.example"),
        ("https://auth.elsewhere.example/token", "https://r.test"),
        ("http://auth.lan/token", "http://r.lan:5000"),
    ],
)
def test_a_host_that_the_remedy_names_is_allowed_once_it_is_followed(realm: str, registry: str) -> None:
    host = realm.split("/")[2]
    remedy = challenge.realm_remedy(realm, registry)
    assert host in remedy
    assert "registry_config.token_realm_hosts" in remedy
    assert challenge.realm_problem(realm, registry, (host,), True) is None


@pytest.mark.parametrize("allowed", ["fd00::7", "[fd00::7]", "[fd00::7]:8443", "FD00::7"])
def test_an_ipv6_address_is_allowed_in_each_spelling(allowed: str) -> None:
    assert (
        challenge.realm_problem("https://[fd00::7]:8443/token", "https://r.example", (allowed,), True) is None
    )
    assert (
        challenge.realm_problem("https://[fd00::8]:8443/token", "https://r.example", (allowed,), True)
        is not None
    )

"""NO_PROXY in every form that Docker reads: the cases are those of Go's own rules
(golang.org/x/net/http/httpproxy).
"""

from __future__ import annotations

import pytest

from updater_core.net.proxies import proxy_for

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("exceptions", "url", "is_direct"),
    [
        ("*", "https://ghcr.io/v2/", True),
        ("*.corp.example", "https://r.corp.example/v2/", True),
        ("*.corp.example", "https://corp.example/v2/", False),
        (".corp.example", "https://r.corp.example/v2/", True),
        (".corp.example", "https://corp.example/v2/", False),
        ("corp.example", "https://corp.example/v2/", True),
        ("corp.example", "https://a.b.corp.example/v2/", True),
        ("corp.example", "https://notcorp.example/v2/", False),
        ("corp.example:5000", "https://r.corp.example:5000/v2/", True),
        ("corp.example:5000", "https://r.corp.example/v2/", False),
        ("*.corp.example:443", "https://r.corp.example/v2/", True),
        ("R.Corp.Example", "https://r.corp.example/v2/", True),
        ("10.77.0.1", "https://10.77.0.1:5000/v2/", True),
        ("10.77.0.1:5000", "https://10.77.0.1:5000/v2/", True),
        ("10.77.0.1:5000", "https://10.77.0.1:5001/v2/", False),
        ("10.77.0.1:80", "http://10.77.0.1/v2/", True),
        ("10.77.0.0/16", "https://10.77.3.4:5000/v2/", True),
        ("10.77.0.0/16", "https://10.78.3.4:5000/v2/", False),
        ("10.77.0.9/16", "https://10.77.3.4/v2/", True),
        ("2001:db8::/32", "https://[2001:db8::7]:5000/v2/", True),
        ("2001:db8::/32", "https://[2001:db9::7]:5000/v2/", False),
        ("[2001:db8::1]:5000", "https://[2001:db8::1]:5000/v2/", True),
        ("[2001:db8::1]:5000", "https://[2001:db8::1]/v2/", False),
        ("2001:db8::1", "https://[2001:DB8:0::1]:5000/v2/", True),
        ("[2001:db8::1]", "https://[2001:db8::1]/v2/", True),
        (" a.example , corp.example\t", "https://corp.example/v2/", True),
        ("a.example b.example", "https://b.example/v2/", True),
        ("300.1.1.1/8,/,:,[],*.", "https://corp.example/v2/", False),
        ("", "https://corp.example/v2/", False),
        ("", "http://127.0.0.1:5000/v2/", True),
        ("", "http://localhost:5000/v2/", True),
        ("", "http://[::1]:5000/v2/", True),
        ("", "http://169.254.169.254/latest", True),
    ],
)
def test_no_proxy_is_read_as_docker_reads_it(exceptions: str, url: str, is_direct: bool) -> None:
    environment = {"HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY, "NO_PROXY": exceptions}
    assert (proxy_for(url, environment) is None) == is_direct
    small = {name.lower(): value for name, value in environment.items()}
    assert (proxy_for(url, small) is None) == is_direct


def test_each_scheme_has_its_own_proxy_and_capitals_come_first() -> None:
    environment = {"http_proxy": "a:1", "HTTP_PROXY": "b:2", "https_proxy": "http://c:3", "ALL_PROXY": "d:4"}
    assert proxy_for("http://r.example/v2/", environment) == "http://b:2"
    assert proxy_for("https://r.example/v2/", environment) == "http://c:3"
    assert proxy_for("https://r.example/v2/", {"ALL_PROXY": "d:4"}) is None
    assert proxy_for("http://r.example/v2/", {"HTTP_PROXY": "", "http_proxy": "a:1"}) == "http://a:1"

"""Which hosts are Amazon's, and what they say."""

from __future__ import annotations

import pytest

from updater_core.models import RegistrySettings
from updater_core.reference import parse
from updater_core.registries.vendors import registry_type, vendor_of
from updater_core.registries.vendors.ecr.hosts import PUBLIC_HOSTS, EcrHost, parse_host

ME = "111111111111"
OURS = [
    (f"{ME}.dkr.ecr.us-east-1.amazonaws.com", EcrHost(ME, "us-east-1")),
    (f"{ME}.dkr.ecr-fips.us-gov-west-1.amazonaws.com", EcrHost(ME, "us-gov-west-1", is_fips=True)),
    (f"{ME}.dkr-ecr.eu-west-1.on.aws", EcrHost(ME, "eu-west-1", is_dual_stack=True)),
    (f"{ME}.dkr-ecr-fips.us-east-2.on.aws", EcrHost(ME, "us-east-2", is_fips=True, is_dual_stack=True)),
    (f"{ME}.dkr.ecr.cn-north-1.amazonaws.com.cn", EcrHost(ME, "cn-north-1")),
    (f"{ME}.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn", EcrHost(ME, "cn-north-1", is_dual_stack=True)),
    (f"{ME}.dkr.ecr.eusc-de-east-1.amazonaws.eu", EcrHost(ME, "eusc-de-east-1")),
    (f"{ME}.dkr.ecr.us-isob-east-1.sc2s.sgov.gov", EcrHost(ME, "us-isob-east-1")),
    (f"{ME}.dkr.ecr.us-iso-east-1.c2s.ic.gov", EcrHost(ME, "us-iso-east-1")),
]
NOT_OURS = [
    f"{ME}.dkr.ecr.us-east-1.amazonaws.com.fake.example.com",
    f"{ME}.dkr.ecr.us-east-1.amazonaws.com:5000",
    f"x{ME}.dkr.ecr.us-east-1.amazonaws.com",
    f"fake.example.com-{ME}.dkr.ecr.us-east-1.amazonaws.com",
    f"{ME[1:]}.dkr.ecr.us-east-1.amazonaws.com",
    f"{ME}.dkr.ecr.us-east-1.amazonaws.org",
    f"{ME}.dkr.ecr..amazonaws.com",
    f"{ME}xdkr.ecr.us-east-1.amazonaws.com",
    f"{ME}.dkr.ecr.us-east-1xamazonaws.com",
    f"{ME}.dkr.ecr.evil.com.us-east-1.amazonaws.com",
    "amazonaws.com",
    "docker.io",
]


@pytest.mark.parametrize(("domain", "says"), OURS)
def test_a_host_of_amazons_says_account_region_and_kind_of_endpoint(domain: str, says: EcrHost) -> None:
    assert parse_host(domain) == says


@pytest.mark.parametrize("domain", NOT_OURS)
def test_a_host_that_only_looks_like_amazons_is_nobodys(domain: str) -> None:
    assert parse_host(domain) is None


@pytest.mark.parametrize("domain", [*(domain for domain, _ in OURS), *NOT_OURS, *sorted(PUBLIC_HOSTS)])
def test_the_configuration_takes_the_same_hosts_for_amazons(domain: str) -> None:
    is_ours = parse_host(domain) is not None or domain in PUBLIC_HOSTS
    assert (vendor_of(domain).name == "ecr") == is_ours


def test_a_reference_at_amazon_needs_no_registry_type() -> None:
    settings = RegistrySettings()
    assert registry_type(parse(f"{OURS[0][0]}/api:1"), settings) == "ecr"
    assert registry_type(parse("public.ecr.aws/docker/library/nginx:1"), settings) == "ecr"
    assert registry_type(parse(f"{NOT_OURS[0]}/api:1"), settings) == "generic"
    assert registry_type(parse(f"{OURS[0][0]}/api:1"), RegistrySettings(type="generic")) == "generic"

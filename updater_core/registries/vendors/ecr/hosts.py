"""The names of Amazon's registries: whose account, which region, which kind of endpoint a host stands for.

Pure.

The forms are those that Amazon's own credential helper takes
(https://github.com/awslabs/amazon-ecr-credential-helper, ecr-login/api/client.go), with both ends anchored: a
host of somebody else's that only begins like one of Amazon's must not be taken for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PUBLIC_HOSTS = frozenset({"public.ecr.aws", "ecr-public.aws.com"})
_HOST = re.compile(
    r"(?P<account>[0-9]{12})\.dkr[.-]ecr(?P<fips>-fips)?\.(?P<region>[a-z0-9-]+)\."
    r"(?P<partition>amazonaws\.com(?:\.cn)?|amazonaws\.eu|on\.aws|on\.amazonwebservices\.com\.cn"
    r"|sc2s\.sgov\.gov|c2s\.ic\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)"
)

# one expression for all
HOSTS = "|".join([_HOST.pattern, *(re.escape(host) for host in sorted(PUBLIC_HOSTS))])


@dataclass(frozen=True, slots=True)
class EcrHost:
    """What the host of a private registry says.

    `is_dual_stack`: it answers over IPv6 too, and so shall its API.
    """

    account: str
    region: str
    is_fips: bool = False
    is_dual_stack: bool = False


def parse_host(domain: str) -> EcrHost | None:
    """Return what a private registry's host says; None for every other host.

    >>> parse_host("111111111111.dkr.ecr.eu-west-1.amazonaws.com")
    EcrHost(account='111111111111', region='eu-west-1', is_fips=False, is_dual_stack=False)
    >>> parse_host("111111111111.dkr.ecr.eu-west-1.amazonaws.com.example.com") is None
    True
    """
    found = _HOST.fullmatch(domain)
    if found is None:
        return None
    return EcrHost(
        found["account"], found["region"], bool(found["fips"]), found["partition"].startswith("on.")
    )

"""What an operator expects for tags of images that people run: the current tag, a list of tags, the answer.

The expected answers were written down before the program was asked.
"""

from __future__ import annotations

import pytest

from tests.unit.test_selection import answer, choose, tags
from updater_core.models import Follow, Policy

KEPT = ""  # nothing of its kind is newer

DECISIONS = [
    # two counters, a channel in front, and an architecture in front
    ("4.0.15.2941-ls298", "4.0.16.2944-ls299 4.0.17.1 amd64-4.0.18.1-ls300 nightly-4.0.19.1-ls1",
     "4.0.16.2944-ls299"),
    ("version-4.0.15.2941", "4.0.17.2944 version-4.0.16.2944 amd64-version-4.0.18.1", "version-4.0.16.2944"),
    ("arm64v8-develop-4.0.15.1-ls1", "amd64-develop-4.0.17.1-ls2 arm64v8-develop-4.0.16.1-ls2",
     "arm64v8-develop-4.0.16.1-ls2"),
    # a revision of the builder, of a distribution, of an edition
    ("1.2.3-debian-12-r9", "1.2.3-debian-12-r10 1.2.4-debian-11-r99 1.2.3", "1.2.3-debian-12-r10"),
    ("17.5.1-ce.0", "17.6.0-ee.0 17.5.2-ce.0 17.7.0-rc42.ce.0 nightly", "17.5.2-ce.0"),
    ("2022-CU14-ubuntu-22.04", "2022-CU15-ubuntu-22.04 2022-CU16-GDR1-ubuntu-22.04 2025-latest",
     "2022-CU15-ubuntu-22.04"),
    ("v1.31.0-k3s1", "v1.31.0-k3s2 v1.31.1-rc1-k3s1 v1.31.1-k3s1-amd64", "v1.31.0-k3s2"),
    ("7.7.0-1-ubi8", "7.7.1-1-ubi8 7.7.2-1-ubi9 7.7.3-ubi8 7.7.4", "7.7.1-1-ubi8"),
    ("12.0.0p5", "12.0.1p1 12.1.0b3", "12.0.1p1"),
    # years and months, dates, dates with a time
    ("2024.10.4", "2024.11.0 2025.1.0 2025.2.0b0 2025.2.0.dev202502010000", "2025.1.0"),
    ("RELEASE.2024-10-02T17-50-41Z",
     "RELEASE.2024-11-07T00-52-20Z RELEASE.2024-12-01T00-00-00Z.fips RELEASE.2024-12-18T13-15-44Z.hotfix.1",
     "RELEASE.2024-11-07T00-52-20Z"),
    ("2024101505", "2024102105 20241029 10.10.0 2024102805-amd64", "2024102105"),
    ("240915-ce", "241021 241021-ce 241101", "241021-ce"),
    ("jammy-20240911", "jammy-20241004 noble-20241015 jammy", "jammy-20241004"),
    ("17.0-20240901", "17.0-20241010 18.0-20241010 19.0", "18.0-20241010"),
    ("base-devel-20241001.0.267073", "base-20250101.0.1 base-devel-20241201.0.1", "base-devel-20241201.0.1"),
    ("2.0.20240910.0", "2.0.20241014.0 2023.6.20241010.0 2.0.20241015.0-with-sources", "2.0.20241014.0"),
    # a commit behind the version
    ("1.41.0.8992-8463ad060", "1.41.1.9057-af5eaea7a beta plexpass", "1.41.1.9057-af5eaea7a"),
    ("20241001-5a81b1e", "20241101-6b92c2f 20241102", "20241101-6b92c2f"),
    # prereleases in each spelling
    ("v0.107.52", "v0.107.53 v0.108.0-b.59 edge", "v0.107.53"),
    ("v0.108.0-b.58", "v0.108.0-b.59 v0.107.53 v0.109.0-a.1", "v0.108.0-b.59"),
    ("6.0.0.Final", "6.0.1.Final 7.0.0.Alpha1 7.0.0.Beta2 6.1.0.CR1", "6.0.1.Final"),
    ("17.4.0-rc42.ce.0", "17.4.0-rc43.ce.0 17.4.0-rc44.ee.0 17.5.0-ee.0", "17.4.0-rc43.ce.0"),
    ("17.4.0-rc42.ce.0", "17.4.0-rc43.ce.0 17.4.0-ce.0 17.4.0-ee.1", "17.4.0-ce.0"),
    ("17.3.0-ce.0", "17.4.0-rc43.ce.0 17.4.0-ee.0", KEPT),
    ("3.6.0-334.3.beta-sdk", "3.6.0-334.4.beta-sdk 3.10.0-1.1.beta 3.6.1", "3.6.0-334.4.beta-sdk"),
    ("2024.12-dev-fpm", "2025.02-dev-fpm 2025.02-fpm", "2025.02-dev-fpm"),
    ("3.1-dev10", "3.1-dev11 3.0.6 3.1.0", "3.1-dev11"),
    ("21-jdk-ubuntu", "23-jdk-ubuntu 24-ea-jdk-ubuntu 25-jre-ubuntu", "23-jdk-ubuntu"),
    ("beta-6.7-RC1-php8.2-apache", "beta-6.7-RC2-php8.2-apache 6.8.0-php8.2-apache",
     "beta-6.7-RC2-php8.2-apache"),
    ("1.12.0", "1.13.0-insiders 1.13.0-canary.3 1.13.0-nightly.2 1.14.0-unstable 1.12.1", "1.12.1"),
    # what the image is built on or for, which has a number of its own
    ("12.6.1-cudnn-devel-ubuntu24.04",
     "12.6.2-cudnn-devel-ubuntu24.04 12.6.3-devel-ubuntu24.04 12.6.4-cudnn-devel-ubuntu22.04",
     "12.6.2-cudnn-devel-ubuntu24.04"),
    ("2.4.1-cuda12.1-cudnn9-runtime", "2.5.0-cuda12.1-cudnn9-runtime 2.5.1-cuda12.4-cudnn9-runtime",
     "2.5.0-cuda12.1-cudnn9-runtime"),
    ("1.17.2-otp-26-alpine", "1.17.4-otp-27-alpine 1.17.3-otp-26-alpine 1.18.0-rc.0-otp-26-alpine",
     "1.17.3-otp-26-alpine"),
    ("8u275-b01-jdk-openj9-0.23.0-bionic", "8u282-b08-jdk-openj9-0.24.0-bionic", KEPT),
    ("3.5.3-scala2.12-java11-python3-ubuntu",
     "3.5.5-scala2.12-java17-python3-ubuntu 3.5.4-scala2.12-java11-python3-ubuntu",
     "3.5.4-scala2.12-java11-python3-ubuntu"),
    ("cli-2.10-php8.2", "cli-2.11-php8.2 cli-2.11.0-php8.2 6.7-php8.2", "cli-2.11-php8.2"),
    ("v3.1.0-nanoserver-1809", "v3.2.0-nanoserver-ltsc2022 v3.1.4-nanoserver-1809 v3.3.0",
     "v3.1.4-nanoserver-1809"),
    # numbers of a channel
    ("v2.9-head", "v2.10-head v2.10.0", "v2.10-head"),
    ("7.0-alpine-latest", "7.2-alpine-latest 7.4-ubuntu-latest 7.4-alpine", "7.2-alpine-latest"),
    ("alpine-7.0.4", "alpine-7.0.5 ubuntu-7.0.6 alpine-7.2.0rc1 alpine-7.2-latest", "alpine-7.0.5"),
    # another scheme, or nothing that has an order
    ("5.26.0-enterprise", "2025.01.0-enterprise 5.26.1-enterprise", "5.26.1-enterprise"),
    ("v5.8.1", "2022.01 2024.07.0 v5.8.1-buster", KEPT),
    ("9.4-1725927010", "9.5-1730489338 9.6", "9.5-1730489338"),
    ("sha-5a81b1e", "sha-6b92c2f 1.2.3", KEPT),
    ("noetic-ros-core-focal", "humble-ros-core-jammy noetic-ros-base-focal", KEPT),
]  # fmt: skip


@pytest.mark.parametrize(
    "policy", [Policy(follow=Follow.MAJOR), Policy(semver_pattern="*")], ids=["follow", "pattern"]
)
@pytest.mark.parametrize(("current", "others", "expected"), DECISIONS)
def test_a_service_gets_the_highest_tag_of_its_family(
    policy: Policy, current: str, others: str, expected: str
) -> None:
    outcome = choose(policy, current, tags(current, *others.split()))
    chosen = answer(outcome)
    assert chosen == expected if expected else chosen not in others.split()

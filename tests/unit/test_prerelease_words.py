"""What stands behind a version: words for what comes before its release, and for what comes after it."""

from __future__ import annotations

import pytest

from tests.unit.test_selection import answer, choose, reasons, tags
from updater_core.models import Follow, Policy

FOLLOW = Policy(follow=Follow.MAJOR)

PRERELEASES = """
-rc -rc1 -rc.1 -rc-1 -rc_2 rc1 .rc1 _rc1 -RC1 .RC1 -rc1.2 -CR2 .CR2 -cr3 -alpha -alpha.1.2 alpha1 a2 .Alpha1
-beta -beta1 -Beta1 .Beta1 b1 -b03 -M1 .M1 -milestone1 -ea -ea.4 -EAP -eap1 -tp3 -pre -pre1 -pre.20240101
-preview -preview.3 -prerelease -prerelease.1 -candidate -candidate1 -tech-preview -techpreview -insiders
-insider.3 -next -next.12 -dev .dev0 .dev20240101 -dev.1 -dev-abc1234 -develop -devel -snapshot -SNAPSHOT
.SNAPSHOT -SNAPSHOT.20240101 -snapshot-1 -nightly -nightly.20240101 -nightly-20240101 -daily -weekly -canary
-canary.20 -canary-abc1234 -edge -experimental -unstable -unstable.5 -testing -trunk -main -master -head -wip
-bleeding -ce-rc1
"""
OTHERS = (
    ".Final .GA -sp1 -SP1 .SR1 -mr1 -hotfix.1 -hotfix1 -patch1 -incubating -git -debug -lts -stable -0 -1"
)


@pytest.mark.parametrize("text", PRERELEASES.split())
@pytest.mark.parametrize("current", ["1.2.0", "1.2", "1.2.0-alpine"])
def test_no_word_for_a_prerelease_leads_a_release_to_it(current: str, text: str) -> None:
    version, _, variant = current.partition("-")
    variant = f"-{variant}" if variant else ""
    newer, before = f"{version[:-1]}5{variant}", f"{version[:-1]}7{text}{variant}"
    outcome = choose(FOLLOW, current, tags(current, newer, before, f"{version[:-1]}7{variant}{text}"))
    assert answer(outcome) == newer
    assert reasons(outcome)[before] in ("prerelease", "other_precision")
    if not variant:
        assert reasons(outcome)[before] == "prerelease"


@pytest.mark.parametrize("text", OTHERS.split())
def test_a_word_for_another_kind_of_release_is_no_prerelease(text: str) -> None:
    outcome = choose(FOLLOW, "1.2.0", tags("1.2.0", "1.2.1", f"1.3.0{text}"))
    assert (answer(outcome), reasons(outcome)[f"1.3.0{text}"]) == ("1.2.1", "other_variant")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("2.12.0-sp1 2.12.0-sp2 2.12.0-sp10 2.12.1-rc1", "2.12.0-sp10"),
        ("2.12.0-SP1 2.12.0-SP2", "2.12.0-SP2"),
        ("1.4.0.SR1 1.4.0.SR2 1.4.0.RC1", "1.4.0.SR2"),
        ("5.3.0.Final 5.4.0.Final 6.0.0.CR1 6.0.0.Beta2", "5.4.0.Final"),
        ("1.0.post1 1.0.post2 1.0.post10 1.1.dev0", "1.0.post10"),
        ("1.0.0 1.0.0.post1 1.0.0.dev3", "1.0.0.post1"),
        ("1.2.0-hotfix.1 1.2.0-hotfix.2 1.2.0-beta.9", "1.2.0-hotfix.2"),
        ("1.2.0-insider.3 1.2.0-insider.12 1.2.0", "1.2.0"),
        ("1.2.0-incubating 1.3.0-incubating 1.4.0", "1.3.0-incubating"),
        ("1.2.0-beta-ls12 1.2.0-beta-ls13 1.3.0-ls1", "1.3.0-ls1"),
        ("1.2.0-trunk 1.3.0-trunk 1.3.0", "1.3.0-trunk"),
    ],
)
def test_a_service_goes_on_from_such_a_word(names: str, expected: str) -> None:
    assert answer(choose(FOLLOW, names.split()[0], tags(*names.split()))) == expected

"""The choice never depends on the list's order and never goes down; windows are what the clock face says."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.tag_history import compare_texts, judge
from updater_core.models import (
    Bump,
    Decision,
    Follow,
    Hold,
    Hours,
    ImageRef,
    Policy,
    Quarantined,
    Reason,
    Tag,
    Update,
)
from updater_core.policy.family_members import rank
from updater_core.policy.observation import Ask, History, Memo, Observation, TimeSource
from updater_core.policy.select import decide
from updater_core.policy.tags.reading import read
from updater_core.policy.windows import is_open, next_close, next_open, parse_windows
from updater_core.semver_utils import parse_tag, precedence
from updater_core.vocabulary.dated import Seen

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)

ARTEFACT = "sha256-aa.sig"
small = st.integers(0, 3)
tails = st.sampled_from(["", "", "", "-rc.1", "-rc.2", "-alpine", "-r9", "-r10"])
semver_names = st.builds("{}{}.{}.{}{}".format, st.sampled_from(["", "v"]), small, small, small, tails)
family_tails = st.sampled_from(
    ["", "", "-ls1", "-ls2", "-alpine", "-alpine3.9", "-alpine3.20", "rc1", "-rc", "-2"]
)
family_names = st.builds(
    lambda prefix, numbers, tail: prefix + ".".join(map(str, numbers)) + tail,
    st.sampled_from(["", "", "", "v", "ee-"]),
    st.lists(small, min_size=1, max_size=4) | st.sampled_from([[2024, 1], [20240101], [20240230], [1234567]]),
    family_tails,
)
# builds behind a word, Unix times, weeks, dates with a time, hashes of digits, numbers of a platform
dated_names = st.builds(
    str.format,
    st.sampled_from(
        [
            "server-b{0}{1}",
            "main-170000000{0}",
            "main-5a81b1e-170000{0}00{1}",
            "2024w0{0}",
            "2024-0{0}-1{1}",
            "RELEASE.2024-10-0{0}T17-50-4{1}Z",
            "1.{0}-123456{1}",
            "{0}.1.2-1{1}",
            "{0}u40{1}-b0{1}-jre",
            "2022-CU{0}{1}-ubuntu-22.04",
            "pg1{0}.4-ts2.{1}.1",
            "alpine-7.{0}.{1}",
            "alpine-7.{0}-latest",
            "{0}-3.{1}-alpine",
        ]
    ),
    small,
    small,
)
names = (
    semver_names
    | family_names
    | dated_names
    | st.sampled_from(["latest", "1.2", "20241001", "5a81b1e6", "s-a", "s-b", "s-c", ARTEFACT])
)
FORMS = (
    "{0}.{1}.{2} v{0}.{1}.{2} {0}.{1} 1{0} {0}.{1}.{2}.{3} {0}.{1}.{2}-alpine 1{0}.{1}-alpine3.20 "
    "v{0}.{1}-fpm-{2} {0}.{1}.{2}-rc.{3} {0}.{1}rc{2} {0}.{1}.{2}-M{3} {0}.{1}.{2}.RC{3} {0}.{1}.{2}-dev "
    "{0}.{1}.{2}-beta{3}-slim {0}.{1}.{2}-ls{3} {0}.{1}-r1{2} 17.{0}.{1}-ce.{2} {0}.{1}.{2}_{3} "
    "{0}.{1}.{2}-debian-12-r{3} {0}u40{1}-b0{2}-jre 202401{0}1 2024-01-{0}1 2024.1{0}.{1} noble-202401{0}1 "
    "RELEASE.2024-10-{0}1T17-50-4{1}Z {0}.{1}-202401{2}1 amd64-{0}.{1}.{2}-ls{3} alpine-{0}.{1}.{2} "
    "temurin-1{0}-deps-1.{1}.{2} pg1{0}.4-ts2.{1}.{2} server-b{0}{1}{2} 1{0}.{1}-php8.{2}-apache "
    "12.{0}.{1}-cudnn{2}-ubuntu22.04 main-5a81b1e-170000000{0} php8.{0}-fpm-alpine3.{1}"
)


forms = st.sampled_from(FORMS.split())


@st.composite
def lists_of_one_form(draw: st.DrawFn) -> tuple[str, list[str]]:
    """One of many tags of one form with other numbers, and the list: these, and others beside them."""
    own, other = draw(forms), draw(forms)
    numbers = st.tuples(small, small, small, small)
    kin = [own.format(*each) for each in draw(st.lists(numbers, min_size=2, max_size=9))]
    beside = [other.format(*each) for each in draw(st.lists(numbers, max_size=3))]
    strangers = draw(st.lists(family_names | dated_names, max_size=2))
    current, is_gone = kin[0], draw(st.booleans())  # whether it left the registry
    listed = draw(st.permutations([*kin, *beside, *strangers]))
    return current, [tag for tag in dict.fromkeys(listed) if not (is_gone and tag == current)]


FOLLOWED = [Policy(follow=Follow.MAJOR), Policy(semver_pattern="*"), Policy(tag_regex="(?P<version>.+)")]

moments = st.none() | st.integers(0, 5).map(lambda days: NOW - timedelta(days=days))
digests = st.integers(0, 5).map(lambda n: f"sha256:{n:064x}")
tag_lists = st.lists(
    st.builds(Tag, names, st.none() | digests, moments), max_size=12, unique_by=lambda tag: tag.name
)
memories = st.dictionaries(
    names,
    st.builds(Seen, st.none() | digests, moments.map(lambda m: m or NOW), st.booleans(), moments),
    max_size=8,
)
faults = st.frozensets(digests, max_size=2)
policies = st.builds(
    Policy,
    semver_range=st.none() | st.sampled_from([">=1 <3", "^1.2.0-rc.1", "~1.1 || 3.x"]),
    max_bump=st.sampled_from(Bump),
    allow_prerelease=st.booleans(),
    tag_exclude=st.sampled_from([(), ("1.*",), ("regexp:v.*",)]),
    min_age_seconds=st.sampled_from([0.0, 86400.0 * 2]),
)
SELECTORS: list[dict[str, Any]] = (
    [{"semver_pattern": p} for p in ("*", "v*", "*-alpine", "v1.*")]
    + [{"tag_pattern": p} for p in ("*", "s-*", "[0-9]*")]
    + [{"tag_regex": r} for r in (".*", r"(?P<version>.*)", r"[^0-9]*(?P<compare>[0-9]+)")]
)


def settle(
    observation: Observation,
    policy: Policy,
    history: History,
    answers: dict[str, str],
    memo: Memo | None = None,
) -> Decision:
    for _ in range(50):
        outcome = decide(observation, policy, history, NOW, memo)
        if not isinstance(outcome, Ask):
            return outcome
        asked = {name: answers.get(name, f"sha256:{hash_of(name)}") for name in outcome.digests}
        created = {name: NOW - timedelta(days=len(name)) for name in outcome.created}
        observation = replace(
            observation, digests={**observation.digests, **asked}, created={**observation.created, **created}
        )
    raise AssertionError("it never stops asking")


def hash_of(name: str) -> str:
    return name.encode().hex().ljust(64, "0")[:64]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Observation, Policy, History, dict[str, str]]:
    policy = replace(draw(policies), **draw(st.sampled_from(SELECTORS)))
    listed = draw(tag_lists)
    current = draw(st.sampled_from([tag.name for tag in listed]) | names) if listed else draw(names)
    answers = draw(st.dictionaries(names, digests, max_size=6))
    quarantine = {d: Quarantined(d, "web", Reason.UNHEALTHY, NOW) for d in draw(faults)}
    history = History(
        quarantine, draw(memories), draw(st.dictionaries(digests, moments.map(lambda m: m or NOW)))
    )
    reference = ImageRef("docker.io", "acme/web", current)
    running = draw(st.frozensets(digests, max_size=2))
    observation = Observation(reference, running, tags=tuple(listed), clock=draw(st.sampled_from(TimeSource)))
    return observation, policy, history, answers


@given(cases(), st.randoms(), st.booleans())
def test_the_order_of_the_list_changes_nothing(case: tuple, chance: object, down: bool) -> None:  # type: ignore[type-arg]
    observation, policy, history, answers = case
    policy = replace(policy, allow_downgrade=down)
    shuffled = list(observation.tags)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert settle(observation, policy, history, answers) == settle(
        replace(observation, tags=tuple(shuffled)), policy, history, answers
    )


@given(cases(), st.lists(st.sampled_from(SELECTORS), max_size=2))
def test_what_was_worked_out_before_changes_nothing(case: tuple, before: list[dict[str, Any]]) -> None:  # type: ignore[type-arg]
    observation, policy, history, answers = case
    memo = Memo()
    for selector in before:  # whatever it remembers: another policy's work too
        other = replace(policy, semver_pattern=None, tag_pattern=None, tag_regex=None)
        settle(observation, replace(other, **selector), history, answers, memo)
    assert settle(observation, policy, history, answers, memo) == settle(
        observation, policy, history, answers
    )


@given(cases())
def test_an_update_is_a_listed_tag_with_its_digest_and_every_other_tag_has_one_reason(case: tuple) -> None:  # type: ignore[type-arg]
    observation, policy, history, answers = case
    outcome = settle(observation, policy, history, answers)
    listed = {tag.name for tag in observation.tags}
    turned_down = [rejected.tag for rejected in outcome.rejected]
    assert len(turned_down) == len(set(turned_down))
    if isinstance(outcome, Update):
        assert outcome.target.tag in listed
        assert outcome.target.digest not in observation.running_digests | history.quarantine.keys()
        assert {*turned_down, outcome.target.tag} == listed
    else:
        assert isinstance(outcome, Hold)
        assert set(turned_down) <= listed
        assert outcome.detail


@given(cases())
def test_a_version_never_goes_down(case: tuple) -> None:  # type: ignore[type-arg]
    observation, policy, history, answers = case
    policy = replace(policy, semver_pattern="*", tag_pattern=None, tag_regex=None)
    outcome = settle(observation, policy, history, answers)
    current = parse_tag(observation.current.tag)
    if current is None or not isinstance(outcome, Update):
        return
    chosen = parse_tag(outcome.target.tag or "")
    assert chosen is not None
    assert precedence(chosen) >= precedence(current)
    assert chosen.variant == current.variant


@given(cases(), st.data())
def test_a_service_stays_in_its_family_and_never_goes_down(case: tuple, data: st.DataObject) -> None:  # type: ignore[type-arg]
    observation, policy, history, answers = case
    listed = data.draw(st.lists(family_names | dated_names, min_size=1, max_size=12, unique=True))
    current = data.draw(st.sampled_from(listed) | family_names | dated_names)
    selector = data.draw(st.sampled_from([{"semver_pattern": "*"}, {"tag_regex": "(?P<version>.+)"}]))
    policy = replace(policy, **{"semver_pattern": None, "tag_pattern": None, "tag_regex": None, **selector})
    observation = replace(
        observation,
        current=replace(observation.current, tag=current),
        tags=tuple(map(Tag, listed)),
        digests={},
    )
    outcome = settle(observation, policy, history, answers)
    if isinstance(outcome, Update) and read(current) is not None:
        verdict = compare_texts(current, str(outcome.target.tag))
        assert verdict in ("", "prerelease") if policy.allow_prerelease else verdict == ""


@given(lists_of_one_form(), st.data())
def test_among_tags_of_one_form_the_judge_of_the_replay_finds_no_fault(
    case: tuple[str, list[str]], data: st.DataObject
) -> None:
    current, listed = case
    contents = {tag: hash_of(tag) for tag in listed}
    running = frozenset({f"sha256:{hash_of(current)}"})
    observation = Observation(
        ImageRef("docker.io", "acme/web", current), running, tags=tuple(map(Tag, listed))
    )
    for policy in FOLLOWED:
        outcome = settle(observation, policy, History(), {})
        assert judge(current, outcome, contents) == "", (policy, outcome)
        shuffled = replace(observation, tags=tuple(map(Tag, data.draw(st.permutations(listed)))))
        assert settle(shuffled, policy, History(), {}) == outcome
        risen = settle(observation, replace(policy, follow_variant=True), History(), {})
        if isinstance(risen, Update) and read(current) is not None:
            assert compare_texts(current, str(risen.target.tag)) in ("", "other variant")


@given(st.from_regex(r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,40}", fullmatch=True) | st.text(max_size=20))
def test_whatever_a_tag_is_it_is_read_whole_or_not_at_all(tag: str) -> None:
    version = read(tag)
    if version is None:
        return
    assert tag.startswith(version.prefix)
    assert version.form.count("#") == len(version.numbers)
    assert version.tail.shape.count("#") >= len(version.tail.counters)
    digits = [*version.numbers, *version.tail.counters]
    assert all(str(number) in tag for number in digits)
    assert read(tag) == version


@given(st.lists(family_names | dated_names, min_size=3, max_size=3))
def test_the_order_of_a_family_is_total(tags: list[str]) -> None:
    versions = [version for version in map(read, tags) if version is not None]
    kin = [v for v in versions if (v.form, v.tail.shape) == (versions[0].form, versions[0].tail.shape)]
    ranks = sorted(map(rank, kin))
    assert all(low <= high for low, high in itertools.combinations(ranks, 2))
    assert [rank(v) for v in sorted(kin, key=rank)] == ranks


@given(cases())
def test_a_push_never_goes_back_in_time(case: tuple) -> None:  # type: ignore[type-arg]
    observation, policy, history, answers = case
    policy = replace(policy, semver_pattern=None, tag_pattern="*", tag_regex=None, tag_exclude=())
    observation = replace(observation, clock=TimeSource.REGISTRY)
    outcome = settle(observation, policy, history, answers)
    times = {tag.name: tag.pushed_at for tag in observation.tags}
    current = times.get(observation.current.tag)
    if current is None or not isinstance(outcome, Update) or observation.current.tag == ARTEFACT:
        return  # an artefact's tag is excluded, so that nothing is measured against it
    assert times[outcome.target.tag] >= current


# ---------------------------------------------------------------------------------------------------- windows

WINDOWS = [
    "sat 23:00-02:30",
    "sun 01:30-03:30",
    "02:00-03:00",
    "02:15-02:45,23:30-00:15",
    "mon-fri 22:00-01:00,sun 00:00-24:00",
    "sat+sun 00:00-00:30,00:45-01:15",
]
# Around both changes of the clock in zones of three kinds: an hour at night, an hour at midnight, half an
# hour.
CHANGES = [
    ("Europe/Berlin", "2026-03-28"),
    ("Europe/Berlin", "2026-10-24"),
    ("America/Sao_Paulo", "2018-02-17"),
    ("America/Sao_Paulo", "2018-11-03"),
    ("Australia/Lord_Howe", "2026-04-04"),
    ("Australia/Lord_Howe", "2026-10-03"),
]


def face(moment: datetime, zone: str) -> tuple[int, str]:
    """Weekday and clock face, as a person in that zone reads them."""
    local = moment.astimezone(ZoneInfo(zone))
    return local.weekday(), f"{local:%H:%M}"


def oracle(text: str, moment: datetime, zone: str) -> bool:
    """Written from the meaning, on the text: does any window hold what the clock shows?"""
    today, clock = face(moment, zone)
    days = {"mon-fri": {0, 1, 2, 3, 4}, "sat+sun": {5, 6}, "sat": {5}, "sun": {6}}
    for part in text.split(","):
        *named, span = part.split()
        on = days[named[0]] if named else set(range(7))
        start, end = span.split("-")
        if start < end:
            inside = today in on and start <= clock < end
        else:
            inside = (today in on and clock >= start) or ((today + 6) % 7 in on and clock < end)
        if inside:
            return True
    return False


@pytest.mark.parametrize("text", WINDOWS)
@pytest.mark.parametrize(("zone", "day"), CHANGES)
def test_windows_open_and_close_as_the_clock_face_says_minute_by_minute(
    text: str, zone: str, day: str
) -> None:
    hours = Hours(parse_windows(text), zone)
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    moments = [start + timedelta(minutes=n) for n in range(3 * 24 * 60)]
    truth = [oracle(text, moment, zone) for moment in moments]
    assert [is_open(hours, moment) for moment in moments] == truth
    following: dict[bool, datetime | None] = {True: None, False: None}
    for moment, is_so in reversed(list(zip(moments, truth, strict=True))):
        following[is_so] = moment
        if moment.minute % 10 == 5:
            for wanted, function in ((True, next_open), (False, next_close)):
                if following[wanted] is not None:
                    assert function(hours, moment) == following[wanted]


@given(
    st.sampled_from(WINDOWS),
    st.sampled_from(["Pacific/Apia", "Africa/Casablanca", "UTC"]),
    st.integers(0, 10**8),
)
def test_the_next_opening_is_open_and_nothing_before_it_is(text: str, zone: str, seconds: int) -> None:
    hours, now = (
        Hours(parse_windows(text), zone),
        datetime(2010, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds),
    )
    opening = next_open(hours, now)
    assert opening is not None
    assert is_open(hours, opening)
    assert opening == now or not is_open(hours, opening - timedelta(seconds=1))
    step = (opening - now) / 50
    assert opening == now or not any(is_open(hours, now + step * n) for n in range(50))

"""The status page: what counts as well, what is said of a service, and that the page is sound whatever is in
it.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import fields, replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support.sample_status import (
    DIGEST,
    NIGHT,
    NOW,
    QUICK_GATE,
    ago,
    change,
    facts,
    mixed,
    seen,
    service,
    way,
    well,
)
from updater_core.models import CurrentStep, Hours, Reason, Secret, Step, StepTaken
from updater_core.policy.operator.decisions import Approval, Decisions, Pause
from updater_core.policy.releases.size import kind_of_change
from updater_core.policy.windows import parse_windows
from updater_core.state.records import ServiceState, Status
from updater_core.status import markup, page
from updater_core.status.facts import CHANGES_SHOWN, health_of, longest_silence_seconds, view_of
from updater_core.status.inputs import DaemonStatus, StatusFacts
from updater_core.status.markup import STYLE
from updater_core.status.view import (
    ChangeView,
    DecisionView,
    Level,
    RegistryView,
    ServiceView,
    Verdict,
    View,
    WindowView,
)
from updater_core.vocabulary.dated import HookKind, HookResult, HookRun, ReleaseStep
from updater_core.vocabulary.evidence import Evidence

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Parsed(HTMLParser):
    """The page taken apart; fails if a tag is not closed by its own end.

    Derived as `html.parser` is used so.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "title"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def parsed(given: StatusFacts) -> Parsed:
    return Parsed(page.status_html(view_of(given)))


def only(state: ServiceState, **of_service: object) -> ServiceView:
    """The view of one service that stands so."""
    one = replace(service("web", "nginx:1.27"), **of_service)  # type: ignore[arg-type]
    return view_of(facts((one,), {"web": state})).services[0]


# ----------------------------------------------------------------------------------------------- is all well?


@pytest.mark.parametrize(
    ("state", "level"),
    [
        (seen("a:1", Status.UP_TO_DATE, Reason.SAME_DIGEST), Level.OK),
        (seen("a:1", Status.UPDATED), Level.OK),
        (seen("a:1", Status.WAITING, Reason.WINDOW_CLOSED, available="a:2"), Level.WAITING),
        (seen("a:1", Status.HELD, Reason.NOT_RUNNING), Level.WAITING),
        (seen("a:1", Status.HELD, Reason.DRIFT), Level.LOOK),
        (seen("a:1", Status.WAITING, Reason.NOT_EDITABLE, available="a:2"), Level.LOOK),
        (seen("a:1", Status.ROLLED_BACK, Reason.UNHEALTHY), Level.LOOK),
        (seen("a:1", Status.FAILED, Reason.PULL_FAILED), Level.TROUBLE),
        (seen("a:1", Status.ROLLBACK_FAILED, Reason.EXITED), Level.TROUBLE),
        (seen("a:1", Status.UNKNOWN, Reason.REGISTRY_ERROR), Level.UNKNOWN),
        (ServiceState(), Level.UNKNOWN),
        (seen("a:1", Status.UP_TO_DATE, Reason.SAME_DIGEST, last_success=None), Level.UNKNOWN),
        (seen("a:1", Status.UP_TO_DATE, Reason.SAME_DIGEST, last_success=ago(hours=3)), Level.UNKNOWN),
        (seen("a:1", Status.WAITING, Reason.TOO_YOUNG, last_success=ago(hours=3)), Level.UNKNOWN),
        (seen("a:1", Status.ROLLBACK_FAILED, Reason.EXITED, last_success=ago(hours=3)), Level.TROUBLE),
    ],
)
def test_a_service_is_as_well_as_is_known_of_it(state: ServiceState, level: Level) -> None:
    found = only(state)
    assert found.level is level
    view = view_of(facts((service("web", "nginx:1.27"),), {"web": state}))
    assert view.verdict.level is level


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("reason", [None, *Reason])
def test_only_what_was_seen_to_be_so_is_green(status: Status, reason: Reason | None) -> None:
    green = {Status.UP_TO_DATE, Status.UPDATED}
    assert status in green or only(seen("a:1", status, reason)).level is not Level.OK
    assert only(seen("a:1", status, reason, last_success=ago(days=1))).level not in (Level.OK, Level.WAITING)


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({}, Level.OK),
        ({"pulse": {"is_engine_down": True}}, Level.UNKNOWN),
        ({"pulse": {"cycle_ended": ago(hours=9)}}, Level.UNKNOWN),
        ({"pulse": {"open_updates": 1}}, Level.LOOK),
        ({"pulse": {"open_updates": 1, "cycle_begun": NOW}}, Level.OK),
    ],
)
def test_the_updaters_own_failures_make_the_picture_doubtful(
    changes: dict[str, dict[str, object]], level: Level
) -> None:
    given = well()
    verdict = view_of(replace(given, pulse=replace(given.pulse, **changes.get("pulse", {})))).verdict  # type: ignore[arg-type]
    assert verdict.level is level


def test_the_verdict_is_the_worst_of_all_and_counts_them() -> None:
    verdict = view_of(mixed()).verdict
    assert verdict.level is Level.TROUBLE
    assert verdict.headline == "Something failed"
    counted = "1 failed; 2 unknown; 2 to be looked at; 1 waiting or held; 1 up to date; 1 not enabled"
    assert verdict.text == counted


def test_nothing_to_look_after_is_not_well() -> None:
    assert view_of(facts((), {})).verdict.level is Level.LOOK
    off = (service("web", "nginx:1", enabled=False),)
    assert view_of(facts(off, {})).verdict.level is Level.LOOK


# ----------------------------------------------------------------------------------------------------- health


def test_the_longest_silence_is_two_intervals_and_one_step() -> None:
    given = well()
    config = replace(given.config, services=(replace(given.config.services[0], gate=QUICK_GATE),))
    assert longest_silence_seconds(config) == 2 * 3600 + 120 + 60 + 5
    assert longest_silence_seconds(replace(config, services=())) == 2 * 3600 + 120


@pytest.mark.parametrize(
    ("ended", "heard", "is_well"),
    [(-1, None, True), (1, None, False), (1, 30, True), (None, None, False), (None, 30, True)],
    ids=["in time", "too late", "at work", "never", "never, but at work"],
)
def test_a_probe_hears_of_an_updater_that_does_not_get_on(
    ended: float | None, heard: float | None, is_well: bool
) -> None:
    given = well()
    limit = longest_silence_seconds(given.config)
    over = None if ended is None else NOW - timedelta(seconds=limit + ended)
    (hand,) = mixed().under_way
    given = replace(
        given,
        pulse=replace(given.pulse, cycle_ended=over),
        under_way=(replace(hand, heard_at=ago(seconds=heard)),) if heard else (),
    )
    assert health_of(given)[0] is is_well


def test_before_its_first_cycle_is_over_the_updater_is_alive() -> None:
    given = well()
    pulse = replace(given.pulse, started_at=ago(seconds=5), cycle_ended=None, cycle_seconds=None)
    assert health_of(replace(given, pulse=pulse)) == (True, "the first cycle has not ended yet")
    assert "none since the start" in parsed(replace(given, pulse=pulse)).text


# ---------------------------------------------------------------------------------------------- what is shown


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("a:1.2.3", "a:2.0.0", "major"),
        ("a:v1.2.3-alpine", "a:v1.3.0-alpine", "minor"),
        ("a:1.2.3", f"a:1.2.4@{DIGEST}", "patch"),
        ("a:1.2.3-rc.1", "a:1.2.3-rc.2", "prerelease"),
        ("a:1.2.3-rc.1", "a:1.2.3", "prerelease"),
        ("a:1.2.3", "a:1.2.2", "downgrade"),
        ("a:1.2.3-r1", "a:1.2.3-r2", "tag"),
        ("a:latest", f"a@{DIGEST}", "rebuild"),
        ("a:blue", "a:green", "tag"),
        ("NOT A REFERENCE", "a:green", "tag"),
    ],
)
def test_the_kind_of_a_change_is_named(old: str, new: str, kind: str) -> None:
    assert kind_of_change(old, new) == kind


def test_a_window_says_when_it_closes_or_opens() -> None:
    lunch = Hours(parse_windows("07:00-09:30"), "UTC")
    assert only(seen("a:1", Status.UPDATED), hours=lunch).window.closes_at == NOW + timedelta(hours=1.5)
    assert only(seen("a:1", Status.UPDATED), hours=NIGHT).window.opens_at == NOW + timedelta(hours=18)
    assert only(seen("a:1", Status.UPDATED), hours=Hours(paused=True)).window.is_paused
    anytime = only(seen("a:1", Status.UPDATED)).window
    assert (anytime.is_open, anytime.closes_at, anytime.opens_at) == (True, None, None)


def test_windows_that_differ_have_no_common_answer() -> None:
    assert view_of(well(2)).window is not None
    assert view_of(mixed()).window is None
    assert "the next window opens in 18 h" in parsed(mixed()).text


def test_the_history_is_that_of_all_services_newest_first_and_bounded() -> None:
    changes = tuple(change(str(n), ago(minutes=n), "a:1", "a:2") for n in range(20))
    services = tuple(service(f"s{n}", "a:1") for n in range(4))
    view = view_of(facts(services, {s.name: seen("a:1", Status.UPDATED, changes=changes) for s in services}))
    times = [each.at for each in view.changes]
    assert len(times) == CHANGES_SHOWN
    assert times == sorted(times, reverse=True)
    assert times[0] == NOW


def test_an_update_in_the_history_unfolds_to_its_steps_and_their_times() -> None:
    text = page.status_html(view_of(mixed()))
    history = text.partition('id="history"')[2].partition("</section>")[0]
    back, forward, unknown = history.partition("<tbody")[2].split("</tr>")[:3]
    assert "21 s <details><summary>9 steps</summary>" in forward
    assert re.findall(r"<li><code>(\w+)</code> ([^<]*)</li>", forward)[:2] == [
        ("hold", "0.0 s"),
        ("pull", "3.2 s"),
    ]
    assert ("gate", "16 s") in re.findall(r"<li><code>(\w+)</code> ([^<]*)</li>", forward)
    assert "Rollback" not in forward
    there, _, way_back = back.partition("<p>Rollback</p>")
    assert re.findall(r"<li><code>(\w+)</code>", there)[-1] == "gate"
    assert re.findall(r"<li><code>(\w+)</code>", way_back) == ["edit", "restart", "gate", "verify"]
    assert "details" not in unknown, "steps that nobody knows are not made up"
    assert "3 min 24 s" in unknown


def test_what_this_run_has_only_ended_shows_the_rollback_alone() -> None:
    ended = change(
        "9", NOW, "a:1", "a:2", "rolled_back", steps=way(ago(seconds=9), (Step.GATE, 9.0), is_back=True)
    )
    given = facts((service("web", "a:1"),), {"web": seen("a:1", Status.ROLLED_BACK, changes=(ended,))})
    text = page.status_html(view_of(given))
    assert "1 step</summary><p>Rollback</p><ol" in text


def test_registries_are_shown_with_quota_and_rest() -> None:
    found = {registry.host: registry for registry in view_of(mixed()).registries}
    assert sorted(found) == ["ghcr.io", "registry-1.docker.io", "registry.example.com:5000"]
    hub = found["registry-1.docker.io"]
    assert (hub.services, hub.remaining, hub.limit) == (5, 16, 100)
    assert found["ghcr.io"].rest_until == NOW + timedelta(minutes=20)
    assert found["registry.example.com:5000"].remaining is None


def test_a_registry_that_does_not_answer_is_shown_with_its_time() -> None:
    given = mixed()
    given = replace(given, state=replace(given.state, backoffs={}, outages={"ghcr.io": ago(hours=3)}))
    view = view_of(given)
    assert {r.host: r.out_since for r in view.registries}["ghcr.io"] == ago(hours=3)
    assert "no answer since" in page.status_html(view)


def test_a_rest_or_a_wait_that_is_over_is_not_shown() -> None:
    given = mixed()
    given = replace(given, state=replace(given.state, backoffs={"ghcr.io": ago(seconds=1)}))
    assert all(registry.rest_until is None for registry in view_of(given).registries)
    assert only(seen("a:1", Status.FAILED, Reason.EXITED, retry_at=ago(seconds=1))).until is None
    later = NOW + timedelta(minutes=4)
    assert only(seen("a:1", Status.FAILED, Reason.EXITED, retry_at=later)).until == later


def test_long_texts_are_cut_and_secrets_taken_out() -> None:
    state = seen("a:1", Status.FAILED, Reason.EXITED, detail="hunter2 " + "x" * 5000, remedy="say hunter2")
    given = facts((service("web", "a:1"),), {"web": state})
    found = view_of(replace(given, clean=lambda text: text.replace("hunter2", "***"))).services[0]
    assert len(found.detail) == 600
    assert found.detail.startswith("*** x")
    assert found.remedy == "say ***"


# --------------------------------------------------------------------------------------------------- the page


def test_the_page_answers_at_a_glance() -> None:
    shown = parsed(mixed()).text
    for words in (
        "Docker Auto-Updater on shop-1",
        "Something failed",
        "web : gate for 12 s web-1 is starting",
        "see to the service by hand, then run sudo docker-updater --retry db",
        "check user name and password in registry_config",
        "redis:7.4.1 sha256:0123456789ab 7.2.4 → 7.4.1 · minor",
        "2 wait for their receiver",
        "16 of 100 in 6 h, as of 3 min ago",
        "under way begun 40 s ago",
        "was up to date",
    ):
        assert words in shown, words


def test_what_needs_a_person_comes_first_and_in_its_order() -> None:
    text = page.status_html(view_of(mixed()))
    titles = re.findall(r"<h2[^>]*>(?:<span.*?</span>)?\s*(.*?)</h2>", text)
    assert titles == [
        'Something failed: <a href="#need-3">db</a>',
        "What to do",
        "What waits",
        "Decisions",
        "Services",
        "History",
        "Registries",
    ]
    todo = text.partition('id="todo"')[2].partition("</section>")[0]
    assert re.findall(r"<h3>(\w+)", todo) == ["db", "mail", "search", "api", "queue"]


def with_evidence(log: tuple[str, ...]) -> StatusFacts:
    """The mixed host, with what was seen of the release of api that failed, and where its notes are."""
    given = mixed()
    api = given.state.services["api"]
    found = Evidence("api-1", "ghcr.io/acme/api:v1.5.0", "exited", 1, log=log)
    notes = "https://github.com/acme/api/releases/tag/v1.5.0"
    release = ReleaseStep("v1.4.2", "v1.5.0", "minor", notes_url=notes)
    run = HookRun(HookKind.PRE_UPDATE, NOW, HookResult.DONE, 0, 1.5, "dumped 12 tables")
    failed = replace(api.changes[0], evidence=(found,), release=release, hooks=(run,))
    services = {**given.state.services, "api": replace(api, changes=(failed,))}
    return replace(given, state=replace(given.state, services=services))


def test_the_history_of_a_service_shows_what_its_release_and_its_hooks_said() -> None:
    given = with_evidence(("no such table: orders",))
    text = page.status_html(view_of(given))
    row = next(row for row in text.split("<tr ") if '"rowheader">api<' in row)
    for words in (
        "last update",
        "v1.4.2 → v1.5.0 · minor",
        "no such table: orders",
        "dumped 12 tables",
        "Release notes",
    ):
        assert words in row, words
    todo = text.partition('id="todo"')[2].partition("</section>")[0]
    assert "no such table: orders" in todo, "what failed is seen where it says what to do"
    (api,) = (one for one in view_of(given).services if one.name == "api")
    assert [each.release.to_version for each in api.history] == ["v1.5.0"]
    twin = json.loads(page.status_json(view_of(given)))["services"][1]["history"][0]
    assert (twin["evidence"][0]["log"], twin["hooks"][0]["output"]) == (
        ["no such table: orders"],
        "dumped 12 tables",
    )


def test_what_a_container_wrote_is_text_without_anything_that_is_not_seen() -> None:
    shown = parsed(with_evidence((EVIL, "x" * 10_000, "a\u202eb\x1b[31mc\u200bd")))
    assert shown.named("script") == []
    assert EVIL in shown.text
    assert "a·b·[31mc·d" in shown.text
    assert not {"\u202e", "\x1b", "\u200b"} & set(shown.text)


def test_the_headline_leads_to_what_is_to_be_done_and_comes_before_all_else() -> None:
    text = page.status_html(view_of(mixed()))
    assert '<li class="note trouble" id="need-3">' in text
    assert text.index('id="todo"') < text.index('class="facts"') < text.index('id="services"')


def test_the_services_are_the_worst_first_and_can_be_filtered_without_a_script() -> None:
    text = page.status_html(view_of(mixed()))
    rows = re.findall(r'<tr role="row" class="is-(\w+)"><th[^>]*>(\w+)<', text)
    assert [level for level, _ in rows] == [
        "trouble", "unknown", "unknown", "look", "look", "waiting", "ok", "off",
    ]  # fmt: skip
    choices = re.findall(r'id="show-(\w+)"( checked)?><label for="show-\w+">([^<]+)<', text)
    assert choices[:2] == [("all", " checked", "all 8"), ("trouble", "", "1 failed")]
    assert all(f"#show-{level}:checked" in STYLE for level in Level)
    assert 'class="filter"' not in page.status_html(view_of(well(3))), "nothing to choose"


def test_that_nothing_is_new_needs_no_word() -> None:
    assert "same_digest" not in page.status_html(view_of(well(25)))


def test_if_all_is_well_nothing_is_asked_for() -> None:
    seen = parsed(well(3))
    assert "All is well" in seen.text
    assert "What to do" not in seen.text
    assert "What waits" not in seen.text
    assert "Nothing was updated yet." in seen.text


def test_a_state_is_a_word_and_not_a_colour_only() -> None:
    text = page.status_html(view_of(mixed()))
    pills = re.findall(r'<span class="pill (\w+)"><span aria-hidden="true">(.)</span> ([\w ]+)</span>', text)
    assert len(pills) == text.count('class="pill')
    marks = {level: mark for level, mark, _ in pills}
    assert len(set(marks.values())) == len(marks) == len(Level)


def test_each_table_can_be_read_aloud() -> None:
    seen = parsed(mixed())
    tables = seen.named("table")
    assert len(tables) == len(seen.named("caption")) == 3
    assert all(head.get("scope") in ("col", "row") for head in seen.named("th"))
    roles = {"table": "table", "thead": "rowgroup", "tbody": "rowgroup", "tr": "row", "td": "cell"}
    assert [
        tag for tag, attributes in seen.tags if tag in roles and attributes.get("role") != roles[tag]
    ] == []
    ids = [attributes["id"] for _, attributes in seen.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["aria-labelledby"] for _, a in seen.tags if "aria-labelledby" in a} <= set(ids)
    assert seen.named("html") == [{"lang": "en"}]


def test_the_page_stands_alone() -> None:
    seen = parsed(mixed())
    assert {tag for tag, _ in seen.tags} & {"script", "link", "img", "iframe", "form", "object"} == set()
    assert [
        a for _, attributes in seen.tags for a in attributes if a.startswith("on") or a in ("style", "src")
    ] == []
    assert {a["href"] for a in seen.named("a")} <= {
        "/", "/?refresh", "#services", "#need-3", "/status.json", "/metrics", "/healthz",
    }  # fmt: skip
    assert "url(" not in STYLE
    assert "@import" not in STYLE


def test_the_page_reloads_itself_on_request_only() -> None:
    view = view_of(well())
    assert "http-equiv" not in page.status_html(view)
    assert '<meta http-equiv="refresh" content="60">' in page.status_html(view, is_refreshing=True)


EVIL = "<script>alert(1)</script>\"'&lt;</style></td>"


def test_whatever_a_registry_or_a_container_says_is_text_and_not_markup() -> None:
    bad = change("1", NOW, f"a:1{EVIL}", f"a:2@{EVIL}", EVIL, reason=EVIL, detail=EVIL)
    state = seen(
        f"x/{EVIL}", Status.FAILED, Reason.EXITED, detail=EVIL, remedy=EVIL, available=f"a:3{EVIL}",
        digest=EVIL,
        changes=(bad,),
    )  # fmt: skip
    waiting = replace(state, status=Status.WAITING)
    given = facts((service(EVIL, "a:1"), service(f"2{EVIL}", "a:1")), {EVIL: state, f"2{EVIL}": waiting})
    (hand,) = mixed().under_way
    given = replace(
        given,
        host=EVIL,
        version=EVIL,
        under_way=(replace(hand, service=EVIL, text=EVIL),),
        state=replace(given.state, backoffs={EVIL: NOW + timedelta(hours=1)}),
    )
    page_seen = parsed(given)
    assert page_seen.named("script") == []
    assert page_seen.text.count(EVIL) >= 15
    assert "&lt;script" not in page_seen.text, "escaped twice"


def test_the_json_twin_holds_the_same_facts() -> None:
    view = view_of(mixed())
    twin = json.loads(page.status_json(view))
    assert set(twin) == {field.name for field in fields(View)}
    assert [one["name"] for one in twin["services"]] == [one.name for one in view.services]
    assert twin["verdict"] == {
        "level": "trouble",
        "headline": view.verdict.headline,
        "text": view.verdict.text,
        "services": ["db"],
    }
    assert twin["services"][2]["target"] == f"redis:7.4.1@{DIGEST}"
    assert twin["services"][2]["until"] == "2026-11-24T02:00:00Z"
    assert twin["at_hand"]["step"] == "gate"
    assert twin["under_way"] == [twin["at_hand"]]
    pull = {"step": "pull", "begun": "2026-11-23T05:59:38.600000Z", "seconds": 3.21, "is_back": False}
    assert twin["changes"][1]["steps"][1] == pull


def test_each_update_that_is_under_way_is_shown() -> None:
    given = mixed()
    (first,) = given.under_way
    view = view_of(replace(given, under_way=(first, replace(first, service="api", text="api-1 is starting"))))
    seen = page.status_html(view)
    assert seen.count("Being updated") == 2
    assert "api-1 is starting" in seen
    twin = json.loads(page.status_json(view))
    assert [each["service"] for each in twin["under_way"]] == ["web", "api"]
    assert twin["at_hand"]["service"] == "web"


def test_no_setting_and_so_no_secret_is_in_either() -> None:
    given = well()
    settings = replace(
        given.config.settings, webhook_url=Secret("https://hook.example/t0ken"), log_file="/secret.log"
    )
    view = view_of(replace(given, config=replace(given.config, settings=settings)))
    for text in (page.status_html(view), page.status_json(view)):
        assert "t0ken" not in text
        assert "secret.log" not in text


# --------------------------------------------------------------------------------------- the page of the docs


MANUAL = (Path(__file__).resolve().parents[2] / "docs/observability.md").read_text(encoding="utf-8")


def test_the_documented_keys_are_those_of_the_twin() -> None:
    table = MANUAL.partition("| Key | Content |")[2].partition("\n\n")[0]
    rows = dict(re.findall(r"^\| (`.+?`) \| (.+?) \|$", table, flags=re.MULTILINE))
    documented = {
        key: re.findall(r"`(\w+)`", text)
        for cell, text in rows.items()
        for key in re.findall(r"`(\w+)`", cell)
    }
    hooks = re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", rows["`changes.hooks`"]))
    assert hooks == [field.name for field in fields(HookRun)]
    assert set(documented) == {field.name for field in fields(View)}
    assert re.findall(r"`(\w+)`", rows["`changes.steps`"]) == [field.name for field in fields(StepTaken)]
    kinds = {
        "verdict": Verdict, "pulse": DaemonStatus, "window": WindowView, "services": ServiceView,
        "changes": ChangeView,
        "registries": RegistryView, "at_hand": CurrentStep, "decisions": DecisionView,
    }  # fmt: skip
    for key, kind in kinds.items():
        assert [word for word in documented[key] if word not in ("null", "changes")] == [
            field.name for field in fields(kind)
        ]


def test_the_documented_levels_and_kinds_of_change_are_those_of_the_page() -> None:
    levels = re.findall(
        r"^\| `(\w+)` \|", MANUAL.partition("| Level |")[2].partition("\n\n")[0], flags=re.MULTILINE
    )
    assert sorted(levels) == sorted(Level)
    kinds = set(re.findall(r"`(\w+)`", MANUAL.partition("the kind of step (")[2].partition(")")[0]))
    assert kinds == {"major", "minor", "patch", "prerelease", "rebuild", "downgrade", "tag"}


def test_what_is_not_markup_is_escaped_wherever_it_is_put() -> None:
    hostile = '<b a="1">&'
    parts = (
        markup.code(hostile),
        markup.small(hostile),
        markup.pill(Level.OK, hostile),
        markup.joined([hostile]),
        markup.section(hostile, hostile, markup.code(hostile)),
        markup.table(
            hostile,
            hostile,
            (markup.Column(hostile), markup.Column(hostile, hostile)),
            [markup.Row((hostile, hostile))],
        ),
    )
    for part in parts:
        assert "&lt;b a=&#34;1&#34;&gt;&amp;" in part
        assert "<b " not in part


def test_every_file_of_the_page_is_packaged() -> None:
    root = Path(__file__).resolve().parents[2]
    packaged = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    folder = root / "updater_core/status"
    found = {path for pattern in packaged["updater_core.status"] for path in folder.glob(pattern)}
    assert found == {path for path in folder.rglob("*") if path.suffix in (".css", ".html", ".js")}


# ------------------------------------------------------------------------------------------- what was decided


def test_what_operators_decided_is_on_the_page_and_in_its_twin() -> None:
    view = view_of(mixed())
    assert [(each.kind.value, each.service, each.who) for each in view.decisions] == [
        ("question", "cache", ""), ("pause", "web", "ann"), ("skip", "queue", "phone"),
    ]  # fmt: skip
    assert view.decisions[0].command == "sudo docker-updater --approve cache"
    text = Parsed(page.status_html(view)).text
    said = text[text.index("Decisions") : text.index("services, the worst first")]
    assert re.search(
        r"cache … waits for a yes redis:7.4.1.* asked .*; until .* To approve it: ", said.replace("!", "…")
    )
    assert re.search(r"web … paused by ann, .*; until .* To end it: sudo docker-updater --resume web", said)
    assert re.search(
        r"queue … skipped rabbitmq:3.13.1@sha256:ffffffffffff by phone, .*; until a newer image", said
    )
    twin = json.loads(page.status_json(view))["decisions"]
    assert [each["kind"] for each in twin] == ["question", "pause", "skip"]
    assert twin[1]["until"] == "2026-11-26T08:00:00Z"


def test_without_decisions_there_is_no_section_of_them() -> None:
    assert "Decisions" not in page.status_html(view_of(well()))


def test_a_pause_by_an_order_closes_the_window_of_whom_it_is_for() -> None:
    two = well(2)
    paused = replace(
        two, state=replace(two.state, pause=Pause(ago(hours=1), "ann", NOW + timedelta(hours=2)))
    )
    view = view_of(paused)
    assert view.window == WindowView(False, True, opens_at=NOW + timedelta(hours=2), paused_by="ann")
    assert "Updates allowed paused by ann until" in Parsed(page.status_html(view)).text
    over = replace(paused, now=NOW + timedelta(hours=3))
    assert view_of(over).decisions == ()
    assert view_of(over).services[0].window.is_open


def test_an_answer_for_an_image_that_waits_no_more_is_not_shown() -> None:
    given = Approval(
        DIGEST, f"nginx:1.28@{DIGEST}", ago(hours=2), NOW + timedelta(days=1), ago(hours=1), "ann"
    )
    waits = seen(
        "nginx:1.27", Status.WAITING, available=f"nginx:1.28@{DIGEST}", decisions=Decisions(approval=given)
    )
    (shown,) = view_of(facts((service("web", "nginx:1.27"),), {"web": waits})).decisions
    assert (shown.kind.value, shown.who, shown.since) == ("approval", "ann", ago(hours=1))
    taken = replace(waits, available=None)
    assert view_of(facts((service("web", "nginx:1.27"),), {"web": taken})).decisions == ()

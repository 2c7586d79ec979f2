"""Every form in which a Compose says what a dry run of `up` would do, and what is no such line."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from updater_core.composefile import dry_run

WEB, DB, NEW = "Container shop-web-1", "Container shop-db-1", "Container 0afb79c24144_shop-web-1"
STATEMENTS = [(DB, "Running"), (WEB, "Recreate"), (WEB, "Recreated"), (NEW, "Starting"), (NEW, "Started")]
SAID = {
    DB: {"Running"},
    WEB: {"Recreate", "Recreated"},
    NEW: {"Starting", "Started"},
}
NOISE = [
    "end of 'compose up' output, interactive run is not supported in dry-run mode",
    (
        'time="2026-11-28T12:48:50Z" level=warning msg="Found orphan containers ([shop-old-1]) for this '
        'project."'
    ),
    '{"level":"warning","msg":"Container shop-old-1 Removed","time":"2026-11-28T12:48:50Z"}',
    " DRY-RUN MODE -  web Pulling ",
    '{"id":"web","status":"Working","text":"Pulling"}',
    '{"id":"Container shop-web-1"}',
    '{"id": 7, "status": ["Done"]}',
    "{not an object",
    "[]",
    "Container",
    "",
]


def prefixed(resource: str, word: str) -> str:
    kind, name = resource.split()
    return f" DRY-RUN MODE -  {kind} {name}  {word} "


def on_a_terminal(resource: str, word: str) -> str:
    return f"\x1b[2K \x1b[32m✔\x1b[0m DRY-RUN MODE -  {resource}  \x1b[32m{word}\x1b[0m   0.3s "


def plain(resource: str, word: str) -> str:
    return f" {resource} {word} "


def objects(resource: str, word: str) -> str:
    return json.dumps({"dry-run": True, "id": resource, "status": word})


def objects_with_progress(resource: str, word: str) -> str:
    return json.dumps({"id": resource, "status": "Working" if word[-1] in "eg" else "Done", "text": word})


FORMS = [prefixed, on_a_terminal, plain, objects, objects_with_progress]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_the_same(form: Callable[[str, str], str]) -> None:
    lines = [form(*statement) for statement in STATEMENTS]
    assert dry_run.read("\n".join(lines)) == SAID
    assert dry_run.read("\r\n".join([*NOISE, *lines, *NOISE])) == SAID


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["Network", "Volume"])
def test_networks_and_volumes_count_too(form: Callable[[str, str], str], kind: str) -> None:
    text = f"{form(f'{kind} shop_default', 'Removing')}\n{form(f'{kind} shop_default', 'Creating')}"
    assert dry_run.read(f"{text}\n{text}") == {f"{kind} shop_default": {"Removing", "Creating"}}


def test_a_quoted_name_is_the_name() -> None:
    assert dry_run.read(' DRY-RUN MODE -  Volume "shop_data"  Creating') == {"Volume shop_data": {"Creating"}}


@pytest.mark.parametrize(
    "line", ["Container a Skipped: optional dependency b", " Container a Error dependency failed"]
)
def test_of_a_sentence_the_first_word_counts(line: str) -> None:
    (said,) = dry_run.read(line).values()
    assert said in ({"Skipped"}, {"Error"})


def test_what_is_no_statement_is_passed_over() -> None:
    assert dry_run.read("\n".join(NOISE)) == {}


def test_a_refusal_is_quoted_without_progress_and_without_json() -> None:
    refused = [
        prefixed(WEB, "Running"),
        plain(WEB, "Running"),
        objects(WEB, "Running"),
        '{"level":"warning","msg":"the attribute version is obsolete","time":"2026-11-28T12:48:50Z"}',
        '{"error":true,"message":"no such service: web"}',
        "Error: port is already allocated",
    ]
    assert dry_run.complaints("\n".join(refused)) == [
        "the attribute version is obsolete",
        "no such service: web",
        "Error: port is already allocated",
    ]

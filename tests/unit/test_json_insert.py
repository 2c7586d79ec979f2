"""Entries come to the end of an array, and every other byte of the text stays."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from updater_core.config.json_insert import insert

NEW: list[dict[str, object]] = [{"name": "b", "compose_service": ["x", "y"]}, {"name": "c"}]
TEXTS = [
    "{}",
    "  { }\n",
    '{"services": []}',
    '{"services": [ ]}',
    '{\n  "check_interval": "1h",\n  "services": [\n    {"name": "a"}\n  ]\n}\n',
    '{\n    "services": [\n        {\n            "name": "a"\n        }\n    ],\n    "metrics_port": 9180\n}',
    '{\r\n  "services": [\r\n    {"name": "a"}\r\n  ]\r\n}\r\n',
    '{\n\t"services": [\n\t\t{"name": "a"}\n\t]\n}\n',
    '{"check_interval": 30}',
    '{"a": "]}\\"services\\": [", "services": [1, 2]}',
]


@pytest.mark.parametrize("text", TEXTS)
def test_the_document_has_the_entries_and_nothing_else_is_changed(text: str) -> None:
    before, after = json.loads(text), json.loads(insert(text, "services", NEW))
    assert after == {**before, "services": [*before.get("services", []), *NEW]}


@pytest.mark.parametrize("text", TEXTS)
def test_every_character_of_the_text_stays_but_the_space_at_the_seam(text: str) -> None:
    def bare(value: str) -> str:
        return "".join(value.split())

    rest = iter(bare(insert(text, "services", NEW)))
    assert all(character in rest for character in bare(text)), "a character is gone or moved"


def test_no_entry_changes_nothing() -> None:
    assert insert("not even JSON", "services", []) == "not even JSON"


def test_windows_line_ends_stay() -> None:
    after = insert(TEXTS[6], "services", NEW)
    assert after.replace("\r\n", "").count("\n") == 0


@pytest.mark.parametrize(
    ("text", "words"), [("[]", "not a JSON object"), ('{"services": {}}', "not an array"), ('{"a": tru}', "not JSON")]
)
def test_what_cannot_take_entries_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        insert(text, "services", NEW)


@given(
    st.dictionaries(st.text(max_size=5), st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists)),
    st.lists(st.dictionaries(st.text(max_size=5), st.integers()), max_size=3),
    st.sampled_from([None, 1, 2, 4, "\t"]),
)
def test_any_document_takes_entries(
    document: dict[str, object], services: list[object], indent: int | str | None
) -> None:
    text = json.dumps({**document, "services": services}, indent=indent)
    after = json.loads(insert(text, "services", NEW))
    assert after == {**document, "services": [*services, *NEW]}

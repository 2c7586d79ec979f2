"""Entries come to the end of an array, and every other byte of the text stays."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from updater_core.config.json_insert import insert
from updater_core.config.json_places import line_of, lines_of

NEW: list[dict[str, object]] = [{"name": "b", "compose_service": ["x", "y"]}, {"name": "c"}]
TEXTS = [
    "{}",
    "  { }\n",
    '{"services": []}',
    '{"services": [ ]}',
    '{\n  "check_interval": "1h",\n  "services": [\n    {"name": "a"}\n  ]\n}\n',
    (
        '{\n    "services": [\n        {\n            "name": "a"\n        }\n    ],\n    "metrics_port": '
        "9180\n}"
    ),
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
    ("text", "words"),
    [("[]", "not a JSON object"), ('{"services": {}}', "not an array"), ('{"a": tru}', "not JSON")],
)
def test_what_cannot_take_entries_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        insert(text, "services", NEW)


@given(
    st.dictionaries(
        st.text(max_size=5), st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists)
    ),
    st.lists(st.dictionaries(st.text(max_size=5), st.integers()), max_size=3),
    st.sampled_from([None, 1, 2, 4, "\t"]),
)
def test_any_document_takes_entries(
    document: dict[str, object], services: list[object], indent: int | str | None
) -> None:
    text = json.dumps({**document, "services": services}, indent=indent)
    after = json.loads(insert(text, "services", NEW))
    assert after == {**document, "services": [*services, *NEW]}


def places(value: object, path: str = "") -> list[str]:
    """The path of each key and element in a JSON value, as problems spell them."""
    found: list[str] = []
    if isinstance(value, dict):
        parts = [(f"{path}.{key}" if path else key, each) for key, each in value.items()]
    else:
        parts = (
            [(f"{path}[{number}]", each) for number, each in enumerate(value)]
            if isinstance(value, list)
            else []
        )
    for part, each in parts:
        found += [part, *places(each, part)]
    return found


@given(
    st.recursive(
        st.none() | st.floats(allow_nan=False) | st.text(max_size=6),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.from_regex("[a-z]{1,3}", fullmatch=True), inner)
        ),
    )
)
def test_every_key_and_element_of_any_document_has_its_line(document: object) -> None:
    whole = json.dumps({"first": document}, indent=1)
    found = lines_of(whole)
    assert list(found) == places({"first": document})
    lines = whole.splitlines()
    for path, line in found.items():
        if not path.endswith("]"):
            assert lines[line - 1].strip().startswith(f'"{path.rpartition(".")[2]}":')


def test_what_is_missing_has_the_line_of_what_it_is_missing_in() -> None:
    found = lines_of('{\n"services": [\n{"a key": 1,\n"b.c": {"d": 2}}]}')
    assert line_of(found, "services[0].registry_config.password") == 3
    assert line_of(found, 'services[0]."b.c".image') == 4
    assert line_of(found, "services[7]") == 2
    assert line_of(found, "follow") is None

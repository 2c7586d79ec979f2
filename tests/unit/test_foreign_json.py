"""What is no JSON of ours to work with is refused in one way, however it is malformed."""

from __future__ import annotations

import pytest

from updater_core.net import untrusted_json


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>",
        b"\xff\xfe\xff",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a": NaN}',
        b"[-Infinity]",
        b"9" * 5000,
    ],
)
def test_what_is_no_json_is_refused_without_a_word_of_it(text: bytes) -> None:
    with pytest.raises(ValueError, match="^it is not JSON$") as error:
        untrusted_json.read(text)
    assert error.value.__suppress_context__


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_what_is_nested_deeper_than_anything_we_read_is_refused(opening: bytes, closing: bytes) -> None:
    deepest = untrusted_json.DEEPEST
    assert untrusted_json.read(opening * deepest + b"1" + closing * deepest)
    with pytest.raises(ValueError, match="nested too deep"):
        untrusted_json.read(opening * (deepest + 1) + b"1" + closing * (deepest + 1))


def test_all_other_json_is_read() -> None:
    assert untrusted_json.read(b'{"a": [1, -2.5e3, "x", null, true]}') == {"a": [1, -2500.0, "x", None, True]}

"""What registries, containers and images write, before it is shown or sent."""

import pytest

from updater_core.vocabulary.untrusted import is_token


@pytest.mark.parametrize("value", ["a", "eyJhbGciOi.e30.c2ln", "dXNlcjpwYXNz+/==", "~!#"])
def test_visible_ascii_is_a_token(value: str) -> None:
    assert is_token(value)


@pytest.mark.parametrize("value", ["", "a b", "a\r\nX-Evil: 1", "a\t", "é", "a\x00", None, 7, ["a"], b"a"])
def test_what_could_break_a_header_is_no_token(value: object) -> None:
    assert not is_token(value)

"""What a person may have meant by a word that is not known."""

from __future__ import annotations

from collections.abc import Iterable


def closest(word: str, known: Iterable[str], least: float = 0.6) -> str | None:
    """Return the one of `known` that is written most like `word`; None if none is like it.

    `least`: how much of both has to be the same, from 0 to 1.

    >>> closest("compose_servce", ["compose_service", "image"]), closest("xyz", ["image"])
    ('compose_service', None)
    """
    import difflib  # loaded only when somebody has made a mistake

    return next(iter(difflib.get_close_matches(word, sorted(known), 1, least)), None)

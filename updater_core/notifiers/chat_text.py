"""Text for chats: what a container or a registry wrote pings nobody, links nowhere, and fits in a message.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from updater_core.vocabulary.untrusted import visible

_BREAK = "\u200b"  # a zero-width space: seen by nobody, and no chat reads a mention across it
_LONGEST_LINE = 600
_CUT = "…"
# What makes a chat notify people or show a link under another name: Discord's and Slack's `<@id>`,
# `<!channel>`, `<#id>` and `<https://…|text>`, Markdown's `[text](https://…)`; `@name` of Telegram, Matrix
# and Mattermost, and the words for everybody wherever they stand. A digest (`app@sha256:…`) and a mail
# address mention nobody.
_OPENED = re.compile(r"<(?=[@!#&]|[a-z][a-z0-9+.-]*:)", re.IGNORECASE)
_MASKED_LINK = re.compile(r"\](?=\()")
_EVERYBODY = re.compile(
    r"@(?=(?:everyone|here|channel|all|ro{2}m|online|team|group|heads|current)\b)", re.IGNORECASE
)
_SOMEBODY = re.compile(r"(?<![A-Za-z0-9_./:-])@(?!sha(?:256|512):)(?=[\w!&])")


def quiet(text: str) -> str:
    """Return the text in a form that no chat reads as a mention or as a link under another name.

    >>> quiet("@everyone, ask <!channel>, not app@sha256:0123").replace("\\u200b", "|")
    '@|everyone, ask <|!channel>, not app@sha256:0123'
    """
    seen = visible(text)
    for pattern in (_OPENED, _MASKED_LINK, _EVERYBODY, _SOMEBODY):
        seen = pattern.sub(lambda found: found[0] + _BREAK, seen)
    return seen


def length(text: str) -> int:
    """Return the length of a text as chats count it: in units of UTF-16, two for an emoji."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def shortened(text: str, most: int = _LONGEST_LINE) -> str:
    """Return a text as one line of at most `most` characters.

    >>> shortened("one\\n two three", 9)
    'one two …'
    """
    line = " ".join(text.split())
    return line if length(line) <= most else f"{_first(line, most - 1)}{_CUT}"


def fitted(lines: Sequence[str], most: int) -> str:
    """Return the first lines that fit into `most` characters; the one that does not is cut.

    >>> fitted(["Why: it is down", "To do: nothing"], 24)
    'Why: it is down\\nTo do: …'
    """
    kept: list[str] = []
    left = most
    for line in lines:
        size = length(line) + 1
        if size > left + 1:
            kept += [f"{_first(line, left - 1)}{_CUT}"] if left > 1 else []
            break
        kept.append(line)
        left -= size
    return "\n".join(kept)


def _first(text: str, most: int) -> str:
    """Return the first `most` units of UTF-16, never half a character."""
    return text.encode("utf-16-le", "surrogatepass")[: 2 * max(most, 0)].decode("utf-16-le", "ignore")

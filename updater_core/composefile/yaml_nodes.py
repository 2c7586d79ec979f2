"""YAML nodes of compose text: parse, look up, find a scalar's exact span, compare two texts. Pure.

libyaml only reads; nothing is ever dumped. Marks count code points of the text given to it without byte-order
mark. Merge keys: https://docs.docker.com/reference/compose-file/fragments/ (explicit key first, then sources
left to right).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from updater_core.vocabulary.reasons import Reason

BOM = "\ufeff"
MERGE = "<<"

_MERGE_TAG = "tag:yaml.org,2002:merge"
_NULL_TAG = "tag:yaml.org,2002:null"
# An anchor or tag in front of a scalar belongs to the span of libyaml's node, and not to the value. A comment
# may stand between the two.
_PROPERTIES = re.compile(r"(?:(?:&[^\s,\[\]{}]+|!<[^>]*>|![^\s,\[\]{}]*)(?:[ \t]+#[^\r\n]*|\s)+)*")


class Refused(Exception):
    """Text that cannot be read or edited.

    Inner to this package: its public functions hand it out as a value.
    """

    def __init__(
        self, detail: str, remedy: str = "Change it by hand.", reason: Reason = Reason.NOT_EDITABLE
    ) -> None:
        super().__init__(detail)
        self.remedy, self.reason = remedy, reason


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """One YAML document of a file.

    `text`: the whole file's without byte-order mark; `offset`: that mark's length.
    """

    path: str
    text: str
    offset: int
    root: MappingNode


def documents(path: str, text: str) -> tuple[Document, ...]:
    """Return the documents of a file, without empty ones.

    Raises Refused (file_unreadable) if it is no YAML.
    """
    # The loader in Python counts a byte-order mark and rejects tabs that Compose takes; libyaml agrees with
    # Compose's own parser on what is YAML.
    loader: Any = getattr(yaml, "CSafeLoader", None)
    if loader is None:
        raise _unreadable(
            "PyYAML was built without libyaml, so compose files cannot be read exactly",
            "Install a PyYAML wheel for this platform, or libyaml and its headers before PyYAML.",
        )
    # libyaml does not count the mark, so its positions would be off by one.
    body = text.removeprefix(BOM)
    try:
        roots = [root for root in yaml.compose_all(body, Loader=loader) if not is_null(root)]
    # PyYAML composes recursively: a file that is nested some hundred levels deep ends the stack and not the
    # process.
    except (yaml.YAMLError, RecursionError) as error:
        raise _unreadable(
            f"{path}: {_problem(body, error)}", f"`docker compose -f {path} config` shows the same."
        ) from None
    if not all(isinstance(root, MappingNode) for root in roots):
        raise _unreadable(f"{path} is not a compose file: it holds no mapping", "Check `compose_file`.")
    return tuple(
        Document(path, body, len(text) - len(body), root) for root in roots if isinstance(root, MappingNode)
    )


def is_null(node: Node) -> bool:
    """Return whether a node is empty, `~` or `null`."""
    return isinstance(node, ScalarNode) and node.tag == _NULL_TAG


def line(node: Node) -> int:
    """Return the line a node starts on, from one."""
    return int(node.start_mark.line) + 1


Table = Mapping[str, tuple[Node, ...]]


def lookup(mapping: MappingNode, key: str) -> Node | None:
    """Return the value of `key`, its own or from merge keys; None if there is none.

    Raises Refused if a mapping that counts has the key twice.
    """
    return entry(table(mapping), key)


def table(mapping: MappingNode) -> Table:
    """Return every key of a mapping, merge keys followed, with its values in the mapping that wins.

    More than one value is a fault of the file. To look up many keys of one mapping costs no more than to read
    it once.
    """
    found: dict[str, tuple[Node, ...]] = {}
    for layer in layers(mapping):
        own: dict[str, tuple[Node, ...]] = {}
        for name, value in _pairs(layer):
            own[name] = (*own.get(name, ()), value)
        # `layers` yields what wins first, so a later layer only adds keys.
        found = {**own, **found}
    return {name: values for name, values in found.items() if name and name != MERGE}


def entry(known: Table, key: str) -> Node | None:
    """Return the value of `key`, or None; Refused if the file has it twice."""
    values = known.get(key, ())
    if len(values) > 1:
        raise Refused(
            f"line {line(values[1])}: {key!r} is there twice (first on line {line(values[0])}), "
            "which Compose does not accept",
            "Remove one of the two.",
        )
    return values[0] if values else None


def layers(mapping: MappingNode) -> tuple[MappingNode, ...]:
    """Return the mapping and what it merges in, the one that wins first; a loop is walked once.

    Raises Refused if a mapping has two merge keys, or one merges in what is no mapping.
    """
    found: list[MappingNode] = []
    ahead = [mapping]
    while ahead:
        layer = ahead.pop()
        # By identity: two mappings with the same content are two layers, and an anchor that merges itself is
        # one.
        if any(layer is other for other in found):
            continue
        found.append(layer)
        sources = [value for name, value in _pairs(layer) if name == MERGE]
        if len(sources) > 1:
            raise Refused(
                f"line {line(sources[1])}: two '<<' in one mapping", "Write one '<<: [*first, *second]'."
            )
        # Reversed, for the last of the list is taken next, and of a merge list the first source wins.
        ahead += [source for value in sources for source in reversed(_merged(value))]
    return tuple(found)


def extended(extends: Node) -> tuple[str, str | None]:
    """Return the service and the file that an `extends` names; no file: the one it stands in."""
    name = lookup(extends, "service") if isinstance(extends, MappingNode) else extends
    file = lookup(extends, "file") if isinstance(extends, MappingNode) else None
    # `file: null` means this file, as if the key were not there.
    is_other = isinstance(file, ScalarNode) and not is_null(file)
    return str(name.value) if isinstance(name, ScalarNode) else "", str(
        file.value
    ) if is_other and file else None


def edges(root: Node) -> Iterator[tuple[Node, str, Node]]:
    """Yield every (parent, key, child) of a document once; the key is empty for list items and keys."""
    seen: set[int] = set()
    ahead = [root]
    while ahead:
        node = ahead.pop()
        # An alias is the very node of its anchor: without this a file of a few hundred bytes unfolds to
        # billions of nodes.
        if id(node) in seen:
            continue
        seen.add(id(node))
        for key, child in _children(node):
            yield node, key, child
            ahead.append(child)


def span(document: Document, node: ScalarNode) -> tuple[int, int]:
    """Return the span of a scalar's value in `document.text`, without anchor, tag, quotes or block header.

    Raises Refused if the text there is not the value itself (escapes, folded lines).
    """
    start, end = node.start_mark.index, node.end_mark.index
    properties = _PROPERTIES.match(document.text, start, end)
    start = properties.end() if properties else start
    # The quotes stay: the new text is a reference, which needs no escapes in either style.
    if node.style in ("'", '"'):
        start, end = start + 1, end - 1
    elif node.style in ("|", ">"):
        # The span of a block scalar has its header, its indentation and the blank lines behind it.
        body = re.compile(r"[^\r\n]*").match(document.text, start, end)
        start = body.end() if body else start
        inside = document.text[start:end]
        start, end = start + len(inside) - len(inside.lstrip()), start + len(inside.rstrip())
    # The last word: whatever the style, a span is only used if its text is the value.
    if document.text[start:end] != node.value:
        raise Refused(
            f"line {line(node)}: the value is written with escapes or over several lines",
            "Write it plainly on one line.",
        )
    return start, end


def is_same_but(before: Sequence[Document], after: Sequence[Document], changed: Mapping[int, str]) -> bool:
    """Return whether `after` is `before` node by node, but for the scalars in `changed`.

    `changed` maps their start to the new value.
    """
    # Not recursive: the depth of a file is the operator's.
    ahead: list[tuple[Node, Node]] = [(old.root, new.root) for old, new in zip(before, after, strict=False)]
    seen: set[tuple[int, int]] = set()
    while ahead:
        old, new = ahead.pop()
        if (id(old), id(new)) in seen:
            continue
        seen.add((id(old), id(new)))
        if not _is_alike(old, new, changed):
            return False
        children = zip(_children(old), _children(new), strict=True)
        ahead += [(old_child, new_child) for (_, old_child), (_, new_child) in children]
    return len(before) == len(after)


def _is_alike(old: Node, new: Node, changed: Mapping[int, str]) -> bool:
    if type(old) is not type(new):
        return False
    if isinstance(old, ScalarNode) and isinstance(new, ScalarNode):
        start = old.start_mark.index
        # A plain `1.2` is a float and `1.2.3` a text: an edit may change the tag that YAML gives to a bare
        # value.
        is_tag_kept = old.tag == new.tag or start in changed
        return bool(is_tag_kept and old.style == new.style and new.value == changed.get(start, old.value))
    return bool(old.tag == new.tag and len(old.value) == len(new.value))


def _pairs(mapping: MappingNode) -> list[tuple[str, Node]]:
    """Return key texts with values; the key `<<` only if it merges, and no text for what is no plain key."""
    return [(_key_text(key), value) for key, value in mapping.value]


def _key_text(key: Node) -> str:
    if not isinstance(key, ScalarNode):
        return ""
    # A quoted "<<" is an ordinary key.
    return "" if key.value == MERGE and key.tag != _MERGE_TAG else str(key.value)


def _merged(node: Node) -> list[MappingNode]:
    sources = node.value if isinstance(node, SequenceNode) else [node]
    return [source for source in sources if isinstance(source, MappingNode)]


def _children(node: Node) -> list[tuple[str, Node]]:
    if isinstance(node, MappingNode):
        return [("", key) for key, _ in node.value] + _pairs(node)
    return [("", child) for child in node.value] if isinstance(node, SequenceNode) else []


def _problem(text: str, error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    position = getattr(error, "position", None)
    if mark is not None:
        return f"line {mark.line + 1}: {getattr(error, 'problem', None) or 'is not YAML'}"
    if isinstance(position, int):
        return f"line {text.count(chr(10), 0, position) + 1}: {getattr(error, 'reason', 'is not YAML')}"
    return "is nested too deeply" if isinstance(error, RecursionError) else "is not YAML"


def _unreadable(detail: str, remedy: str) -> Refused:
    return Refused(detail, remedy, Reason.FILE_UNREADABLE)

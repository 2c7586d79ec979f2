"""One span of a file replaced by another text, and put back later. Pure.

An edit never dumps YAML; the result is parsed again to prove that every other node is as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from yaml.nodes import MappingNode, Node, ScalarNode

from updater_core.composefile import env_values, interpolation, yaml_nodes
from updater_core.composefile.definition import SourceFile, services_of
from updater_core.composefile.env_values import Assignment
from updater_core.composefile.yaml_nodes import Document, Refused
from updater_core.models import Edit, Mark

SERVICE = "service"
VARIABLE = "variable"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an image is written: a service's whole image value, or the value of a variable; quotes left out.

    `key` is the service or the variable (`kind`); `start` to `end` count code points of the file's text.
    """

    kind: str
    path: str
    key: str
    start: int
    end: int
    text: str

    @property
    def spot(self) -> tuple[str, int]:
        """Return what two places of the same text have in common."""
        return self.path, self.start


@dataclass(frozen=True, slots=True)
class Splice:
    """One replacement.

    `node_start` is where its YAML node starts, to know it again; None in an env file. `change`: the part of
    the text that is another, before and after, if it is not all of it.
    """

    place: Place
    new: str
    node_start: int | None
    change: tuple[str, str] | None = None


def decode(data: bytes) -> str:
    """Return bytes as text, byte-order mark and line ends untouched.

    Raises ValueError with a sentence if it is not UTF-8.
    """
    # Compose takes UTF-16; an edit in it would need every position in another unit.
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError("the file is UTF-16; save it as UTF-8")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"line {line} is not UTF-8 (byte 0x{data[error.start]:02x}); save the file as UTF-8"
        ) from None


def encode(text: str) -> bytes:
    """Return the exact inverse of `decode`."""
    return text.encode("utf-8")


# ----------------------------------------------------------------------------------------------------- places


def assigned_in(file: SourceFile, variable: str) -> Place:
    """Return the place where an env file sets a variable.

    Raises Refused unless it does so plainly.
    """
    found = env_values.assignments(file.text)
    return last_assignment(file, variable, [assignment for assignment in found if assignment.key == variable])


def last_assignment(file: SourceFile, variable: str, found: Sequence[Assignment]) -> Place:
    """Return the place of the assignment that counts: of several in one file, Compose takes the last.

    Raises Refused if there is none, or if its text is not the value itself.
    """
    if not found:
        raise Refused(f"{variable} is not set in {file.path}", f"Set {variable} there.")
    start, end = found[-1].start, found[-1].end
    text = file.text[start:end]
    # Quotes and escapes in an env file have rules of their own; only a value that needs none is edited.
    if not found[-1].template and not interpolation.is_reference_text(text):
        raise Refused(f"{file.path}: the value of {variable} is not plain", f"Write {variable} as KEY=value.")
    return Place(VARIABLE, file.path, variable, start, end, text)


def image_place(document: Document, service: str, node: ScalarNode) -> Place:
    """Return the place of an image that stands in a service as one text."""
    # Positions in the file's text count the byte-order mark, those of a document do not.
    start, end = (index + document.offset for index in yaml_nodes.span(document, node))
    return Place(SERVICE, document.path, service, start, end, node.value)


# ------------------------------------------------------------------------------------------------- the change


def put_back(current_text: str, edit: Edit) -> str | None:
    """Return `current_text` with our marks of `edit` from new back to old, all else as it is now.

    A mark that says the old already is left; None if one says neither or is gone: the text is no longer ours.
    """
    # The usual outcome, in which nothing has to be found again.
    if current_text in (edit.before, edit.after):
        return edit.before
    file = SourceFile(edit.path, current_text)
    try:
        splices = [_backwards(file, mark) for mark in edit.marks]
        return spliced(file, [splice for splice in splices if splice.new != splice.place.text])
    except Refused:
        return None


def _backwards(file: SourceFile, mark: Mark) -> Splice:
    """Return the splice that puts one mark back, in a text that may have changed around it."""
    splice = _own_variable(file, mark) if mark.kind == VARIABLE else _own_image(file, mark)
    # A third text is the operator's, written while the update was under way.
    if splice.place.text not in (mark.old, mark.new):
        raise Refused(f"{file.path}: {mark.key} is no longer ours")
    return splice


def _own_variable(file: SourceFile, mark: Mark) -> Splice:
    return Splice(assigned_in(file, mark.key), mark.old, None)


def _own_image(file: SourceFile, mark: Mark) -> Splice:
    # The last document wins, as in Compose's own merge.
    for document in reversed(yaml_nodes.documents(file.path, file.text)):
        services = services_of(document)
        service = yaml_nodes.lookup(services, mark.key) if services else None
        image = yaml_nodes.lookup(service, "image") if isinstance(service, MappingNode) else None
        if isinstance(image, ScalarNode) and not yaml_nodes.is_null(image):
            return Splice(image_place(document, mark.key, image), mark.old, start_of(image))
    raise Refused(f"{file.path}: {mark.key} has no image here any more")


def start_of(node: Node) -> int:
    """Return the index of a node's first character in its document."""
    return int(node.start_mark.index)


def spliced(file: SourceFile, splices: Sequence[Splice]) -> str:
    """Return the file's text with the replacements made.

    Raises Refused if it cannot be proven that nothing else is changed.
    """
    text = file.text
    # From the end, so that no splice moves the place of another.
    for splice in sorted(splices, key=lambda splice: splice.place.start, reverse=True):
        text = text[: splice.place.start] + splice.new + text[splice.place.end :]
    if not _is_proven(file, text, splices):
        raise Refused(f"{file.path}: the change would not leave the rest of the file as it is")
    return text


def _is_proven(file: SourceFile, text: str, splices: Sequence[Splice]) -> bool:
    nodes_changed = {splice.node_start: splice.new for splice in splices if splice.node_start is not None}
    if nodes_changed:
        before, after = (yaml_nodes.documents(file.path, each) for each in (file.text, text))
        return yaml_nodes.is_same_but(before, after, nodes_changed)
    values = {splice.place.start: splice.new for splice in splices}
    # An env file has no tree to compare: every assignment has to be there, in its order, with its old text or
    # ours.
    wanted = [(key, values.get(start, raw)) for key, start, raw in _raw_values(file.text)]
    return wanted == [(key, raw) for key, _, raw in _raw_values(text)]


def _raw_values(text: str) -> list[tuple[str, int, str]]:
    """Return the name of each assignment, where its value starts, and that value as it is written."""
    return [(each.key, each.start, text[each.start : each.end]) for each in env_values.assignments(text)]

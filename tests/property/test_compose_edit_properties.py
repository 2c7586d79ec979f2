"""Over compose files in every style: only the image's own characters change, and they alone go back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from updater_core import reference
from updater_core.composefile.edit import SourceFile, decode, encode, put_back, set_image
from updater_core.models import Edit

EXAMPLES = settings(max_examples=60, deadline=None)
PATH = "/srv/app/compose.yml"

# Each way to write an image, as the lines of a service; `{}` is the reference, `{c}` a comment.
IMAGE_STYLES = (
    ("image: {} {c}",),
    ("image:   '{}'{c}",),
    ('"image": "{}"{c}',),
    ("'image' : {}",),
    ("image: &an_image_{n} {} {c}",),
    ('image: !!str "{}" {c}',),
    ("image: {c}", "  {}"),
    ("image: >- {c}", "   {}", ""),
    ("image: |- {c}", " {}"),
    ("? image", ": {}"),
    ("<<: {{image: {}, restart: always}} {c}",),
    ("image: nginx:${{UNSET_{n}:-{}}} {c}",),  # with a tag alone
)
NOISE = (
    "restart: always",
    "labels: ['nginx:1.2', \"image: nginx:1.2\"]",
    "environment: {IMAGE: nginx:1.2, EMOJI: 🐳}",
    "command:   [ nginx ,'-g', \"daemon off;\" ]   ",
    "# image: nginx:1.2",
    "",
    "hostname: größe  # 日本 🐳",
    "ports:",
)
TAGS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,12}", fullmatch=True)
DIGESTS = st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True)
COMMENTS = st.sampled_from(["", " # nginx:1.2", " # 🐳 image: x", "  #"])


@dataclass(frozen=True, slots=True)
class Service:
    """One service of a generated file; `tail` is what stands behind the repository name."""

    name: str
    style: int
    tail: str
    comment: str
    above: tuple[str, ...]
    below: tuple[str, ...]

    def lines(self, tail: str, indent: str) -> list[str]:
        is_default = "UNSET" in IMAGE_STYLES[self.style][0]
        text = tail.removeprefix(":") if is_default else f"nginx{tail}"
        number = self.name.removeprefix("s")
        image = [line.format(text, c=self.comment, n=number) for line in IMAGE_STYLES[self.style]]
        return [f"{indent}{self.name}:"] + [
            f"{indent * 2}{line}" for line in (*self.above, *image, *self.below)
        ]


@dataclass(frozen=True, slots=True)
class ComposeFile:
    """A generated file; `indent`, `newline` and the rest are how it is written, `services` what it says."""

    services: tuple[Service, ...]
    indent: str
    newline: str
    head: str
    end: str

    def text(self, tails: dict[str, str]) -> str:
        lines = [
            line for service in self.services for line in service.lines(tails[service.name], self.indent)
        ]
        return self.head.replace("\n", self.newline) + self.newline.join(["services:", *lines]) + self.end

    @property
    def tails(self) -> dict[str, str]:
        return {service.name: service.tail for service in self.services}


def noise() -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(NOISE), max_size=4, unique_by=lambda line: line.partition(":")[0]).map(
        tuple
    )


@st.composite
def services(draw: Callable[[Any], Any], name: str) -> Service:
    style = draw(st.integers(0, len(IMAGE_STYLES) - 1))
    is_whole = "UNSET" not in IMAGE_STYLES[style][0]
    tag = "" if is_whole and draw(st.booleans()) else ":" + draw(TAGS)
    digest = "@" + draw(DIGESTS) if draw(st.booleans()) else ""
    around = draw(noise())
    cut = draw(st.integers(0, len(around)))
    above, below = around[:cut], around[cut:]
    is_merge = IMAGE_STYLES[style][0].startswith("<<")
    kept = (above, tuple(line for line in below if not (is_merge and line.startswith("restart"))))
    return Service(name, style, tag + digest, draw(COMMENTS), *kept)


@st.composite
def compose_files(draw: Callable[[Any], Any]) -> ComposeFile:
    names = [f"s{number}" for number in range(draw(st.integers(1, 4)))]
    return ComposeFile(
        services=tuple(draw(services(name)) for name in names),
        indent=draw(st.sampled_from([" ", "  ", "    "])),
        newline=draw(st.sampled_from(["\n", "\r\n", "\r"])),
        head=draw(
            st.sampled_from(["", "\ufeff", "# 🐳\n", "---\n", "x-a: &a {image: nginx}\n", "\ufeffname: b\n"])
        ),
        end=draw(st.sampled_from(["", "\n", "\r\n\r\n", "\n# nginx:1.2\n"])),
    )


def wanted_tail(old: str, tag: str, digest: str | None) -> str:
    """What the file shall say, by the rules of a pin; written without the code under test."""
    if old.startswith("@") and digest:
        return f"@{digest}"
    if not old and tag == "latest" and not digest:
        return ""
    return f":{tag}" + (f"@{digest}" if digest else "")


def move(
    file: ComposeFile, unit: tuple[str, ...], tag: str, digest: str | None
) -> tuple[dict[str, str], Edit | None]:
    """The tails after the change, and the edit that the code makes of it."""
    target = reference.parse(f"nginx:{tag}" + (f"@{digest}" if digest else ""))
    edits = set_image([SourceFile(PATH, file.text(file.tails))], [], unit, target)
    assert isinstance(edits, tuple), edits
    assert len(edits) <= 1
    moved = {
        name: wanted_tail(tail, tag, digest) if name in unit else tail for name, tail in file.tails.items()
    }
    return moved, edits[0] if edits else None


def names_of(file: ComposeFile) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(sorted(file.tails)), min_size=1, unique=True).map(tuple)


@EXAMPLES
@given(st.data(), compose_files(), TAGS, st.none() | DIGESTS)
def test_exactly_the_images_asked_for_change(
    data: st.DataObject, file: ComposeFile, tag: str, digest: str
) -> None:
    unit = data.draw(names_of(file))
    moved, edit = move(file, unit, tag, digest)
    before = file.text(file.tails)
    assert (edit.after if edit else before) == file.text(moved)
    assert (edit is None) == (before == file.text(moved))


@EXAMPLES
@given(st.data(), compose_files(), TAGS)
def test_every_other_value_is_equal(data: st.DataObject, file: ComposeFile, tag: str) -> None:
    unit = data.draw(names_of(file))
    moved, edit = move(file, unit, tag, None)
    old, new = (
        yaml.load(text, Loader=yaml.CSafeLoader) for text in (file.text(file.tails), file.text(moved))
    )
    for service in unit:
        old["services"][service].pop("image")
        new["services"][service].pop("image")
    assert old == new
    assert edit is None or edit.after == file.text(moved)


@EXAMPLES
@given(st.data(), compose_files(), TAGS, st.none() | DIGESTS)
def test_a_change_goes_back_to_the_same_bytes(
    data: st.DataObject, file: ComposeFile, tag: str, digest: str
) -> None:
    _, edit = move(file, data.draw(names_of(file)), tag, digest)
    if edit:
        back = put_back(decode(encode(edit.after)), edit)
        assert back is not None
        assert encode(back) == encode(file.text(file.tails))


@st.composite
def operators_edits(draw: Callable[[Any], Any], file: ComposeFile, unit: tuple[str, ...]) -> ComposeFile:
    """The same file after its operator worked on it: all but the group's own references may be others."""
    kept = [service if service.name in unit else draw(services(service.name)) for service in file.services]
    around = [
        replace(service, above=("# the operator", *service.above), comment=draw(COMMENTS)) for service in kept
    ]
    added = [draw(services("s9"))] if draw(st.booleans()) else []
    other = draw(compose_files())
    written = replace(file, indent=other.indent, newline=other.newline, head=other.head, end=other.end)
    return replace(written, services=tuple(draw(st.permutations([*around, *added]))))


@EXAMPLES
@given(st.data(), compose_files(), TAGS, st.none() | DIGESTS)
def test_what_its_operator_did_meanwhile_stays(
    data: st.DataObject, file: ComposeFile, tag: str, digest: str
) -> None:
    unit = data.draw(names_of(file))
    moved, edit = move(file, unit, tag, digest)
    edited = data.draw(operators_edits(file, unit))
    if edit:
        current = {
            service.name: moved[service.name] if service.name in unit else service.tail
            for service in edited.services
        }
        assert put_back(edited.text(current), edit) == edited.text(edited.tails)


@EXAMPLES
@given(st.data(), compose_files(), TAGS, TAGS)
def test_an_image_its_operator_changed_meanwhile_is_not_put_back(
    data: st.DataObject, file: ComposeFile, tag: str, operators: str
) -> None:
    unit = data.draw(names_of(file))
    moved, edit = move(file, unit, tag, None)
    changed = [name for name in unit if moved[name] != file.tails[name]]
    if edit and f":{operators}" not in (moved[changed[0]], file.tails[changed[0]]):
        assert put_back(file.text({**moved, changed[0]: f":{operators}"}), edit) is None


@EXAMPLES
@given(
    st.text(alphabet="ab:{}[]&*!|>'\"%@-?, \n\r\t#<$\ufeff🐳\\", max_size=60),
    st.sampled_from(["web", "a", ""]),
)
def test_no_text_whatever_makes_it_stumble(text: str, service: str) -> None:
    for whole in (text, f"services:\n  web:\n    image: {text}\n", f"services:\n  a: {{image: {text}}}\n"):
        answer = set_image(
            [SourceFile(PATH, whole)], [SourceFile(".env", text)], [service], reference.parse("a:b")
        )
        for edit in answer if isinstance(answer, tuple) else ():
            assert put_back(edit.after, edit) == edit.before

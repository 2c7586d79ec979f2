"""Where the nodes of a YAML document are used: what an anchor carries a text to, and to which services. Pure.

A document is walked once; every question after that only climbs from a node to what holds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

_MERGE = "<<"
_IMAGE, _SERVICE, _OTHER = "image", "service", "other"


@dataclass(frozen=True, slots=True, eq=False)
class Uses:
    """The nodes of one document, each with what holds it.

    `tables`: ids of the mappings that list services. `scalars`: each scalar with its key (empty: it is a key
    itself, or an item of a list). `env_files`: what stands under a key `env_file`.
    """

    root: MappingNode
    tables: frozenset[int]
    scalars: tuple[tuple[str, ScalarNode], ...]
    env_files: tuple[Node, ...]
    _parents: Mapping[int, tuple[tuple[Node, str], ...]]
    _services_with: dict[int, frozenset[str]] = field(default_factory=dict)

    def keys(self, node: Node) -> frozenset[str]:
        """Return every key that a node stands under up to its service, also through anchors."""
        found: set[str] = set()
        ahead, seen = [node], {id(node)}
        while ahead:
            for parent, key in self._parents.get(id(ahead.pop()), ()):
                if id(parent) in self.tables:  # the key is the name of a service
                    continue
                found.add(key)
                if id(parent) not in seen:
                    seen.add(id(parent))
                    ahead.append(parent)
        return frozenset(found)

    def services_with(self, node: Node) -> frozenset[str]:
        """Return the services whose mapping holds a node, also through anchors.

        The empty name stands for the rest of the document; `x-` templates that nothing takes are nobody's.
        """
        known = self._services_with.get(id(node))
        if known is not None:
            return known
        self._services_with[id(node)] = frozenset()  # an anchor within itself adds nothing
        found: set[str] = set()
        for parent, key in self._parents.get(id(node), ()):
            if id(parent) in self.tables and key and key != _MERGE:
                found.add(key)
            elif parent is not self.root:
                found |= self.services_with(parent)
            elif not key.startswith("x-"):
                found.add("")
        self._services_with[id(node)] = frozenset(found)
        return self._services_with[id(node)]

    def is_more_than_an_image(self, scalar: ScalarNode) -> bool:
        """Return whether aliases carry an image's text to anything but images and `x-` templates.

        Then a change of it would change more than images.
        """
        ahead: list[tuple[Node, str]] = [(scalar, _IMAGE)]
        seen: set[tuple[int, str]] = set()
        while ahead:
            node, role = ahead.pop()
            for parent, key in self._parents.get(id(node), ()):
                above = _role(parent, key, role)
                is_template = parent is self.root and key.startswith("x-")
                if is_template or (id(parent) in self.tables and role == _SERVICE):
                    continue
                if parent is self.root:
                    return True
                if (id(parent), above) not in seen:
                    seen.add((id(parent), above))
                    ahead.append((parent, above))
        return False


def uses_in(root: MappingNode, tables: frozenset[int], edges: Iterable[tuple[Node, str, Node]]) -> Uses:
    """Return the uses of a document's nodes, from every (parent, key, child) of it.

    `tables` are the ids of the mappings that list its services.
    """
    parents: dict[int, list[tuple[Node, str]]] = {}
    scalars: list[tuple[str, ScalarNode]] = []
    env_files: list[Node] = []
    for parent, key, child in edges:
        parents.setdefault(id(child), []).append((parent, key))
        if isinstance(child, ScalarNode):
            scalars.append((key, child))
        if key == "env_file":
            env_files.append(child)
    held = {each: tuple(some) for each, some in parents.items()}
    return Uses(root, tables, tuple(scalars), tuple(env_files), held)


def _role(parent: Node, key: str, role: str) -> str:
    """Return what `parent` is, a step up from an image's text: like a service's mapping, or anything else."""
    if role == _IMAGE:
        return _SERVICE if key == "image" else _OTHER
    is_merge = key == _MERGE or isinstance(parent, SequenceNode)
    return _SERVICE if role == _SERVICE and is_merge else _OTHER

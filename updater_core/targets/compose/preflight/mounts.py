"""What a service's container will mount by its model, and which volumes of the old container that leaves out.

Pure.

Compose's rule at a recreate (v1 and v2; `buildContainerMountOptions`): a mount of the model wins at its
place; if the model has an anonymous volume there, or the new image declares a VOLUME, the new container gets
what the old one has mounted at that very place. Nothing else is carried over: also not if the image spells
its VOLUME `/data/`, for Compose compares the text with the engine's `/data` (seen on 2.26 and 2.40).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from posixpath import normpath
from typing import Any

Volume = tuple[str, str]  # its name, and the place at which it is mounted

_ANONYMOUS = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Mounts:
    """A service's own mounts by place.

    `volumes`: named volumes, by the engine's name; `anonymous`: without a name; `binds`: paths of the host;
    `others`: tmpfs and the like.
    """

    volumes: Mapping[str, str]
    binds: Mapping[str, str]
    anonymous: frozenset[str]
    others: frozenset[str]

    @property
    def places(self) -> frozenset[str]:
        """Return every place at which something is mounted."""
        return frozenset(self.volumes) | frozenset(self.binds) | self.anonymous | self.others


def of_service(model: Mapping[str, Any], service: str) -> Mounts:
    """Return the mounts of one service of a resolved model (`docker compose config`).

    >>> database = {"volumes": ["data:/data", "/srv/x:/x:ro", "/anonymous"]}
    >>> model = {"name": "shop", "services": {"db": database}}
    >>> of_service(model, "db").volumes
    {'/data': 'shop_data'}
    """
    facts = (model.get("services") or {}).get(service) or {}
    written = [_long(one) for one in facts.get("volumes") or ()]
    named: dict[str, str] = {}
    binds: dict[str, str] = {}
    anonymous, others = set[str](), set(_tmpfs(facts))
    for one in written:
        place, source = normpath(one["target"]), one.get("source")
        # By type: the source of a bind may be any path, and that of a volume is its name.
        if one.get("type") == "bind":
            binds[place] = normpath(str(source))
        elif one.get("type") != "volume":
            others.add(place)
        elif source:
            named[place] = real_name(model, "volumes", str(source))
        else:
            anonymous.add(place)
    return Mounts(named, binds, frozenset(anonymous), frozenset(others))


def _long(written: object) -> Mapping[str, Any]:
    """Return the long form of a mount; Compose v1 prints the short one."""
    if isinstance(written, Mapping):
        return {**written, "target": _plain(written.get("target")), "source": _plain(written.get("source"))}
    source, _, rest = _plain(written).partition(":")
    if not rest:
        return {"type": "volume", "target": source}
    kind = "bind" if source.startswith("/") else "volume"
    return {"type": kind, "source": source, "target": rest.partition(":")[0]}


def _plain(value: object) -> str:
    """Return a value of `config`, which doubles every dollar sign: its output is a compose file again."""
    return "" if value is None else str(value).replace("$$", "$")


def _tmpfs(facts: Mapping[str, Any]) -> Iterable[str]:
    written = facts.get("tmpfs") or ()
    each = [written] if isinstance(written, str) else written
    return (normpath(str(one).partition(":")[0]) for one in each)


def real_name(model: Mapping[str, Any], kind: str, key: str) -> str:
    """Return the engine's name of a volume or network that a model calls `key`.

    >>> real_name({"name": "shop", "volumes": {"a": {"name": "other"}}}, "volumes", "a")
    'other'
    >>> real_name({"name": "shop"}, "volumes", "a")
    'shop_a'
    """
    facts = (model.get(kind) or {}).get(key) or {}
    external = facts.get("external")
    named = external.get("name") if isinstance(external, Mapping) else None
    # An external volume is used under its own name; any other has the project's in front.
    own_name = key if external else f"{model.get('name', '')}_{key}"
    return _plain(facts.get("name") or named or own_name)


def not_carried_over(
    volumes: Iterable[Volume], wanted: Mounts, declared: frozenset[str], lent: Iterable[Volume]
) -> tuple[Volume, ...]:
    """Return the volumes of the old container that its successor would not have at their places.

    `declared`: the VOLUMEs of the new image; `lent`: the volumes of containers that the service takes
    `volumes_from`.

    >>> nothing = Mounts({}, {}, frozenset(), frozenset())
    >>> not_carried_over([("0f", "/data")], nothing, frozenset({"/data"}), ())
    ()
    >>> not_carried_over([("0f", "/data")], nothing, frozenset({"/var/data"}), ())
    (('0f', '/data'),)
    """
    borrowed = frozenset(lent)
    return tuple(one for one in volumes if not _is_carried_over(one, wanted, declared, borrowed))


def _is_carried_over(
    volume: Volume, wanted: Mounts, declared: frozenset[str], borrowed: frozenset[Volume]
) -> bool:
    name, place = volume
    # A mount of the model wins at its place, whatever was there.
    if place in wanted.volumes:
        return wanted.volumes[place] == name
    if place in wanted.binds or place in wanted.others:
        return False
    return place in wanted.anonymous or place in declared or volume in borrowed


def replaced(volumes: Iterable[Volume], wanted: Mounts) -> str:
    """Return in words which of the volumes the model mounts something else in place of; empty if none.

    >>> replaced([("shop_a", "/data")], Mounts({"/data": "shop_b"}, {}, frozenset(), frozenset()))
    'volume shop_a at /data, where its file mounts volume shop_b'
    """
    found = []
    for name, place in volumes:
        instead = wanted.binds.get(place) or ("a tmpfs" if place in wanted.others else "")
        instead = f"volume {wanted.volumes[place]}" if place in wanted.volumes else instead
        if instead:
            found.append(f"volume {name} at {place}, where its file mounts {instead}")
    return "; ".join(found)


def moved_place(
    old: frozenset[str], new: frozenset[str], mounted: frozenset[str], wanted: Mounts
) -> tuple[str, str] | None:
    """Return the place at which an image kept its data, and the successor's, if that has moved away.

    Nothing of ours is mounted at the new place, so it would be a new, empty volume.

    `old`, `new`: the VOLUMEs of the two images; `mounted`: all places at which the old container has
    something.

    >>> nothing = Mounts({}, {}, frozenset(), frozenset())
    >>> data, parent = frozenset({"/var/lib/postgresql/data"}), frozenset({"/var/lib/postgresql"})
    >>> moved_place(data, parent, mounted=data, wanted=nothing)
    ('/var/lib/postgresql/data', '/var/lib/postgresql')
    >>> moved_place(data, parent, mounted=data | parent, wanted=nothing) is None
    True
    """
    before, after = frozenset(map(normpath, old)), frozenset(map(normpath, new))
    # Only places at which the old container had something hold data that could be left behind.
    left = sorted((before - after) & mounted)
    fresh = sorted(after - before - mounted - wanted.places)
    return (left[0], fresh[0]) if left and fresh else None


def hidden_places(
    new: frozenset[str], mounted: frozenset[str], wanted: Mounts
) -> tuple[tuple[str, str], ...]:
    """Return each place of a new volume that lies below one at which something is mounted, and the latter.

    What stands there now would be hidden by the volume of the new image's VOLUME. Arguments as of
    `moved_place`.

    >>> nothing = Mounts({}, {}, frozenset(), frozenset())
    >>> hidden_places(frozenset({"/db/data", "/log"}), frozenset({"/db"}), nothing)
    (('/db/data', '/db'),)
    >>> hidden_places(frozenset({"/db/data"}), frozenset({"/db", "/db/data"}), nothing)
    ()
    """
    fresh = sorted(frozenset(map(normpath, new)) - mounted - wanted.places)
    hidden = []
    for place in fresh:
        above = [each for each in mounted if place.startswith(f"{each}/")]
        if above:
            hidden.append((place, max(above, key=len)))
    return tuple(hidden)


def is_anonymous(name: str) -> bool:
    """Return whether the engine gave a volume its name: it was made for one container."""
    return _ANONYMOUS.fullmatch(name) is not None


def in_words(volumes: Sequence[Volume]) -> str:
    """Volumes with their places, each name so long that `docker volume inspect` finds it.

    >>> in_words([("shop_data", "/data")])
    'volume shop_data at /data'
    """
    return ", ".join(f"volume {name} at {place}" for name, place in volumes)

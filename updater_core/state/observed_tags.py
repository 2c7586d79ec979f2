"""What registries have shown: put into the state, given to the selection, taken out when not needed any more.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from updater_core.policy.observation import History
from updater_core.state.records import DIGESTS_KEPT, NO_TIME, ServiceState, State, service_of, with_service
from updater_core.vocabulary.dated import Seen

# Registries that delete and push again take hours, mistakes of people days; some repositories push a tag for
# each build, so the number is bounded too.
GONE_KEPT, GONE_KEPT_FOR = 1000, timedelta(days=30)


def note_tags(
    state: State, repository_key: str, tags: Iterable[str], digests: Mapping[str, str], now: datetime
) -> State:
    """Return the state after a complete listing.

    The first listing is the baseline. A tag that was pushed again (its digest is another) is new. A tag that
    vanished is kept for a month: it may come back, and is not new then.
    """
    known = state.seen.get(repository_key)
    # Tags of a first listing may be years old: none of them counts as newly pushed.
    new = Seen(None, now, baseline=known is None)
    before = known or {}
    listed = {tag: _listed_again(before.get(tag, new)) for tag in tags}
    for tag in listed.keys() & digests.keys():
        listed[tag] = _with_digest(listed[tag], digests[tag], now)
    vanished = {tag: each for tag, each in before.items() if tag not in listed}
    listed |= _gone(vanished, now)
    # The same object if nothing is new, so that nothing is written to the disk.
    return state if listed == known else replace(state, seen={**state.seen, repository_key: listed})


def _listed_again(seen: Seen) -> Seen:
    # The same object for a tag that was never gone: there may be tens of thousands.
    return replace(seen, gone_since=None) if seen.gone_since else seen


def _gone(vanished: Mapping[str, Seen], now: datetime) -> dict[str, Seen]:
    """Return what is kept of tags that are not listed: of the `GONE_KEPT` that vanished last, for a month."""
    since = {tag: each.gone_since or now for tag, each in vanished.items()}
    latest = sorted(since, key=since.__getitem__, reverse=True)[:GONE_KEPT]
    return {
        tag: replace(vanished[tag], gone_since=since[tag])
        for tag in latest
        if now - since[tag] < GONE_KEPT_FOR
    }


def _with_digest(seen: Seen, digest: str, now: datetime) -> Seen:
    """Return what is known of a tag whose digest was asked for."""
    # Asked for the first time: that does not make it a new push.
    if seen.digest is None:
        return replace(seen, digest=digest)
    return seen if seen.digest == digest else Seen(digest, now)


def note_created(state: State, repository_key: str, created: Mapping[str, datetime | None]) -> State:
    """Return the state with the build times of these tags' images.

    An image without one is remembered too, so that it is not asked for again.
    """
    known = state.seen.get(repository_key, {})
    times = {
        tag: replace(known[tag], created_at=time or NO_TIME) for tag, time in created.items() if tag in known
    }
    return replace(state, seen={**state.seen, repository_key: {**known, **times}}) if times else state


def note_digest(state: State, name: str, digest: str, now: datetime) -> State:
    """Return the state with the time when a digest was first seen for a service; old ones are forgotten."""
    service = service_of(state, name)
    others = {key: time for key, time in service.digest_seen.items() if key != digest}
    # The digest of now goes to the end, for the oldest are dropped from the front.
    recent = [*others.items(), (digest, service.digest_seen.get(digest, now))][-DIGESTS_KEPT:]
    return with_service(state, name, replace(service, digest_seen=dict(recent)))


def history_of(state: State, name: str, repository_key: str) -> History:
    """Return what the selection needs to know of this service in this repository (`ImageRef.key`)."""
    service = service_of(state, name)
    quarantine = {entry.digest: entry for entry in service.quarantine}
    seen = state.seen.get(repository_key, {})
    timeless = {tag: replace(seen[tag], created_at=None) for tag in without_time(state, repository_key)}
    seen = {**seen, **timeless} if timeless else seen
    return History(quarantine, seen, service.digest_seen, service.pushed, name, service.left)


def without_time(state: State, repository_key: str) -> tuple[str, ...]:
    """Return the tags whose images were asked for their build time and gave none to believe."""
    return tuple(
        tag for tag, seen in state.seen.get(repository_key, {}).items() if seen.created_at == NO_TIME
    )


def note_push(state: State, name: str, tag: str, pushed_at: datetime) -> State:
    """Return the state with the time, by the registry's clock, when a service's current tag was pushed.

    The tag may be gone at the next check.
    """
    service = service_of(state, name)
    return with_service(state, name, replace(service, pushed={tag: pushed_at}))


def note_backoff(state: State, host: str, until: datetime) -> State:
    """Return the state with the time before which a host is not asked; the later of two times counts."""
    # Two threads may have met two answers of one host; the longer pause satisfies both.
    later = max(until, state.backoffs.get(host, until))
    return replace(state, backoffs={**state.backoffs, host: later})


def follow_names(state: State, groups: Mapping[str, str]) -> State:
    """Return the state with each memory under the name that its update group has now.

    `groups`: what identifies the group of each configured service apart from its name (`targets.identities`),
    by that name.

    A renamed entry keeps its quarantine, history and retained images; a new entry under an old name does not
    inherit them. A memory whose group is not configured, or not known yet, stays with its name.
    """
    known = state.services
    right = [name for name, each in known.items() if groups.get(name) == each.update_group]
    names = {each.update_group: name for name, each in known.items()}
    # A name that is still right wins over one that only has the same group.
    names |= {groups[name]: name for name in right}
    moved = {names[group] for group in groups.values() if group in names}
    followed = {name: each for name, each in known.items() if name not in groups and name not in moved}
    for name in groups:
        memory = _memory(state, name, groups, names)
        if memory is not None:
            followed[name] = replace(memory, update_group=groups[name])
    return state if followed == state.services else replace(state, services=followed)


def _memory(
    state: State, name: str, groups: Mapping[str, str], names: Mapping[str, str]
) -> ServiceState | None:
    """Return the memory of a name's group, else the one under the name if it is no other entry's."""
    group = groups[name]
    former = names.get(group, name)
    if former != name and groups.get(former) != group:
        return state.services[former]
    own = state.services.get(name)
    is_of_another = own is not None and own.update_group != group and own.update_group in groups.values()
    return None if is_of_another else own


def forget_unknown(
    state: State, names: Iterable[str], repository_keys: Iterable[str], now: datetime
) -> State:
    """Return the state without what is not configured, and without past waits.

    That is: services, repositories and counters.
    """
    named, wanted = set(names), set(repository_keys)
    services = {name: each for name, each in state.services.items() if name in named}
    seen = {key: each for key, each in state.seen.items() if key in wanted}
    backoffs = {host: until for host, until in state.backoffs.items() if until > now}
    counters = {key: number for key, number in state.counters.items() if _is_wanted(key, named)}
    compared = {key: each for key, each in state.comparisons.items() if key in wanted}
    return replace(
        state, services=services, seen=seen, backoffs=backoffs, counters=counters, comparisons=compared
    )


def _is_wanted(counter: str, names: set[str]) -> bool:
    labels = split_counter(counter)[1:]
    return not labels or labels[0] in names


def split_counter(counter: str) -> tuple[str, ...]:
    """Return the kind, then the labels with the service first; a service's name may hold colons.

    >>> split_counter("rollbacks:unhealthy:web")
    ('rollbacks', 'web', 'unhealthy')
    >>> split_counter("updates:a:b")
    ('updates', 'a:b')
    """
    kind, _, labels = counter.partition(":")
    if kind in ("rollbacks", "failures"):
        label, _, service = labels.partition(":")
        return kind, service, label
    return (kind, labels) if labels else (kind,)

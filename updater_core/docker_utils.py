"""The Docker Engine over its socket: look at containers and images, pull by digest, tag, hold, tidy.

This is the seam to docker-py: its exceptions become `EngineError` (the engine refused) or `EngineUnavailable`
(no answer), and its dictionaries become `models.Container` and `models.Image`. Field meanings are those of
the Engine API (https://docs.docker.com/reference/api/engine/).
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from updater_core.caching.cache import Cache
from updater_core.errors import EngineError, EngineUnavailable, ManifestRefused
from updater_core.host.engine import connection, execution, facts, label_paths
from updater_core.host.engine_endpoint import EngineEndpoint
from updater_core.host.stamp import FileStamp
from updater_core.models import Container, ContainerSettings, Credential, Image, ImageRef
from updater_core.protocols import Execution, Progress
from updater_core.reference import with_default_tag

CALL_TIMEOUT_SECONDS = 60
_PULL_SILENCE_SECONDS = 300  # how long a pull may say nothing: a large layer unpacks in silence
_WATCH_END_SECONDS = 5.0
_TlsFiles = tuple[FileStamp | None, ...]
_IDLE_KEPT = 2  # connections; more are made when more threads ask at once, and ended after that


class DockerEngine:
    """The engine of one endpoint (the default socket if none is given); satisfies `protocols.Engine`.

    It connects at the first call, so that an engine which is down fails one service and not the start.
    Any thread may ask: each call has a connection to itself, so that a slow one keeps no other waiting.
    """

    def __init__(
        self, endpoint: EngineEndpoint | None = None, path_map: Sequence[label_paths.Folder] = ()
    ) -> None:
        self._endpoint, self._path_map = endpoint or EngineEndpoint(), path_map
        self._idle: list[docker.APIClient] = []  # a requests session is for one thread at a time
        self._idle_of: _TlsFiles = ()  # the TLS files that they were made with
        self._images: Cache[Image] = Cache()
        self._lock = threading.Lock()  # of the connections; held for no call

    def version(self) -> str:
        """Asked over a new connection: an engine that is going down still answers on an old one."""
        self.close()
        return str(self._call("ask its version", lambda api: api.version()["Version"]))

    def product(self) -> str:
        return facts.product(self._call("ask what it is", lambda api: api.version()))

    def platform(self) -> str:
        found = self._call("ask its platform", lambda api: api.version())
        return f"{found['Os']}/{found['Arch']}"

    def data_root(self) -> str:
        found = self._call("ask its settings", lambda api: api.info())
        return str(found.get("DockerRootDir") or "")

    def hub_mirrors(self) -> tuple[str, ...]:
        """Return its mirrors of Docker Hub (`registry-mirrors`), in the order in which it asks them."""
        found = self._call("ask its settings", lambda api: api.info())
        mirrors = (found.get("RegistryConfig") or {}).get("Mirrors") or ()
        return tuple(address for address in mirrors if isinstance(address, str))

    @contextlib.contextmanager
    def watch_liveness(self) -> Iterator[Callable[[], bool]]:
        """Watch a stream of events, which ends with its engine, however soon the next one answers."""
        has_ended = threading.Event()
        with connection.seam("listen to its events"):
            client = connection.connect(self._endpoint, CALL_TIMEOUT_SECONDS)
            stream = client.events(filters={"type": "daemon"})  # hardly any: only the end matters
        listener = threading.Thread(
            target=_hear_out, args=(stream, has_ended), name="engine liveness", daemon=True
        )
        listener.start()
        try:
            yield lambda: not has_ended.is_set()
        finally:
            stream.close()
            listener.join(_WATCH_END_SECONDS)
            client.close()

    def compose_containers(self) -> tuple[Container, ...]:
        """Return the containers by one list call: no start time, restart count or health (an inspect's).

        It lists the containers of others, too: a manager's may have mounted the files that labels speak
        of.
        """
        found = self._list({})
        listed = [facts.from_list(raw) for raw in found if facts.is_of_compose(raw["Labels"])]
        return self._with_host_paths(listed, found)

    def all_containers(self) -> tuple[Container, ...]:
        """Return every container of the engine, by the same one list call."""
        found = self._list({})
        return self._with_host_paths(list(map(facts.from_list, found)), found)

    def _with_host_paths(
        self, containers: Sequence[Container], listed: Sequence[Mapping[str, Any]]
    ) -> tuple[Container, ...]:
        mounted = self._mounted(listed) if any(map(label_paths.is_lost, containers)) else []
        return tuple(label_paths.with_host_paths(each, self._path_map, mounted) for each in containers)

    def _mounted(self, listed: Iterable[Mapping[str, Any]]) -> list[label_paths.Folder]:
        """Return every place in a container, and its mount; some engines name a volume without its folder."""
        mounts = [mount for raw in listed for mount in facts.mounts(raw)]
        sources: Mapping[str, str] = {}
        if any(not mount.source for mount in mounts):
            sources = self._folders_of_volumes()
        found = [(mount.place, mount.source or sources.get(mount.volume, "")) for mount in mounts]
        return [(place, source) for place, source in dict.fromkeys(found) if source]

    def _folders_of_volumes(self) -> Mapping[str, str]:
        """Return the folder on the engine's host of each volume, by its name; empty if it has none there."""
        answer = self._call("list volumes", lambda api: api.volumes())
        volumes = answer.get("Volumes") or ()
        return {str(raw["Name"]): str(raw.get("Mountpoint") or "") for raw in volumes}

    def volume_names(self) -> frozenset[str]:
        found = self._call("list volumes", lambda api: api.volumes())
        return frozenset(raw["Name"] for raw in found.get("Volumes") or ())

    def network_names(self) -> frozenset[str]:
        found = self._call("list networks", lambda api: api.networks())
        return frozenset(raw["Name"] for raw in found)

    def runtimes(self) -> frozenset[str]:
        return frozenset(self._call("ask its settings", lambda api: api.info()).get("Runtimes") or ())

    def log_drivers(self) -> frozenset[str]:
        found = self._call("ask its settings", lambda api: api.info())
        plugins = self._call("list its plugins", lambda api: api.plugins()) or ()
        names = frozenset(str(raw.get("Name") or "") for raw in plugins)
        built_in = frozenset((found.get("Plugins") or {}).get("Log") or ())
        return built_in | names | {name.removesuffix(":latest") for name in names}

    def containers(self, project: str, service: str) -> tuple[Container, ...]:
        found = self._list({"label": [f"{facts.LABEL}project={project}", f"{facts.LABEL}service={service}"]})
        inspected = (self.container(raw["Id"]) for raw in found if facts.is_member(raw["Labels"]))
        return tuple(container for container in inspected if container is not None)

    def container(self, container_id: str) -> Container | None:
        raw = self._inspected(container_id)
        return None if raw is None else facts.from_inspect(raw)

    def settings(self, container_id: str) -> ContainerSettings | None:
        raw = self._inspected(container_id)
        return None if raw is None else facts.settings(raw)

    def log_tail(self, container_id: str, lines: int) -> str:
        what = f"read the log of container {container_id[:12]}"
        said = self._call(what, lambda api: _or_none(api.logs, container_id, tail=lines))
        return bytes(said or b"").decode("utf-8", "replace")

    def image(self, reference: str) -> Image | None:
        raw = self._call(f"inspect image {reference}", lambda api: _or_none(api.inspect_image, reference))
        return None if raw is None else facts.image(raw)

    def known_image(self, image_id: str) -> Image | None:
        """Return the same as `image`, from the cache if this id was seen before.

        An id never changes what it is, but the names an image is known by may grow, so a caller that misses a
        digest asks `image` afresh.
        """
        known = self._images.get(image_id)
        if known is not None:
            return known
        found = self.image(image_id)
        return self._images.put(image_id, found) if found else None

    def forget_images(self, used: frozenset[str]) -> None:
        """Keep in memory only images that are in use."""
        self._images.keep(lambda image_id: image_id in used)

    def pull(
        self,
        reference: ImageRef,
        credential: Credential | None,
        platform: str | None,
        progress: Progress | None,
    ) -> None:
        """Pull `repository@digest`, or `repository:tag` without a digest.

        An error inside the stream is raised like any other: docker-py's own high-level pull drops those and
        hands back the OLD image.
        """
        full = with_default_tag(reference)
        name, wanted = full.name or full.key, full.digest or full.tag
        what = f"pull {name}@{wanted}" if full.digest else f"pull {name}:{wanted}"
        options: dict[str, Any] = {"auth_config": _auth(credential), "platform": platform}

        def run(api: docker.APIClient) -> None:
            stream = _begun(what, lambda: api.pull(name, tag=wanted, stream=True, decode=True, **options))
            has_manifest = False
            for message in stream:
                if "error" in message or "errorDetail" in message:
                    failed = EngineError if has_manifest else ManifestRefused
                    raise failed(f"the engine could not {what}: {_stream_error(message)}")
                # of a layer, which the manifest names
                has_manifest = has_manifest or "progressDetail" in message
                if progress is not None:
                    progress(message)

        with connection.seam(what):
            client = connection.connect(self._endpoint, _PULL_SILENCE_SECONDS)
            try:
                run(client)
            finally:
                client.close()
                if progress is not None:
                    progress({"end": True})
        self._images.clear()

    def tag(self, image_id: str, reference: str) -> None:
        repository, _, tag = reference.rpartition(":")
        self._call(
            f"tag {image_id[:19]} as {reference}", lambda api: api.tag(image_id, repository, tag, force=True)
        )

    def untag(self, reference: str) -> None:
        self._call(
            f"remove the tag {reference}", lambda api: _or_none(api.remove_image, reference, noprune=True)
        )

    def retained(self, prefix: str) -> Mapping[str, str]:
        # The engine's `*` ends at a slash, and names of other updaters have one more.
        wanted = {"reference": [f"{prefix}*", f"{prefix}*/*"]}
        found = self._call("list retained images", lambda api: api.images(filters=wanted, all=True))
        pairs = ((tag, raw["Id"]) for raw in found for tag in raw.get("RepoTags") or ())
        return {tag: image_id for tag, image_id in pairs if tag.startswith(prefix)}

    def create_container(
        self, image_id: str, name: str, labels: Mapping[str, str], volumes: Mapping[str, str]
    ) -> str:
        binds = [f"{volume}:{place}" for place, volume in volumes.items()]

        def ask(api: docker.APIClient) -> str:
            host = api.create_host_config(binds=binds, network_mode="none")
            return str(api.create_container(image_id, name=name, labels=dict(labels), host_config=host)["Id"])

        return str(self._call(f"create container {name}", ask))

    def run_in_container(
        self, container_id: str, command: Sequence[str], timeout_seconds: float
    ) -> Execution:
        """Run a command in a running container, over a connection of its own."""
        with connection.seam(f"run {command[0]} in container {container_id[:12]}"):
            client = connection.connect(self._endpoint, CALL_TIMEOUT_SECONDS)
            try:
                return execution.run(client, container_id, command, timeout_seconds)
            finally:
                client.close()

    def stop_container(self, container_id: str) -> None:
        """Stop a container over a connection of its own.

        It lasts as long as the container needs, and others go on meanwhile.
        """
        what = f"stop container {container_id[:12]}"
        found = self.container(container_id)
        if found is None:
            return
        with connection.seam(what):
            client = connection.connect(self._endpoint, CALL_TIMEOUT_SECONDS)
            try:
                _or_none(client.stop, container_id, timeout=math.ceil(found.stop_grace_seconds))
            finally:
                client.close()

    def remove_container(self, container_id: str) -> None:
        """Remove a container that never ran, or has ended; its anonymous volumes stay."""
        self._call(
            f"remove container {container_id[:12]}", lambda api: _or_none(api.remove_container, container_id)
        )

    def rename_container(self, container_id: str, name: str) -> None:
        self._call(
            f"rename container {container_id[:12]} to {name}", lambda api: api.rename(container_id, name)
        )

    def remove_image(self, image_id: str) -> None:
        with contextlib.suppress(EngineUnavailable, EngineError):  # still in use: it stays
            self._call(f"remove image {image_id[:19]}", lambda api: _or_none(api.remove_image, image_id))

    def close(self) -> None:
        """End every connection that is not in use; the next call makes a new one."""
        with self._lock:
            idle, self._idle = self._idle, []
        for client in idle:
            client.close()

    def _inspected(self, container_id: str) -> Any:
        what = f"inspect container {container_id[:12]}"
        return self._call(what, lambda api: _or_none(api.inspect_container, container_id))

    def _list(self, filters: Mapping[str, Any]) -> list[dict[str, Any]]:
        found = self._call("list containers", lambda api: api.containers(all=True, filters=dict(filters)))
        return list(found)

    def _call(self, what: str, ask: Any) -> Any:
        with connection.seam(what), self._connection() as client:
            return ask(client)

    @contextlib.contextmanager
    def _connection(self) -> Iterator[docker.APIClient]:
        """Return a connection for one call. It is kept for the next if the engine has answered on it."""
        files = self._tls_files()
        with self._lock:
            client = self._idle.pop() if self._idle else None
        if client is None:
            client = connection.connect(self._endpoint, CALL_TIMEOUT_SECONDS)
        has_answered = False
        try:
            yield client
            has_answered = True
        except APIError:
            has_answered = True
            raise
        finally:
            self._put_back(client, files if has_answered else None)

    def _tls_files(self) -> _TlsFiles:
        """Return the stamps of the TLS files; no idle connection is left that was made with others."""
        tls = self._endpoint.tls
        files = tls.stamps() if tls else ()
        with self._lock:
            is_outdated = files != self._idle_of
            self._idle_of = files
        if is_outdated:
            self.close()
        return files

    def _put_back(self, client: docker.APIClient, files: _TlsFiles | None) -> None:
        """Keep a connection that was used with these TLS files; None: it is of no use any more."""
        with self._lock:
            is_kept = files == self._idle_of and len(self._idle) < _IDLE_KEPT
            if is_kept:
                self._idle.append(client)
        if not is_kept:
            client.close()


def _hear_out(stream: Iterable[object], has_ended: threading.Event) -> None:
    try:
        for _ in stream:
            pass
    except (DockerException, requests.RequestException, OSError, ValueError):
        pass  # a stream that breaks has ended too
    finally:
        has_ended.set()


def _or_none(ask: Any, *arguments: Any, **options: Any) -> Any:
    try:
        return ask(*arguments, **options)
    except (NotFound, ImageNotFound):
        return None


def _auth(credential: Credential | None) -> dict[str, str]:
    """Return a login as docker-py takes it.

    An empty dictionary is "anonymous", and keeps it from calling credential helpers of its own accord.
    """
    if credential is None:
        return {}
    if credential.is_identity_token:
        return {"identitytoken": credential.secret.reveal()}
    return {"username": credential.username, "password": credential.secret.reveal()}


def _begun(what: str, pull: Callable[[], Any]) -> Any:
    """Return the stream of a pull that has begun.

    An engine that is given no manifest says so before there is a stream.
    """
    try:
        return pull()
    except APIError as error:
        raise ManifestRefused(f"the engine could not {what}: {error.explanation or error}") from error


def _stream_error(message: Mapping[str, Any]) -> str:
    detail = message.get("errorDetail")
    text = detail.get("message") if isinstance(detail, Mapping) else None
    return str(text or message.get("error") or "no reason given")

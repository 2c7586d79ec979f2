"""The set-up of an operator who comes from Watchtower: 26 containers in 12 projects below a closed home.

The home is `0700`, as Debian makes it. The projects have what such set-ups have: `latest`, full versions,
linuxserver's tags, one `.env` variable for two images, a digest pin, databases, a VPN with dependents, two
`-f` files, an `include`, `container_name`, host networking.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import lab
from tests.support.fake_registry import FakeRegistry

_TAIL = "    network_mode: none\n    stop_grace_period: 1s\n    restart: unless-stopped\n"
WATCHTOWER = '    labels:\n      com.centurylinklabs.watchtower: "true"\n'


def service(name: str, image: str, tail: str = _TAIL) -> str:
    return f"  {name}:\n    image: HOST/{image}\n{tail}"


def project(*services: str) -> str:
    return "services:\n" + "".join(services)


VPN = _TAIL.replace("network_mode: none", 'network_mode: "service:gluetun"')
HOST = _TAIL.replace("network_mode: none", "network_mode: host")
# Folder, then file name and text. The first files of a folder are what Compose is started with.
PROJECTS: Mapping[str, Mapping[str, str]] = {
    "web": {"docker-compose.yml": project(service("caddy", "library/caddy:latest"),
                                          service("static", "library/nginx:1.27.3"))},
    "media": {"docker-compose.yml": project(service("sonarr", "linuxserver/sonarr:4.0.9.2244-ls256"),
                                            service("radarr", "linuxserver/radarr:5.11.0.9244-ls240"),
                                            service("jellyfin", "jellyfin/jellyfin:10.9.11"))},
    "immich": {"docker-compose.yml": project(service("server", "immich/server:${IMMICH_VERSION:-release}"),
                                             service("learning",
                                                     "immich/learning:${IMMICH_VERSION:-release}"),
                                             service("database", "library/postgres:14-alpine"),
                                             service("redis", "library/redis:7-alpine")),
               ".env": "# settings\nIMMICH_VERSION=v1.118.0\nDB_PASSWORD=secret\n"},
    "vpn": {"docker-compose.yml": project(service("gluetun", "qmcgaw/gluetun:v3.39.0"),
                                          service("torrent", "linuxserver/qbittorrent:latest", VPN),
                                          service("usenet", "linuxserver/sabnzbd:latest", VPN))},
    "cloud": {"compose.yaml": project(service("app", "library/nextcloud:29-apache"),
                                      service("db", "library/mariadb:11.4"),
                                      service("cache", "library/redis:7-alpine"))},
    "paperless": {"docker-compose.yml": project(service("webserver", "paperless/ngx:2.11.6")),
                  "extra.yml": project(service("gotenberg", "gotenberg/gotenberg:8.9"))},
    "monitoring": {"docker-compose.yml": "include:\n  - grafana.yml\n" + project(
                       service("prometheus", "prom/prometheus:v2.54.1")),
                   "grafana.yml": project(service("grafana", "grafana/grafana:11.2.0"))},
    "home": {"docker-compose.yml": project(
        service("assistant", "homeassistant/core:stable", f"    container_name: homeassistant\n{HOST}"),
        service("mosquitto", "library/eclipse-mosquitto:2.0.18"))},
    "vault": {"docker-compose.yml": project(service("vault", "vault/server:1.31.0@DIGEST"))},
    "git": {"docker-compose.yml": project(service("gitea", "gitea/gitea:1.22.1"),
                                          service("db", "library/postgres:16.3"))},
    "dns": {"docker-compose.yml": project(
        service("adguard", "adguard/home:latest", f"    container_name: adguard\n{_TAIL}"))},
    "watchtower": {"docker-compose.yml": project(
        service("watchtower", "containrrr/watchtower:latest",
                f"    container_name: watchtower\n{WATCHTOWER}{_TAIL}"))},
}  # fmt: skip
STARTED_WITH = {"paperless": ("docker-compose.yml", "extra.yml")}
# What is there from the beginning of the updater's first cycle, by repository: the tag, and whether it is
# new.
NEWER = {
    "library/caddy": "latest", "library/nginx": "1.27.4", "linuxserver/sonarr": "4.0.10.2544-ls257",
    "immich/server": "v1.119.0", "immich/learning": "v1.119.0", "library/postgres": "16.4",
    "qmcgaw/gluetun": "v3.39.1", "library/nextcloud": "29-apache", "paperless/ngx": "2.12.0",
    "grafana/grafana": "11.2.1", "vault/server": "1.32.0", "homeassistant/core": "stable",
}  # fmt: skip
UPDATED = {
    "web-caddy", "web-static", "media-sonarr", "immich", "vpn-gluetun", "cloud-app",
    "paperless-webserver", "monitoring-grafana", "vault", "home-assistant",
}  # fmt: skip


@dataclass
class HomeServer:
    """`folder` is the operator's, behind a closed home; `engine` is where all of it runs."""

    folder: Path
    registry: FakeRegistry
    engine: str
    digests: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        """Push every image, write every file, and start every project."""
        for repository, tag in self.images():
            self.digests[repository] = self.push(repository, tag, "old")
        for name, texts in PROJECTS.items():
            (self.folder / name).mkdir(parents=True)
            for file, text in texts.items():
                pinned = text.replace("@DIGEST", f"@{self.digests['vault/server']}")
                (self.folder / name / file).write_text(pinned.replace("HOST", self.registry.host))
        for name in PROJECTS:
            files = [word for file in STARTED_WITH.get(name, ()) for word in ("-f", file)]
            self.compose(name, *files, "up", "-d", "--quiet-pull")

    def push_newer(self) -> None:
        """Publish what the first cycle is to find."""
        for repository, tag in NEWER.items():
            self.push(repository, tag, "new")

    def push(self, repository: str, tag: str, release: str) -> str:
        image = lab.build(f"{release} {repository}", base=lab.busybox())
        return self.registry.push(repository, tag, image).digest

    @staticmethod
    def images() -> set[tuple[str, str]]:
        """Repository and tag of every image that the files name."""
        texts = "\n".join(text for texts in PROJECTS.values() for text in texts.values())
        named = texts.replace("${IMMICH_VERSION:-release}", "v1.118.0").replace("@DIGEST", "")
        words = [line.split("HOST/")[1] for line in named.splitlines() if "HOST/" in line]
        return {(word.partition(":")[0], word.partition(":")[2]) for word in words}

    def compose(self, name: str, *words: str) -> None:
        environment = {**os.environ, "DOCKER_HOST": self.engine}
        argv = ["docker", "compose", *words]
        subprocess.run(argv, cwd=self.folder / name, env=environment, check=True, capture_output=True)

    def releases(self) -> dict[str, str]:
        """Return the release that each running container is of, by project and service."""
        form = (
            '{{.Label "com.docker.compose.project"}}-{{.Label "com.docker.compose.service"}} {{.Label '
            '"release"}}'
        )
        argv = ["docker", "-H", self.engine, "ps", "--format", form]
        said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        return {line.split()[0]: line.split()[1] for line in said.splitlines()}

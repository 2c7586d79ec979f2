"""docker-updater.service as a text: what it promises the operator, and that every directive says why it is
there.
"""

from __future__ import annotations

from pathlib import Path

from updater_core.models import GatePolicy, Settings

TEXT = (Path(__file__).resolve().parents[2] / "docker-updater.service").read_text(encoding="utf-8")
UNITS = {"s": 1, "min": 60}
# These say it by their names.
PLAIN = {"Description", "Documentation", "WantedBy"}


def directives() -> list[tuple[str, str]]:
    lines = (line for line in TEXT.splitlines() if line and line[0] not in "#[")
    return [(name, value) for name, _, value in (line.partition("=") for line in lines)]


def value(name: str) -> str:
    """The value of a directive that stands there once."""
    (found,) = [each for key, each in directives() if key == name]
    return found


def seconds(name: str) -> int:
    digits = "".join(char for char in value(name) if char.isdigit())
    return int(digits) * UNITS[value(name).removeprefix(digits)]


def test_it_is_watched_restarted_and_stopped_as_promised() -> None:
    assert (value("Type"), value("NotifyAccess"), value("KillMode")) == ("notify", "main", "mixed")
    assert (value("Restart"), value("RestartPreventExitStatus")) == ("on-failure", "2")
    assert seconds("WatchdogSec") > 0
    assert "HUP" in value("ExecReload")


def test_it_starts_after_the_engine_and_does_not_stop_with_it() -> None:
    assert {"docker.service", "docker.socket"} <= set(value("After").split())
    assert "docker.service" in value("Wants").split()
    binding = {"Requires", "Requisite", "BindsTo", "PartOf", "PropagatesStopTo", "StopPropagatedFrom"}
    assert binding & {name for name, _ in directives()} == set()


def test_a_stop_waits_for_longer_than_the_longest_usual_way_to_the_end() -> None:
    """A restart and a gate forward, and both once more in the rollback."""
    gate = GatePolicy()
    one_way = Settings().compose_timeout_seconds + gate.timeout_seconds + gate.stable_seconds
    assert seconds("TimeoutStopSec") > 2 * one_way
    assert seconds("WatchdogSec") > Settings().compose_timeout_seconds + gate.timeout_seconds


def test_every_directive_says_why_it_is_there() -> None:
    """By a comment above it, or above the block of lines it stands in."""
    bare = []
    is_explained = False
    for line in TEXT.splitlines():
        if not line or line.startswith("["):
            is_explained = False
        elif line.startswith("#"):
            is_explained = True
        elif not is_explained and line.partition("=")[0] not in PLAIN:
            bare.append(line)
    assert bare == []


def test_only_what_is_said_is_not_hardened() -> None:
    """Each directive that `systemd-analyze security` weighs as a matter of yes or no is either set or
    explained.
    """
    wanted = {
        "NoNewPrivileges", "CapabilityBoundingSet", "AmbientCapabilities", "ProtectSystem", "PrivateTmp",
        "PrivateDevices", "DevicePolicy", "ProtectProc", "ProcSubset", "ProtectKernelTunables",
        "ProtectKernelModules",
        "ProtectKernelLogs", "ProtectControlGroups", "ProtectClock", "ProtectHostname",
        "RestrictAddressFamilies",
        "RestrictNamespaces", "RestrictRealtime", "LockPersonality", "RestrictSUIDSGID",
        "MemoryDenyWriteExecute",
        "SystemCallFilter", "SystemCallArchitectures", "RemoveIPC", "KeyringMode", "UMask", "User",
    }  # fmt: skip
    assert wanted - {name for name, _ in directives()} == set()
    for left_out in ("ProtectHome=", "PrivateUsers=", "IPAddressDeny="):
        assert left_out in TEXT
        assert left_out.rstrip("=") not in {name for name, _ in directives()}

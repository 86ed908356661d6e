"""`clawd restart`: a daemon of one's own, one that is a service, and what is refused before anything stops."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from clawd import __version__
from clawd.cli import restart
from clawd.cli.invocation import Invocation
from clawd.cli.launching import Places
from clawd.cli.main import run
from clawd.cli.manager import Service, service_of
from clawd.cli.units import UnitError
from clawd.client import Client, RemoteError
from tests.crash.process import DaemonProcess
from tests.fakes.control_api import FakeControlApi
from tests.fakes.shell import Shell

CONFIG = "models: [{name: d, type: demo}]\ngateway: {port: false}\n"
SYSTEMCTL = """#!/bin/sh
echo "$*" >> "$ASKED"
case "$*" in *show*) echo 4711 ;; *restart*) exit ${RESTART_CODE:-0} ;; esac
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemctl for which 4711 is the main process of every service; what it is asked stands in the file."""
    folder, asked = tmp_path / "bin", tmp_path / "asked"
    folder.mkdir()
    (folder / "systemctl").write_text(SYSTEMCTL)
    (folder / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("ASKED", str(asked))
    return asked


def of(status: dict[str, Any], home: Path) -> Places:
    return restart.places_for(Invocation(environ={"CLAWD_HOME": str(home)}), status)


async def test_a_daemon_is_replaced_only_by_one_that_would_start(state_dir: Path) -> None:
    config, clawd, daemon = state_dir / "config.yaml", Shell(state_dir), DaemonProcess(state_dir)
    client = Client([state_dir / "state" / "clawd.sock"])
    config.write_text(CONFIG)
    await daemon.spawn()
    try:
        assert await daemon.ready()
        first = (await asyncio.to_thread(client.get, "/status"))["pid"]
        config.write_text(f"{CONFIG}nonsense: 1\n")
        refused = await clawd("restart")
        assert (refused.code, "nonsense" in refused.err) == (78, True)
        assert (await asyncio.to_thread(client.get, "/status"))["pid"] == first
        config.write_text(CONFIG)
        done = await clawd("restart", "--json")
        assert await daemon.dead() == 0
        status = await asyncio.to_thread(client.get, "/status")
        assert status["pid"] == done.json["pid"] != first
        assert status["last_end"]["how"] == "clean"
    finally:
        await asyncio.to_thread(run, ["--socket", str(client.sockets[0]), "stop"])


def test_a_service_is_restarted_by_its_manager_once_its_file_is_accepted(
    state_dir: Path, asked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(scope="user", unit="clawd.service")
    with FakeControlApi(state_dir / "s.sock") as api:
        client = Client([api.path])
        with pytest.raises(RemoteError, match="not here"):  # what this one says to a reload
            restart.by_manager(client, service, {"version": __version__})
        assert not asked.exists(), "it goes on with its old configuration"
        restart.by_manager(client, service, {"version": "0.0.1"})
        assert asked.read_text() == "--user restart clawd.service\n"
        monkeypatch.setenv("RESTART_CODE", "4")
        with pytest.raises(UnitError, match=r"systemctl --user restart clawd\.service failed"):
            restart.by_manager(client, service, {"version": "0.0.1"})


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("0::/system.slice/clawd.service", Service(scope="system", unit="clawd.service")),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/bot.service",
            Service(scope="user", unit="bot.service"),
        ),
        ("1:name=systemd:/system.slice/clawd.service", Service(scope="system", unit="clawd.service")),
        ("0::/user.slice/user-1000.slice/session-3.scope", None),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-terminal.scope", None),
        ("0::/", None),
        ("nonsense", None),
    ],
)
def test_a_service_is_told_by_its_control_group(
    line: str, found: Service | None, tmp_path: Path, asked: Path
) -> None:
    for pid in (4711, 4712):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "cgroup").write_text(f"{line}\n")
    assert service_of(4711, tmp_path) == found
    assert service_of(4712, tmp_path) is None, "it was started beside the service's main process"
    assert service_of(4713, tmp_path) is None, "gone"


def test_system_services_are_restarted_with_sudo_and_odd_names_are_quoted() -> None:
    assert Service(scope="system", unit="clawd.service").restart == "sudo systemctl restart clawd.service"
    assert Service(scope="user", unit="a b.service").restart == "systemctl --user restart 'a b.service'"


def test_what_could_not_be_started_from_here_is_not_stopped(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.yaml").write_text(CONFIG)
    other = tmp_path / "other.yaml"
    other.write_text(f"state_dir: {home}/state\n")
    status = {"pid": os.getpid(), "config_path": str(home / "config.yaml"), "state_dir": f"{home}/state"}
    assert of(status, home).config == home / "config.yaml"
    assert of({**status, "config_path": None}, home).config == home / "config.yaml", "it may be new"
    assert of({**status, "config_path": str(other)}, home).config == other, "it was started with --config"
    for changed, words in (
        ({"pid": 1}, "container"),
        ({"pid": 2**22 + 1}, "container"),
        ({"state_dir": "/srv/clawd"}, "another clawd would be started"),
    ):
        with pytest.raises(restart.RestartRefused, match=words) as caught:
            of({**status, **changed}, home)
        assert caught.value.remedy


def test_a_port_that_somebody_else_has_is_told_before_anything_stops(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    places = Places(config, tmp_path / "s.sock", tmp_path / "clawd.log")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config.write_text(f"gateway: {{port: {taken.getsockname()[1]}}}\n")
        own = f"http://127.0.0.1:{taken.getsockname()[1]}"
        restart.check(places, {}, {"gateway": own})
        for gateway in (None, "http://127.0.0.1:1"):
            with pytest.raises(restart.RestartRefused, match=rf"in use by .*\(process {os.getpid()}\)"):
                restart.check(places, {}, {"gateway": gateway})
    restart.check(places, {}, {"gateway": None})

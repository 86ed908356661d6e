"""`clawd restart`: a daemon of one's own, one that is a service, and what is refused before anything stops."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from clawd import __version__
from clawd.cli import manager, restart
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


def test_what_may_be_a_service_is_left_alone_while_its_manager_does_not_answer(
    tmp_path: Path, asked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "4711").mkdir()
    (tmp_path / "4711" / "cgroup").write_text("0::/user.slice/user@1000.service/app.slice/bot.service\n")
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.write_text("#!/bin/sh\necho Failed to connect to bus >&2\nexit 1\n")
    monkeypatch.setattr(manager, "_BOOTED", tmp_path)
    with pytest.raises(UnitError, match=r"bot\.service.*Failed to connect to bus") as caught:
        service_of(4711, tmp_path)
    assert caught.value.remedy.endswith("systemctl --user restart bot.service")
    monkeypatch.setattr(manager, "_BOOTED", tmp_path / "none")
    assert service_of(4711, tmp_path) is None, "where no systemd runs, none looks after it"


@pytest.mark.parametrize(
    ("first", "parent", "ends"),
    [
        ("tini -- clawd start", 1, True),
        ("/sbin/docker-init -- /opt/clawd/bin/clawd --config /c.yaml start", 1, True),
        ("sh -c exec python -m clawd.daemon", 1, True),
        ("tini -- clawd start", 9, False),
        ("tini -- sleep inf", 1, False),
        ("bash -c cd /src/clawd && make test", 1, False),
        ("/sbin/init", 1, False),
    ],
)
def test_a_daemon_that_a_container_would_end_with_is_not_stopped(
    first: str, parent: int, ends: bool, tmp_path: Path
) -> None:
    for pid, command, above in (
        (1, first.replace(" ", "\0").encode(), 0),
        (7, b"python\0-m\0clawd.daemon\0", parent),
        (8, b"", 2),
    ):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "cmdline").write_bytes(command)
        (tmp_path / str(pid) / "stat").write_bytes(b"%d (a) b) S %d 1 1 0" % (pid, above))
    home = tmp_path / "home"
    home.mkdir()
    call = Invocation(environ={"CLAWD_HOME": str(home)})
    status = {"pid": 7, "config_path": None, "state_dir": f"{home}/state"}
    if ends:
        with pytest.raises(restart.RestartRefused, match="container"):
            restart.places_for(call, status, tmp_path)
    else:
        assert restart.places_for(call, status, tmp_path).log.parent == home / "state"
    with pytest.raises(restart.RestartRefused, match="container"):
        restart.places_for(call, {**status, "pid": 8}, tmp_path)  # of the kernel: counted elsewhere


async def test_behind_a_daemon_that_does_not_end_in_time_none_is_started(state_dir: Path) -> None:
    (state_dir / "config.yaml").write_text(CONFIG)
    (state_dir / "state").mkdir()
    with FakeControlApi(state_dir / "state" / "clawd.sock") as api:
        own = {"pid": os.getpid(), "config_path": None, "state_dir": f"{state_dir}/state"}
        api.answers["/status"] = {**own, "gateway": None, "queue": {"running": 0}, "version": __version__}
        api.answers["/stop"] = {}
        refused = await Shell(state_dir)("restart", "--timeout", "1")
    assert refused.code == 75, refused.err
    assert "no other one was started" in refused.err
    assert "then clawd start --detach" in refused.err
    assert not (state_dir / "state" / "clawd.log").exists()


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

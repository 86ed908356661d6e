"""The real daemon takes a saved configuration over at once, however it was saved, and refuses a broken one."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from clawd.client import Client
from clawd.errors import ClawdError, ConfigError
from tests.fakes.forked import ForkedProgram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT_S = 30.0


@dataclass
class Daemon:
    """A daemon of its own, seen through its control socket."""

    home: Path
    client: Client

    @property
    def config(self) -> Path:
        return self.home / "config.yaml"

    def until(self, condition: Callable[[dict[str, Any]], bool]) -> float:
        """Return after how many seconds the status says so."""
        began = time.monotonic()
        while time.monotonic() < began + LIMIT_S:
            status = self._status()
            if status and condition(status):
                return time.monotonic() - began
            time.sleep(0.01)
        raise AssertionError(f"not within {LIMIT_S} s: {self._status()}")

    def routes_to(self, name: str) -> float:
        """Return after how many seconds the model of this name answers, with no error shown."""
        return self.until(lambda status: status["route"] == [name] and not status["config_error"])

    def _status(self) -> dict[str, Any] | None:
        try:
            return self.client.get("/status")
        except ClawdError:
            return None


def text(name: str) -> str:
    """Return a configuration that can be told by the name of its model."""
    return f"gateway: {{port: 0}}\nmodels:\n  - name: {name}\n    type: demo\n"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    yield from _run(tmp_path)


def _run(home: Path, *, with_file: bool = True) -> Iterator[Daemon]:
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "CLAWD_HOME": str(home)}
    if with_file and not (home / "config.yaml").exists():
        (home / "config.yaml").write_text(text("first"))
    with Path(os.devnull).open("rb") as nothing, (home / "out").open("wb") as out:
        process = ForkedProgram("clawd.daemon", (), environ, (nothing.fileno(), out.fileno(), out.fileno()))
    try:
        running = Daemon(home, Client.find(None, None, environ))
        running.until(lambda status: status["state"] == "ready" and _watches(status["pid"]))
        yield running
    finally:
        process.terminate()
        process.wait(10)


def _watches(pid: int) -> bool:
    """Whether the process watches files. Source: proc_pid_fdinfo(5)."""
    infos = list(Path(f"/proc/{pid}/fdinfo").iterdir())
    return any(info.exists() and "inotify wd:" in info.read_text() for info in infos)


def test_each_way_of_saving_is_taken_over_within_a_second(daemon: Daemon) -> None:
    def in_place(name: str) -> None:
        daemon.config.write_text(text(name))

    def renamed(name: str) -> None:
        daemon.config.with_name("new").write_text(text(name))
        daemon.config.with_name("new").rename(daemon.config)

    def made_again(name: str) -> None:
        daemon.config.unlink()
        daemon.config.write_text(text(name))

    def in_two_halves(name: str) -> None:
        with daemon.config.open("w") as file:
            file.write(text(name)[:30])
            file.flush()
            os.fsync(file.fileno())
            file.write(text(name)[30:])

    for save in (in_place, renamed, made_again, in_two_halves):
        took = []
        for number in range(5):
            name = f"{save.__name__}-{number}"
            save(name)
            took.append(daemon.routes_to(name))
            if took[-1] < 1.0:  # as long as nobody else keeps the machine busy
                break
        assert min(took) < 1.0, (save, took)


def test_broken_file_is_told_and_the_old_configuration_stays_in_force(daemon: Daemon) -> None:
    daemon.config.write_text("models: [{name: second, type: dmo}]\n")
    daemon.until(lambda status: "did you mean 'demo'" in status["config_error"])
    daemon.until(lambda status: status["route"] == ["first"])
    with pytest.raises(ClawdError) as raised:
        daemon.client.post("/reload")
    assert raised.value.exit_code == ConfigError.exit_code
    daemon.config.unlink()
    daemon.until(lambda status: "No such file" in status["config_error"] and status["route"] == ["first"])
    daemon.config.write_text(text("third"))
    daemon.routes_to("third")


def test_refused_file_is_taken_over_once_what_it_includes_is_there(daemon: Daemon) -> None:
    daemon.config.write_text("gateway: {port: 0}\ninclude: [models.yaml]\n")
    daemon.until(lambda status: "models.yaml" in status["config_error"])
    (daemon.home / "models.yaml").write_text("models: [{name: second, type: demo}]\n")
    daemon.routes_to("second")


def test_file_that_appears_after_the_start_is_taken_over(tmp_path: Path) -> None:
    for daemon in _run(tmp_path, with_file=False):
        daemon.until(lambda status: status["config_path"] is None)
        daemon.config.write_text(text("second"))
        daemon.routes_to("second")


def test_emptied_file_does_not_mean_every_default(daemon: Daemon) -> None:
    daemon.config.write_text("")
    daemon.until(
        lambda status: "the file is empty" in status["config_error"] and status["route"] == ["first"]
    )


def test_link_that_is_swapped_as_kubernetes_does_it_is_taken_over(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    for version in ("v1", "v2", "v3"):
        (mount / version).mkdir(parents=True)
        (mount / version / "config.yaml").write_text(text(version))
    (mount / "..data").symlink_to("v1")
    (tmp_path / "home").mkdir()
    (tmp_path / "home/config.yaml").symlink_to(mount / "..data" / "config.yaml")
    for daemon in _run(tmp_path / "home"):
        daemon.routes_to("v1")
        for version in ("v2", "v3"):
            (mount / "..data_tmp").symlink_to(version)
            (mount / "..data_tmp").rename(mount / "..data")
            daemon.routes_to(version)


def test_what_only_shows_when_it_is_used_is_refused_as_well(daemon: Daemon) -> None:
    no_certificate = daemon.home / "ca.pem"
    no_certificate.write_text("no certificate")
    remote = "models: [{name: far, type: chat, base_url: 'https://far.invalid/v1'}]\ngateway: {port: 0}\n"
    daemon.config.write_text(f"{remote}network: {{ca_file: {no_certificate}}}\n")
    daemon.until(lambda status: "ca.pem" in status["config_error"] and status["route"] == ["first"])
    with pytest.raises(ClawdError, match=r"network\.ca_file"):
        daemon.client.post("/reload")
    daemon.config.write_text(remote)
    daemon.routes_to("far")

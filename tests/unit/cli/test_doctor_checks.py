"""Each check of `clawd doctor` is seen to fail, beside a healthy installation where none does."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from clawd.bridge import BridgePlugin
from clawd.cli.checks import (
    budgets,
    configuration,
    daemon,
    examine,
    files,
    host,
    journal,
    outside,
    prices,
    tls,
)
from clawd.cli.checks.board import Board
from clawd.cli.checks.files import file_system
from clawd.cli.checks.site import Finding, Site, survey
from clawd.cli.units import units
from clawd.client import NoAnswer
from clawd.config.schema import GatewayConfig
from clawd.plugins import BRIDGES, PluginGroup, Plugins
from clawd.store.lock import StateLock
from clawd.store.mark import Mark
from clawd.store.schema import APPLICATION_ID
from tests.fakes.certificates import make_certificate
from tests.fakes.doctor_site import ALIVE, LOCAL_DISK, MakeSite, failed, make, only

__all__ = ["make"]  # the fixture


def test_healthy_installation_has_nothing_broken(make: MakeSite) -> None:
    findings = examine(make(), offline=True)
    odd = [finding for finding in findings if finding.status != "ok"]
    assert [finding.id for finding in odd] == ["daemon"]  # it does not run, which is no fault
    assert len({finding.id for finding in findings}) >= 12


# --- configuration and plugins --------------------------------------------------------------------


def test_every_mistake_of_the_configuration_is_a_finding(make: MakeSite) -> None:
    found = list(configuration.check_config(make("agent: {max_stepz: 1}\ngateway: {prt: 1}\n")))
    assert [finding.status for finding in found] == ["fail", "fail"]
    assert "config.yaml:1:9: agent.max_stepz" in found[0].evidence


def test_note_of_the_configuration_is_a_warning(make: MakeSite) -> None:
    finding = only(configuration.check_config(make("access: {owners: ['gone:1']}\n")))
    assert (finding.status, "no configured bridge" in finding.evidence) == ("warn", True)


def test_missing_named_configuration_is_a_finding_and_no_crash(tmp_path: Path) -> None:
    site = survey(None, str(tmp_path / "nope.yaml"), {"HOME": str(tmp_path)})
    failed(configuration.check_config(site), "no such file")


def test_broken_plugin_is_a_warning(make: MakeSite) -> None:
    point = EntryPoint("broken", "not_there_at_all:PLUGIN", BRIDGES)
    group = PluginGroup(BRIDGES, BridgePlugin, {"broken": (point,)})
    site = replace(make(), plugins=Plugins(bridges=group, models={}, tools={}))
    failed(host.check_plugins(site), "not_there_at_all", "warn")


# --- files ------------------------------------------------------------------------------------------


def test_configuration_that_others_may_change_fails(make: MakeSite) -> None:
    site = make()
    assert site.config_path
    site.config_path.chmod(0o622)
    assert failed(files.check_permissions(site), "others may change").fix.startswith("chmod go-w")


def test_state_directory_that_others_may_write_fails(make: MakeSite) -> None:
    site = make()
    site.state_dir.chmod(0o777)
    failed(files.check_permissions(site), "others may write into")


@pytest.mark.parametrize(("folder", "status"), [(0o755, "fail"), (0o700, "warn")])
def test_database_that_others_may_read_is_told(make: MakeSite, folder: int, status: str) -> None:
    site = make()
    (site.state_dir / "clawd.db").touch(mode=0o644)
    site.state_dir.chmod(folder)
    failed(files.check_permissions(site), "others may use", status)


def test_file_in_place_of_the_state_directory_fails(make: MakeSite) -> None:
    site = make()
    site.state_dir.rmdir()
    site.state_dir.touch()
    failed(files.check_permissions(site), "is not a directory")


@pytest.mark.parametrize("there", [True, False])
def test_state_directory_on_a_read_only_disk_fails(make: MakeSite, there: bool) -> None:
    site = make()
    if not there:
        site.state_dir.rmdir()
    site = replace(site, host=replace(site.host, read_only=lambda _: True))
    assert "set state_dir" in failed(files.check_permissions(site), "read-only").fix


def test_state_directory_that_may_not_be_made_fails(make: MakeSite) -> None:
    site = make()
    site.state_dir.rmdir()
    asked: list[Path] = []

    def refuse(path: Path) -> bool:
        asked.append(path)
        return False

    site = replace(site, host=replace(site.host, writable=refuse))
    above = site.state_dir.parent
    assert failed(files.check_permissions(site), f"may not write into {above}").fix == f"chmod u+rwx {above}"
    assert asked == [above]


def test_state_directory_below_a_file_fails(make: MakeSite) -> None:
    site = make()
    (site.state_dir / "file").touch()
    site = replace(site, state_dir=site.state_dir / "file" / "state")
    failed(files.check_permissions(site), "file is not a directory")


def test_state_directory_that_is_anothers_fails_unless_a_daemon_uses_it(
    make: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make()
    monkeypatch.setattr(os, "geteuid", lambda: site.state_dir.stat().st_uid + 1)
    site = replace(site, host=replace(site.host, writable=lambda _: False))
    assert "set state_dir" in failed(files.check_permissions(site), "can't be written by you").fix
    failed(files.check_permissions(replace(site, status={"version": "1"})), "belongs to uid", "warn")


@pytest.mark.parametrize(("free", "status"), [(10 << 20, "fail"), (100 << 20, "warn")])
def test_disk_without_room_is_told(make: MakeSite, free: int, status: str) -> None:
    failed(files.check_disk(make(disk=lambda _: (100 << 30, free))), "MB free", status)


@pytest.mark.parametrize(("kind", "status"), [("nfs4", "fail"), ("fuse.sshfs", "fail"), ("tmpfs", "warn")])
def test_state_on_a_network_or_in_memory_is_told(
    make: MakeSite, tmp_path: Path, kind: str, status: str
) -> None:
    mounts = f"{LOCAL_DISK}30 22 0:9 / {tmp_path} rw - {kind} server:/export rw\n"
    failed(files.check_file_system(make(mounts=lambda: mounts)), kind, status)


def test_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    spaced = str(tmp_path / "my disk").replace(" ", "\\040")
    mounts = f"{LOCAL_DISK}1 2 0:1 / {spaced} rw - xfs a rw\n1 2 0:1 / {spaced} rw - btrfs b rw\n"
    assert file_system(tmp_path / "my disk" / "state", mounts) == ("btrfs", tmp_path / "my disk")
    assert file_system(tmp_path / "my diskette", mounts) == ("ext4", Path("/"))
    assert file_system(tmp_path, "nonsense\n") == ("", Path("/"))


# --- journal ------------------------------------------------------------------------------------------


@contextmanager
def database(
    site: Site, *, application: int = APPLICATION_ID, version: int = 1
) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(site.state_dir / "clawd.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA application_id = {application}")
        db.execute(f"PRAGMA user_version = {version}")
        db.execute("CREATE TABLE words (word TEXT)")
        db.executemany("INSERT INTO words VALUES (?)", [("x" * 500,)] * 200)
        yield db


def test_whole_database_passes_and_is_left_as_it_was(make: MakeSite) -> None:
    site = make()
    with database(site):
        pass
    before = {path.name: path.read_bytes() for path in site.state_dir.iterdir()}
    assert only(journal.check_journal(site)).status == "ok"
    after = {path.name: path.read_bytes() for path in site.state_dir.iterdir() if path.name != "lock"}
    assert after == before


def test_log_that_a_killed_daemon_left_is_read_and_kept(make: MakeSite) -> None:
    site = make()
    with database(site):
        wal = (site.state_dir / "clawd.db-wal").read_bytes()
        assert wal
        assert {finding.id: finding.status for finding in journal.check_journal(site)} == {
            "journal": "ok",
            "wal": "ok",
        }
        assert (site.state_dir / "clawd.db-wal").read_bytes() == wal


def test_damaged_database_fails(make: MakeSite) -> None:
    site = make()
    with database(site):
        pass
    path = site.state_dir / "clawd.db"
    content = bytearray(path.read_bytes())
    content[8192:20480] = b"\xa5" * (20480 - 8192)
    path.write_bytes(content)
    failed(journal.check_journal(site), "clawd.db")


def test_file_that_is_no_database_fails(make: MakeSite) -> None:
    site = make()
    (site.state_dir / "clawd.db").write_text("something else entirely, and long enough to be looked at")
    failed(journal.check_journal(site), "not a database")


def test_database_of_another_program_fails(make: MakeSite) -> None:
    site = make()
    with database(site, application=1):
        pass
    failed(journal.check_journal(site), "belongs to another program")


def test_database_of_a_newer_version_fails(make: MakeSite) -> None:
    site = make()
    with database(site, version=999):
        pass
    failed(journal.check_journal(site), "newer clawd (schema 999")


def test_database_that_is_gone_fails(make: MakeSite) -> None:
    site = make()
    Mark(site.state_dir).write(42)
    failed(journal.check_journal(site), "held entries up to 42")


def test_grown_write_ahead_log_is_a_warning(make: MakeSite) -> None:
    site = make()
    with database(site):
        pass
    with (site.state_dir / "clawd.db-wal").open("wb") as wal:
        wal.truncate(journal.MOST_WAL_BYTES + 1)
    failed(journal.check_journal(site), "write-ahead log has 64 MB", "warn")


def test_lock_without_a_daemon_that_answers_fails_with_the_holder(make: MakeSite) -> None:
    site = make()
    lock = StateLock.take(site.state_dir)
    try:
        assert (
            f"process {os.getpid()} holds"
            in failed(journal.check_journal(site), "no daemon answers").evidence
        )
        running = replace(site, status=ALIVE)
        assert only(journal.check_journal(running)).status == "ok"
    finally:
        lock.release()


def test_state_directory_that_can_not_be_used_fails(make: MakeSite) -> None:
    site = make()
    (site.state_dir / "lock").mkdir()
    failed(journal.check_journal(site), "Is a directory")


# --- daemon -------------------------------------------------------------------------------------------


def test_daemon_that_does_not_run_is_a_warning(make: MakeSite) -> None:
    assert failed(daemon.check_daemon(make()), "not running", "warn").fix == "clawd start --detach"


def test_daemon_of_another_version_is_a_warning(make: MakeSite) -> None:
    failed(daemon.check_daemon(make(status={**ALIVE, "version": "0.0.1"})), "version 0.0.1", "warn")


def test_refused_reload_fails(make: MakeSite) -> None:
    failed(
        daemon.check_daemon(make(status={**ALIVE, "config_error": "config.yaml:3:1"})),
        "refused the last reload",
    )


def test_silent_daemon_fails(make: MakeSite) -> None:
    silent = NoAnswer("the daemon does not answer", why="silent for 10 s", remedy="clawd logs")
    failed(daemon.check_daemon(replace(make(), no_status=silent)), "silent for 10 s")


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
        path.chmod(0o600)
        server.listen()
        yield server


def test_socket_that_answers_passes(make: MakeSite) -> None:
    site = make()
    with listening(site.state_dir / "clawd.sock"):
        assert only(daemon.check_socket(site)).status == "ok"


def test_socket_that_others_may_use_fails(make: MakeSite) -> None:
    site = make()
    with listening(site.state_dir / "clawd.sock"):
        (site.state_dir / "clawd.sock").chmod(0o666)
        failed(daemon.check_socket(site), "open to others (mode 666")


def test_socket_of_a_dead_daemon_is_a_warning(make: MakeSite) -> None:
    site = make()
    with listening(site.state_dir / "clawd.sock"):
        pass
    failed(daemon.check_socket(site), "left from a daemon that died", "warn")


def test_file_in_place_of_the_socket_fails(make: MakeSite) -> None:
    site = make()
    (site.state_dir / "clawd.sock").touch()
    failed(daemon.check_socket(site), "is not a socket")


def test_socket_path_that_is_too_long_fails(make: MakeSite, tmp_path: Path) -> None:
    site = make(f"state_dir: {tmp_path / ('x' * 120)}\n")
    failed(daemon.check_socket(site), "a Unix socket allows 107")


def test_port_of_another_program_fails(make: MakeSite) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        failed(daemon.check_gateway(make(f"gateway: {{port: {port}}}\n")), f"127.0.0.1:{port} is used")


def test_default_port_of_another_program_is_only_noted(make: MakeSite) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.2", GatewayConfig().port))
        other.listen()
        finding = only(daemon.check_gateway(make("gateway: {host: 127.0.0.2}\n")))
    assert finding.status == "warn"
    assert "any free port will be used" in finding.evidence


def test_host_that_is_not_ours_fails(make: MakeSite) -> None:
    tokens = "tokens: [{name: a, token: abcdefgh}]"
    failed(
        daemon.check_gateway(make(f"gateway: {{host: elsewhere.invalid, port: 0, {tokens}}}\n")),
        "can't be bound",
    )


def test_gateway_that_does_not_answer_fails(make: MakeSite) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        failed(daemon.check_gateway(make(status={**ALIVE, "gateway": url})), "does not answer")


class _Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own name
        """Print nothing."""


@contextmanager
def healthy() -> Iterator[str]:
    """A gateway that answers 200."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Healthy) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_gateway_that_had_to_take_another_port_is_told_with_who_has_its_own(make: MakeSite) -> None:
    with socket.create_server(("127.0.0.1", 0)) as meant, healthy() as url:
        port = meant.getsockname()[1]
        site = make(status={**ALIVE, "gateway": url, "gateway_moved_from": port})
        finding = failed(daemon.check_gateway(site), f"{url} answers 200, as port {port} was taken", "warn")
    assert f"(process {os.getpid()}) uses it" in finding.evidence


def test_gateway_that_waits_for_a_restart_is_told(make: MakeSite, tmp_path: Path) -> None:
    running = {**ALIVE, "config_path": str(tmp_path / "clawd" / "config.yaml")}
    for config, url, words in (
        (
            "gateway: {port: 7400}\n",
            "http://127.0.0.1:7373",
            "http://127.0.0.1:7373; the file has it at port 7400",
        ),
        ("gateway: {port: false}\n", "http://127.0.0.1:7373", "the file has it off"),
        ("gateway: {port: 7400}\n", None, "off; the file has it at port 7400"),
    ):
        site = make(config, status={**running, "gateway": url})
        assert failed(daemon.check_gateway(site), words, "warn").fix == "clawd restart"
    other = make("gateway: {port: 7400}\n", status={**running, "config_path": "/other.yaml", "gateway": None})
    assert only(daemon.check_gateway(other)).status == "ok", "it uses another file"


@pytest.mark.parametrize("site", [{"config": "gateway: {port: false}\n"}, {"status": ALIVE}])
def test_gateway_that_is_off_passes(make: MakeSite, site: dict[str, Any]) -> None:
    assert only(daemon.check_gateway(make(**site))).evidence == "off"


# --- host -----------------------------------------------------------------------------------------------


def test_unit_that_was_changed_is_a_warning(make: MakeSite, tmp_path: Path) -> None:
    site = make()
    command = Path(sys.executable).parent / "clawd"
    unit = units("system", command=command, config=None, environ=site.environ, root=tmp_path / "root").unit
    unit.path.parent.mkdir(parents=True)
    unit.path.write_text(unit.text)
    assert only(host.check_unit(site)).evidence.endswith("as this version writes it")
    unit.path.write_text(unit.text + "ProtectSystem=no\n")
    assert failed(host.check_unit(site), "differs", "warn").fix == "clawd service install --system"


@pytest.mark.parametrize(("limit", "status"), [(64, "fail"), (512, "warn")])
def test_few_file_descriptors_are_told(make: MakeSite, limit: int, status: str) -> None:
    failed(host.check_open_files(make(file_limit=lambda: limit)), f"of this shell is {limit}", status)


def test_file_limit_is_that_of_the_running_daemon(make: MakeSite) -> None:
    assert "of the daemon" in only(host.check_open_files(make(status=ALIVE))).evidence


def test_clock_in_the_past_fails(make: MakeSite) -> None:
    failed(host.check_clock(make(now=lambda: 0.0)), "1970-01-01")


def test_clock_behind_what_was_written_is_a_warning(make: MakeSite) -> None:
    site = make()
    later = site.state_dir / "clawd.db"
    later.touch()
    tomorrow = time.time() + 86400
    os.utime(later, (tomorrow, tomorrow))
    failed(host.check_clock(site), "but the state directory was written", "warn")


def test_local_model_without_its_file_or_engine_fails(make: MakeSite, tmp_path: Path) -> None:
    site = make(f"models: [{{name: mine, type: local, path: {tmp_path}/nope.gguf}}]\n")
    failed(host.check_local_model(site), "mine: ")


# --- TLS -------------------------------------------------------------------------------------------


def test_tls_files_are_tried(make: MakeSite, tmp_path: Path) -> None:
    made, other = make_certificate(tmp_path), make_certificate(tmp_path, "other")
    text = "gateway: {{port: 0, tls: {{cert: {}, key: {}}}}}\n"
    assert only(tls.check_tls(make(text.format(made.cert, made.key)))).status == "ok"
    failed(tls.check_tls(make(text.format(made.cert, other.key))), "config.yaml:1:1: gateway.tls: the cert")
    failed(tls.check_tls(make(text.format(made.cert, tmp_path / "gone"))), f"{tmp_path}/gone: No such file")
    assert not list(tls.check_tls(make(text.format(tmp_path / "gone", made.key).replace("0", "false", 1))))


# --- bridges that wait for calls --------------------------------------------------------------------


HOOK = "hook: {type: webhook, secret: abcdefghijklmnopqrstuvwxyz}"
WECHAT = "oa: {type: wechat, app_id: wx1234567890abcdef, token: abc123}"


@pytest.mark.parametrize("section", [HOOK, WECHAT])
def test_bridge_that_is_called_fails_without_a_gateway(make: MakeSite, section: str) -> None:
    site = make(f"gateway: {{port: false}}\nbridges: {{{section}}}\n")
    failed(configuration.check_config(site), "config.yaml:1:17: gateway.port: the gateway is off")


def test_bridge_whose_plugin_does_not_say_that_it_is_called_fails_without_a_gateway(make: MakeSite) -> None:
    site = make(f"bridges: {{{HOOK}}}\n")
    plugin = replace(site.plugins.bridges["webhook"], called=False)
    assert site.loaded is not None
    off = site.config.model_copy(update={"gateway": GatewayConfig(port=False)})
    site = replace(
        site,
        plugins=replace(site.plugins, bridges={"webhook": plugin}),
        loaded=replace(site.loaded, config=off),
    )
    failed(outside.check_webhooks(site), "the gateway is off")


def test_wechat_account_is_shown_to_take_calls(make: MakeSite) -> None:
    finding = only(outside.check_webhooks(make(f"bridges: {{{WECHAT}}}\n")))
    assert (finding.status, finding.id) == ("ok", "bridge:oa")
    assert "/bridges/oa" in finding.evidence


def test_webhook_without_a_secret_fails_already_in_the_configuration(make: MakeSite) -> None:
    failed(configuration.check_config(make("bridges: {hook: {type: webhook}}\n")), "bridges.hook.secret")


def test_webhook_with_two_secrets_passes(make: MakeSite) -> None:
    secrets = json.dumps(["abcdefghijklmnopqrstuvwxyz", "zyxwvutsrqponmlkjihgfedcba"])
    finding = only(outside.check_webhooks(make(f"bridges: {{hook: {{type: webhook, secret: {secrets}}}}}\n")))
    assert (finding.status, finding.id) == ("ok", "bridge:hook")
    assert "2 secrets" in finding.evidence


def asked(site: Site) -> Iterator[Finding]:
    board = Board()
    asyncio.run(outside.check_models(site, board))
    return iter(board.findings(0))


def test_demo_alone_is_a_warning(make: MakeSite) -> None:
    assert failed(asked(make()), "only the demo", "warn").fix == "clawd init"


def test_models_are_not_asked_while_the_configuration_is_broken(make: MakeSite) -> None:
    failed(asked(make("agent: 1\n")), "not asked", "warn")


def test_a_price_that_nobody_looked_at_for_half_a_year_is_a_note(make: MakeSite) -> None:
    def day(number: int) -> Callable[[], float]:
        return lambda: 1_767_225_600 + number * 86_400.0  # days since 2026-01-01

    models = (
        "[{name: m, type: chat, base_url: 'http://x', price: {input: 1, output: 2, as_of: '2026-01-01'}}]"
    )
    assert list(prices.check_prices(make(f"models: {models}", now=day(180)))) == []
    (finding,) = prices.check_prices(make(f"models: {models}", now=day(181)))
    assert (finding.status, "the price of m is of 2026-01-01, 181 days ago" in finding.evidence) == (
        "warn",
        True,
    )
    assert "set price of the model m" in finding.fix


def test_budgets_near_their_end_are_a_note(make: MakeSite) -> None:
    day = {"budget": "day", "of": "", "limit_usd": 5.0, "spent_usd": 1.0, "left_usd": 4.0, "warn_at": 0.8}
    own = day | {"budget": "model", "of": "main", "spent_usd": 5.5, "left_usd": 0.0}
    for standing in (day, own):
        standing["ends_at"] = "2026-03-02T00:00:00.000Z"
    assert list(budgets.check_budgets(make())) == [], "nobody runs"
    assert list(budgets.check_budgets(make(status=ALIVE))) == [], "there are none"
    (fine,) = budgets.check_budgets(make(status=ALIVE | {"budgets": [day]}))
    assert fine.status == "ok"
    (finding,) = budgets.check_budgets(make(status=ALIVE | {"budgets": [day, own]}))
    assert (finding.id, finding.status) == ("budgets", "warn")
    assert "model main: $5.50 of $5.00 (110%), spent until 2026-03-02 00:00 UTC" in finding.evidence
    assert "day_usd of the model main" in finding.fix


def test_prices_of_models_that_are_found_grow_old_too(make: MakeSite) -> None:
    site = make("{}", now=lambda: 4_000_000_000.0)
    assert list(prices.check_prices(site)) == []
    (finding,) = prices.check_prices(replace(site, environ={**site.environ, "DEEPSEEK_API_KEY": "sk-1"}))
    assert "the price of deepseek is of 2026-" in finding.evidence

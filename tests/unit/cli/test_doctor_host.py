"""`clawd doctor` on what surrounds a daemon: who holds a port, inodes, the clock, extras, proxies, people, tokens."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from clawd.cli.checks import (
    configuration,
    connections,
    daemon,
    files,
    host,
    journal,
    kernel,
    people,
    surroundings,
    tls,
)
from clawd.cli.checks.site import survey
from clawd.gateway.token_file import TOKEN_FILE
from clawd.journal.opening import highest
from clawd.ports import holder_of_port
from clawd.store.mark import Mark
from clawd.store.opening import open_database
from tests.fakes.certificates import make_certificate
from tests.fakes.control_api import FakeControlApi
from tests.fakes.doctor_site import ALIVE, MakeSite, failed, make, only

__all__ = ["make"]  # the fixture

DAY_S = 86_400.0
HOOK = "hook: {type: webhook, secret: abcdefghijklmnopqrstuvwxyz}"
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()


def token(**changed: object) -> dict[str, object]:
    whole = {"name": "ops", "scopes": ["admin"], "expires_at": None, "created_at": None, "last_used_at": None}
    return {**whole, "source": "created", **changed}


def at(days: float) -> str:
    return datetime.fromtimestamp(NOW + days * DAY_S, UTC).isoformat()


# --- ports and sockets --------------------------------------------------------------------------------


def test_the_process_behind_a_port_is_named(make: MakeSite) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        holder = holder_of_port(port, Path("/proc"))
        assert holder is not None
        assert holder.pid == os.getpid()
        finding = failed(daemon.check_gateway(make(f"gateway: {{port: {port}}}\n")), f"is used by {holder}")
        assert f"end process {os.getpid()}" in finding.fix
    assert holder_of_port(port, Path("/proc")) is None


def test_a_holder_that_closes_a_file_while_it_is_looked_at_is_named_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text("head\n 0: 0100007F:1CCD 0:0 0A 0 0 0 0 0 4242 1\n")
    descriptors = tmp_path / "4711" / "fd"
    descriptors.mkdir(parents=True)
    (tmp_path / "4711" / "comm").write_text("nginx\n")
    for number in range(3, 20):
        (descriptors / str(number)).write_text("no link any more")
    (descriptors / "20").symlink_to("socket:[4242]")
    assert str(holder_of_port(7373, tmp_path)) == "nginx (process 4711)"


def test_a_port_whose_holder_is_another_users_is_told_without_a_name(make: MakeSite, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        site = make(f"gateway: {{port: {port}}}\n", proc=tmp_path)
        assert "sudo ss -ltnp" in failed(daemon.check_gateway(site), "is used by another program").fix


# --- disk ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("free", "status"), [(10, "fail"), (5_000, "warn")])
def test_few_inodes_are_told_although_there_is_space(make: MakeSite, free: int, status: str) -> None:
    site = make(inodes=lambda _: (100_000, free))
    failed(files.check_disk(site), f"{free} of 100000 files more can be made", status)


def test_a_file_system_without_inodes_is_no_fault(make: MakeSite) -> None:
    assert only(files.check_disk(make(inodes=lambda _: (0, 0)))).status == "ok"


def test_a_log_on_another_disk_is_looked_at_as_well(make: MakeSite, tmp_path: Path) -> None:
    elsewhere = tmp_path / "var"
    elsewhere.mkdir()
    full = {elsewhere: (1 << 30, 0)}
    site = make(disk=lambda path: full.get(path, (100 << 30, 50 << 30)))
    (site.state_dir / "clawd.log").symlink_to(elsewhere / "clawd.log")
    failed(files.check_disk(site), f"at {elsewhere}")


# --- permissions ---------------------------------------------------------------------------------------


def test_everything_below_the_state_directory_is_looked_at_but_the_workspace(make: MakeSite) -> None:
    site = make()
    site.state_dir.chmod(0o755)
    for name in ("bridges/weixin/login.json", "backups/a.db", "clawd.log.1", "workspace/free.txt"):
        path = site.state_dir / name
        for folder in (path.parent.parent, path.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
        path.touch(mode=0o640)
    found = [f for f in files.check_permissions(site) if f.status == "fail"]
    assert sorted(f.fix.rpartition("/")[2] for f in found) == ["a.db", "clawd.log.1", "login.json"]
    assert all("mode 640" in f.evidence and "chmod 600" in f.fix for f in found)


def test_many_loose_files_are_told_in_one_line(make: MakeSite) -> None:
    site = make()
    for number in range(9):
        (site.state_dir / f"{number}").touch(mode=0o666)
    assert (
        failed(iter(list(files.check_permissions(site))[5:]), "4 more below", "warn").fix
        == "clawd doctor --fix"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="left out: only root can give files away")
def test_a_file_of_another_user_is_told(make: MakeSite) -> None:
    site = make()
    (site.state_dir / "clawd.db").touch(mode=0o600)
    os.chown(site.state_dir / "clawd.db", 12345, -1)
    assert "chown -R" in failed(files.check_permissions(site), "belongs to uid 12345").fix


# --- the clock --------------------------------------------------------------------------------------------


def test_a_clock_that_nothing_keeps_is_a_warning(make: MakeSite) -> None:
    failed(host.check_clock(make(synchronized=lambda: False)), "nothing keeps in time", "warn")
    assert only(host.check_clock(make(synchronized=lambda: None))).status == "ok"
    assert kernel.synchronized() in (True, False, None)


def test_a_clock_that_was_set_while_the_daemon_ran_is_a_warning(make: MakeSite) -> None:
    status = {**ALIVE, "started_at": at(-1), "uptime_s": 3600.0}
    failed(host.check_clock(make(status=status, now=lambda: NOW)), "set by +82800 s since", "warn")
    fine = {**ALIVE, "started_at": at(-1), "uptime_s": DAY_S}
    assert host._jump_s(make(status=fine, now=lambda: NOW)) == 0


# --- the database -----------------------------------------------------------------------------------------


def real_database(site: Any) -> None:
    opened = open_database(site.state_dir, highest, lock_timeout_s=1)
    opened.db.close()
    opened.lock.release()


def test_a_database_that_lost_its_end_fails(make: MakeSite) -> None:
    site = make()
    real_database(site)
    assert next(iter(journal.check_journal(site))).status == "ok"
    Mark(site.state_dir).write(42)
    failed(journal.check_journal(site), "entries up to 42 were committed")


def test_a_database_too_large_to_read_in_time_is_a_warning(make: MakeSite, tmp_path: Path) -> None:
    ticks = iter(range(10_000))
    site = replace(make(monotonic=lambda: float(next(ticks))), until=0.0)
    with closing(sqlite3.connect(site.state_dir / "clawd.db")) as db:
        real = make()
        assert real.state_dir == site.state_dir
        db.execute("PRAGMA application_id = 0x636C7764")
        db.execute("CREATE TABLE a (b)")
        db.executemany("INSERT INTO a VALUES (?)", ((f"{n:0200}",) for n in range(60_000)))
        db.commit()
    finding = failed(journal.check_journal(site), "not read to its end within", "warn")
    assert "clawd journal check" in finding.fix


@pytest.mark.parametrize(("rows", "days", "status"), [(10, 1, "ok"), (1_001, 1, "warn"), (10, 8, "warn")])
def test_no_backup_and_nobody_told_are_warnings_once_it_is_relied_on(
    make: MakeSite, rows: int, days: int, status: str
) -> None:
    site = make(now=lambda: NOW)
    real_database(site)
    Mark(site.state_dir).write(rows)
    for path in site.state_dir.iterdir():
        os.utime(path, (NOW, NOW))
    os.utime(site.state_dir / "clawd.db", (NOW - days * DAY_S, NOW - days * DAY_S))
    assert journal._backups(site).status == status
    assert only(people.check_alerts(site)).status == status


def test_a_configuration_that_others_may_change_and_read_is_told_once(make: MakeSite) -> None:
    site = make(f"bridges: {{{HOOK}}}\n")
    assert site.config_path is not None
    site.config_path.chmod(0o666)
    site = survey(None, None, site.environ, site.host)
    told = [*configuration.check_config(site), *files.check_permissions(site)]
    finding = failed(iter(told), "and read the secret in it")
    assert finding.fix == f"chmod 600 {site.config_path}"
    assert [each for each in told if each.status != "ok"] == [finding]
    assert site.config_path is not None
    site.config_path.chmod(0o644)
    site = survey(None, None, site.environ, site.host)
    failed(configuration.check_config(site), "others may read it", "warn")


def test_an_old_backup_and_endless_keeping_are_warnings(make: MakeSite) -> None:
    site = make(now=lambda: NOW)
    real_database(site)
    backup = site.state_dir / "backups" / "a.db"
    backup.parent.mkdir(mode=0o700)
    backup.touch(mode=0o600)
    os.utime(backup, (NOW - 40 * DAY_S, NOW - 40 * DAY_S))
    found = list(journal.check_keeping(site))
    failed([each for each in found if each.id == "backup"], "40.0 days old", "warn")
    os.utime(backup, (NOW, NOW))
    os.truncate(site.state_dir / "clawd.db", journal.MOST_BYTES + 1)
    failed(journal._growth(site, site.state_dir / "clawd.db"), "kept for ever", "warn")


# --- what the configuration needs ---------------------------------------------------------------------------


def test_a_proxy_of_the_environment_that_is_not_used_is_told_without_its_password(make: MakeSite) -> None:
    site = make()
    site = replace(site, environ={**site.environ, "HTTPS_PROXY": "http://me:hunter2@proxy:3128"})
    finding = failed(surroundings.check_proxy(site), "HTTPS_PROXY is http://me:", "warn")
    assert "hunter2" not in finding.evidence + finding.fix
    used = make("network: {proxy: 'http://me:hunter2@proxy:3128'}\n")
    assert only(surroundings.check_proxy(used)).status == "ok"


@pytest.mark.skipif(find_spec("aiohttp_socks") is not None, reason="left out: the extra socks is installed")
def test_a_missing_extra_is_told_with_its_install_command(make: MakeSite) -> None:
    assert only(surroundings.check_extras(make())).status == "ok"
    site = make()
    assert site.loaded is not None
    network = site.config.network.model_copy(update={"proxy": "socks5://127.0.0.1:1080"})
    config = site.config.model_copy(update={"network": network})
    site = replace(site, loaded=replace(site.loaded, config=config))
    assert failed(surroundings.check_extras(site), "extra `socks`").fix == 'pip install "clawd-agent[socks]"'


def test_what_keeps_users_from_namespaces_is_named(make: MakeSite, tmp_path: Path) -> None:
    (tmp_path / "sys" / "user").mkdir(parents=True)
    (tmp_path / "sys" / "user" / "max_user_namespaces").write_text("0\n")
    finding = only(surroundings.check_sandbox(make(proc=tmp_path)))
    assert "forbidden (user.max_user_namespaces=0)" in finding.evidence
    assert kernel.landlock_abi() >= 0


# --- people and tokens ----------------------------------------------------------------------------------------


def test_nobody_who_decides_and_nobody_who_is_told_are_warnings(make: MakeSite) -> None:
    site = make(f"bridges: {{{HOOK}}}\n", status=ALIVE)
    failed(people.check_owners(site), "at this terminal alone", "warn")
    failed(people.check_alerts(site), "nobody is told", "warn")
    told = make(
        f"bridges: {{{HOOK}}}\naccess: {{owners: ['hook:1']}}\nalerts: {{targets: [{{bridge: hook, chat: 1}}]}}\n"
    )
    owned = make(f"bridges: {{{HOOK}}}\naccess: {{owners: ['hook:1']}}\n")
    assert only(people.check_alerts(owned)).status == "ok"
    assert only(people.check_owners(told)).status == only(people.check_alerts(told)).status == "ok"


def test_owners_that_were_let_in_are_known_to_the_daemon_alone(make: MakeSite) -> None:
    alone = make(f"bridges: {{{HOOK}}}\n")
    for check in (people.check_owners, people.check_alerts):
        assert only(check(alone)).evidence.endswith("a running daemon knows who else was let in as an owner")
    site = make(f"bridges: {{{HOOK}}}\n", status=ALIVE)
    with FakeControlApi(site.sockets[0]) as api:
        api.answers = {
            "/pairings": {
                "principals": [
                    {"principal": "hook:1", "right": "owner"},
                    {"principal": "hook:2", "right": "chat"},
                ]
            },
            "/alerts": {"targets": ["hook 1"]},
        }
        assert only(people.check_owners(site)).evidence == "hook:1"
        assert (
            only(people.check_alerts(site)).evidence == "told of trouble: hook 1; clawd alerts test tries it"
        )


def test_a_target_that_can_not_be_told_now_is_a_warning(make: MakeSite) -> None:
    site = make(f"bridges: {{{HOOK}}}\nalerts: {{targets: [{{bridge: hook, chat: 1}}]}}\n", status=ALIVE)
    with FakeControlApi(site.sockets[0]) as api:
        trouble = [{"target": "hook 1", "why": "no route"}]
        api.answers = {"/alerts": {"trouble": trouble, "targets": ["hook 1", "hook 2"]}}
        failed(people.check_alerts(site), "hook 1 can't be told: no route", "warn")
        api.answers = {"/alerts": {"trouble": trouble, "targets": ["hook 1"]}}
        failed(people.check_alerts(site), "nobody can be told of trouble: hook 1 can't be told: no route")


def test_an_alert_for_a_bridge_that_is_off_fails(make: MakeSite) -> None:
    off = HOOK.replace("secret", "enabled: false, secret")
    site = make(f"bridges: {{{off}}}\nalerts: {{targets: [{{bridge: hook, chat: 1}}]}}\n")
    failed(people.check_alerts(site), "the bridge hook is not enabled")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"expires_at": at(-1)}, "ops has expired on 2026-11-25"),
        ({"expires_at": at(3)}, "ops expires on 2026-11-29"),
        ({"created_at": at(-200)}, "was not used for 200 days"),
        ({"created_at": at(-200), "last_used_at": at(-190)}, "was not used for 190 days"),
    ],
)
def test_tokens_that_end_or_are_forgotten_are_told(changed: Mapping[str, object], words: str) -> None:
    finding = connections._token(token(**changed), NOW)
    assert finding is not None
    assert (words in finding.evidence, finding.fix) == (True, "clawd tokens revoke ops")
    assert connections._token(token(created_at=at(-200), last_used_at=at(-1)), NOW) is None
    assert connections._token(token(created_at=at(-200), source="config"), NOW) is None


def test_an_old_generated_token_and_one_that_counts_no_more_are_told(make: MakeSite) -> None:
    assert connections.TOKEN_FILE == TOKEN_FILE
    site = make("gateway: {port: 0}\n", now=lambda: NOW)
    (site.state_dir / TOKEN_FILE).write_text("clawd_x\n")
    os.utime(site.state_dir / TOKEN_FILE, (NOW - 400 * DAY_S, NOW - 400 * DAY_S))
    failed(connections.check_tokens(site), "400 days old", "warn")
    own = make(
        "gateway: {port: 0, tokens: [{name: a, token: abcdefgh, expires: 2026-11-20T00:00:00Z}]}\n",
        now=lambda: NOW,
    )
    found = [finding.evidence for finding in connections.check_tokens(own)]
    assert "counts no more" in found[0]
    assert "a has expired on 2026-11-20" in found[1]


# --- the running daemon's word -----------------------------------------------------------------------------------


def test_bridges_and_models_of_the_daemon_are_told(make: MakeSite) -> None:
    bridge = {"name": "tg", "type": "telegram", "since": at(0), "error": "", "remedy": ""}
    model = {"name": "main", "breaker": {"state": "closed"}, "last_error": ""}
    fine = make(status={**ALIVE, "bridges": [{**bridge, "state": "connected"}], "models": [model]})
    assert (
        only(connections.check_connections(fine)).status
        == only(connections.check_breakers(fine)).status
        == "ok"
    )
    refused = {**bridge, "state": "bad_credentials", "error": "401", "remedy": "ask BotFather"}
    out = {**model, "breaker": {"state": "open"}, "last_error": "HTTP 500"}
    site = make(status={**ALIVE, "bridges": [refused], "models": [out, model]})
    assert failed(connections.check_connections(site), "bad_credentials since").fix == "ask BotFather"
    assert failed(connections.check_breakers(site), "main is not asked (open): HTTP 500", "warn").fix
    waits = {**bridge, "state": "transient_disconnect"}
    failed(connections.check_connections(make(status={**ALIVE, "bridges": [waits]})), "no reason", "warn")


# --- certificates ------------------------------------------------------------------------------------------------


def test_a_certificate_near_its_end_and_an_expired_one_are_told(make: MakeSite, tmp_path: Path) -> None:
    made = make_certificate(tmp_path)
    text = f"gateway: {{port: 0, tls: {{cert: {made.cert}, key: {made.key}}}}}\n"
    now = datetime.now(UTC).timestamp()
    assert "until 20" in only(tls.check_tls(make(text))).evidence
    failed(tls.check_tls(make(text, now=lambda: now + 20 * DAY_S)), "more days", "warn")
    failed(tls.check_tls(make(text, now=lambda: now + 31 * DAY_S)), "has expired on")


def test_a_certificate_that_is_really_over_is_told_as_such(make: MakeSite, tmp_path: Path) -> None:
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")]),
    )
    ended = datetime(2026, 1, 31, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    over = builder.not_valid_before(ended - timedelta(days=30)).not_valid_after(ended)
    (tmp_path / "a.pem").write_bytes(over.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    (tmp_path / "a.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    site = make(f"gateway: {{port: 0, tls: {{cert: {tmp_path}/a.pem, key: {tmp_path}/a.key}}}}\n")
    failed(tls.check_tls(site), "has expired on 2026-01-31")

"""`clawd doctor` as a process: its options, what hangs, what is odd at a platform, and that it disturbs no daemon."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clawd.cli.audit import audit_report
from clawd.cli.checks import CHECKS, examine
from clawd.cli.checks.catalogue import ABOUT
from clawd.cli.invocation import Invocation
from clawd.cli.live import ask_bridge
from clawd.cli.main import run
from clawd.cli.mending import mend
from clawd.cli.options import WordNeeded
from clawd.config.loader import load_config
from clawd.errors import ConfigError
from clawd.plugins import find_plugins
from tests.fakes.bot_api import TOKEN, FakeBotApi
from tests.fakes.daemon_tests import DaemonTests
from tests.fakes.doctor_site import ALIVE, MakeSite, make
from tests.fakes.shell import Shell

__all__ = ["make"]  # the fixture

PLUGINS = find_plugins()
CONFIG = "models: [{name: d, type: demo}]\ngateway: {port: false}\n"


def shell_at(home: Path, config: str = CONFIG) -> Shell:
    (home / "config.yaml").write_text(config)
    (home / "config.yaml").chmod(0o600)
    return Shell(home)


async def test_what_hangs_is_told_and_does_not_hold_the_command_up(state_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never says a word
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        clawd = shell_at(
            state_dir,
            f"models: [{{name: main, type: chat, base_url: '{url}', api_key: k}}]\ngateway: {{port: false}}\n"
            f"bridges: {{tg: {{type: telegram, token: '{TOKEN}', api_base: '{url}'}}}}\n",
        )
        done = await clawd("doctor", "--json")
    checks = {check["id"]: check for check in done.json["checks"]}
    for id_ in ("model:main", "bridge:tg"):
        assert checks[id_]["status"] == "warn"
        assert checks[id_]["evidence"].startswith("no answer within ")
        assert float(checks[id_]["evidence"].split()[3]) <= 1.5
    assert done.err == ""


async def test_a_resolver_that_nothing_can_end_does_not_hold_the_command_up(state_dir: Path) -> None:
    clawd = shell_at(
        state_dir,
        "models: [{name: main, type: chat, base_url: 'http://models.invalid/v1', api_key: k}]\n"
        "gateway: {port: false}\n",
    )
    (state_dir / "sitecustomize.py").write_text(
        "import socket, time\nsocket.getaddrinfo = lambda *_, **__: time.sleep(3600)\n"
    )
    process = await clawd.start("doctor", "--json", "--timeout", "0.5", PYTHONPATH=str(state_dir))
    out, err = await process.communicate()
    (model,) = [check for check in json.loads(out)["checks"] if check["id"] == "model:main"]
    assert (process.returncode, err, model["status"]) == (0, b"", "warn")
    assert model["evidence"].startswith("no answer within 0.")


async def test_a_foreign_webhook_and_privacy_mode_are_told(state_dir: Path) -> None:
    async with FakeBotApi() as telegram:
        telegram.set_webhook("https://elsewhere.example.com/hook/secret")
        section = f"{{type: telegram, token: '{TOKEN}', api_base: '{telegram.url}', without_mention: ['*']}}"
        (state_dir / "config.yaml").write_text(f"bridges: {{tg: {section}}}\n")
        loaded = await asyncio.to_thread(load_config, state_dir / "config.yaml", {}, PLUGINS)
        answer = await ask_bridge("tg", loaded.config, PLUGINS, state_dir)
        assert answer is not None
        assert answer.error is None
        first, second = answer.oddities
        assert "a webhook of elsewhere.example.com is set" in first.what
        assert "secret" not in first.what
        assert second.what.startswith("privacy mode hides")
        assert "BotFather" in second.remedy
        telegram.set_webhook("")
        answer = await ask_bridge("tg", loaded.config, PLUGINS, state_dir)
        assert answer is not None
        assert [oddity.what for oddity in answer.oddities] == [second.what]


@pytest.mark.parametrize(
    "words", [("--security", "--fix"), ("--yes",), ("--fix", "--only", "disk"), ("--only", "dsik")]
)
def test_options_that_make_no_sense_are_refused(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["doctor", *words]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.startswith("error[E-USAGE]")) == ("", True)
    if "dsik" in words:
        assert "try: clawd doctor --only disk" in told.err


def test_the_list_says_what_each_check_tells(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {"id": "disk", "about": ABOUT["disk"]} in listed["checks"]
    assert run(["doctor", "--list"]) == 0
    assert f"disk         {ABOUT['disk']}\n" in capsys.readouterr().out


def test_nothing_is_mended_unasked(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = Invocation(environ=shell_at(state_dir).environ)
    loose = state_dir / "state" / "clawd.log"
    loose.parent.mkdir(mode=0o700, exist_ok=True)
    loose.touch(mode=0o644)
    with pytest.raises(WordNeeded):
        mend(call, dry_run=False, yes=False, as_json=False)
    capsys.readouterr()
    assert mend(call, dry_run=True, yes=False, as_json=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["backup"], [(each["id"], each["done"]) for each in said["repairs"]]) == (
        None,
        [("permissions", False)],
    )
    assert loose.stat().st_mode & 0o777 == 0o644


def test_an_audit_that_finds_something_grave_exits_1(
    state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clawd = shell_at(
        state_dir, f"{CONFIG}tools: {{shell: {{enabled: true, sandbox: none, approval: auto}}}}\n"
    )
    call = Invocation(environ=clawd.environ)
    assert audit_report(call, as_json=False) == 1
    told = capsys.readouterr().out
    assert "high    shell" in told
    assert "fix: tools: {shell: {sandbox: auto}}" in told
    shell_at(state_dir)
    assert audit_report(call, as_json=True) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["schema_version"]) == (True, 1)
    shell_at(state_dir, "agent: 1\n")
    with pytest.raises(ConfigError):
        audit_report(call, as_json=False)


def test_a_running_daemon_is_asked_to_ask(make: MakeSite) -> None:
    answers: dict[str, tuple[int, dict[str, Any]]] = {
        "/models/main/test": (200, {"detail": "big at host answered after 0.20 s", "duration_s": 0.2}),
        "/models/bad/test": (
            502,
            {"what": "bad refused the key", "why": "HTTP 401", "try": "set models: bad"},
        ),
        "/bridges/tg/test": (200, {"detail": "@bot (id 1)", "steps": []}),
        "/bridges/hook/test": (
            200,
            {"detail": "2 of 3", "steps": [{"name": "signed", "ok": False, "detail": "401", "exit_code": 1}]},
        ),
    }
    models = [{"name": name, "type": "chat"} for name in ("main", "bad")]
    status = {**ALIVE, "models": [*models, {"name": "demo", "type": "demo"}], "route": ["main"]}
    bridges = [{"name": name, "type": name} for name in ("tg", "hook")]
    site = make(status={**status, "bridges": bridges})
    with DaemonTests(site.state_dir / "clawd.sock", answers):
        checks = [check for check in CHECKS if check.ask is not None]
        found = {finding.id: finding for finding in examine(site, checks=checks)}
        slow = {**status, "models": [{"name": "slow", "type": "chat"}], "bridges": []}
        hurried = replace(site, status=slow, limit_s=0.3, until=site.host.monotonic() + 0.3)
        (silent, _route) = examine(hurried, checks=checks)
    assert (silent.id, silent.status) == ("model:slow", "warn")
    assert silent.evidence.startswith("no answer within 0.")
    told = {id_: (finding.status, finding.evidence) for id_, finding in found.items()}
    assert told == {
        "model:main": ("ok", "big at host answered after 0.20 s"),
        "model:bad": ("fail", "bad refused the key (HTTP 401)"),
        "models": ("ok", "the default route is main"),
        "bridge:tg": ("ok", "@bot (id 1)"),
        "bridge:hook": ("fail", "signed: 401"),
    }
    assert found["model:bad"].fix == "set models: bad"


@pytest.mark.slow
async def test_a_running_daemon_goes_on_while_its_files_are_mended(state_dir: Path) -> None:
    clawd = shell_at(state_dir)
    assert (await clawd("start", "--detach")).code == 0
    try:
        database = state_dir / "state" / "clawd.db"
        database.chmod(0o644)
        mended = (await clawd("doctor", "--fix", "--yes", "--json")).json
        assert [each["done"] for each in mended["repairs"]] == [True]
        assert f"chmod 644 {database}\n" in (Path(mended["backup"]) / "undo.sh").read_text()
        assert (await clawd("doctor", "--fix")).out.startswith("nothing to mend")
        seen = await clawd("doctor", "--offline", "--json")
        checks: dict[str, Any] = {check["id"]: check for check in seen.json["checks"]}
        assert [checks[id_]["status"] for id_ in ("daemon", "permissions", "socket")] == ["ok"] * 3
        assert (await clawd("chat", "hello")).code == 0
    finally:
        await clawd("stop")

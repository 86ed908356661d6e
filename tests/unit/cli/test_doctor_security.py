"""`clawd doctor --security`: each risk is seen, with its severity, beside an installation that has none."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from clawd.cli.audit import ABOUT, audit
from clawd.cli.audit.risk import Risk
from clawd.cli.checks.site import Site
from tests.fakes.certificates import make_certificate
from tests.fakes.doctor_site import MakeSite, make

__all__ = ["make"]  # the fixture

SECRET = "abcdefghijklmnopqrstuvwxyz"
TOKENS = "tokens: [{name: ops, token: {env: T}, scopes: [admin]}]"
WIDE = "gateway: {host: 0.0.0.0, port: 0, tokens: [{name: ops, token: abcdefgh}]"


def of(site: Site, id_: str) -> list[Risk]:
    assert site.config_error is None, site.config_error
    return [risk for risk in audit(site) if risk.id == id_ and risk.severity != "ok"]


def one(site: Site, id_: str, severity: str, words: str) -> Risk:
    (risk,) = of(site, id_)
    assert (risk.severity, words in risk.evidence) == (severity, True), risk
    assert risk.fix
    return risk


def test_an_installation_with_defaults_has_no_risk_but_its_user(make: MakeSite) -> None:
    risks = audit(make())
    assert {risk.id for risk in risks if risk.severity != "ok"} <= ({"user"} if os.geteuid() == 0 else set())
    assert [risk.id for risk in risks] == list(dict.fromkeys(ABOUT))


# --- the network -------------------------------------------------------------------------------------


def test_a_wide_bind_without_tls_is_grave_and_names_the_tokens(make: MakeSite, tmp_path: Path) -> None:
    one(make(f"{WIDE}}}\n"), "bind", "high", "with the tokens ops")
    one(make(f"{WIDE}, trusted_proxies: [10.0.0.1/32]}}\n"), "bind", "medium", "beside the proxy")
    made = make_certificate(tmp_path)
    assert of(make(f"{WIDE}, tls: {{cert: {made.cert}, key: {made.key}}}}}\n"), "bind") == []


def test_believing_everybody_is_grave(make: MakeSite) -> None:
    one(make(f"{WIDE}, trusted_proxies: [0.0.0.0/0]}}\n"), "proxies", "high", "0.0.0.0/0 is believed")


@pytest.mark.parametrize(("host", "severity"), [("127.0.0.1", "low"), ("192.0.2.1", "medium")])
def test_an_admin_token_without_an_end_is_told(make: MakeSite, host: str, severity: str) -> None:
    text = f"gateway: {{host: {host}, port: 0, tokens: [{{name: ops, token: abcdefgh, scopes: [admin]"
    one(make(f"{text}}}]}}\n"), "tokens", severity, "ops may do everything and never expires")
    assert of(make(f"{text}, expires: 2027-01-01T00:00:00Z}}]}}\n"), "tokens") == []


@pytest.mark.parametrize("preset", ["bearer", "github", "header"])
def test_a_webhook_that_can_be_sent_again_is_told(make: MakeSite, preset: str) -> None:
    more = ", header: X-Token" if preset == "header" else ""
    site = make(f"bridges: {{hook: {{type: webhook, preset: {preset}, secret: {SECRET}{more}}}}}\n")
    one(site, "webhooks", "medium", f"hook ({preset})")
    assert of(make(f"bridges: {{hook: {{type: webhook, secret: {SECRET}}}}}\n"), "webhooks") == []


def test_http_beyond_this_host_is_grave(make: MakeSite) -> None:
    model = "models: [{{name: m, type: chat, base_url: 'http://{}/v1', api_key: k}}]\n"
    risk = one(make(model.format("models.example.com")), "plain_http", "high", "leads to models.example.com")
    assert risk.evidence.startswith("models[0].base_url")
    assert of(make(model.format("127.0.0.1:11434")), "plain_http") == []
    proxy = make("network: {proxy: 'http://proxy.example.com:3128'}\n")
    one(proxy, "plain_http", "medium", "network.proxy")
    page = make("gateway: {port: 0, cors: ['http://app.example.com']}\n")
    assert of(page, "plain_http") == []


def test_exceptions_for_private_networks_are_told(make: MakeSite) -> None:
    callbacks = f"callbacks: {{secret: {SECRET}, allow: [hooks.example.com], allow_private: [10.0.0.0/8]}}"
    site = make(f"gateway: {{port: 0, {callbacks}}}\n")
    one(site, "private_targets", "low", "allow_private[0] (10.0.0.0/8)")


# --- people and tools ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("grant", "severity"), [("chat", "medium"), ("tools", "high")])
def test_letting_everybody_in_is_told(make: MakeSite, grant: str, severity: str) -> None:
    one(make(f"access: {{default: allow, grant: {grant}}}\n"), "strangers", severity, "everybody is let in")
    bridge = f"bridges: {{b: {{type: wecom, bot_id: aibabc, secret: {SECRET}, allow: ['*']}}}}\n"
    found = of(make(f"access: {{default: deny, grant: {grant}}}\n{bridge}"), "strangers")
    assert [(risk.severity, "whoever finds it" in risk.evidence) for risk in found] == [(severity, True)]


def test_tools_for_who_is_let_in_are_told(make: MakeSite) -> None:
    one(make("access: {grant: tools}\n"), "strangers", "low", "the right to use tools")


@pytest.mark.parametrize(
    ("settings", "severity", "words"),
    [
        ("sandbox: none", "medium", "all that the user of clawd may"),
        ("sandbox: none, approval: auto", "high", "nobody is asked"),
        ("sandbox: none, allow: ['*']", "high", "nobody is asked"),
        ("approval: auto", "low", "nobody is asked"),
        ("network: true", "low", "reach the network"),
    ],
)
def test_a_loose_shell_is_told(make: MakeSite, settings: str, severity: str, words: str) -> None:
    one(make(f"tools: {{shell: {{enabled: true, {settings}}}}}\n"), "shell", severity, words)


def test_a_shell_in_its_sandbox_is_no_risk(make: MakeSite) -> None:
    assert of(make("tools: {shell: {enabled: true}}\n"), "shell") == []
    assert of(make("tools: {shell: {sandbox: none}}\n"), "shell") == []


# --- files and the unit ----------------------------------------------------------------------------------


def test_secrets_that_others_read_are_grave_and_literal_ones_are_told(make: MakeSite, tmp_path: Path) -> None:
    site = make(f"bridges: {{hook: {{type: webhook, secret: {SECRET}}}}}\n")
    risk = one(site, "secrets", "low", "config.yaml:1 itself")
    assert SECRET not in f"{risk}"
    assert site.config_path is not None
    site.config_path.chmod(0o604)
    assert [r.severity for r in of(site, "secrets")] == ["high", "low"]
    (tmp_path / "s").write_text(SECRET)
    (tmp_path / "s").chmod(0o640)
    site = make(f"bridges: {{hook: {{type: webhook, secret: {{file: {tmp_path}/s}}}}}}\n")
    one(site, "secrets", "low", f"its group may read {tmp_path}/s")


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("https://alerts.example.com/api/v2/alerts", False),
        ("https://alerts.example.com/incoming-webhook-receiver?team=operations", False),
        ("https://hooks.example.com/services/T0001/B0001/q3Zx81LmPv0aTrk29Bnd", True),
        ("https://alerts.example.com/in?key=abc", True),
    ],
)
def test_an_alerts_url_is_a_secret_only_where_it_carries_one(make: MakeSite, url: str, secret: bool) -> None:
    site = make(f"alerts: {{targets: [{{url: '{url}'}}]}}\n")
    assert bool(of(site, "secrets")) is secret


def test_a_loose_state_directory_and_socket_are_grave(make: MakeSite) -> None:
    site = make()
    site.state_dir.chmod(0o777)
    one(site, "state", "high", "others may write into")
    (site.sockets[0]).touch()
    site.sockets[0].chmod(0o666)
    one(site, "socket", "high", "everybody here may use")
    site.sockets[0].chmod(0o660)
    one(site, "socket", "medium", "the group of")


@pytest.mark.skipif(os.geteuid() != 0, reason="left out: only root can be told that it is root")
def test_a_daemon_of_root_is_told(make: MakeSite) -> None:
    one(make(), "user", "medium", "belongs to root")
    one(make(status={"pid": os.getpid()}), "user", "medium", "runs as root")


def test_secrets_in_a_unit_are_grave(make: MakeSite, tmp_path: Path) -> None:
    unit = tmp_path / "root" / "etc" / "systemd" / "system" / "clawd.service"
    (unit.parent / "clawd.service.d").mkdir(parents=True)
    shutil.copy(Path(__file__).parents[3] / "systemd" / "clawd.service", unit)
    env = tmp_path / "env"
    env.touch(mode=0o644)
    (unit.parent / "clawd.service.d" / "own.conf").write_text(
        f"[Service]\nEnvironment=OPENAI_API_KEY=sk-1\nEnvironmentFile=-{env}\nEnvironment=LANG=C\n"
    )
    found = [risk for risk in of(make(), "unit") if risk.severity == "high"]
    assert ["OPENAI_API_KEY" in found[0].evidence, str(env) in found[1].evidence] == [True, True]
    assert "sk-1" not in f"{found}"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="left out: systemd is not installed")
def test_a_unit_that_is_not_locked_in_is_told_by_systemds_own_judge(make: MakeSite, tmp_path: Path) -> None:
    unit = tmp_path / "root" / "etc" / "systemd" / "system" / "clawd.service"
    unit.parent.mkdir(parents=True)
    shutil.copy(Path(__file__).parents[3] / "systemd" / "clawd.service", unit)
    (risk,) = [risk for risk in audit(make()) if risk.id == "unit"]
    assert (risk.severity, "exposure 1." in risk.evidence) == ("ok", True)
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    one(make(), "unit", "medium", "exposure 9.")


def test_the_page_has_every_risk_in_its_table() -> None:
    page = (Path(__file__).parents[3] / "docs" / "doctor.md").read_text()
    for id_, words in ABOUT.items():
        assert f"| `{id_}` | {words} |" in page

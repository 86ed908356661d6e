"""`clawd status --all`: everything about an installation that helps with a bug, and nothing of its people.

It changes nothing, asks no other host, and works with or without a daemon.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from clawd.cli import report_host
from clawd.cli.checks import examine
from clawd.cli.checks.site import survey
from clawd.cli.report_hiding import Hider, key_of
from clawd.cli.report_log import LogEvent, last_troubles
from clawd.cli.service import unit_state
from clawd.client import Client
from clawd.config.secrecy import names_secret, secrets_in
from clawd.config.view import view
from clawd.errors import ClawdError
from clawd.observability.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from clawd.cli.checks.site import Finding, Site
    from clawd.cli.invocation import Invocation
    from clawd.response import JsonObject

DEAD: Final = 20
MOST: Final = 1000

_STATUS: Final = (
    *("version", "protocol", "pid", "started_at", "uptime_s", "state", "rss_bytes"),
    *("queue", "route", "today", "totals", "lags", "gateway_moved_from"),
)
"""What of a status holds nothing but numbers and names of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BugReport:
    """All of it, hidden already: every text in here may be shown to anybody."""

    made_at: datetime
    host: JsonObject
    daemon: JsonObject | None
    no_daemon: str = ""  # why there is none
    config: JsonObject | None = None
    config_path: str = ""
    config_problems: Sequence[str] = ()
    bridges: Sequence[JsonObject] = ()
    models: Sequence[JsonObject] = ()
    alerts: JsonObject | None = None
    findings: Sequence[JsonObject] = ()
    journal: JsonObject = field(default_factory=dict)
    dead: Sequence[JsonObject] = ()
    log: Sequence[LogEvent] = ()
    unit: JsonObject = field(default_factory=dict)


def report(call: Invocation) -> BugReport:
    """Return the report of the installation that these options mean; raises nothing for what is broken in it."""
    site = survey(call.socket, call.config, call.environ)
    status = site.status
    state_dir = Path(str(status["state_dir"])) if status is not None else site.state_dir
    hider = Hider(_redactor(site, state_dir), key_of(state_dir), site.environ.get("HOME", ""))
    asked = _Asked(Client(site.sockets) if status is not None else None)
    hider.know(_people(site, asked))
    problems = site.config_error.problems if site.config_error is not None else ()
    return BugReport(
        made_at=datetime.now(UTC),
        host=report_host.facts(hider, site.environ, state_dir),
        daemon=_daemon(status, hider) if status is not None else None,
        no_daemon="" if site.no_status is None else hider.text(str(site.no_status)),
        config=hider.config(view(site.loaded.config)) if site.loaded is not None else None,
        config_path=hider.path(str(site.config_path)) if site.config_path is not None else "",
        config_problems=[hider.text(f"{p.key}: {p.message} (line {p.line})") for p in problems],
        bridges=[_bridge(bridge, hider) for bridge in (status or {}).get("bridges", ())],
        models=[_model(model, hider) for model in (status or {}).get("models", ())],
        alerts=_alerts(asked.get("/alerts"), hider),
        findings=[_finding(finding, hider) for finding in examine(site, offline=True)],
        journal={**report_host.journal(state_dir), **_kept(asked.get("/journal"))},
        dead=[_given_up(one, hider) for one in asked.get("/dead", limit=DEAD).get("dead", ())],
        log=last_troubles(state_dir, hider),
        unit={key: hider.text(value) for key, value in unit_state(call).items()},
    )


class _Asked:
    """The daemon's answers; an empty one where it gives none, as it may be half dead."""

    def __init__(self, client: Client | None) -> None:
        self._client = client

    def get(self, path: str, **query: int) -> Mapping[str, Any]:
        if self._client is None:
            return {}
        try:
            return self._client.get(path, **query)
        except ClawdError:
            return {}


def _redactor(site: Site, state_dir: Path) -> Redactor:
    """Return what hides the secrets of the file, of the environment, and the token that clawd made."""
    redactor = Redactor(site.loaded.secrets if site.loaded is not None else _written_in(site.config_path))
    redactor.add(value for name, value in site.environ.items() if names_secret(name))
    with contextlib.suppress(OSError):  # what can't be read can't be told either
        redactor.add([(state_dir / "gateway.token").read_text(encoding="ascii", errors="replace")])
    return redactor


def _written_in(path: Path | None) -> list[str]:
    """Return the secrets that stand in a file which does not load; where it is no YAML either, none are known."""
    if path is None:
        return []
    import yaml

    with contextlib.suppress(OSError, ValueError, yaml.YAMLError):
        return list(secrets_in(yaml.safe_load(path.read_text(encoding="utf-8"))))
    return []


def _people(site: Site, asked: _Asked) -> Iterator[str]:
    """Yield ids and names of everybody that this installation knows, and of their chats."""
    config = site.config
    for section in config.bridges.values():
        yield from section.allow
    for owner in config.access.owners:
        yield owner.partition(":")[2]
    pairs = asked.get("/pairings")
    for principal in pairs.get("principals", ()):
        yield str(principal["principal"]).partition(":")[2]
        yield str(principal["name"])
    for pending in pairs.get("pending", ()):
        yield from (str(pending["sender"]), str(pending["name"]), str(pending["code"]))
    for conversation in asked.get("/conversations", limit=MOST).get("conversations", ()):
        yield from _parts(str(conversation["address"]))
    for dead in asked.get("/dead", limit=MOST).get("dead", ()):
        yield from _parts(str(dead["conversation"] or ""))


def _parts(address: str) -> Iterator[str]:
    _, *parts = address.split(":")
    # `default` and the like are words of clawd, and numbers below are uids and counters.
    yield from (part for part in parts if part != "default" and len(part) > 3)


def _daemon(status: Mapping[str, Any], hider: Hider) -> JsonObject:
    places = {
        key: hider.path(str(status[key])) for key in ("state_dir", "config_path", "socket") if status[key]
    }
    return {
        **{key: status[key] for key in _STATUS if key in status},
        **places,
        "gateway": hider.url(status["gateway"]) if status["gateway"] else "off",
        "config_error": hider.text(status["config_error"]),
        "budgets": status.get("budgets", []),
        "switches": list(status.get("switches", ()))[:DEAD],
    }


def _bridge(bridge: Mapping[str, Any], hider: Hider) -> JsonObject:
    told: JsonObject = {key: bridge[key] for key in ("name", "type", "state", "since")}
    return {**told, "error": hider.text(bridge["error"]), "remedy": hider.text(bridge["remedy"])}


def _model(model: Mapping[str, Any], hider: Hider) -> JsonObject:
    hidden = ("place", "last_error", "breaker", "found")
    breaker = model.get("breaker") or {}
    return {
        **{key: value for key, value in model.items() if key not in hidden},
        "place": hider.text(model["place"]),
        "found": hider.text(model["found"]),
        "last_error": hider.text(model["last_error"]),
        "breaker": {**breaker, "why": hider.text(str(breaker.get("why") or ""))},
    }


def _alerts(answer: Mapping[str, Any], hider: Hider) -> JsonObject | None:
    if not answer:
        return None
    silences = [
        {**each, "why": "", "by": hider.id(str(each["by"])), "label": hider.text(each["label"] or "")}
        for each in answer["silences"]
    ]
    return {
        "alerts": [{**each, "detail": hider.text(each["detail"])} for each in answer["alerts"]],
        "silences": silences,
        "targets": [_target(str(target), hider) for target in answer["targets"]],
        "rules": answer["rules"],
        "trouble": [
            {**each, "target": _target(str(each["target"]), hider), "why": hider.text(each["why"])}
            for each in answer.get("trouble", ())
        ],
    }


def _target(target: str, hider: Hider) -> str:
    if "://" in target:
        return hider.url(target)
    bridge, _, chat = target.partition(" ")
    return f"{bridge} {hider.id(chat)}" if chat else hider.text(target)


def _finding(finding: Finding, hider: Hider) -> JsonObject:
    return {
        "id": finding.id,
        "status": finding.status,
        "evidence": hider.text(finding.evidence),
        "fix": hider.text(finding.fix),
    }


def _kept(facts: Mapping[str, Any]) -> JsonObject:
    return {
        key: facts[key] for key in ("free_bytes", "keep_days", "backups", "last_backup_at") if key in facts
    }


def _given_up(dead: Mapping[str, Any], hider: Hider) -> JsonObject:
    """Return a dead letter without its text."""
    conversation = dead["conversation"]
    return {
        "id": dead["id"],
        "state": dead["state"],
        "at": dead["at"],
        "bridge": dead["bridge"],
        "conversation": hider.address(str(conversation)) if conversation else None,
        "why": hider.text(dead["why"]),
    }

"""A bug report as Markdown, to be pasted: a short head, then one fold for each part."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from clawd.cli import alert_words
from clawd.cli.printing import clean, counted, duration, size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from clawd.cli.report import BugReport
    from clawd.cli.report_log import LogEvent
    from clawd.response import JsonValue

_FENCE: Final = "```"


def markdown(report: BugReport) -> str:
    """Return the whole report."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: BugReport) -> Iterator[str]:
    host, daemon = report.host, report.daemon
    yield f"### clawd {host['version']}, {report.made_at:%Y-%m-%d %H:%M} UTC"
    yield ""
    yield f"- {host['os']}, {host['kernel']}, container: {host['container']}"
    yield f"- {host['python']}, SQLite {host['sqlite']}; installed by {host['installed']}"
    if daemon is None:
        yield f"- no daemon answers: {_inline(report.no_daemon)}"
    else:
        yield (
            f"- daemon {daemon['version']}: {daemon['state']}, up {duration(_number(daemon['uptime_s']))}, "
            f"{size(int(_number(daemon['rss_bytes'])))}"
        )
    yield f"- checks: {_counts(report.findings)}"
    firing = [a for a in _list(report.alerts, "alerts") if a["state"] == "firing"]
    told = "; ".join(alert_words.headline(alert) for alert in firing)
    yield f"- alerts: {told or ('none' if report.alerts is not None else 'not known')}"
    yield ""
    yield "Secrets are `***`; people, chats and other names are hashes, the same for the same one; texts are left out."
    for title, body in _parts(report):
        yield ""
        yield f"<details><summary>{title}</summary>"
        yield ""
        yield _FENCE
        yield from (clean(line).replace(_FENCE, "'''") for line in body or ("(none)",))
        yield _FENCE
        yield ""
        yield "</details>"


def _parts(report: BugReport) -> Iterator[tuple[str, Sequence[str]]]:
    odd = sum(finding["status"] != "ok" for finding in report.findings)
    yield f"Doctor: {odd} to look at", [line for finding in report.findings for line in _finding(finding)]
    if report.daemon is not None:
        yield "Status", list(_tree(report.daemon))
        yield f"Bridges ({len(report.bridges)})", [line for each in report.bridges for line in _row(each)]
        yield f"Models ({len(report.models)})", [line for each in report.models for line in _row(each)]
    if report.alerts is not None:
        yield "Alerts", list(_tree({key: report.alerts[key] for key in ("alerts", "silences", "targets")}))
    yield "Journal", list(_tree(report.journal))
    if report.dead:
        yield f"Given up, the last {len(report.dead)}", [json.dumps(each) for each in report.dead]
    yield (
        f"Log, the last {counted(len(report.log), 'trouble')}",
        [line for event in report.log for line in _event(event)],
    )
    yield (
        "Configuration" + (f" {report.config_path}" if report.config_path else ", all defaults"),
        _config(report),
    )
    yield "Host and service", [*_tree(report.host), *_tree({"unit": report.unit})]


def _config(report: BugReport) -> list[str]:
    if report.config is None:
        return ["It does not load:", *report.config_problems]
    return list(_tree(report.config))


def _finding(finding: Mapping[str, Any]) -> Iterator[str]:
    yield f"{finding['status']:4}  {finding['id']}  {finding['evidence']}"
    if finding["fix"]:
        yield f"      fix: {finding['fix']}"


def _event(event: LogEvent) -> Iterator[str]:
    fields = " ".join(f"{key}={value}" for key, value in event.fields.items())
    yield " ".join(filter(None, (event.at, event.level, event.event, fields, event.logger)))
    yield from event.trace


def _row(each: Mapping[str, JsonValue]) -> Iterator[str]:
    yield str(each["name"])
    yield from (f"  {line}" for key, value in each.items() if key != "name" for line in _tree({key: value}))


def _tree(value: Mapping[str, JsonValue]) -> Iterator[str]:
    """Yield nested values as indented lines, what is empty left out."""
    for key, part in value.items():
        if isinstance(part, dict):
            below = list(_tree(part))
            if below:
                yield f"{key}:"
                yield from (f"  {line}" for line in below)
        elif isinstance(part, list) and any(isinstance(item, dict | list) for item in part):
            yield f"{key}:"
            yield from (f"  - {json.dumps(item, ensure_ascii=False)}" for item in part)
        elif isinstance(part, list):
            if part:
                yield f"{key}: {', '.join(map(str, part))}"
        elif part not in (None, ""):
            yield f"{key}: {str(part).lower() if isinstance(part, bool) else part}"


def _counts(findings: Sequence[Mapping[str, Any]]) -> str:
    numbers = {status: sum(f["status"] == status for f in findings) for status in ("ok", "warn", "fail")}
    return f"{numbers['ok']} ok, {numbers['warn']} to look at, {numbers['fail']} broken"


def _list(value: Mapping[str, Any] | None, key: str) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = (value or {}).get(key, ())
    return found


def _number(value: JsonValue) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _inline(text: str) -> str:
    return " ".join(clean(text).split())

"""Alerts as Alertmanager's webhook body, version 4, so that its receivers take them. Pure.

Source: Prometheus documentation, Alertmanager configuration, `webhook_config`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from clawd.alerts.rules import PER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Literal

    from clawd.alerts.base import Alert
    from clawd.response import JsonObject, JsonValue

RECEIVER: Final = "clawd"
MAX_ALERTS: Final = 100
"""In one body; how many more there are is said."""

_NEVER: Final = "0001-01-01T00:00:00Z"  # `endsAt` of what goes on: Go's zero time


def name_of(rule: str) -> str:
    """Return a rule's `alertname`: `error_rate` becomes `ClawdErrorRate`."""
    return "Clawd" + "".join(word.capitalize() for word in rule.split("_"))


def body_of(
    alerts: Sequence[Alert],
    status: Literal["firing", "resolved"],
    *,
    instance: str,
    annotate: Callable[[Alert], tuple[str, str]],
    name: str | None = None,
) -> str:
    """Return the JSON body that tells of alerts of one rule.

    Args:
        alerts: At least one, all of one rule.
        status: Whether they begin or end.
        instance: The host's name.
        annotate: Returns the summary and the description of one.
        name: The `alertname`; None: the rule's.
    """
    alertname = name or name_of(alerts[0].rule)
    told = alerts[:MAX_ALERTS]
    labels = [_labels(alert, instance, alertname) for alert in told]
    annotations = [_annotations(*annotate(alert)) for alert in told]
    entries: list[JsonValue] = [
        {
            "status": status,
            "labels": dict(its_labels),
            "annotations": dict(its_annotations),
            "startsAt": _time(alert.fired_at or alert.began_at),
            "endsAt": _time(alert.resolved_at) if status == "resolved" and alert.resolved_at else _NEVER,
            "generatorURL": "",
            "fingerprint": alert.fingerprint,
        }
        for alert, its_labels, its_annotations in zip(told, labels, annotations, strict=True)
    ]
    body: JsonObject = {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{alertname}"}}',
        "truncatedAlerts": max(len(alerts) - MAX_ALERTS, 0),
        "status": status,
        "receiver": RECEIVER,
        "groupLabels": {"alertname": alertname},
        "commonLabels": dict(_common(labels)),
        "commonAnnotations": dict(_common(annotations)),
        "externalURL": "",
        "alerts": entries,
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def _labels(alert: Alert, instance: str, alertname: str) -> Mapping[str, str]:
    labels = {
        "alertname": alertname,
        "severity": alert.severity,
        "rule": alert.rule,
        "instance": instance,
    }
    return labels | ({PER[alert.rule]: alert.label} if alert.label else {})


def _annotations(summary: str, description: str) -> Mapping[str, str]:
    return {"summary": summary, "description": description}


def _common(every: Sequence[Mapping[str, str]]) -> Mapping[str, str]:
    first, *others = every
    return {key: value for key, value in first.items() if all(each.get(key) == value for each in others)}


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

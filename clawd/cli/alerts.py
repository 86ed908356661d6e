"""`clawd alerts`: what fires, whether people are told, and quiet for a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clawd.alerts import phrases
from clawd.alerts.naming import means_silence
from clawd.alerts.rules import MOMENTARY, UNRATED
from clawd.cli import alert_trial, alert_words
from clawd.cli.folding import fitted_table, put
from clawd.cli.invocation import invocation
from clawd.cli.lazy import command_app
from clawd.cli.options import Json
from clawd.cli.printing import emit, one_line, out, paint, say, table, when
from clawd.errors import EXIT_USAGE, ClawdError, NotFound
from clawd.moments import moment, span

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clawd.client import Client
    from clawd.response import JsonValue

app = command_app()

_DEFAULT_S = 3600.0
_FOR = "--for 30m, 2h or 7d"
_UNTIL = "--until 18:00, or 2027-01-31T08:00"


class WrongSilence(ClawdError):
    """The options contradict each other."""

    code = "E-USAGE"
    exit_code = EXIT_USAGE


@app.command("list")
def list_alerts(
    ctx: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="Also those of the last day that are over, and every rule.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List what fires, the silences, and who is told."""
    answer = invocation(ctx).client().get("/alerts")
    alerts = [alert for alert in answer["alerts"] if everything or alert["state"] != "resolved"]
    if as_json:
        rules = {"rules": answer["rules"]} if everything else {}
        emit(
            {
                "alerts": alerts,
                "silences": answer["silences"],
                "targets": answer["targets"],
                "trouble": answer.get("trouble", []),
                "nobody_told": bool(answer.get("nobody_told")),
                **rules,
            }
        )
        return
    if alerts:
        _show_alerts(alerts)
    else:
        out(paint("nothing fires", "green"))
    if answer["silences"]:
        out()
        _show_silences(answer["silences"])
    if everything:
        out()
        _show_rules(answer["rules"])
    out()
    out(f"told: {', '.join(one_line(target, 80) for target in answer['targets']) or 'nobody'}")
    if lost := alert_words.reach(answer.get("trouble", ()), nobody=bool(answer.get("nobody_told"))):
        put(lost, 0)
    if not answer["targets"]:
        say("name somebody in the configuration: alerts: {targets: [{bridge: telegram, chat: 12345}]}")


@app.command("test")
def send_test(
    ctx: typer.Context,
    timeout: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long to wait for the deliveries.")
    ] = alert_trial.WAIT_S,
    as_json: Json = False,
) -> None:
    """Send a test alert to everybody who is told. Exits 0 only if each one arrived."""
    client = invocation(ctx).client()
    ends = alert_trial.send(client, timeout)
    if as_json:
        targets: list[JsonValue] = [
            {"target": e.target, "state": e.state, "why": e.why, "deliveries": [*e.deliveries]} for e in ends
        ]
        emit({"ok": all(end.arrived for end in ends), "targets": targets})
    else:
        for end in ends:
            alert_trial.show(end)
    if code := alert_trial.exit_code(ends):
        raise typer.Exit(code)


@app.command()
def silence(
    ctx: typer.Context,
    which: Annotated[
        str | None,
        typer.Argument(
            metavar="[RULE[=LABEL]]", help="Such as bridge_down=telegram; without it every alert."
        ),
    ] = None,
    lasting: Annotated[
        str | None, typer.Option("--for", metavar="SPAN", help="Such as 30m, 2h or 7d; 1h by default.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="A clock time, a date, or both, instead of a span.")
    ] = None,
    why: Annotated[str, typer.Option(metavar="TEXT", help="For whoever wonders later.")] = "",
    show: Annotated[bool, typer.Option("--list", help="List the silences.")] = False,
    end: Annotated[
        str | None, typer.Option(metavar="ID|RULE[=LABEL]", help="End a silence now; `all` ends every one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Keep alerts quiet for a while. They are still listed, and told after it if they still fire."""
    _check_alone(which, lasting, until, why, show=show, end=end)
    client = invocation(ctx).client()
    if show:
        silences = client.get("/alerts")["silences"]
        if as_json:
            emit({"silences": silences})
        elif silences:
            _show_silences(silences)
        else:
            say("nothing is silenced")
        return
    if end is not None:
        ended = _end(client, end)
        if as_json:
            emit({"ended": ended})
        else:
            out("\n".join(f"{each} is over" for each in ended) or "nothing was silenced")
        return
    made = client.post("/silences", _body(which, _until(lasting, until), why))
    if as_json:
        emit(made)
        return
    out(made["id"])
    say(
        f"{_what(made)} is silent until {when(made['until'])}. To end it now: clawd alerts silence --end {made['id']}"
    )


def _end(client: Client, identifier: str) -> list[JsonValue]:
    ids = [identifier]
    if not identifier.startswith("silence:"):
        silences = client.get("/alerts")["silences"]
        ids = [
            silence["id"]
            for silence in silences
            if identifier in ("all", _what(silence))
            or means_silence(identifier, silence["rule"], silence["label"])
        ]
        if not ids and identifier != "all":
            raise NotFound(
                f"there is no silence about {identifier!r:.60}",
                where="clawd alerts silence --end",
                why=f"silent: {', '.join(map(_what, silences)) or 'nothing'}",
                remedy="an ID, RULE, RULE=LABEL or `all`",
            )
    for each in ids:
        client.post("/silences/end", {"id": each})
    return [*ids]


def _check_alone(
    which: str | None, lasting: str | None, until: str | None, why: str, *, show: bool, end: str | None
) -> None:
    makes = which is not None or lasting is not None or until is not None or bool(why)
    if makes + show + (end is not None) > 1:
        raise WrongSilence(
            "a silence is made, listed or ended, one at a time",
            where="clawd alerts silence",
            remedy="leave out --list or --end, or what describes a new one",
        )
    if lasting is not None and until is not None:
        raise WrongSilence(
            "--for and --until both say when it ends", where="clawd alerts silence", remedy="leave one out"
        )


def _until(lasting: str | None, until: str | None) -> datetime:
    now = datetime.now(UTC)
    if until is not None:
        return moment(until, now, remedy=_UNTIL)
    if lasting is None:
        return now + timedelta(seconds=_DEFAULT_S)
    span(lasting, remedy=_FOR)  # no clock time and no date
    return moment(lasting, now, remedy=_FOR)


def _body(which: str | None, until: datetime, why: str) -> dict[str, JsonValue]:
    body: dict[str, JsonValue] = {"until": until.isoformat(), "why": why}
    if which is not None:
        rule, equals, label = which.partition("=")
        if not rule.strip() or (equals and not label.strip()):
            raise WrongSilence(
                f"{which!r} names no alert",
                where="clawd alerts silence",
                why="expected RULE or RULE=LABEL",
                remedy="clawd alerts list --all shows the rules",
            )
        body["rule"] = rule.strip()
        if equals:
            body["label"] = label.strip()
    return body


def _show_alerts(alerts: Sequence[Mapping[str, Any]]) -> None:
    fitted_table(
        ("STATE", "SEVERITY", "RULE", "LABEL", "VALUE", "LIMIT", "SINCE", "WHAT"),
        [
            [
                _state(alert),
                alert_words.painted(alert, alert["severity"]),
                alert["rule"],
                one_line(alert["label"], 30) or "-",
                phrases.amount(alert["rule"], alert["value"]),
                alert_words.limit(alert["rule"], alert["above"]),
                when(alert["began_at"]),
                one_line(alert["detail"] or alert_words.headline(alert), 200),
            ]
            for alert in alerts
        ],
    )


def _state(alert: Mapping[str, Any]) -> str:
    if alert["state"] == "resolved":
        return paint(f"over at {when(alert['resolved_at'])}", "dim")
    if alert["silenced"]:
        return paint(f"{alert['state']}, silenced", "dim")
    return str(alert["state"])


def _show_silences(silences: Sequence[Mapping[str, Any]]) -> None:
    fitted_table(
        ("SILENCE", "WHAT", "UNTIL", "BY", "WHY"),
        [
            [s["id"], _what(s), when(s["until"]), one_line(s["by"], 30), one_line(s["why"], 200)]
            for s in silences
        ],
    )


def _what(silence: Mapping[str, Any]) -> str:
    rule, label = silence["rule"], silence["label"]
    if rule is None:
        return "everything" if label is None else f"everything of {one_line(label, 30)}"
    return str(rule) if label is None else f"{rule}={one_line(label, 30)}"


def _show_rules(rules: Sequence[Mapping[str, Any]]) -> None:
    table(
        ("RULE", "ABOVE", "CLEAR AT", "MIN", "WINDOW", "FOR", "COOL DOWN", "SEVERITY"),
        [
            [
                rule["rule"],
                *(
                    [alert_words.limit(rule["rule"], rule[key]) for key in ("above", "clear")]
                    if rule["enabled"]
                    else ["off", "-"]
                ),
                "-" if rule["rule"] in UNRATED else str(rule["min"]),
                "-" if rule["rule"] in MOMENTARY else f"{rule['window_s']:g} s",
                *(f"{rule[key]:g} s" for key in ("for_s", "cool_down_s")),
                rule["severity"],
            ]
            for rule in rules
        ],
    )

"""The status of a daemon as people see it, one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clawd.cli import budgets, traffic
from clawd.cli.folding import put
from clawd.cli.printing import aligned, counted, duration, one_line, out, paint, size, when
from clawd.money import money

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HEAD = 9  # columns of what a line is about
_YOUNG_S = 900  # for so long it is told that the run before ended without a stop
SWITCHES = 5  # lines of them; `--json` has all that the daemon remembers
_COLOUR = {
    "ready": "green",
    "connected": "green",
    "starting": "yellow",
    "connecting": "yellow",
    "draining": "yellow",
    "transient_disconnect": "yellow",
    "bad_credentials": "red",
}


def show(status: Mapping[str, Any]) -> None:
    """Print a status for people."""
    put(
        f"{paint('clawd ' + status['version'], 'bold')}  {state(status['state'])}  "
        f"up {duration(status['uptime_s'])}  process {status['pid']}  {size(status['rss_bytes'])}"
    )
    if status["config_error"]:
        put(paint(f"refused  {one_line(status['config_error'], 200)}", "red"), _HEAD)
    if crash := _crash(status):
        put(paint(crash, "yellow"), _HEAD)
    out(f"state    {status['state_dir']}")
    if pause := status.get("journal_pause"):
        put(
            paint(f"journal  paused: {one_line(pause, 200)}; no message is taken (clawd doctor)", "red"),
            _HEAD,
        )
    out(f"config   {status['config_path'] or 'none, the defaults hold'}")
    out(f"socket   {status['socket']}")
    put(f"gateway  {gateway(status)}", _HEAD)
    put(f"queue    {queue(status['queue'])}", _HEAD)
    put(f"today    {today(status['today'])}", _HEAD)
    if near := [budget for budget in status.get("budgets", ()) if budgets.is_near(budget)]:
        _list("budgets", list(budgets.lines(near)))
    if alerts := status.get("alerts"):
        from clawd.cli import alert_words  # not for the many times when all is well

        put(f"{'alerts':{_HEAD}}{alert_words.summary(alerts)}", _HEAD)
    untold, nobody = status.get("untold", ()), bool(status.get("nobody_told"))
    if untold or nobody:
        from clawd.cli import alert_words

        put(f"{'told':{_HEAD}}{alert_words.reach(untold, nobody=nobody)}", _HEAD)
    _list("bridges", [_bridge(bridge) for bridge in status["bridges"]])
    _list("models", _models(status["models"], status["route"]))
    if switches := status.get("switches"):
        _list("switches", traffic.switches(switches, SWITCHES))


def gateway(status: Mapping[str, Any]) -> str:
    """Return where the gateway listens, and why that is not where it should."""
    url, meant = status["gateway"] or "off", status.get("gateway_moved_from")
    if meant is None:
        return url
    return f"{url}  {paint(f'port {meant} was taken when it started', 'yellow')}"


def _crash(status: Mapping[str, Any]) -> str:
    """Return how the run before this one ended, where that was without a stop and this one is young; else nothing."""
    last = status.get("last_end")
    if not last or last["how"] != "crash" or status["uptime_s"] > _YOUNG_S:
        return ""
    who = f"process {last['pid']}" if last["pid"] else "the daemon before"
    seen = f", last seen {when(last['at'])}" if last["at"] else ""
    return f"before   {who} ended without a stop{seen}; clawd logs --level warning"


def state(word: str) -> str:
    """Return a state in its colour."""
    return paint(word, _COLOUR.get(word, "dim"))


def queue(queue: Mapping[str, Any]) -> str:
    """Return how much is open."""
    waiting, offline = queue.get("waiting", 0), queue.get("offline", 0)
    words = [f"{queue['queued'] - waiting - offline} queued", f"{queue['running']} running"]
    if waiting:
        words.append(f"{waiting} waiting for a word (clawd approvals list)")
    if offline:
        words.append(f"{offline} waiting for the network")
    if queue["queued"] or queue["running"]:
        words.append(f"oldest {duration(queue['oldest_age_s'])}")
    words += [f"{queue['deliveries_open']} to deliver", f"{queue['dead']} given up"]
    return ", ".join(
        [*words, counted(queue["conversations"], "conversation"), f"journal at {queue['last_id']}"]
    )


def today(used: Mapping[str, Any]) -> str:
    """Return what was used of the models since midnight in UTC."""
    tokens = f"{used['input_tokens']:,} tokens in, {used['output_tokens']:,} out"
    words = [counted(used["calls"], "call"), tokens, money(used["cost_usd"])]
    if used["possible_usd"]:
        words.append(f"perhaps {money(used['possible_usd'])} more")
    return ", ".join(words)


def _bridge(bridge: Mapping[str, Any]) -> str:
    line = f"{bridge['name']}  {state(bridge['state'])}  since {when(bridge['since'])}"
    if bridge["error"]:
        line += f"  {one_line(bridge['error'], 120)}"
    return f"{line}  try: {one_line(bridge['remedy'], 120)}" if bridge["remedy"] else line


def _models(models: Sequence[Mapping[str, Any]], route: Sequence[str]) -> list[str]:
    """Return a line for each model, what stands against it indented below."""
    rows = [
        [
            model["name"],
            traffic.state(model),
            f"{traffic.rate(model)}/min",
            _or_nothing(traffic.failed(model), "{} failed"),
            _or_nothing(traffic.slowest(model), "p95 {} s"),
            f"{route.index(model['name']) + 1}. of default" if model["name"] in route else "",
        ]
        for model in models
    ]
    lines = []
    for line, model in zip(aligned(rows), models, strict=True):
        # The last error is most often what the breaker says already.
        lines += [line, *(f"  {one_line(each, 200)}" for each in traffic.trouble(model)[:1])]
    return lines


def _or_nothing(text: str, words: str) -> str:
    return text if text == traffic.NOTHING else words.format(text)


def _list(head: str, lines: list[str]) -> None:
    for number, line in enumerate(lines or ["none"]):
        deeper = len(line) - len(line.lstrip())
        put(f"{head if number == 0 else '':{_HEAD}}{line}", _HEAD + deeper + 2)

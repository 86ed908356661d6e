"""How soon a standby answers for a model in trouble, and what the router costs: `python -m benchmarks.failover`.

A real daemon with model servers in processes of their own; seconds from posting a message to having its
answer, over what the standby alone takes. Each measurement has a model that was never asked before. The
last row runs in this process: a call through the router, beside the same call without it.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.daemon import daemon, fake_model
from benchmarks.table import Cell, table
from clawd.config.schema import BreakerConfig
from clawd.ids import SystemClock
from clawd.messages import Text
from clawd.models.base import ModelProvider, ModelRequest, UserMessage, collect
from clawd.models.breaker import BreakerLimits
from clawd.models.member import Member
from clawd.models.router import Route, Router
from clawd.testing import ScriptedModel
from tests.crash.stage import free_port

RUNS = 5
CALLS = 5000
FIRST_TOKEN_S = 2.0
OPEN_S = 2.0
OVER_S = 0.5
TOKEN = "a-token-for-measuring"  # noqa: S105 - of a daemon that lives for a minute

TROUBLES: dict[str, tuple[dict[str, Any], float]] = {
    "answers 500": ({"status": 500}, OVER_S),
    "refuses the connection": ({}, OVER_S),
    "hangs": ({"hang": "headers"}, FIRST_TOKEN_S + OVER_S),
    "drips, no token in time": ({"drip_s": 0.05}, FIRST_TOKEN_S + OVER_S),
    "drips after its first words": (
        {"chunks": ["drip "] * 10_000, "chunk_delay_s": 0.2},
        FIRST_TOKEN_S + OVER_S,
    ),
}
"""By name: what the server does with each request, and how late the standby's answer may be."""


class Site:
    """The daemon under measurement."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, conversation: str, text: str = "hi") -> tuple[float, str]:
        """Return how long a message took to its answer, and which model gave it."""
        began = time.perf_counter()
        body = {"text": text, "conversation": conversation, "sender": "u1"}
        turn = self._call("/v1/messages", body)["id"]
        answer = self._call(f"/v1/messages/{turn}?wait=30")
        return time.perf_counter() - began, str(answer["model"])

    def pinned(self, model: str) -> str:
        """Return a new conversation that begins with this model, and has the standby behind it."""
        self.ask(model, f"/model {model}")
        return model

    def _call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - our own daemon
            self._url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return json.load(response)


def main() -> None:
    """Print the table."""
    with ExitStack() as stack:
        port = free_port()
        scripts = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="clawd-bench-")))
        sections = _sections(stack, scripts, port)
        stack.enter_context(daemon(**sections))
        rows = _switching(Site(f"http://127.0.0.1:{port}"))
    cpu_ms = statistics.median(asyncio.run(_router_cpu_ms()) for _ in range(RUNS))
    rows.append(["router, CPU a call (ms)", cpu_ms, 1.0, cpu_ms])
    sys.stdout.write(f"medians of {RUNS} runs; a ratio below 1 is within reach\n\n")
    sys.stdout.write(table(["what", "measured", "reach", "ratio"], rows) + "\n")


def _sections(stack: ExitStack, scripts: Path, port: int) -> dict[str, Any]:
    def server(name: str, script: object) -> str:
        file = scripts / f"{name}.json"
        file.write_text(json.dumps(script), encoding="utf-8")
        return stack.enter_context(fake_model(file))

    models: list[dict[str, Any]] = [
        {"name": "standby", "type": "chat", "base_url": stack.enter_context(fake_model())}
    ]
    for trouble, (reply, _) in TROUBLES.items():
        dead = f"http://127.0.0.1:{free_port()}/v1"
        url = server(_name(trouble, 0), {"default": reply}) if reply else dead
        models += [
            {
                "name": _name(trouble, run),
                "type": "chat",
                "base_url": url,
                "min_bytes_per_s": 10_000,
                "rate_window_s": FIRST_TOKEN_S,
            }
            for run in range(RUNS)
        ]
    for run in range(RUNS):
        name = _name("comes back", run)
        models.append(
            {"name": name, "type": "chat", "base_url": server(name, {"replies": [{"status": 500}]})}
        )
    return {
        "models": models,
        "routes": {"default": {"models": ["standby"]}},
        "breaker": {"first_token_s": FIRST_TOKEN_S, "open_s": OPEN_S, "min_calls": 1},
        "logging": {"level": "error"},  # each trouble is worth a warning
        "gateway": {"port": port, "tokens": [{"name": "t", "token": TOKEN}]},
    }


def _name(trouble: str, run: int) -> str:
    return f"{trouble.replace(' ', '-').replace(',', '')}-{run}"


def _switching(site: Site) -> list[list[Cell]]:
    site.ask("warm-up")
    own_s = statistics.median(site.ask(f"alone-{run}")[0] for run in range(RUNS * 4))
    rows: list[list[Cell]] = [["standby alone (s)", own_s, "", ""]]
    after: list[float] = []
    for trouble, (_, reach_s) in TROUBLES.items():
        times = []
        for run in range(RUNS):
            chat = site.pinned(_name(trouble, run))
            times.append(_by_standby(site, chat) - own_s)
            after.append(_by_standby(site, chat) - own_s)
        over_s = statistics.median(times)
        rows.append([f"over that, primary {trouble} (s)", over_s, reach_s, over_s / reach_s])
    over_s = max(after)
    rows.append(["over that, the next turn, the worst of all (s)", over_s, OVER_S, over_s / OVER_S])
    back_s = statistics.median(_back_s(site, _name("comes back", run)) for run in range(RUNS))
    reach_s = OPEN_S + OVER_S
    rows.append([f"primary asked again by itself, open_s {OPEN_S:g} (s)", back_s, reach_s, back_s / reach_s])
    return rows


def _by_standby(site: Site, chat: str) -> float:
    seconds, model = site.ask(chat)
    if model != "standby":
        raise SystemExit(f"{chat}: {model} answered")
    return seconds


def _back_s(site: Site, model: str) -> float:
    """Return how long after its only failure a model answers again."""
    chat = site.pinned(model)
    _by_standby(site, chat)
    failed = time.perf_counter()
    while site.ask(chat)[1] != model:
        time.sleep(0.05)
    return time.perf_counter() - failed


async def _router_cpu_ms() -> float:
    """Return the CPU milliseconds that the router adds to a call with a standby and a hedge at the ready."""
    clock = SystemClock()
    limits = BreakerLimits.of(BreakerConfig())
    members = {
        name: Member(ScriptedModel(name=name), clock, limits, kind="scripted", found="config")
        for name in ("a", "b")
    }
    router = Router(members, {"default": Route(models=("a", "b"))}, clock)
    direct_s = await _cpu_s(ScriptedModel(name="a"))
    return (await _cpu_s(router) - direct_s) / CALLS * 1000


async def _cpu_s(provider: ModelProvider) -> float:
    request = ModelRequest(messages=(UserMessage((Text("hi"),)),))
    for _ in range(100):
        await collect(provider, request)
    began = time.process_time()
    for _ in range(CALLS):
        await collect(provider, request)
    return time.process_time() - began


if __name__ == "__main__":
    main()

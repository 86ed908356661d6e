"""The log of a real daemon: one id from accept to deliver on every line, and a disk that is full under it."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
import yaml

from clawd.cli.logfile import last_lines
from clawd.cli.logfilter import LogFilter
from clawd.client import Client
from clawd.errors import ControlError
from tests.crash.process import DaemonProcess
from tests.fakes.openai_api import FakeOpenAI, Reply, Seen
from tests.fakes.webhook_receiver import SECRET as CALLBACK_SECRET
from tests.fakes.webhook_receiver import Fault, WebhookReceiver
from tests.fakes.webhook_sender import SECRET, event, signed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Line = dict[str, Any]
PATH = {"message_accepted", "turn_claimed", "model_attempt", "tool_called", "turn_finished", "delivery_sent"}
TOOL = {"id": "call_1", "name": "calculator", "arguments": '{"expression": "6 * 7"}'}


class Running:
    """A daemon whose first model always fails, whose second one calls a tool first."""

    def __init__(self, home: Path, daemon: DaemonProcess, session: aiohttp.ClientSession, url: str) -> None:
        self.daemon = daemon
        self.url = url
        self.session = session
        self._log = home / "state" / "clawd.log"

    async def post(self, name: str, **headers: str) -> aiohttp.ClientResponse:
        """Post a signed webhook of a user, and in a conversation, of this name."""
        body = event(f"from {name}", conversation=name, user={"id": name})
        head = {**signed(body, datetime.now(UTC), message_id=f"msg_{name}"), **headers}
        async with self.session.post(f"{self.url}/bridges/hook", data=body, headers=head) as answer:
            await answer.read()
            return answer

    def lines(self) -> list[Line]:
        return [json.loads(line) for line in self._log.read_text(encoding="utf-8").splitlines()]


def choose(seen: Seen) -> Reply:
    said = seen.last_user_text
    if seen.body["model"] == "broken":
        return Reply(status=503, error={"message": f"no room for {said}"})
    if seen.body["messages"][-1]["role"] == "tool":
        return Reply(text=f"answer {said}", first_delay_s=0.02)
    return Reply(tool_calls=[TOOL], first_delay_s=0.02)


@asynccontextmanager
async def running(home: Path, receiver: WebhookReceiver) -> AsyncIterator[Running]:
    async with FakeOpenAI(choose=choose) as model, aiohttp.ClientSession() as session:
        models = [
            {"name": name, "type": "chat", "base_url": model.base_url, "model": name}
            for name in ("broken", "main")
        ]
        hook = {
            "type": "webhook",
            "secret": SECRET,
            "callback_url": receiver.url,
            "callback_secret": CALLBACK_SECRET,
            "allow": ["*"],
        }
        config = {
            "models": models,
            "routes": {"default": {"models": ["broken", "main"]}},
            "bridges": {"hook": hook},
            "gateway": {"port": 0},
            "logging": {"level": "debug"},
        }
        (home / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        daemon = DaemonProcess(home)
        await daemon.spawn()
        assert await daemon.ready(), daemon.tail()
        try:
            yield Running(home, daemon, session, (await daemon.control("status"))["gateway"])
        finally:
            await daemon.kill()


def about(lines: list[Line], turn: str) -> list[Line]:
    """Return the lines from this turn's first to its delivery's last."""
    numbers = [n for n, line in enumerate(lines) if line.get("turn") == turn]
    return lines[numbers[0] : numbers[-1] + 1]


async def test_every_line_between_accept_and_sent_names_the_turn(state_dir: Path) -> None:
    async with WebhookReceiver(CALLBACK_SECRET) as receiver, running(state_dir, receiver) as here:
        receiver.fault(Fault(status=503, headers={"Retry-After": "0"}))
        answer = await here.post("ada", **{"X-Request-Id": "from-ada"})
        assert answer.headers["X-Request-Id"] == "from-ada"
        await receiver.wait_until(lambda: len(receiver.delivered) == 1)
        await here.daemon.settled()
        lines = here.lines()
        (accepted,) = (line for line in lines if line["event"] == "message_accepted")
        turn = accepted["turn"]
        assert accepted["request"] == "from-ada"
        between = about(lines, turn)
        assert {line["event"] for line in between} >= {*PATH, "delivery_put_off", "gateway_request"}
        strays = [line for line in between if line.get("turn") != turn and line.get("request") is None]
        assert strays == []
        (request,) = (line for line in lines if line["event"] == "gateway_request" and line.get("turn"))
        assert (request["turn"], request["request"], request["status"]) == (turn, "from-ada", 202)
        failed = next(line for line in between if line["event"] == "model_attempt")
        assert (failed["model"], failed["conversation"]) == ("broken", accepted["conversation"])
        (sent,) = (line for line in between if line["event"] == "delivery_sent")
        assert sent["delivery"].startswith("delivery:")


async def test_turns_that_run_at_once_never_mix(state_dir: Path) -> None:
    names = ["ada", "bob", "eve"]
    async with WebhookReceiver(CALLBACK_SECRET) as receiver, running(state_dir, receiver) as here:
        async with asyncio.TaskGroup() as tasks:
            for name in names:
                tasks.create_task(here.post(name, **{"X-Request-Id": f"from-{name}"}))
        await receiver.wait_until(lambda: len(receiver.delivered) == len(names))
        await here.daemon.settled()
        lines = here.lines()
        turns = {line["request"]: line["turn"] for line in lines if line["event"] == "message_accepted"}
        assert len(set(turns.values())) == len(names)
        for name in names:
            turn = turns[f"from-{name}"]
            mine = [line for line in lines if line.get("turn") == turn]
            assert {line["event"] for line in mine} >= PATH
            assert {line["conversation"] for line in mine if "conversation" in line} == {
                f"hook:webhook:{name}"
            }
            told = [line for line in lines if f"no room for from {name}" in json.dumps(line)]
            assert {line["turn"] for line in told} <= {turn}
        # The model's server quotes what it was asked; after a failure or two it is not asked any more.
        assert "no room for from" in json.dumps(lines)


async def test_a_full_disk_under_the_log_costs_lines_and_nothing_else(state_dir: Path) -> None:
    path = state_dir / "state" / "clawd.log"
    path.parent.mkdir(mode=0o700)
    path.symlink_to("/dev/full")
    async with WebhookReceiver(CALLBACK_SECRET) as receiver, running(state_dir, receiver) as here:
        assert (await here.post("ada")).status == 202
        await receiver.wait_until(lambda: len(receiver.delivered) == 1)
        await here.daemon.settled()
        path.unlink()  # there is room again
        assert (await here.post("bob")).status == 202
        await receiver.wait_until(lambda: len(receiver.delivered) == 2)
        await here.daemon.settled()
        first, *lines = here.lines()
        assert (first["event"], first.get("turn")) == ("log_lines_lost", None)
        assert first["count"] > 10
        assert {line["event"] for line in lines} >= PATH
        # Whoever reads standard error has all of it, as JSON: it is no terminal.
        told = [json.loads(line) for line in here.daemon.output.read_text(encoding="utf-8").splitlines()]
        assert [line["event"] for line in told].count("message_accepted") == 2


async def test_the_filters_find_all_of_a_turn_that_was_killed_and_taken_up_again(state_dir: Path) -> None:
    (state_dir / "config.yaml").write_text("models: [{name: d, type: demo}]\ngateway: {port: false}\n")
    daemon, client = DaemonProcess(state_dir), Client([state_dir / "state" / "clawd.sock"])
    await daemon.spawn(fault="journal.before_commit:llm.result:1:kill")
    try:
        assert await daemon.ready()
        with suppress(ControlError):  # it may die before it has answered
            await asyncio.to_thread(client.post, "/messages", {"text": "hello"})
        await daemon.dead()
        await daemon.spawn()
        assert await daemon.ready()
        turn = (await asyncio.to_thread(client.get, "/turns"))["turns"][0]["id"]
        await asyncio.to_thread(client.get, f"/turns/{turn}", wait=50)
        daemon.terminate()  # which writes what is still to be logged; a kill would not
        await daemon.dead()
    finally:
        await daemon.kill()
    filters = (
        LogFilter(turn=turn),
        LogFilter(bridge="terminal"),
        LogFilter(conversation=f"terminal:{os.getuid()}:default"),
    )
    for wanted in filters:
        _, found = await asyncio.to_thread(last_lines, state_dir / "state" / "clawd.log", wanted, None)
        events = [(line.data["event"], line.data.get("claim")) for line in found if line.data]
        # The kill may come before the line of the acceptance is written.
        assert events[-2:] == [("turn_claimed", 2), ("turn_finished", None)], wanted
        assert events[:-2] in ([], [("message_accepted", None)]), wanted
        assert {line.data["turn"] for line in found if line.data} == {turn}

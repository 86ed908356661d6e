"""`clawd status --all`: recognisable secrets, people and texts everywhere, and a search through the report."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from clawd.cli.invocation import Invocation
from clawd.cli.report import report
from clawd.cli.report_text import markdown
from clawd.journal.reading import DeadView
from clawd.jsonable import json_object
from clawd.messages import Address
from tests.fakes.alert_desk import alert
from tests.fakes.control_journal import AT
from tests.fakes.doors import Doors, doors
from tests.fakes.openai_api import Reply, Seen
from tests.fakes.shell import Shell

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.fakes.control_services import World

LITERAL = "recognisable-literal-1"
ENVIRON = "recognisable/environment+2"
FILE = "recognisable-file-3"
CREDENTIAL = "recognisable-credential-4"
PROXY = "recognisable-proxy-5"
IN_URL = "RecognisableQuery6"
IN_PATH = "T00Recognisable7"
BOT_TOKEN = "987654321:RecognisableBotToken8_AAAAAAAAAAAAA"
FRIEND, STRANGER = 712345678, 998877665
NAME, TEXT = "Zebulonia Quuxworth", "the purple elephant sleeps"
INSTRUCTIONS = "Speak like a walrus at teatime."

FORBIDDEN = (
    *(LITERAL, ENVIRON, FILE, CREDENTIAL, PROXY, IN_URL, IN_PATH, BOT_TOKEN.partition(":")[2]),
    *(str(FRIEND), str(STRANGER), *NAME.split(), "elephant", "walrus", "ann-smith"),
)


def told_of(text: str) -> list[str]:
    """Return the lines of a report that tell what they must not."""
    return [line for line in text.splitlines() if any(word.lower() in line.lower() for word in FORBIDDEN)]


def echo(here: Doors) -> None:
    """Let the model's server quote the key that it refuses, and the question."""

    def refuse(seen: Seen) -> Reply:
        sent = seen.headers.get("authorization", "")
        return Reply(status=401, error={"message": f"Incorrect key {sent} of {NAME} <ann-smith@example.com>"})

    here.model.choose = refuse


async def trouble(here: Doors) -> None:
    """Somebody is let in, a turn fails, and a delivery is given up."""
    here.telegram.user_says(FRIEND, "/status")
    await here.telegram.wait_for_messages(FRIEND, 1)
    who: dict[str, Any] = {
        "id": STRANGER,
        "is_bot": False,
        "first_name": NAME.split()[0],
        "last_name": NAME.split()[1],
    }
    fields: dict[str, Any] = {"from": who}
    here.telegram.user_says(STRANGER, "hello", **fields)
    await here.telegram.wait_for_messages(STRANGER, 1)
    [pending] = (await here.world.control("pairings"))["pending"]
    assert (await here.clawd("pair", "approve", pending["code"])).code == 0
    await here.telegram.wait_for_messages(STRANGER, 2)
    echo(here)
    here.telegram.block(FRIEND, f"bot was blocked by {NAME} ({FRIEND})")
    here.telegram.user_says(FRIEND, TEXT)
    async with asyncio.timeout(20):
        while not (await here.world.control("dead"))["dead"]:
            await asyncio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_report_tells_all_about_clawd_and_nothing_of_its_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "model").write_text(CREDENTIAL)
    (tmp_path / "key").write_text(f"{FILE}\n")
    environ = {"RECOGNISABLE_KEY": ENVIRON, "CREDENTIALS_DIRECTORY": str(credentials)}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    models: list[dict[str, Any]] = [
        {"name": "literal", "type": "chat", "api_key": LITERAL},
        {"name": "environ", "type": "chat", "api_key": {"env": "RECOGNISABLE_KEY"}},
        {"name": "file", "type": "chat", "api_key": {"file": str(tmp_path / "key")}},
        {"name": "credential", "type": "chat", "api_key": {"credential": "model"}},
        {"name": "url", "type": "chat", "endpoint": f"BASE/chat/completions?key={IN_URL}"},
    ]
    hook = {
        "callback_url": f"http://127.0.0.1:9/services/{IN_PATH}/hook?token={IN_URL}",
        "network": {"proxy": f"http://ann-smith:{PROXY}@127.0.0.1:9"},
    }
    sections = {
        "routes": {"default": {"models": [model["name"] for model in models]}},
        "agent": {"instructions": INSTRUCTIONS},
        "access": {"owners": [f"telegram:{FRIEND}"], "default": "pair"},
        "alerts": {
            "targets": [{"bridge": "telegram", "chat": FRIEND}, {"url": f"http://127.0.0.1:9/{IN_PATH}"}]
        },
        "logging": {"level": "debug"},
    }
    async with doors(*models, bot_token=BOT_TOKEN, allow=[str(FRIEND)], hook=hook, **sections) as here:
        await trouble(here)
        told, data = await asyncio.to_thread(reported, here.clawd, environ)
        elsewhere, _ = await asyncio.to_thread(reported, here.clawd, {})  # without the daemon's environment
    for text in (told, json.dumps(data, ensure_ascii=False), elsewhere):
        assert told_of(text) == []
        assert "the provider refuses the API key" in text
    check_whole(told, data)
    assert "It does not load:" in elsewhere
    assert "RECOGNISABLE_KEY" in elsewhere


def reported(clawd: Shell, environ: Mapping[str, str]) -> tuple[str, Any]:
    """Return the report as text and as data, made in this process: a report imports nearly everything."""
    made = report(Invocation(environ={**clawd.environ, **environ}))
    return markdown(made), json_object(made)


def check_whole(text: str, data: Any) -> None:
    """What helps with a bug is there."""
    assert text.startswith("### clawd 0.1.0, ")
    assert text.count("<details>") == text.count("</details>") >= 8
    assert data["daemon"]["state"] == "ready"
    assert {bridge["name"] for bridge in data["bridges"]} == {"telegram", "hook"}
    assert data["config"]["agent"]["instructions"] == f"<{len(INSTRUCTIONS)} characters>"
    assert data["config"]["models"][1]["api_key"] == "***"
    assert data["config"]["bridges"]["hook"]["callback_url"] == "http://127.0.0.1:9/services/…/hook?…"
    [friend] = data["config"]["bridges"]["telegram"]["allow"]
    assert friend.startswith("id-")
    assert data["config"]["access"]["owners"] == [f"telegram:{friend}"]
    [dead] = data["dead"]
    assert dead["conversation"].split(":")[2] == friend, "one chat is the same hash everywhere"
    assert "403" in dead["why"] or "blocked" in dead["why"]
    assert "text" not in dead
    assert data["journal"]["schema"] == data["journal"]["schema_of_this_version"]
    assert {finding["id"] for finding in data["findings"]} >= {"config", "daemon", "journal"}
    assert "breaker_changed" in {event["event"] for event in data["log"]}
    assert data["alerts"]["rules"]


@pytest.mark.usefixtures("server")
async def test_what_a_daemon_tells_is_in_the_report_without_anybody(
    clawd: Shell, state_dir: Path, world: World
) -> None:
    (state_dir / "config.yaml").write_text(f"bridges: {{tg: {{type: telegram, token: '{BOT_TOKEN}'}}}}\n")
    chat = Address(bridge="telegram", account="9", chat=str(FRIEND))
    world.entry(chat, "user", TEXT, None, "queued")
    why = f"403: Ann ({FRIEND}) blocked bot {BOT_TOKEN}"
    world.dead.append(
        DeadView(
            id="delivery:x-1", bridge="telegram", conversation=chat, at=AT, why=why, text=TEXT, state="dead"
        )
    )
    world.models = [replace(world.models[0], last_error=f"{why} <ann-smith@example.com>")]
    world.desk.targets = [f"telegram {FRIEND}", f"https://hooks.example.com/{IN_PATH}"]
    world.desk.alerts = [alert(detail=why)]
    await world.desk.silence(rule="disk", label=None, until=AT, why=TEXT, by=f"telegram:{FRIEND}")
    text, data = await asyncio.to_thread(reported, clawd, {})
    assert told_of(text) == []
    assert told_of(json.dumps(data, indent=1)) == []
    assert "Ann" not in text
    friend = data["alerts"]["targets"][0].removeprefix("telegram ")
    assert data["alerts"]["targets"] == [f"telegram {friend}", "https://hooks.example.com/…"]
    assert data["dead"][0]["conversation"].endswith(f":{friend}")
    assert f"({friend}) blocked bot" in data["dead"][0]["why"]
    assert f"({friend}) blocked bot" in data["models"][0]["last_error"]
    assert "- alerts: telegram is down" in text
    assert "hook\n  type: webhook\n  state: bad_credentials" in text


async def test_a_report_needs_no_daemon_and_no_configuration_that_loads(
    clawd: Shell, state_dir: Path
) -> None:
    (state_dir / "config.yaml").write_text(f"models:\n  - {{name: a, api_key: {LITERAL}, tpye: chat}}\n")
    (state_dir / "state").mkdir(exist_ok=True)
    line = {
        "ts": "2026-01-31T12:00:00.000Z",
        "level": "error",
        "logger": "clawd.agent",
        "event": "turn_failed",
        "error": f"keys {LITERAL} and {ENVIRON} of chat {FRIEND}",
        "sender": NAME,
        "exception": f'Traceback (most recent call last):\n  File "{state_dir}/a.py", line 3, in run\n'
        f"    raise ValueError(text)\nValueError: {TEXT}\n",
    }
    lines = f"{json.dumps({**line, 'level': 'info', 'event': 'fine'})}\n{json.dumps(line)}\n{TEXT}\n"
    (state_dir / "state" / "clawd.log").write_text(lines)
    result = await clawd("status", "--all", LITTLE_TOKEN=ENVIRON)
    assert result.code == 0
    assert "Read it before" in result.err
    assert told_of(result.out) == []
    assert "no daemon answers: " in result.out
    assert "It does not load:" in result.out
    assert "2026-01-31T12:00:00.000Z error turn_failed error=keys *** and *** of chat id-" in result.out
    assert f"sender=<{len(NAME)} characters>" in result.out
    assert '  File "~/a.py", line 3, in run\n    raise ValueError(text)\nValueError\n' in result.out
    assert f"output text=<{len(TEXT)} characters>" in result.out
    assert "fine" not in result.out


async def test_a_report_is_one_json_object_too(clawd: Shell) -> None:
    whole = (await clawd("status", "--all", "--json")).json
    assert (whole["schema_version"], whole["daemon"], whole["alerts"]) == (1, None, None)


async def test_a_report_is_about_this_host_and_one_moment(clawd: Shell) -> None:
    far = await clawd("--url", "https://clawd.example.com", "status", "--all")
    assert (far.code, "E-REMOTE-HOST" in far.err) == (2, True)
    both = await clawd("status", "--all", "--watch")
    assert (both.code, "one moment" in both.err) == (2, True)

"""What models answer that nobody asked for: the turn goes on or ends in words, with the right exit code."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fakes.doors import Doors, doors
from tests.fakes.openai_api import Reply
from tests.fakes.shell import at_terminal

pytestmark = pytest.mark.asyncio(loop_scope="module")

STEERING = "\x1b]0;title\x07\x1b[2J\x9b31m\u202e"
DEEP = '{"expression":' * 5_000
WHOLE_DEEP = f"{DEEP}1{'}' * 5_000}"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def running() -> AsyncIterator[Doors]:
    dead = {"name": "dead", "type": "chat", "base_url": "http://127.0.0.1:9/v1"}
    async with doors(dead, agent={"max_steps": 20, "context_tokens": 1_000_000}) as running:
        yield running


@pytest.fixture
def here(running: Doors) -> Doors:
    """The daemon, with a model that behaves."""
    running.model.replies.clear()
    running.model.default = Reply()
    return running


def raw(delta: str, finish: str = "stop") -> Reply:
    """A reply whose one delta is this JSON text."""
    end = f'data: {{"choices":[{{"index":0,"delta":{{}},"finish_reason":"{finish}"}}]}}\n\ndata: [DONE]\n\n'
    return Reply(raw=[f'data: {{"choices":[{{"index":0,"delta":{delta}}}]}}\n\n', end])


def calls(*wanted: tuple[str, str], same_id: bool = False) -> Reply:
    """A reply that makes these calls, each a name and its arguments."""
    made = [
        {"index": n, "id": "same" if same_id else f"c{n}", "function": {"name": name, "arguments": arguments}}
        for n, (name, arguments) in enumerate(wanted)
    ]
    return raw(json.dumps({"tool_calls": made}), "tool_calls")


def steering(text: str) -> list[str]:
    """Return what of `STEERING` would reach a terminal."""
    return [sequence for sequence in ("\x1b]0", "\x1b[2J", "\x9b", "\x07", "\u202e") if sequence in text]


# --- the model's server fails ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "code", "words"),
    [
        (Reply(status=401, error={"message": f"bad key {STEERING}"}), 4, "HTTP 401: bad key"),
        (Reply(status=400, error={"message": f"odd {STEERING}"}), 69, "HTTP 400: odd"),
        (Reply(status=429, error={"message": "slowly"}), 75, "HTTP 429: slowly"),
    ],
    ids=["401", "400", "429"],
)
async def test_a_failed_answer_ends_the_command_in_words(
    here: Doors, reply: Reply, code: int, words: str
) -> None:
    here.model.default = reply
    result = await here.clawd("chat", "hi")
    what, where, why, remedy = result.err.splitlines()
    assert (result.code, result.out) == (code, "")
    assert what.startswith("error[E-MODELS]: Sorry, ")
    assert (why.startswith("why: route default: "), words in why) == (True, True), why
    assert where.startswith("where: turn:")
    assert remedy.startswith("try: clawd trace turn:")
    assert steering(result.err) == []


async def test_a_wrong_key_and_a_dead_endpoint_are_told_apart(here: Doors) -> None:
    here.model.default = Reply(status=401, error={"message": f"no {STEERING}"})
    refused, dead = await here.clawd("models", "test", "main"), await here.clawd("models", "test", "dead")
    assert (refused.code, dead.code) == (4, 69)
    for result, code in ((refused, "E-MODEL-AUTH"), (dead, "E-MODEL-DOWN")):
        heads = [line.partition(":")[0] for line in result.err.splitlines()]
        assert heads == [f"error[{code}]", "where", "why", "try"]
    assert "ECONNREFUSED" in dead.err
    assert steering(refused.out + refused.err) == []


# --- words that steer a terminal ------------------------------------------------------------------------


async def test_an_answer_cannot_steer_the_terminal_it_is_shown_on(here: Doors) -> None:
    here.model.default = Reply(text=f"before {STEERING} after")
    for command in (("chat", "hi"), ("conversations", "show", "default"), ("turns", "list"), ("logs",)):
        code, shown = await asyncio.to_thread(at_terminal, here.clawd, *command)
        assert (command, code, steering(shown)) == (command, 0, [])


async def test_a_tools_name_cannot_steer_the_terminal_beside_a_pipe(here: Doors, tmp_path: Path) -> None:
    here.model.replies.extend([calls((f"x{STEERING}", "{}")), Reply(text="done")])
    answer = tmp_path / "answer"
    _, shown = await asyncio.to_thread(at_terminal, here.clawd, "chat", "hi", results_to=answer)
    assert (answer.read_text(), "> x" in shown, steering(shown)) == ("done\n", True, []), shown


# --- answers without sense ------------------------------------------------------------------------------


SENSELESS = [
    ("rm_rf", "{}", "There is no tool 'rm_rf'. The tools are: calculator, search_history, time."),
    ("shell", '{"command": "id"}', "There is no tool 'shell'."),
    ("calculator", '{"expression": ', "The arguments of calculator can't be read"),
    ("calculator", "[1, 2]", "not a JSON object"),
    ("calculator", DEEP, "nested more than 64 levels deep"),
    ("calculator", WHOLE_DEEP, "nested more than 64 levels deep"),
    ("calculator", json.dumps({"expression": "1+" * 50_000}), "must have at most"),
    ("calculator", '{"expression": "9**9**9**9"}', "large"),
    ("calculator", '{"expression": "__import__(\'os\').getpid()"}', "not"),
    ("time", '{"zone": "../../etc/passwd"}', "zone"),
    ("x" * 30_000, "{}", "[cut: "),
    ("half\ud800", "{}", "There is no tool 'half\ufffd'."),
]
"""Calls as a broken model makes them: name, arguments, and words of what it is told."""


async def test_calls_that_make_no_sense_are_told_to_the_model_which_goes_on(here: Doors) -> None:
    here.model.replies.extend([calls(*(entry[:2] for entry in SENSELESS)), Reply(text="done")])
    result = await here.clawd("chat", "-c", "calls", "hi")
    assert (result.code, result.out) == (0, "done\n"), result
    _, _, asked, *answers = here.model.requests[-1].body["messages"]
    for sent, answer, (name, _, told) in zip(asked["tool_calls"], answers, SENSELESS, strict=True):
        assert told in answer["content"], (name[:40], answer["content"][:300])
        assert len(answer["content"]) <= 20_000
        assert isinstance(json.loads(sent["function"]["arguments"]), dict)
        assert 1 <= len(sent["function"]["name"]) <= 64
    assert (await here.clawd("chat", "-c", "calls", "fine?")).out == "you said: fine?\n"


async def test_calls_of_one_id_are_told_apart(here: Doors) -> None:
    twins = [("calculator", f'{{"expression": "{n}+{n}"}}') for n in (1, 2)]
    here.model.replies.extend([calls(*twins, same_id=True), Reply(text="done")])
    assert (await here.clawd("chat", "-c", "twins", "hi")).out == "done\n"
    *_, asked, first, second = here.model.requests[-1].body["messages"]
    assert [sent["id"] for sent in asked["tool_calls"]] == [first["tool_call_id"], second["tool_call_id"]]
    assert first["tool_call_id"] != second["tool_call_id"]
    assert (first["content"], second["content"]) == ("2", "4")


async def test_a_model_that_calls_for_ever_is_asked_for_an_answer_and_then_stopped(here: Doors) -> None:
    here.model.default = calls(("calculator", '{"expression": "1+1"}'))
    before = len(here.model.requests)
    result = await here.clawd("chat", "hi")
    assert (result.code, result.out) == (1, "")
    assert "why: the last answer was empty" in result.err
    assert len(here.model.requests) - before == 6  # three times, refused, again, and without tools
    assert "tools" not in here.model.requests[-1].body


async def test_half_a_character_reaches_every_place_as_a_replacement(here: Doors) -> None:
    here.model.default = raw('{"content": "a\\ud800b \\ud83d\\ude00"}')
    assert (await here.clawd("chat", "-c", "halves", "hi")).out == "a\ufffdb 😀\n"
    here.telegram.user_says(72, "hi")
    await here.telegram.wait_for_messages(72, 1)
    await here.world.settled()
    assert [message.text for message in here.telegram.sent(72)] == ["a\ufffdb 😀"]
    here.model.default = Reply()
    await here.clawd("chat", "-c", "halves", "and now?")
    assert {"role": "assistant", "content": "a\ufffdb 😀"} in here.model.requests[-1].body["messages"]


async def test_empty_answers_and_answers_of_endless_depth_are_asked_for_again(here: Doors) -> None:
    here.model.replies.extend([Reply(text=" \n "), Reply(raw=[f"data: {'[' * 100_000}\n\n"])])
    assert (await here.clawd("chat", "hi")).out == "you said: hi\n"


async def test_after_all_of_it_nothing_of_ours_broke(here: Doors) -> None:
    log = here.world.output.read_text(encoding="utf-8", errors="replace")
    assert ("Traceback" in log, "turn_broke" in log) == (False, False)

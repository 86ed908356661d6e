"""`clawd chat` as scripts use it: a real process, a real socket, no terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.control_api import FakeControlApi
from tests.fakes.forked import CLAWD, run_clawd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def echo(api: FakeControlApi, turn: str, text: str) -> None:
    """Answer in the usual way."""
    api.send(type="started", turn=turn, attempt=1)
    answer = f"You said: {text}"
    api.say(turn, answer[:4], answer[4:])
    api.end(turn, answer)


def fails(code: int, error: str) -> Callable[[FakeControlApi, str, str], None]:
    def script(api: FakeControlApi, turn: str, _text: str) -> None:
        api.say(turn, "half an ans")
        api.end(turn, "Sorry, no model answered.", "failed", code, error)

    return script


@pytest.fixture
def api(state_dir: Path) -> Iterator[FakeControlApi]:
    with FakeControlApi(state_dir / "s.sock", echo) as api:
        yield api


def environ(api: FakeControlApi) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "CLAWD_HOME": str(api.path.parent), "LANG": "C.UTF-8"}


def command(api: FakeControlApi, *arguments: str) -> list[str]:
    return [*CLAWD, "--socket", str(api.path), "chat", *arguments]


def chat(
    api: FakeControlApi, *arguments: str, stdin: str | bytes = "", **env: str
) -> subprocess.CompletedProcess[str]:
    return run_clawd(*command(api, *arguments)[len(CLAWD) :], env={**environ(api), **env}, stdin=stdin)


def test_one_message_prints_its_answer_and_nothing_else(api: FakeControlApi) -> None:
    done = chat(api, "hello", "there")
    assert (done.returncode, done.stdout, done.stderr) == (0, "You said: hello there\n", "")


def test_a_pipe_is_appended_to_the_message(api: FakeControlApi) -> None:
    assert chat(api, stdin="hi\n").stdout == "You said: hi\n"
    assert chat(api, "-m", "review", stdin="a diff\n").stdout == "You said: review\n\na diff\n"


def test_the_message_goes_to_the_named_conversation_with_an_id_of_its_own(api: FakeControlApi) -> None:
    chat(api, "-c", "work", "a", LANG="zh_CN.UTF-8")
    chat(api, "-c", "work", "a")
    first, second = api.posts
    assert (first["conversation"], first["language"]) == ("work", "zh-CN")
    assert first["id"] != second["id"]
    assert "language" not in second


def test_json_ends_with_the_result(api: FakeControlApi) -> None:
    lines = [json.loads(line) for line in chat(api, "hi", "--json").stdout.splitlines()]
    kinds = [line["type"] for line in lines]
    assert kinds[-1] == "result"
    assert {"started", "delta", "ended"} <= set(kinds)
    assert {line["turn"] for line in lines[:-1]} == {"turn:t-1-1"}
    assert lines[-1] == {
        "type": "result",
        "schema_version": 1,
        "id": "turn:t-1-1",
        "conversation": "default",
        "state": "answered",
        "text": "You said: hi",
        "model": "main",
        "exit_code": 0,
        "error": None,
        "merged_into": None,
        "notice": "",
    }
    [only] = chat(api, "hi", "--json", "--no-stream").stdout.splitlines()
    assert json.loads(only)["type"] == "result"


def test_a_command_that_needs_no_turn_is_answered(api: FakeControlApi) -> None:
    assert chat(api, "/status").stdout == "all is well\n"
    result = json.loads(chat(api, "/status", "--json").stdout)
    assert (result["id"], result["state"], result["text"]) == (None, "replied", "all is well")


@pytest.mark.parametrize("code", [4, 69, 1])
def test_a_failed_turn_exits_with_its_code_and_leaves_no_half_answer(api: FakeControlApi, code: int) -> None:
    api.script = fails(code, "E-MODEL-AUTH: model main: refused (401)")
    done = chat(api, "hi")
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == (
        "error[E-MODEL-AUTH]: Sorry, no model answered.\nwhere: turn:t-1-1\n"
        "why: model main: refused (401)\n"
        "try: clawd trace turn:t-1-1\n"
    )
    done = chat(api, "hi", "--json")
    result = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, result["exit_code"], result["state"]) == (code, code, "failed")
    assert result["error"] == "E-MODEL-AUTH: model main: refused (401)"


def test_a_failure_never_exits_0_even_when_the_daemon_says_so(api: FakeControlApi) -> None:
    api.script = fails(0, "")
    assert chat(api, "hi").returncode == 1


def test_without_a_daemon_four_lines_say_how_to_start_one(api: FakeControlApi) -> None:
    api.stop()
    done = chat(api, "hi")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error[E-NOT-RUNNING]: no clawd daemon is running\nwhere: ")
    assert done.stderr.endswith("\ntry: clawd start --detach\n")


@pytest.mark.parametrize(
    ("arguments", "stdin", "word"),
    [
        ((), "", "nothing to ask"),
        (("",), "", "nothing to ask"),
        (("a", "-m", "b"), "", "twice"),
        (("a",), b"\xff\xfe", "no text"),
        (("a",), b"x" * 1_000_001, "too long"),
        (("a", "--model", "mian"), "", "there is no model 'mian'"),
    ],
)
def test_what_can_not_be_a_message_is_a_usage_error(
    api: FakeControlApi, arguments: tuple[str, ...], stdin: str | bytes, word: str
) -> None:
    done = chat(api, *arguments, stdin=stdin)
    assert (done.returncode, done.stdout) == (2, "")
    assert word in done.stderr
    assert "\ntry: " in done.stderr
    assert api.posts == []


def test_a_message_asks_for_a_model_of_its_own(api: FakeControlApi) -> None:
    assert chat(api, "hi", "--model", "standby").stdout == "You said: hi\n"
    assert [(post["text"], post["model"]) for post in api.posts] == [("hi", "standby")]
    chat(api, "hi")
    assert "model" not in api.posts[1]


def test_a_switch_of_model_leaves_the_pipe_clean(api: FakeControlApi) -> None:
    def script(api: FakeControlApi, turn: str, _text: str) -> None:
        api.say(turn, "Wrong")
        api.send(type="reset", turn=turn, attempt=1, reason="standby: broke off")
        api.say(turn, "Right")
        api.end(turn, "Right")

    api.script = script
    assert chat(api, "hi").stdout == "Right\n"


def test_a_pipe_may_ask_for_text_as_it_comes(api: FakeControlApi) -> None:
    held: list[str] = []

    def script(api: FakeControlApi, turn: str, _text: str) -> None:
        held.append(turn)
        api.say(turn, "First ")

    api.script = script
    with subprocess.Popen(
        command(api, "hi", "--stream"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environ(api)
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(6) == b"First "
        api.end(held[0], "First and last")
        assert process.stdout.read() == b"and last\n"
    assert process.returncode == 0


def test_other_turns_of_the_conversation_are_not_our_answer(api: FakeControlApi) -> None:
    def script(api: FakeControlApi, turn: str, text: str) -> None:
        api.add_entry("turn:other", "user", "what else")
        api.say("turn:other", "NOT YOURS")
        api.send(
            type="ended", turn="turn:other", outcome="answered", text="NOT YOURS", model="m", exit_code=0
        )
        echo(api, turn, text)

    api.script = script
    assert chat(api, "hi").stdout == "You said: hi\n"


def test_a_restart_in_the_middle_of_a_turn_is_waited_for(api: FakeControlApi) -> None:
    def script(api: FakeControlApi, turn: str, _text: str) -> None:
        api.say(turn, "Half")
        api.stop()
        api.start()
        api.wait(lambda: api.open_streams == 1)
        api.send(type="started", turn=turn, attempt=2)
        api.say(turn, "Whole answer", attempt=2)
        api.end(turn, "Whole answer")

    api.script = script
    done = chat(api, "hi")
    assert (done.returncode, done.stdout) == (0, "Whole answer\n")
    assert len(api.turns) == 1


def test_an_end_that_came_while_the_daemon_was_away_is_found(api: FakeControlApi) -> None:
    def script(api: FakeControlApi, turn: str, _text: str) -> None:
        api.stop()
        api.end(turn, "Done meanwhile")
        api.start()

    api.script = script
    done = chat(api, "hi", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert [line["type"] for line in lines][-2:] == ["ended", "result"]
    assert lines[-1]["text"] == "Done meanwhile"


def test_an_end_whose_live_news_was_lost_is_read_from_the_journal(api: FakeControlApi) -> None:
    def script(api: FakeControlApi, turn: str, _text: str) -> None:
        api.turns[turn].update(state="answered", answer="Quietly done", model="main")
        api.add_entry(turn, "assistant", "Quietly done")

    api.script = script
    assert chat(api, "hi").stdout == "Quietly done\n"


def test_an_end_without_any_text_is_found_when_the_daemon_is_back(api: FakeControlApi) -> None:
    def script(api: FakeControlApi, turn: str, _text: str) -> None:
        api.stop()
        api.turns[turn].update(state="dead", answer="", exit_code=1)
        api.start()

    api.script = script
    done = chat(api, "hi")
    assert (done.returncode, done.stdout) == (1, "")
    assert "the turn ended without an answer" in done.stderr


def test_a_message_whose_receipt_was_lost_is_answered_once(api: FakeControlApi) -> None:
    api.break_posts = ["after"]
    assert chat(api, "hi").stdout == "You said: hi\n"
    assert (len(api.posts), len(api.turns)) == (2, 1)


def test_ctrl_c_stops_the_turn_and_keeps_what_there_is(api: FakeControlApi) -> None:
    def script(api: FakeControlApi, turn: str, _text: str) -> None:
        api.say(turn, "Half an answer")
        api.wait(lambda: turn in api.cancelled)
        api.end(turn, "Half an answer\n\n(stopped here)", "cancelled", 130)

    done = interrupted(api, script)
    assert (done.returncode, done.stdout) == (130, "Half an answer\n\n(stopped here)\n")


def test_ctrl_c_twice_leaves_at_once_and_the_daemon_goes_on(api: FakeControlApi) -> None:
    def script(api: FakeControlApi, turn: str, _text: str) -> None:
        api.say(turn, "Half an answer")

    done = interrupted(api, script, twice=True)
    assert (done.returncode, done.stdout) == (130, "")
    assert api.turns["turn:t-1-1"]["state"] == "running"


def interrupted(
    api: FakeControlApi, script: Callable[[FakeControlApi, str, str], None], *, twice: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a chat and press Ctrl-C once the turn has begun."""
    api.script = script
    with subprocess.Popen(
        command(api, "hi", "--json"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ(api),
        text=True,
    ) as process:
        assert process.stdout is not None
        first: dict[str, Any] = {}
        while first.get("type") != "delta":
            first = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        if twice:
            api.wait(lambda: bool(api.cancelled))
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=50)
    text = "".join(
        f"{line['text']}\n" for line in map(json.loads, out.splitlines()) if line["type"] == "result"
    )
    return subprocess.CompletedProcess([], process.returncode, text, err)


def test_a_closed_standard_input_is_no_hang(api: FakeControlApi) -> None:
    line = f"exec {' '.join(command(api, 'hi'))} <&-"
    done = subprocess.run(
        ["/bin/sh", "-c", line], capture_output=True, env=environ(api), timeout=50, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"You said: hi\n")


def test_an_open_pipe_that_stays_silent_is_spoken_of(api: FakeControlApi) -> None:
    with subprocess.Popen(
        command(api, "hi"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ(api),
    ) as process:
        assert process.stderr is not None
        assert b"reading standard input" in process.stderr.readline()
        out, _ = process.communicate(timeout=50)
    assert out == b"You said: hi\n"

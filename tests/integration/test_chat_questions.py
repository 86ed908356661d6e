"""Questions and busy turns as a person at `clawd chat` has them: a real process on a real pseudo-terminal."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from tests.fakes.control_api import FakeControlApi
from tests.fakes.forked import run_clawd
from tests.integration.test_chat_terminal import CTRL_C, CTRL_D, chat, open_gate, pass_gate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.terminal import Terminal

Q = "approval:t-1-1-2"
OVER = "the test is over"
WORDS = "[y]es once, [a]lways, [n]o"
HIDDEN = "rm -rf build\x1b[2K\x1b[1Gls\n" + "x" * 100


def asking(api: FakeControlApi, turn: str, text: str, *, subject: str = "rm -rf build") -> None:
    """A turn that says something, asks, and goes on by what was answered."""
    if len(api.turns) > 1:
        return
    api.send(type="started", turn=turn, attempt=1)
    api.say(turn, "I will clean up.")
    question = api.ask(turn, subject)
    api.wait(
        lambda: question not in api.questions or turn in api.cancelled or OVER in api.gates, timeout_s=60
    )
    if OVER in api.gates:
        return
    if turn in api.cancelled:
        api.end(turn, "I will clean up.\n\n(stopped here)", "cancelled", 130)
        return
    said = api.words[-1][1] if api.words else "nothing"
    api.say(turn, f"\n\nThe answer was {said}.", offset=len("I will clean up."))
    api.end(turn, f"I will clean up.\n\nThe answer was {said}.")


@pytest.fixture
def api(state_dir: Path) -> Iterator[FakeControlApi]:
    with FakeControlApi(state_dir / "s.sock", asking) as api:
        yield api
        open_gate(api, OVER)  # nobody answers any more


def listens(api: FakeControlApi, terminal: Terminal) -> None:
    """Return once the chat takes input, and has its stream: what is said before reaches nobody."""
    terminal.until("›")
    api.wait(lambda: api.open_streams > 0)


def at_rest(terminal: Terminal, words: str) -> str:
    """Return the screen once a turn that ended in these words is over, and everything about it is printed."""
    return terminal.until(lambda screen: screen.visible().endswith(f"{words}\n›"))


# --- the interactive chat ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "word", "body", "note"),
    [
        ("y", "approve", {}, "approved once"),
        ("YES", "approve", {}, "approved once"),
        ("a", "approve", {"always": ""}, "approved, and from now on without a question"),
        ("no", "deny", {}, "denied"),
    ],
)
def test_the_next_line_answers_the_question(
    api: FakeControlApi, typed: str, word: str, body: dict[str, str], note: str
) -> None:
    with chat(api) as terminal:
        listens(api, terminal)
        terminal.type("clean up\r")
        terminal.until(f"{WORDS} · ")
        terminal.until("left, then no · Ctrl-C stops")
        terminal.type(f"\r{typed}\r")  # an empty Enter is no answer
        seen = at_rest(terminal, f"The answer was {word}.")
        assert api.words == [(Q, word, body)]
        assert [post["text"] for post in api.posts] == ["clean up"]
        assert "I will clean up.\n\n? shell wants to run:\n    rm -rf build\n" in seen
        assert f"› {typed}\n{note}\n\nThe answer was" in seen
        assert "elsewhere" not in seen


def test_the_call_is_shown_in_full_and_hides_nothing(api: FakeControlApi) -> None:
    api.script = lambda api, turn, text: asking(api, turn, text, subject=HIDDEN)
    with chat(api, columns=60) as terminal:
        listens(api, terminal)
        terminal.type("clean up\r")
        seen = terminal.until(f"{WORDS} · ")
        assert r"    rm -rf build\e[2K\e[1Gls\n" + "x" * 100 in seen.replace("\n", "")


def test_other_text_is_a_message_and_means_no(api: FakeControlApi) -> None:
    with chat(api) as terminal:
        listens(api, terminal)
        terminal.type("clean up\r")
        terminal.until(WORDS)
        terminal.type("keep the logs\r")
        api.wait(lambda: len(api.posts) == 2)
        api.merge("turn:t-1-2", "turn:t-1-1")
        api.settle(Q)
        seen = at_rest(terminal, "The answer was nothing.")  # nothing is waited for
        assert (api.posts[1]["text"], api.words) == ("keep the logs", [])
        assert "› keep the logs\nthat was taken as no\n\nThe answer was nothing." in seen
        terminal.type(CTRL_D)
        terminal.wait()
        assert "still being worked on" not in terminal.screen.text()


def test_a_question_answered_elsewhere_goes_away_with_a_note(api: FakeControlApi) -> None:
    with chat(api) as terminal:
        listens(api, terminal)
        terminal.type("clean up\r")
        terminal.until(WORDS)
        api.settle(Q)
        seen = at_rest(terminal, "The answer was nothing.")
        assert "settled elsewhere\n\nThe answer was" in seen
        terminal.type("y\r")  # is a message again
        api.wait(lambda: [post["text"] for post in api.posts] == ["clean up", "y"])


def test_an_answer_that_comes_too_late_is_told_so(api: FakeControlApi) -> None:
    with chat(api) as terminal:
        listens(api, terminal)
        terminal.type("clean up\r")
        terminal.until(WORDS)
        del api.questions[Q]  # answered, and the news is still under way
        terminal.type("y\r")
        terminal.until("not taken: this question is no longer open")


def test_a_question_without_an_answer_in_time_says_so(api: FakeControlApi) -> None:
    def script(api: FakeControlApi, turn: str, _text: str) -> None:
        api.ask(turn, left_s=0.2)

    api.script = script
    with chat(api) as terminal:
        listens(api, terminal)
        terminal.type("clean up\r")
        terminal.until("none left, then no")
        api.settle(Q)
        terminal.until("no answer in time, which is a no")


@pytest.mark.parametrize("key", [CTRL_C, "\x1b"])
def test_ctrl_c_stops_the_turn_and_escape_does_nothing(api: FakeControlApi, key: str) -> None:
    with chat(api) as terminal:
        listens(api, terminal)
        terminal.type("clean up\r")
        terminal.until(WORDS)
        terminal.type(key)
        if key == CTRL_C:
            seen = at_rest(terminal, "(stopped here)")
            assert "elsewhere" not in seen
        else:
            terminal.type("\r")
            terminal.type("n\r")
            terminal.until("The answer was deny.")
        assert len(api.words) == (key != CTRL_C)


def test_an_open_question_is_there_again_for_a_new_chat_and_once_after_a_restart(api: FakeControlApi) -> None:
    with chat(api) as terminal:
        listens(api, terminal)
        terminal.type("clean up\r")
        terminal.until(WORDS)
        terminal.type(CTRL_D)
        terminal.wait()
    with chat(api) as terminal:
        terminal.until("? shell wants to run:\n    rm -rf build")
        api.stop()
        terminal.until("waiting for the daemon")
        api.start()
        seen = terminal.until("connected again")
        terminal.until(f"{WORDS} · ")
        assert seen.count("? shell wants to run:") == 1
        terminal.type("y\r")
        terminal.until("The answer was approve.")


def test_an_answer_given_while_the_daemon_is_away_arrives_when_it_is_back(api: FakeControlApi) -> None:
    with chat(api) as terminal:
        listens(api, terminal)
        terminal.type("clean up\r")
        terminal.until(WORDS)
        api.stop()
        terminal.until("waiting for the daemon")
        terminal.type("n\r")
        terminal.until("› n")
        api.start()
        terminal.until("The answer was deny.")


# --- messages that join a turn in work -----------------------------------------------------------------------


def test_a_message_that_joins_the_running_turn_is_shown_in_its_answer(api: FakeControlApi) -> None:
    def steered(api: FakeControlApi, turn: str, text: str) -> None:
        if text != "first":
            return
        api.send(type="started", turn=turn, attempt=1)
        api.say(turn, "Let me see.")
        pass_gate(api, "typed")
        api.wait(lambda: len(api.turns) == 2)
        api.merge("turn:t-1-2", turn)
        call = {"turn": turn, "name": "clock", "summary": "", "duration_s": 0.0}
        api.send(type="tool", **call, phase="started")
        api.send(type="tool", **call, phase="ok")
        api.say(turn, "\n\nBoth then.", offset=11)
        pass_gate(api, "end")
        api.end(turn, "Let me see.\n\nBoth then.")

    api.script = steered
    with chat(api) as terminal:
        terminal.until("›")
        terminal.type("first\r")
        terminal.until("Let me see.")
        terminal.type("and second\r")
        terminal.until("1 waiting")
        open_gate(api, "typed")
        seen = terminal.until("Both then.")
        assert "› and second\ngoes into the answer above" in seen
        assert "waiting" not in terminal.screen.visible().split("Both then.")[1]
        open_gate(api, "end")
        terminal.until(lambda screen: screen.visible().endswith("Both then.\n›"))
        terminal.type(CTRL_D)
        assert terminal.wait() == 0
        seen = terminal.screen.text()
        assert seen.count("and second") == seen.count("Both then.") == 1
        assert "still being worked on" not in seen


def test_a_message_that_turns_out_to_be_answered_already_waits_no_more(api: FakeControlApi) -> None:
    def merged(api: FakeControlApi, turn: str, text: str) -> None:
        if text == "first":
            api.send(type="started", turn=turn, attempt=1)
            api.say(turn, "One")
            api.wait(lambda: len(api.turns) == 3)
            api.add_entry("turn:o-1-9", "user", "from elsewhere")
            api.turns["turn:o-1-9"] = {"id": "turn:o-1-9", "state": "running"}
            for other in ("turn:t-1-2", "turn:t-1-3", "turn:o-1-9"):
                api.merge(other, turn)
            pass_gate(api, "end")
            api.end(turn, "One and all.")

    api.script = merged
    with chat(api) as terminal:
        terminal.until("›")
        terminal.type("first\r")
        terminal.until("One")
        terminal.type("second\rthird\r")
        terminal.until("3 waiting")
        open_gate(api, "end")
        terminal.until("answered above, with the one before")
        terminal.until(lambda screen: screen.visible().endswith("the one before\n›"))
        seen = terminal.screen.text()
        assert all(seen.count(f"› {text}\n") == 1 for text in ("second", "third", "from elsewhere"))
        terminal.type(CTRL_D)
        assert terminal.wait() == 0
        assert "still being worked on" not in terminal.screen.text()


def test_one_message_that_was_merged_prints_that_turns_answer(api: FakeControlApi) -> None:
    def merged(api: FakeControlApi, turn: str, _text: str) -> None:
        api.send(type="started", turn="turn:t-1-1", attempt=1)
        api.say("turn:t-1-1", "Both")
        api.merge(turn, "turn:t-1-1")
        api.end("turn:t-1-1", "Both of them.", "failed" if "fail" in _text else "answered", exit_code)

    api.script = None
    api.accept({"text": "running", "id": "x"})
    api.script, exit_code = merged, 0
    done = run(api, "--json", "second", stdin="")
    frame, result = map(json.loads, done.stdout.splitlines()[-2:])
    assert (frame["type"], frame["merged_into"]) == ("ended", "turn:t-1-1")
    assert (result["id"], result["merged_into"]) == ("turn:t-1-2", "turn:t-1-1")
    assert (done.returncode, result["text"], result["state"]) == (0, "Both of them.", "answered")
    exit_code = 69
    api.turns["turn:t-1-1"]["state"] = "running"
    assert run(api, "fail", stdin="").returncode == 69


# --- one message -------------------------------------------------------------------------------------------


def run(api: FakeControlApi, *arguments: str, stdin: str) -> subprocess.CompletedProcess[str]:
    home = str(api.path.parent)
    environ = {"PATH": os.environ["PATH"], "HOME": home, "CLAWD_HOME": home, "CLAWD_SOCKET": str(api.path)}
    return run_clawd("chat", *arguments, env=environ, stdin=stdin)


@pytest.mark.parametrize(("typed", "said"), [("y\r", "approve"), ("\rn\r", "deny"), ("\x04", "approve")])
def test_one_message_at_a_terminal_asks_there_and_then(api: FakeControlApi, typed: str, said: str) -> None:
    with chat(api, "clean up") as terminal:
        seen = terminal.until(f"{WORDS} · ")
        assert "? shell wants to run:\n    rm -rf build" in seen
        terminal.type(typed)
        if typed == "\x04":  # nobody is there any more, and the turn still waits
            terminal.until(f"clawd approvals approve {Q}")
            api.word(Q, "approve", {})
        assert terminal.wait() == 0
        assert terminal.screen.text().endswith(f"The answer was {said}.")
        assert api.words[0][:2] == (Q, said)


def test_what_was_typed_before_the_question_is_no_answer(api: FakeControlApi) -> None:
    def script(api: FakeControlApi, turn: str, text: str) -> None:
        pass_gate(api, "typed")
        asking(api, turn, text)

    api.script = script
    with chat(api, "clean up") as terminal:
        api.wait(lambda: bool(api.turns))
        terminal.type("y\r")
        terminal.until("y")  # echoed: the line is in the terminal
        open_gate(api, "typed")
        terminal.until(WORDS)
        terminal.type("n\r")
        assert terminal.wait() == 0
        assert [word for _, word, _ in api.words] == ["deny"]


def test_other_text_at_one_message_is_sent_and_ctrl_c_stops(api: FakeControlApi) -> None:
    with chat(api, "clean up") as terminal:
        terminal.until(WORDS)
        terminal.type("keep the logs\r")
        api.wait(lambda: len(api.posts) == 2)
        assert api.posts[1]["text"] == "keep the logs"
        api.settle(Q)
        assert terminal.wait() == 0
        assert "that was taken as no" in terminal.screen.text()
    api.turns.clear()
    with chat(api, "clean up") as terminal:
        terminal.until(WORDS)
        terminal.type(CTRL_C)
        assert terminal.wait() == 130
        assert terminal.screen.text().endswith("(stopped here)")


@pytest.mark.parametrize("as_json", [False, True])
def test_without_a_terminal_the_question_says_how_to_answer_and_waits(
    api: FakeControlApi, as_json: bool
) -> None:
    def script(api: FakeControlApi, turn: str, text: str) -> None:
        asking(api, turn, text, subject="rm\x1b[2K -rf build")

    def answer(api: FakeControlApi, turn: str, text: str) -> None:
        threading.Thread(target=script, args=(api, turn, text), daemon=True).start()
        api.wait(lambda: Q in api.questions and api.open_streams == 1)
        api.word(Q, "deny", {})

    api.script = answer
    done = run(api, *(["--json"] if as_json else []), "clean up", stdin="")
    assert done.returncode == 0
    asked = "shell wants to run:\n    rm\\e[2K -rf build\nallow it within "
    assert asked in done.stderr
    assert f"clawd approvals approve {Q}\nor refuse it: clawd approvals deny {Q}\n" in done.stderr
    if as_json:
        frames = [json.loads(line) for line in done.stdout.splitlines()]
        [question] = [frame for frame in frames if frame["type"] == "question"]
        assert (question["id"], question["subject"]) == (Q, "rm\x1b[2K -rf build")
        assert frames[-1]["state"] == "answered"
    else:
        assert done.stdout == "I will clean up.\n\nThe answer was deny.\n"


def test_a_dumb_terminal_asks_without_a_single_escape(api: FakeControlApi) -> None:
    with chat(api, TERM="dumb") as terminal:
        terminal.until(">")
        terminal.type("clean up\r")
        terminal.until(WORDS)
        terminal.type("a\r")
        terminal.until("The answer was approve.")
        terminal.until(lambda screen: screen.text().endswith("\n>"))
        terminal.type("next\r")  # the line is the chat's own again
        api.wait(lambda: [post["text"] for post in api.posts] == ["clean up", "next"])
        assert api.words == [(Q, "approve", {"always": ""})]
        assert "\x1b" not in terminal.raw


def test_a_dumb_terminal_shows_an_open_question_on_start(api: FakeControlApi) -> None:
    asked = threading.Thread(target=api.accept, args=({"text": "clean up", "id": "x"},))
    asked.start()
    api.wait(lambda: Q in api.questions)
    with chat(api, TERM="dumb") as terminal:
        terminal.until(WORDS)
        terminal.type("n\r")
        terminal.until("The answer was deny.")
        terminal.until(lambda screen: screen.text().endswith("\n>"))
        assert api.words == [(Q, "deny", {})]
    asked.join()

"""`clawd chat` as a person uses it: a real process on a real pseudo-terminal, and the screen they would see."""

from __future__ import annotations

import os
import signal
import stat
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.fakes.control_api import FakeControlApi
from tests.fakes.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MARKDOWN = "# Title\n\nSome **bold** words.\n\n- one\n- two\n\n```py\nx = 1\n```\n\nThe end."
DRAWN = "Title\n\nSome bold words.\n\n • one\n • two\n\n```py\nx = 1\n```\n\nThe end."
CTRL_C, CTRL_D, CTRL_J, CTRL_R = "\x03", "\x04", "\x0a", "\x12"


def stream(api: FakeControlApi, turn: str, answer: str, size: int = 4) -> None:
    api.send(type="started", turn=turn, attempt=1)
    api.say(turn, *(answer[at : at + size] for at in range(0, len(answer), size)))
    api.end(turn, answer)


def echo(api: FakeControlApi, turn: str, text: str) -> None:
    stream(api, turn, f"You said: {text}.")


def open_gate(api: FakeControlApi, name: str) -> None:
    """Let a script that waits at this gate go on."""
    with api.changed:
        api.gates.add(name)
        api.changed.notify_all()


def pass_gate(api: FakeControlApi, name: str) -> None:
    api.wait(lambda: name in api.gates)


@pytest.fixture
def api(state_dir: Path) -> Iterator[FakeControlApi]:
    with FakeControlApi(state_dir / "s.sock", echo) as api:
        yield api


def at_rest(terminal: Terminal) -> None:
    """Return once the prompt stands below the answer: who leaves before is told that it is still worked on."""
    terminal.until(lambda screen: screen.visible().endswith("\n›"))


@contextmanager
def chat(
    api: FakeControlApi,
    *arguments: str,
    columns: int = 80,
    rows: int = 24,
    **env: str,
) -> Iterator[Terminal]:
    home = api.path.parent
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "CLAWD_HOME": str(home),
        "CLAWD_SOCKET": str(api.path),
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        **env,
    }
    argv = [sys.executable, "-m", "clawd.cli.main", "chat", *arguments]
    with Terminal(argv, environ, columns=columns, rows=rows) as terminal:
        yield terminal


def test_a_conversation_reads_as_it_was_had_and_ends_with_how_to_resume(api: FakeControlApi) -> None:
    with chat(api, "-c", "work") as terminal:
        terminal.until("›")
        terminal.type("hello\r")
        terminal.until("You said: hello.")
        api.wait(lambda: api.turns["turn:t-1-1"]["state"] == "answered")
        terminal.type("again\r")
        terminal.until("You said: again.")
        at_rest(terminal)
        terminal.type(CTRL_D)
        assert terminal.wait() == 0
        assert terminal.screen.text() == (
            "clawd 0.0.0 · main · work · /help, Ctrl-D leaves\n\n"
            "› hello\n\nYou said: hello.\n\n› again\n\nYou said: again.\nresume: clawd chat -c work"
        )


def test_the_screen_does_not_jump_and_the_terminal_is_never_asked_where_its_cursor_is(
    api: FakeControlApi,
) -> None:
    api.script = lambda api, turn, _: stream(api, turn, "One.\n\nTwo.\n\nThree.")
    with chat(api) as terminal:
        terminal.until("›")
        terminal.type("go\r")
        terminal.until(lambda screen: screen.visible().endswith("Three.\n›"))
        assert terminal.screen.scrollback == []
        assert terminal.screen.visible().endswith("› go\n\nOne.\n\nTwo.\n\nThree.\n›")
        assert "\x1b[6n" not in terminal.raw


def test_markdown_is_drawn_block_by_block_and_stands_there_once(api: FakeControlApi) -> None:
    api.script = lambda api, turn, _: stream(api, turn, MARKDOWN, 3)
    with chat(api, "go") as terminal:
        assert terminal.wait() == 0
        assert terminal.screen.text() == DRAWN
    with chat(api, rows=14) as terminal:
        terminal.until("›")
        terminal.type("go\r")
        terminal.until("The end.")
        at_rest(terminal)
        terminal.type(CTRL_D)
        assert terminal.wait() == 0
        assert DRAWN in terminal.screen.text()


def test_a_message_typed_while_an_answer_grows_waits_for_its_turn(api: FakeControlApi) -> None:
    def script(api: FakeControlApi, turn: str, text: str) -> None:
        if text == "first":
            api.send(type="started", turn=turn, attempt=1)
            api.say(turn, "Thinking")
            api.wait(lambda: len(api.turns) == 2)
        else:
            api.wait(lambda: api.turns["turn:t-1-1"]["state"] == "answered")
            api.send(type="started", turn=turn, attempt=1)
            api.say(turn, "Second answer.")
            api.end(turn, "Second answer.")

    api.script = script
    with chat(api) as terminal:
        terminal.until("›")
        terminal.type("first\r")
        terminal.until("Thinking")
        terminal.type("second\r")
        terminal.until("1 waiting")
        assert "› second\nworking" in terminal.screen.visible()
        api.end("turn:t-1-1", "Thinking done.")
        terminal.until("Second answer.")
        at_rest(terminal)
        terminal.type(CTRL_D)
        terminal.wait()
        assert "› first\n\nThinking done.\n\n› second\n\nSecond answer." in terminal.screen.text()


def test_somebody_elses_messages_before_mine_are_counted(api: FakeControlApi) -> None:
    api.turns = {f"turn:o-{n}": {"state": "running"} for n in range(2)}
    with chat(api) as terminal:
        terminal.until("›")
        terminal.type("mine\r")
        terminal.until("2 messages before yours")


def test_ctrl_c_stops_the_turn_and_the_chat_goes_on(api: FakeControlApi) -> None:
    def script(api: FakeControlApi, turn: str, _text: str) -> None:
        api.send(type="started", turn=turn, attempt=1)
        api.say(turn, "Half of it")
        api.wait(lambda: turn in api.cancelled)
        api.end(turn, "Half of it\n\n(stopped here)", "cancelled", 130)

    api.script = script
    with chat(api) as terminal:
        terminal.until("›")
        terminal.type("go\r")
        terminal.until("Half of it")
        terminal.type(CTRL_C)
        terminal.until("(stopped here)")
        api.script = echo
        terminal.type("next\r")
        terminal.until("You said: next.")
        assert "Half of it\n\n(stopped here)\n\n› next" in terminal.screen.text()


def test_ctrl_c_twice_leaves_with_130_and_says_what_goes_on(api: FakeControlApi) -> None:
    api.script = lambda api, turn, _: api.say(turn, "Going on")
    with chat(api) as terminal:
        terminal.until("›")
        terminal.type("go\r")
        terminal.until("Going on")
        terminal.type(CTRL_C)
        api.wait(lambda: bool(api.cancelled))
        terminal.type(CTRL_C)
        assert terminal.wait() == 130
        seen = terminal.screen.text()
        assert "Going on" in seen
        assert "a message is still being worked on" in seen
        assert seen.endswith("resume: clawd chat")


def test_ctrl_c_with_nothing_running_clears_the_line(api: FakeControlApi) -> None:
    with chat(api) as terminal:
        terminal.until("›")
        terminal.type("half a thought")
        terminal.until("half a thought")
        terminal.type(CTRL_C)
        terminal.until(lambda screen: "half" not in screen.visible())
        terminal.type("hi\r")
        terminal.until("You said: hi.")


@pytest.mark.parametrize("newline", ["\\\r", "\x1b\r", CTRL_J])
def test_a_message_may_have_several_lines(api: FakeControlApi, newline: str) -> None:
    with chat(api) as terminal:
        terminal.until("›")
        terminal.type(f"one{newline}two\r")
        terminal.until("You said: one")
        assert api.posts[0]["text"] == "one\ntwo"


def test_a_paste_is_one_message(api: FakeControlApi) -> None:
    with chat(api) as terminal:
        terminal.until("›")
        terminal.type("\x1b[200~line 1\nline 2\nline 3\x1b[201~\r")
        terminal.until("You said: line 1")
        assert [post["text"] for post in api.posts] == ["line 1\nline 2\nline 3"]


def test_history_is_searched_and_only_mine_to_read(api: FakeControlApi) -> None:
    with chat(api) as terminal:
        terminal.until("›")
        terminal.type("remember the milk\r")
        terminal.until("You said: remember")
        at_rest(terminal)
        terminal.type(CTRL_D)
        terminal.wait()
    history = api.path.parent / "state" / "chat" / "history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    with chat(api) as terminal:
        terminal.until("›")
        terminal.type(f"{CTRL_R}milk")
        terminal.until("remember the milk")
        terminal.type("\r")
        terminal.type("\r")
        api.wait(lambda: len(api.posts) == 2)
        assert api.posts[1]["text"] == "remember the milk"


def test_an_editor_may_write_the_message(api: FakeControlApi) -> None:
    editor = api.path.parent / "editor"
    editor.write_text("#!/bin/sh\nprintf 'written in peace' > \"$1\"\n")
    editor.chmod(0o700)
    with chat(api, EDITOR=str(editor), VISUAL=str(editor)) as terminal:
        terminal.until("›")
        terminal.type("draft\x18\x05")
        terminal.until("written in peace")
        terminal.type("\r")
        api.wait(lambda: bool(api.posts))
        assert api.posts[0]["text"].strip() == "written in peace"


def test_slash_commands_and_models_are_completed(api: FakeControlApi) -> None:
    with chat(api) as terminal:
        terminal.until("›")
        terminal.type("/st")
        terminal.until("how things are")
        terminal.type("\t\t\r")
        terminal.until("all is well")
        assert api.posts[0]["text"] == "/status"
        terminal.type("/model st")
        terminal.until("standby")
        terminal.type("\t")
        terminal.until("/model standby")


def test_each_message_asks_for_the_model_of_the_command_line_until_another_is_chosen(
    api: FakeControlApi,
) -> None:
    with chat(api, "--model", "standby") as terminal:
        terminal.until("›")
        for text in ("one", "/model main", "two"):
            terminal.type(f"{text}\r")
            terminal.until(f"You said: {text}")
        terminal.type(CTRL_D)
        terminal.until("--model standby")
    assert [post.get("model") for post in api.posts] == ["standby", None, None]


def test_what_arrived_meanwhile_is_shown_once(api: FakeControlApi) -> None:
    with chat(api) as terminal:
        terminal.until("›")
        terminal.type("hi\r")
        terminal.until("You said: hi.")
        at_rest(terminal)
        terminal.type(CTRL_D)
        terminal.wait()
    api.add_entry("turn:other-1", "user", "asked elsewhere")
    api.add_entry("turn:other-1", "assistant", "answered elsewhere")
    with chat(api) as terminal:
        seen = terminal.until("answered elsewhere")
        assert "› asked elsewhere" in seen
        assert "You said: hi." not in seen
        terminal.until(lambda screen: screen.visible().endswith("›"))
        terminal.type(CTRL_D)
        terminal.wait()
    with chat(api) as terminal:
        assert "elsewhere" not in terminal.until("›")


def test_a_turn_that_runs_already_is_joined_in_the_middle(api: FakeControlApi) -> None:
    api.turns["turn:t-1-9"] = {"id": "turn:t-1-9", "state": "running"}
    api.add_entry("turn:t-1-9", "user", "long question")
    api.snapshot = {"turn": "turn:t-1-9", "attempt": 1, "text": "The first half"}
    with chat(api) as terminal:
        terminal.until("The first half")
        api.say("turn:t-1-9", " and the second.", offset=14)
        api.end("turn:t-1-9", "The first half and the second.")
        terminal.until("The first half and the second.")
        assert "› long question" in terminal.screen.text()


def test_a_restart_is_told_and_the_same_turn_goes_on(api: FakeControlApi) -> None:
    def script(api: FakeControlApi, turn: str, _text: str) -> None:
        api.send(type="started", turn=turn, attempt=1)
        api.say(turn, "First part.\n\nSecond")
        pass_gate(api, "stop")
        api.send(type="handed_back", turn=turn)
        api.stop()
        pass_gate(api, "start")
        api.start()
        api.wait(lambda: api.open_streams == 1)
        api.send(type="started", turn=turn, attempt=2)
        api.say(turn, "First part.\n\n", "Last part", attempt=2)
        pass_gate(api, "end")
        api.end(turn, "First part.\n\nLast part.")

    api.script = script
    with chat(api) as terminal:
        terminal.until("›")
        terminal.type("go\r")
        terminal.until("Second")
        open_gate(api, "stop")
        terminal.until("waiting for it to come back")
        open_gate(api, "start")
        terminal.until("Last part")
        open_gate(api, "end")
        terminal.until("Last part.")
        seen = terminal.screen.text()
        assert "connected again" in seen
        assert "attempt 2" in seen
        assert seen.count("First part.") == 1
        assert len(api.turns) == 1


def test_a_message_typed_while_the_daemon_is_away_is_sent_when_it_is_back(api: FakeControlApi) -> None:
    with chat(api) as terminal:
        terminal.until("›")
        api.wait(lambda: api.open_streams == 1)
        api.stop()
        terminal.until("waiting for the daemon")
        terminal.type("patience\r")
        terminal.until("› patience")
        api.start()
        terminal.until("You said: patience.")
        assert len(api.turns) == 1


def test_another_model_and_tools_are_dim_lines_between(api: FakeControlApi) -> None:
    def script(api: FakeControlApi, turn: str, _text: str) -> None:
        api.say(turn, "Wrong beginn")
        api.send(type="reset", turn=turn, attempt=1, reason="standby: E-MODEL-DOWN")
        api.say(turn, "Let me see.")
        call = {"turn": turn, "name": "calculator", "duration_s": 0.0}
        api.send(type="tool", **call, phase="started", summary='{"expression": "6*7"}')
        api.send(type="tool", **{**call, "duration_s": 0.25}, phase="ok", summary="42")
        api.say(turn, "\n\nIt is 42.", offset=11)
        api.end(turn, "Let me see.\n\nIt is 42.")

    api.script = script
    with chat(api, "go") as terminal:
        assert terminal.wait() == 0
        assert terminal.screen.text() == (
            "switched to standby: the one before failed\n\nLet me see.\n"
            '> calculator({"expression": "6*7"})\n  42 · 2 characters, 0.2 s\n\nIt is 42.'
        )
        assert "\x1b[2m> calculator" in terminal.raw


def test_a_failed_turn_is_told_and_the_chat_goes_on(api: FakeControlApi) -> None:
    def script(api: FakeControlApi, turn: str, _text: str) -> None:
        api.end(turn, "Sorry, no model answered.", "failed", 69, "E-MODELS: main: refused")

    api.script = script
    with chat(api) as terminal:
        terminal.until("›")
        terminal.type("go\r")
        seen = terminal.until("try: clawd trace turn:t-1-1")
        assert "error[E-MODELS]: Sorry, no model answered.\nwhere: turn:t-1-1\nwhy: main: refused\n" in seen
        api.script = echo
        terminal.type("again\r")
        terminal.until("You said: again.")
    with chat(api, "once") as terminal:
        api.script = script
        assert terminal.wait() in (0, 69)


def test_a_model_can_not_write_to_the_terminal_behind_the_answer(api: FakeControlApi) -> None:
    api.script = lambda api, turn, _: stream(api, turn, "a\x1b]52;c;aGFjaw==\x07b\x1b[2Jc\x9bd", 1)
    with chat(api, "go") as terminal:
        terminal.wait()
        assert terminal.screen.text() == "a]52;c;aGFjaw==b[2Jcd"
        assert "\x1b]52" not in terminal.raw


@pytest.mark.parametrize("columns", [12, 30])
def test_narrow_terminals_and_wide_characters_are_drawn_right(api: FakeControlApi, columns: int) -> None:
    answer = "你好，这是一个测试，看看窄的终端会怎样。\n\n" * 3 + "- 第一项很长很长很长\n- second\n\nend"
    api.script = lambda api, turn, _: stream(api, turn, answer, 2)
    with chat(api, columns=columns, rows=12) as terminal:
        terminal.until("›")
        terminal.type("走\r")
        terminal.until(lambda screen: screen.visible().rstrip("\n› ").endswith("end"))
        terminal.type(CTRL_D)
        terminal.wait()
        seen = "".join(terminal.screen.text().split())
        assert seen.count("你好，这是一个测试，看看窄的终端会怎样。") == 3
        assert seen.count("•第一项很长很长很长•secondend") == 1


def test_a_dumb_terminal_gets_lines_without_a_single_escape(api: FakeControlApi) -> None:
    api.script = lambda api, turn, _: stream(api, turn, MARKDOWN)
    with chat(api, TERM="dumb") as terminal:
        terminal.until(">")
        terminal.type("hello\r")
        terminal.until(lambda screen: screen.text().endswith("The end.\n>"))
        terminal.type(CTRL_D)
        assert terminal.wait() == 0
        assert MARKDOWN in terminal.screen.text()
        assert "resume: clawd chat" in terminal.screen.text()
        assert "\x1b" not in terminal.raw


def test_no_color_means_no_colours(api: FakeControlApi) -> None:
    api.script = lambda api, turn, _: stream(api, turn, "`code` and\n\n```py\nreturn 1\n```\n")
    for arguments in (("go",), ()):
        with chat(api, *arguments, NO_COLOR="1") as terminal:
            if not arguments:
                terminal.until("›")
                terminal.type("go\r")
                terminal.until("return 1")
                terminal.type(CTRL_D)
            terminal.wait()
            assert not any(f"\x1b[{n}m" in terminal.raw or f";{n}m" in terminal.raw for n in range(30, 38))


def test_without_a_daemon_the_chat_says_how_to_start_one(api: FakeControlApi) -> None:
    api.stop()
    with chat(api) as terminal:
        assert terminal.wait() == 3
        assert terminal.screen.text().startswith("error[E-NOT-RUNNING]: no clawd daemon is running")
        assert terminal.screen.text().endswith("try: clawd start --detach")


def test_a_terminated_chat_gives_the_terminal_back(api: FakeControlApi) -> None:
    with chat(api) as terminal:
        terminal.until("›")
        api.wait(lambda: api.open_streams == 1)
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait() == 128 + signal.SIGTERM
        assert "resume: clawd chat" in terminal.screen.text()

"""What reaches a pipe, a dumb terminal and a real one."""

from __future__ import annotations

from io import StringIO

from clawd.cli.chat.output import FinalOutput, RawOutput
from clawd.cli.chat.terminal import LiveSurface, TerminalOutput, newest
from tests.fakes.terminal import Screen


def test_a_pipe_gets_the_committed_text_alone() -> None:
    out, talk = StringIO(), StringIO()
    output = FinalOutput(out, talk, notes=False)
    output.show("Bad st")
    output.note("switched")
    output.show("Good")
    output.end("Good\x1b[31m")
    assert out.getvalue() == "Good\x1b[31m\n"
    assert talk.getvalue() == ""


def test_what_is_told_beside_an_answer_reaches_nobody_who_reads_the_pipe() -> None:
    for kind in (FinalOutput, RawOutput):
        out, talk = StringIO(), StringIO()
        output = kind(out, talk, notes=False)
        output.show("Good")
        output.end("Good")
        output.notice("(One.)\n\n(Two.)")
        assert (out.getvalue(), talk.getvalue()) == ("Good\n", "(One.)\n(Two.)\n")


def test_a_failed_answer_leaves_nothing_in_a_pipe() -> None:
    out, talk = StringIO(), StringIO()
    output = FinalOutput(out, talk, notes=False)
    output.show("half")
    output.abandon()
    output.error("error[E]: no")
    assert out.getvalue() == ""
    assert talk.getvalue() == "error[E]: no\n"


def test_raw_text_is_appended_and_repeated_only_where_it_differs() -> None:
    out = StringIO()
    output = RawOutput(out, StringIO(), notes=False)
    for text in ("He", "Hello", "", "Hel", "Hello you"):
        output.show(text)
    output.end("Hello you")
    output.show("Yes")
    output.show("No")
    output.end("No.")
    assert out.getvalue() == "Hello you\nYes\nNo.\n"


class Terminal:
    """A terminal output on a screen that can be read."""

    def __init__(self, columns: int = 40, rows: int = 10) -> None:
        self.screen = Screen(columns, rows)
        self.buffer = StringIO()
        surface = LiveSurface(self.buffer, lambda: (columns, rows))
        self.output = TerminalOutput(surface, {"TERM": "xterm"}, surface.width)

    def text(self) -> str:
        self.screen.feed(self.buffer.getvalue().replace("\n", "\r\n"))
        self.buffer.seek(0)
        self.buffer.truncate()
        return self.screen.text()


def grow(terminal: Terminal, text: str, step: int = 3) -> None:
    for end in range(step, len(text) + step, step):
        terminal.output.show(text[:end])
        terminal.text()


def test_each_block_stands_in_the_scrollback_once_however_long_the_answer() -> None:
    terminal = Terminal()
    text = "".join(f"Paragraph number {n} with some words that wrap around.\n\n" for n in range(12))
    grow(terminal, text)
    terminal.output.end(text)
    seen = " ".join(terminal.text().split())
    assert seen == " ".join(text.split())


def test_a_live_block_taller_than_the_screen_shows_its_end_and_is_whole_once_finished() -> None:
    terminal = Terminal()
    lines = [f"line {n:02}" for n in range(30)]
    grow(terminal, "```\n" + "\n".join(lines) + "\n", 7)
    assert "line 29" in terminal.screen.visible()
    assert "line 02" not in terminal.text()
    terminal.output.end("```\n" + "\n".join(lines) + "\n```")
    assert terminal.text() == "\n".join(["```", *lines, "```"])


def test_notes_stand_between_what_was_said_before_and_after() -> None:
    terminal = Terminal()
    terminal.output.show("Let me see.")
    terminal.output.settle()
    terminal.output.note("> time()")
    terminal.output.show("Let me see.\n\nIt is late.")
    terminal.output.end("Let me see.\n\nIt is late.")
    assert terminal.text() == "Let me see.\n> time()\n\nIt is late."


def test_what_was_taken_back_disappears_from_the_live_part() -> None:
    terminal = Terminal()
    terminal.output.show("Wrong beginn")
    terminal.output.show("")
    terminal.output.note("switched to standby")
    terminal.output.show("Right.")
    terminal.output.end("Right.")
    assert terminal.text() == "switched to standby\n\nRight."


def test_without_streaming_the_answer_comes_at_its_end() -> None:
    buffer = StringIO()
    surface = LiveSurface(buffer, lambda: (40, 10))
    output = TerminalOutput(surface, {"TERM": "xterm"}, surface.width, stream=False)
    output.show("Hel")
    assert buffer.getvalue() == ""
    output.end("Hello")
    assert buffer.getvalue().strip() == "Hello"


def test_only_the_end_of_long_open_code_is_drawn() -> None:
    code = "```py\n" + "".join(f"{n}\n" for n in range(1000))
    assert newest(code, 3) == "```py\n998\n999\n"
    assert newest("```py\n1\n", 3) == "```py\n1\n"
    assert newest("a\n" * 9, 3) == "a\n" * 9
